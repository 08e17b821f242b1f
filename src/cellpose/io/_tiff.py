"""TIFF: plain, ImageJ, OME, shaped, BigTIFF, FLEX."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cellpose.errors import FileReadError
from cellpose.io._image import UNKNOWN_AXIS, Image
from cellpose.io._limits import check_claim

__all__ = ["TIFF_SUFFIXES", "is_tiff", "read_tiff"]

logger = logging.getLogger(__name__)

TIFF_SUFFIXES = (".tif", ".tiff", ".flex")

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# the most that the byte-oriented codings can expand a byte; others (JPEG, Zstandard …) have no useful bound
_UNCOMPRESSED = 1
_EXPANSION = {1: 1.0, 5: 3000.0, 8: 1100.0, 32773: 130.0, 32946: 1100.0}

_MICROMETRES = {
    "": None,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "å": 1e-4,
    "inch": 25400.0,
    "in": 25400.0,
}


def is_tiff(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a TIFF."""
    return head[:4] in _MAGIC


def read_tiff(path: Path) -> Image:
    """The first series of a TIFF, squeezed of axes of length 1, with the axes and sizes that it declares."""
    import tifffile

    _check_directories(path)
    with tifffile.TiffFile(path) as tif:
        if len(tif.pages) == 0 or not tif.series:
            message = f"{path} is a TIFF without any image in it"
            raise FileReadError(message)
        if tif.is_imagej:
            _check_imagej(path, tif)
        series = tif.series[0]
        _check_series(path, series)
        data = np.asarray(series.asarray())
        axes = _axes(series.axes, data.ndim)
        if len(tif.series) > 1:
            logger.warning(f"{path} holds {len(tif.series)} series of images; only the first is read")
        if tif.is_ome:
            sizes, names = _of_ome(tif.ome_metadata)
        elif tif.is_imagej:
            sizes, names = _of_imagej(tif), ()
        else:
            sizes, names = (None, None, None), ()
    return Image(data, axes, sizes, names)


def _axes(declared: str, ndim: int) -> str:
    if len(declared) != ndim:
        return UNKNOWN_AXIS * ndim
    # samples of a pixel are channels, unless the file also has channels of its own
    renamed = declared.replace("S", "C") if "C" not in declared else declared
    return "".join(letter if letter in "TZCYX" else UNKNOWN_AXIS for letter in renamed)


def _check_directories(path: Path) -> None:
    """Follow the chain of pages to its end: of a cut file the pages that are left would be taken for all."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        # BigTIFF: 8-byte offsets and counts, entries of 20 bytes instead of 12
        number, offset, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
        seen: set[int] = set()
        try:
            (place,) = struct.unpack_from(order + offset, head, 8 if big else 4)
            while place and place not in seen:
                seen.add(place)
                file.seek(place)
                (entries,) = struct.unpack(order + number, file.read(struct.calcsize(number)))
                if place + entries * entry > size:
                    break
                file.seek(entries * entry, 1)
                (place,) = struct.unpack(order + offset, file.read(struct.calcsize(offset)))
            else:
                return
        except struct.error:
            pass
    message = f"{path} is truncated: its {len(seen)}. page is not complete"
    raise FileReadError(message)


def _check_imagej(path: Path, tif: Any) -> None:
    """ImageJ writes large stacks as one page and the pixels of all planes behind it."""
    planes = int((tif.imagej_metadata or {}).get("images", 1))
    first = tif.pages[0]
    if planes > len(tif.pages) and first.compression == _UNCOMPRESSED:
        check_claim(path, planes * int(first.nbytes), max(path.stat().st_size - int(first.dataoffsets[0]), 0))


def _check_series(path: Path, series: Any) -> None:
    """Compare what the pages claim with what the file holds, before anything is allocated."""
    if series.dataoffset is not None and series.pages[0].compression == _UNCOMPRESSED:
        check_claim(path, int(series.nbytes), max(path.stat().st_size - int(series.dataoffset), 0))
        return
    check_claim(path, int(series.nbytes))
    for page in series.pages:
        if page is None:
            continue
        # the pages of an OME series may lie in several files
        size = page.parent.filehandle.size
        counts = [int(count) for count in page.databytecounts]
        ends = [int(start) + count for start, count in zip(page.dataoffsets, counts, strict=False) if count]
        if not counts or (ends and max(ends) > size):
            message = (
                f"{path} is truncated: a page ends at byte {max(ends, default=0)}, "
                f"{page.parent.filename} has {size} bytes"
            )
            raise FileReadError(message)
        expansion = _EXPANSION.get(int(page.keyframe.compression))
        if expansion is not None:
            # empty segments are allowed: sparse files have them where there is nothing
            filled = sum(count > 0 for count in counts) / len(counts)
            check_claim(path, int(page.keyframe.nbytes * filled), sum(counts), expansion)


def _micrometres(value: Any, unit: str | None) -> float | None:
    factor = _MICROMETRES.get((unit or "").strip().lower())
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size * factor if factor is not None and np.isfinite(size) and size > 0 else None


def _of_imagej(tif: Any) -> tuple[float | None, float | None, float | None]:
    metadata = tif.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    z = _micrometres(metadata.get("spacing"), unit)
    sides: list[float | None] = []
    for name in ("YResolution", "XResolution"):
        tag = tif.pages[0].tags.get(name)
        pixels, per = tag.value if tag is not None else (0, 0)
        sides.append(_micrometres(per / pixels, unit) if pixels and per else None)
    return z, sides[0], sides[1]


def _of_ome(xml: str | None) -> tuple[tuple[float | None, float | None, float | None], tuple[str, ...]]:
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return (None, None, None), ()
    pixels = next((element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return (None, None, None), ()
    z, y, x = (
        _micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    )
    channels = [element for element in pixels if element.tag.rpartition("}")[2] == "Channel"]
    names = tuple(channel.get("Name", "") for channel in channels)
    return (z, y, x), names if any(names) else ()
