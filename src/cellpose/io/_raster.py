"""PNG, JPEG, GIF, BMP and what else OpenCV decodes."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np

from cellpose.errors import FileReadError
from cellpose.io._image import Image, ImageArray
from cellpose.io._limits import check_claim

__all__ = ["read_raster"]

logger = logging.getLogger(__name__)

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIF = (b"GIF87a", b"GIF89a")
_BMP = b"BM"

# the most that each coding can expand a byte of the file
_PNG_EXPANSION = 1100.0
_JPEG_EXPANSION = 5000.0
_GIF_EXPANSION = 3.0 * 3000.0

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
# frame headers are C0-CF without the Huffman tables (C4), JPG (C8) and arithmetic tables (CC)
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_raster(path: Path) -> Image:
    """(Y, X) or (Y, X, 3) in RGB order at the depth of the file; an alpha channel is left out."""
    check_claim(path, path.stat().st_size)
    coded = path.read_bytes()
    _check_header(path, coded)
    data = _decode_gif(path, coded) if coded[:6] in _GIF else _decode_opencv(path, coded)
    return Image(data, "YX" if data.ndim == 2 else "YXC")


def _decode_opencv(path: Path, coded: bytes) -> ImageArray:
    import cv2

    try:
        # decoded from memory: OpenCV cannot open every file name on every system
        decoded = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        message = f"{path} could not be decoded: {error}"
        raise FileReadError(message) from error
    if decoded is None:
        message = (
            f"{path} is not an image that can be read; it is corrupt or of another format than its name says. "
            "Save it as TIFF or PNG"
        )
        raise FileReadError(message)
    image: ImageArray = decoded
    if image.ndim == 3 and image.shape[-1] == 1:
        return image[..., 0]
    return np.ascontiguousarray(image[..., 2::-1]) if image.ndim == 3 and image.shape[-1] >= 3 else image


def _decode_gif(path: Path, coded: bytes) -> ImageArray:
    import imagecodecs

    decoded: Any = imagecodecs.gif_decode(coded)
    if decoded.ndim == 4:
        logger.warning(f"{path} is an animation of {len(decoded)} pictures; only the first is read")
        decoded = decoded[0]
    return np.ascontiguousarray(decoded[..., :3])


def _check_header(path: Path, coded: bytes) -> None:
    try:
        if coded.startswith(_PNG):
            _check_png(path, coded)
        elif coded.startswith(_JPEG):
            _check_jpeg(path, coded)
        elif coded[:6] in _GIF:
            width, height = struct.unpack_from("<HH", coded, 6)
            check_claim(path, width * height * 3, len(coded), _GIF_EXPANSION)
        elif coded.startswith(_BMP):
            _check_bmp(path, coded)
    except struct.error as error:
        raise _truncated(path) from error


def _truncated(path: Path) -> FileReadError:
    message = f"{path} is truncated: the file ends within the image"
    return FileReadError(message)


def _check_png(path: Path, coded: bytes) -> None:
    width, height, depth, colour = struct.unpack_from(">IIBB", coded, 16)
    samples = _PNG_SAMPLES.get(colour, 4)
    # packed depths below 8 bits grow when they are decoded
    stored = (width * samples * depth + 7) // 8 * height
    check_claim(path, stored, len(coded), _PNG_EXPANSION)
    check_claim(path, width * height * max(samples, 3) * max(depth // 8, 1))
    place = len(_PNG)
    # libpng hands out what it could decode of a cut file; a whole one has all chunks down to IEND
    while coded[place + 4 : place + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", coded, place)
        place += 12 + length
        if place >= len(coded):
            raise _truncated(path)


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
            check_claim(path, width * height * samples, len(coded), _JPEG_EXPANSION)
        if marker == _JPEG_START_OF_SCAN:
            break
        place += 2 + length
    # within a scan an FF is always followed by a zero or a restart marker, so this can only be the end
    if coded.rfind(_JPEG_END, place) < 0:
        raise _truncated(path)


def _check_bmp(path: Path, coded: bytes) -> None:
    (offset, header) = struct.unpack_from("<II", coded, 10)
    if header < 40:
        return
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", coded, 18)
    row = (abs(width) * bits + 31) // 32 * 4
    uncompressed = compression in (0, 3, 6)
    check_claim(path, row * abs(height), max(len(coded) - offset, 0) if uncompressed else None)
    check_claim(path, abs(width) * abs(height) * 4)
