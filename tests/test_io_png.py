"""PNG files that are decoded here rather than by OpenCV: the same pixels, and nothing that is not whole and plain."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import zlib

import cv2
import imagecodecs
import numba  # noqa: F401 - without it OpenCV decodes
import numpy as np
import pytest

from cellpose import io
from cellpose.errors import FileReadError
from cellpose.io import _png

HEIGHT, WIDTH = 13, 17
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def small_files_too(monkeypatch):
    monkeypatch.setattr(_png, "_LARGE", 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def filtered(pixels: np.ndarray, first: int) -> bytes:
    """Lines with all filters in turn, by the definition of the format."""
    depth = pixels.dtype.itemsize
    step = depth * (pixels.shape[2] if pixels.ndim == 3 else 1)
    lines = pixels.astype(f">u{depth}").reshape(len(pixels), -1).view(np.uint8).astype(int)
    out = b""
    for y, line in enumerate(lines):
        up = lines[y - 1] if y else np.zeros_like(line)
        left, corner = (np.concatenate([np.zeros(step, int), each[:-step]]) for each in (line, up))
        distances = np.abs([up - corner, left - corner, left + up - 2 * corner])
        paeth = np.choose(np.argmin(distances, axis=0), [left, up, corner])  # the first of equals
        kind = (y + first) % 5
        out += (
            bytes([kind])
            + ((line - [0 * line, left, up, (left + up) // 2, paeth][kind]) % 256).astype(np.uint8).tobytes()
        )
    return out


def png_of(pixels: np.ndarray, first: int = 0, pieces: int = 3) -> list[bytes]:
    """Its chunks."""
    coded = zlib.compress(filtered(pixels, first))
    edges = [len(coded) * k // pieces for k in range(pieces + 1)]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8 * pixels.dtype.itemsize, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = [chunk(b"IDAT", coded[start:stop]) for start, stop in itertools.pairwise(edges)]
    return [chunk(b"IHDR", header), chunk(b"tEXt", b"Title\0x"), *parts, chunk(b"IEND", b"")]


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_pixels_are_those_of_opencv(tmp_path, dtype, channels, first):
    rng = np.random.default_rng(first)
    pixels = rng.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), dtype)
    pixels = pixels[..., 0] if channels == 1 else pixels
    coded = SIGNATURE + b"".join(png_of(pixels, first))
    found = _png.decode_png(coded)
    assert found is not None
    assert (found.dtype, found.flags.c_contiguous, found.flags.writeable) == (pixels.dtype, True, True)
    np.testing.assert_array_equal(found, pixels)
    seen = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, seen[..., ::-1] if channels == 3 else seen)
    path = tmp_path / "a.png"
    path.write_bytes(coded)
    np.testing.assert_array_equal(io.imread(path), pixels)


def test_all_else_is_left_to_opencv():
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    header, text, *parts, end = png_of(pixels)
    whole = SIGNATURE + b"".join([header, text, *parts, end])
    assert _png.decode_png(whole) is not None
    wrong_filter = bytes([7]) + filtered(pixels, 0)[1:]
    transparent = chunk(b"tRNS", b"\0\5")
    others = {
        "damaged": whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:],
        "cut": whole[:-20],
        "without an end": whole[: -len(end)],
        "with transparency": SIGNATURE + b"".join([header, transparent, *parts, end]),
        "with an unknown filter": SIGNATURE + header + chunk(b"IDAT", zlib.compress(wrong_filter)) + end,
        "with too few lines": SIGNATURE + header + chunk(b"IDAT", zlib.compress(filtered(pixels[:-1], 0))) + end,
        "with no pixels": SIGNATURE + header + end,
        "with another stream": SIGNATURE + header + chunk(b"IDAT", b"nothing of that kind") + end,
        "with alpha": imagecodecs.png_encode(np.dstack([pixels, pixels])),
        "with single bits": cv2.imencode(".png", pixels % 2, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes(),
    }
    assert {name: _png.decode_png(coded) for name, coded in others.items()} == dict.fromkeys(others)


@pytest.mark.parametrize("at", [20, 60, 100, 200])
def test_damaged_files_end_as_they_do_for_opencv(tmp_path, monkeypatch, at):
    """Read here, or not: the same pixels or the same error."""
    coded = bytearray(SIGNATURE + b"".join(png_of(np.full((HEIGHT, WIDTH), 9, np.uint8), 1)))
    coded[min(at, len(coded) - 1)] ^= 0x55
    path = tmp_path / "a.png"
    path.write_bytes(coded)
    ends = []
    for large in (0, 2**40):
        monkeypatch.setattr(_png, "_LARGE", large)
        try:
            ends.append(io.imread(path).tolist())
        except FileReadError as error:
            ends.append(str(error))
    assert ends[0] == ends[1]


def test_no_compiler_is_loaded_to_read_a_file(tmp_path):
    path = tmp_path / "a.png"
    io.imsave(path, np.zeros((2048, 2048), np.uint8))
    code = "import sys; from cellpose import io; io.imread(sys.argv[1]); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False"]
