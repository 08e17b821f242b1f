"""PNG, JPEG, GIF, BMP and everything else that OpenCV decodes."""

from __future__ import annotations

import logging
import os
import re
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cellpose.errors import FileReadError
from cellpose.io._image import FINEST_PRINT_UM, Image, ImageArray
from cellpose.io._limits import check_claim
from cellpose.io._png import decode_png
from cellpose.io._raster_check import check_header, is_gif, is_gray_with_alpha, is_jpeg, padding_of_jpeg

__all__ = ["read_raster"]

logger = logging.getLogger(__name__)

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK, _PHYS, _PER_METRE = struct.Struct(">I4s"), struct.Struct(">IIB"), 1
_STDERR = 2
_WEBP_ANIMATED = 0x02
# libjpeg reports errors only on the standard error of the process, and returns a picture all the same
_OF_LIBJPEG = re.compile(rb"JPEG|JFIF|Huffman|marker|\bSOS\b")
_DAMAGE = re.compile(rb"Corrupt JPEG data|Premature end of JPEG")
_PADDING = re.compile(rb"(\d+) extraneous bytes before marker 0xd9")
_one_at_a_time = threading.Lock()


def read_raster(path: Path) -> Image:
    """(Y, X) or (Y, X, 3) in RGB order at the depth of the file; an alpha channel is left out."""
    check_claim(path, path.stat().st_size)
    coded = path.read_bytes()
    check_header(path, coded)
    if _is_animated(coded):
        logger.warning(f"{path} is an animation; only the first picture is read")
    data = _decode_gif(path, coded) if is_gif(coded) else decode_png(coded)
    data = _decode_opencv(path, coded) if data is None else data
    return Image(data, "YX" if data.ndim == 2 else "YXC", (None, *_pixel_size(coded)))


def _is_animated(coded: bytes) -> bool:
    """Whether a PNG (chunk acTL) or WebP (flag of the extended header) is an animation."""
    if coded[:4] == b"RIFF" and coded[8:16] == b"WEBPVP8X":
        return len(coded) > 20 and bool(coded[20] & _WEBP_ANIMATED)
    return any(kind == b"acTL" for kind, _ in _chunks_before_pixels(coded))


def _pixel_size(coded: bytes) -> tuple[float | None, float | None]:
    """Height and width of a PNG's pixel in micrometers, where it states them (chunk pHYs) and not for printing."""
    for kind, content in _chunks_before_pixels(coded):
        if kind == b"pHYs" and len(content) == _PHYS.size:
            x, y, unit = _PHYS.unpack(content)
            if unit == _PER_METRE and x and y and 1e6 / min(x, y) < FINEST_PRINT_UM:
                return 1e6 / y, 1e6 / x
    return None, None


def _chunks_before_pixels(coded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks of a PNG up to its pixels; none of other files."""
    place = len(_PNG) if coded.startswith(_PNG) else len(coded)
    while place + _CHUNK.size <= len(coded):
        length, kind = _CHUNK.unpack_from(coded, place)
        start = place + _CHUNK.size
        if kind == b"IDAT":
            return
        yield kind, coded[start : start + length]
        place = start + length + 4  # a checksum follows


def _decode_opencv(path: Path, coded: bytes) -> ImageArray:
    import cv2

    try:
        # decoded from memory: OpenCV cannot open every file name on every system
        decoded = _decode_jpeg(path, coded) if is_jpeg(coded) else _decode(coded)
    except cv2.error as error:
        message = f"{path} could not be decoded: {error}"
        raise FileReadError(message) from error
    if decoded is None:
        message = (
            f"{path} cannot be read as an image; it is corrupt, or its format does not match its name. Save it as "
            "TIFF or PNG"
        )
        raise FileReadError(message)
    image: ImageArray = decoded
    if image.ndim == 3 and (image.shape[-1] == 1 or is_gray_with_alpha(coded)):  # which OpenCV turns into colors
        return np.ascontiguousarray(image[..., 0])
    return np.ascontiguousarray(image[..., 2::-1]) if image.ndim == 3 and image.shape[-1] >= 3 else image


def _decode(coded: bytes) -> Any:
    import cv2

    return cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)


def _decode_jpeg(path: Path, coded: bytes) -> Any:
    """The picture, if libjpeg reports no damaged data."""
    try:
        # the only place where OpenCV lets errors be seen
        with _one_at_a_time, tempfile.TemporaryFile() as heard:
            kept = os.dup(_STDERR)
            os.dup2(heard.fileno(), _STDERR)
            try:
                decoded = _decode(coded)
            finally:
                os.dup2(kept, _STDERR)
                os.close(kept)
                heard.seek(0)
                lines = heard.read().splitlines(keepends=True)
                others = b"".join(line for line in lines if not _OF_LIBJPEG.search(line))
                if others:  # from another thread
                    os.write(_STDERR, others)
    except OSError:  # a process without standard error, or without a place for temporary files
        return _decode(coded)
    damage = [line for line in lines if _DAMAGE.search(line) and not _is_padding(coded, line)]
    if damage:
        message = f"{path} is corrupt: {damage[0].decode('ascii', 'replace').strip()}; copy or save it again"
        raise FileReadError(message)
    return decoded


def _is_padding(coded: bytes, line: bytes) -> bool:
    found = _PADDING.search(line)
    return found is not None and padding_of_jpeg(coded, int(found[1]))


def _decode_gif(path: Path, coded: bytes) -> ImageArray:
    import imagecodecs

    decoded: Any = imagecodecs.gif_decode(coded)
    if decoded.ndim == 4:
        logger.warning(f"{path} is an animation of {len(decoded)} pictures; only the first is read")
        decoded = decoded[0]
    return np.ascontiguousarray(decoded[..., :3])
