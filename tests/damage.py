"""Files that are damaged at random, always in the same way for the same seed."""

from __future__ import annotations

import random

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 60_000, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_TEXTS = (b"0", b"9", b"-1", b"99999", b"4294967296", b"1e9", b"9" * 20, b'"x"', b"[]", b"null")
_KINDS = 9


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with flipped bits, other numbers, and pieces that are missing, doubled or overwritten."""
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if len(content) >= 4:
            content = _changed(content, chance)
    return bytes(content)


def _changed(content: bytearray, chance: random.Random) -> bytearray:
    size = len(content)
    # headers stand at the start, directories at the end
    place = chance.choice(
        (chance.randrange(size), chance.randrange(min(size, 400)), size - 1 - chance.randrange(min(size, 600)))
    )
    length, kind = chance.randrange(1, 64), chance.randrange(_KINDS)
    if kind == 0:
        content[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        content[place] = chance.randrange(256)
    elif kind == 2:
        width = chance.choice((2, 4, 8))
        number = chance.choice(_NUMBERS) & ((1 << 8 * width) - 1)
        content[place : place + width] = number.to_bytes(width, chance.choice(("little", "big")))
    elif kind == 3:
        return content[:place]
    elif kind == 4:
        del content[place : place + length]
    elif kind == 5:
        content[place:place] = content[max(0, place - length) : place]
    elif kind == 6:
        content[place : place + length] = bytes([chance.choice((0, 255))]) * length
    elif kind == 7:
        other = chance.randrange(size)
        content[place : place + length] = content[other : other + length]
    else:
        digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
        if digits:
            i = chance.choice(digits)
            content[i : i + 1] = chance.choice(_TEXTS)
    return content
