"""Reading label images, in which numbers are cells and colors have no meaning."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._labels.arrays import planes_apart
from cellpose.errors import CellposeError, FileReadError
from cellpose.io._ignored import regions_of, with_ignored
from cellpose.io._image import ImageArray
from cellpose.io._open import head_of
from cellpose.io._read import imread
from cellpose.io._seg import read_seg

__all__ = ["holds_labels", "read_labels", "tell_of_no_labels", "tell_of_planes_apart"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_DEPTH_AT, _COLOUR_AT = 24, 25  # bytes of a PNG file
_GRAY, _PALETTE = 0, 3
_MOST_ROWS = 1000  # that are looked at
_RUNS = 1.5  # a row crosses a cell once, seldom twice; it meets a gray value many times
_PIXELS_PER_RUN = 2.0  # at least, of cells that a row crosses; neighboring pixels of images mostly differ


def tell_of_planes_apart(name: PathLike, labels: ImageArray, advice: str) -> bool:
    """Warn if the planes of a volume (Z, Y, X) are numbered separately, so that its labels are not cells; whether so.

    ``advice`` says what to do beside segmenting again.
    """
    apart, common = planes_apart(labels)
    if 2 * apart <= common:
        return False
    logger.warning(
        f"{name}: its planes seem to be segmented separately: of {common} labels that two neighboring planes have in "
        f"common, {apart} do not touch, but cells of one number are taken as one cell. {advice}; for cells that "
        "extend through planes, segment with --stitch_threshold or --do_3D"
    )
    return True


def tell_of_no_labels(name: PathLike, labels: ImageArray) -> bool:
    """Warn if numbers lie as those of an image or a binary mask do, not as those of cells; whether so."""
    if _each_in_one_place(labels):
        return False
    logger.warning(
        f"{name}: its numbers lie as those of an image or of a binary mask, but all pixels of one number are taken as "
        "one cell. Give masks with one number per cell and 0 for the background; scipy.ndimage.label numbers the "
        "pieces of a binary mask"
    )
    return True


def read_labels(path: PathLike) -> ImageArray:
    """The array of a label file: as `imread` gives it, but of a PNG with a palette the indices, which are the labels.

    Of a ``_seg.npy`` with regions to ignore, as the window keeps them, these are -1.

    Raises
    ------
    FileReadError
        If the file cannot be read, or is a JPEG picture, whose pixels are not those that were saved.
    """
    file = Path(path)
    head = head_of(file, 64) if file.is_file() else b""
    if head.startswith(_JPEG):
        message = f"{file} is a JPEG image, which does not preserve label numbers; save labels as TIFF or PNG"
        raise FileReadError(message)
    if file.name.lower().endswith("_seg.npy"):
        seg = read_seg(file)
        regions = regions_of(seg.content)
        if regions:
            return with_ignored(np.asarray(seg.masks), regions)
    array = imread(file)
    if head.startswith(_PNG) and head[_COLOUR_AT : _COLOUR_AT + 1] == bytes([_PALETTE]):
        logger.warning(f"{file} is an image with a palette: its indices are the labels, not its colors")
        return _indices(file)
    return array


def holds_labels(path: PathLike) -> bool:
    """Whether a file looks like masks, such as of another program: each whole number is in one place.

    An empty file counts, too: there is nothing in it to keep.
    """
    if os.path.isfile(path) and not os.path.getsize(path):
        return True
    try:
        pixels = imread(path)
    except CellposeError:
        return False
    colors = pixels.ndim > 2 and pixels.shape[-1] in (3, 4)
    if pixels.dtype.kind not in "iub" or pixels.ndim < 2 or not pixels.size or colors:
        return False
    if pixels.min() < 0 or pixels.max() <= 1:  # a binary mask is the work of a person, too
        return bool(pixels.min() >= 0)
    return _each_in_one_place(pixels)


def _each_in_one_place(labels: ImageArray) -> bool:
    """Whether each number above 0 is in one place, as far as some of the rows tell."""
    if not labels.size:
        return True
    rows = labels.reshape(-1, labels.shape[-1])
    rows = rows[:: max(1, len(rows) // _MOST_ROWS)].astype(np.int64)
    starts = rows > 0
    inside = np.count_nonzero(starts)
    starts[:, 1:] &= rows[:, 1:] != rows[:, :-1]
    runs = np.nonzero(starts)[0] * (rows.max() + 1) + rows[starts]
    return bool(inside >= _PIXELS_PER_RUN * len(runs) and len(runs) <= _RUNS * len(np.unique(runs)))


def _indices(file: Path) -> ImageArray:
    """The indices into the palette: the file is decoded as if it were gray."""
    import cv2

    coded = bytearray(file.read_bytes())
    depth = coded[_DEPTH_AT]
    coded[_COLOUR_AT] = _GRAY
    coded[29:33] = struct.pack(">I", zlib.crc32(coded[12:29]))
    place = len(_PNG)
    kept: list[Any] = [coded[:place]]
    while place < len(coded):
        (length,) = struct.unpack_from(">I", coded, place)
        if bytes(coded[place + 4 : place + 8]) in (b"IHDR", b"IDAT", b"IEND"):  # others may not suit a gray picture
            kept.append(coded[place : place + 12 + length])
        place += 12 + length
    gray = cv2.imdecode(np.frombuffer(b"".join(kept), np.uint8), cv2.IMREAD_UNCHANGED)
    if gray is None:
        message = f"the palette indices of {file} could not be decoded; save the labels as gray PNG or TIFF"
        raise FileReadError(message)
    # a gray picture of fewer bits is stretched to 8
    indices: ImageArray = gray // (255 // (2**depth - 1))
    return indices
