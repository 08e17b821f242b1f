"""Checks of the header and the checksums of a compressed picture."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from cellpose.errors import FileReadError
from cellpose.io._limits import check_claim, check_pixels

__all__ = ["check_header", "is_gif", "is_gray_with_alpha", "is_jpeg", "padding_of_jpeg", "size_of_picture"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIF = (b"GIF87a", b"GIF89a")
_GIF_PICTURE, _GIF_EXTENSION = b",", b"!"
_BMP = b"BM"
_JPEG_2000 = b"\xff\x4f\xff\x51"  # start of its codestream
_SUN = b"\x59\xa6\x6a\x95"
_FLOATS = (b"#?", b"PF", b"Pf", b"v/")
_HEAD = 1 << 16

# the largest expansion of a byte by each coding
_PNG_EXPANSION = 1100.0
_JPEG_EXPANSION = 5000.0
_GIF_EXPANSION = 3.0 * 3000.0

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
# frame headers are C0-CF without the Huffman tables (C4), JPG (C8) and arithmetic tables (CC)
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_gif(coded: bytes) -> bool:
    """Whether this is a GIF."""
    return coded[:6] in _GIF


def is_gray_with_alpha(coded: bytes) -> bool:
    """Whether a file is a PNG of one gray channel and alpha, as its header says."""
    return coded.startswith(_PNG) and coded[25:26] == b"\4"


def is_jpeg(coded: bytes) -> bool:
    """Whether this is a JPEG."""
    return coded.startswith(_JPEG)


def padding_of_jpeg(coded: bytes, count: int) -> bool:
    """Whether the last bytes before the end of a JPEG are zeros: cameras fill their buffers so."""
    end = coded.rfind(_JPEG_END)
    return end >= count and not any(coded[end - count : end])


def check_header(path: Path, coded: bytes) -> None:
    """Refuse a picture that claims more than the file can expand to or than fits in memory, or that is cut or damaged.

    Raises
    ------
    FileReadError
        If so.
    """
    try:
        if coded.startswith(_PNG):
            _check_png(path, coded)
        elif coded.startswith(_JPEG):
            _check_jpeg(path, coded)
        elif coded[:6] in _GIF:
            _check_gif(path, coded)
        elif coded.startswith(_BMP):
            _check_bmp(path, coded)
        else:
            # the largest size of a pixel: four samples of 16 bits, or of floats
            width, height = size_of_picture(coded)
            check_pixels(path, width * height)
            check_claim(path, width * height * (16 if coded[:2] in _FLOATS else 8))
    except struct.error as error:
        raise _truncated(path) from error


def _truncated(path: Path) -> FileReadError:
    message = f"{path} is truncated: the file ends within the image. Download or copy it again"
    return FileReadError(message)


def _check_png(path: Path, coded: bytes) -> None:
    width, height, depth, color = struct.unpack_from(">IIBB", coded, 16)
    check_pixels(path, width * height)
    samples = _PNG_SAMPLES.get(color, 4)
    # packed depths below 8 bits grow when they are decoded
    stored = (width * samples * depth + 7) // 8 * height
    check_claim(path, stored, len(coded), _PNG_EXPANSION)
    check_claim(path, width * height * max(samples, 3) * max(depth // 8, 1))
    place = len(_PNG)
    # libpng returns whatever it could decode of a cut file; a whole one has all chunks down to IEND
    while coded[place + 4 : place + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", coded, place)
        kind, following = coded[place + 4 : place + 8], place + 12 + length
        if following >= len(coded):
            raise _truncated(path)
        # chunks in capitals make up the picture; damaged texts beside it are harmless
        if kind[:1].isupper():
            (noted,) = struct.unpack_from(">I", coded, following - 4)
            if zlib.crc32(coded[place + 4 : following - 4]) != noted:
                message = (
                    f"{path} is corrupt: the checksum of its {kind.decode('ascii', 'replace')} differs. Download or "
                    "copy it again"
                )
                raise FileReadError(message)
        place = following


def _check_jpeg(path: Path, coded: bytes) -> None:
    place = 2
    while True:
        # a marker is an FF and a byte that is neither; bytes between segments are allowed
        place = coded.find(b"\xff", place)
        if place < 0:
            raise _truncated(path)
        if coded[place + 1 : place + 2] in (b"\xff", b"\0"):
            place += 1
            continue
        marker, length = struct.unpack_from(">xBH", coded, place)
        if marker in _JPEG_FRAMES:
            height, width, samples = struct.unpack_from(">HHB", coded, place + 5)
            check_pixels(path, width * height)
            check_claim(path, width * height * samples, len(coded), _JPEG_EXPANSION)
        if marker == _JPEG_START_OF_SCAN:
            break
        place += 2 + length
    # within a scan an FF is always followed by a zero or a restart marker, so this can only be the end
    if coded.rfind(_JPEG_END, place) < 0:
        raise _truncated(path)


def _check_gif(path: Path, coded: bytes) -> None:
    """The pictures of an animation are decoded together, each as large as the whole."""
    width, height, flags = struct.unpack_from("<HHB", coded, 6)
    place, claimed = 13 + _palette(flags), 0
    while coded[place : place + 1] in (_GIF_PICTURE, _GIF_EXTENSION):
        if coded[place : place + 1] == _GIF_PICTURE:
            across, down, flags = struct.unpack_from("<HHB", coded, place + 5)
            claimed += max(width * height, across * down) * 3
            place += 11 + _palette(flags)
        else:
            place += 2
        while place < len(coded) and coded[place]:
            place += 1 + coded[place]
        place += 1
    check_pixels(path, max(claimed // 3, width * height))
    check_claim(path, max(claimed, width * height * 3), len(coded), _GIF_EXPANSION)


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _check_bmp(path: Path, coded: bytes) -> None:
    (offset, header) = struct.unpack_from("<II", coded, 10)
    if header < 40:
        return
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", coded, 18)
    check_pixels(path, abs(width) * abs(height))
    row = (abs(width) * bits + 31) // 32 * 4
    uncompressed = compression in (0, 3, 6)
    check_claim(path, row * abs(height), max(len(coded) - offset, 0) if uncompressed else None)
    check_claim(path, abs(width) * abs(height) * 4)


def size_of_picture(coded: bytes) -> tuple[int, int]:
    """Width and height from the header (the first kilobytes) of a compressed picture; zeros if unknown.

    Raises
    ------
    struct.error
        If the header is cut.
    """
    if coded.startswith(_JPEG):
        return _size_of_jpeg(coded)
    if coded[:4] == b"RIFF" and coded[8:12] == b"WEBP":
        return _size_of_webp(coded)
    if coded[4:8] == b"jP  " or coded.startswith(_JPEG_2000):
        place = coded.find(_JPEG_2000)
        x1, y1, x0, y0 = struct.unpack_from(">IIII", coded, place + 8) if place >= 0 else (0, 0, 0, 0)
        return max(x1 - x0, 0), max(y1 - y0, 0)
    if coded[4:8] == b"ftyp":  # AVIF and HEIF hold several pictures
        places = [found.end() for found in re.finditer(b"ispe", coded[:_HEAD])]
        sizes = [_pair(">II", coded, place + 4) for place in places]
        return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    for start, place in ((_PNG, 16), (_SUN, 4)):
        if coded.startswith(start):
            return _pair(">II", coded, place)
    return _size_in_text(coded)


def _size_in_text(coded: bytes) -> tuple[int, int]:
    """Radiance names its height first, the portable formats (PBM, PGM, PPM, PFM) their width."""
    radiance = re.search(rb"[-+]Y (\d{1,10}) [-+]X (\d{1,10})", coded[:_HEAD]) if coded[:2] == b"#?" else None
    portable = re.match(rb"P[1-6fF](?:\s|#[^\n]*\n)+(\d{1,10})\s+(\d{1,10})", coded[:_HEAD])
    if radiance:
        return int(radiance[2]), int(radiance[1])
    return (int(portable[1]), int(portable[2])) if portable else (0, 0)


def _pair(layout: str, coded: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, coded, place)
    return first, second


def _size_of_jpeg(coded: bytes) -> tuple[int, int]:
    place = 2
    while 0 <= place < len(coded) - 9:
        marker, length, _, height, width = struct.unpack_from(">xBHBHH", coded, place)
        if marker in _JPEG_FRAMES:
            return width, height
        place += 2 + length
    return 0, 0


def _size_of_webp(coded: bytes) -> tuple[int, int]:
    kind = coded[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(coded[24:27], "little"), 1 + int.from_bytes(coded[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", coded, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = _pair("<HH", coded, 26)
    return width & 0x3FFF, height & 0x3FFF
