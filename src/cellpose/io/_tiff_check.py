"""Compare what a TIFF claims with what it holds, before memory or time is spent on it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cellpose.errors import FileReadError
from cellpose.io._limits import check_claim, check_pixels
from cellpose.io._ome_series import file_of
from cellpose.io._raster_check import size_of_picture

__all__ = ["check_directories", "check_file", "check_rows", "check_series"]

# Largest expansion of a byte by a coding. Others (JPEG 2000, JPEG XL, WebP …) have no bound, but real pictures stay far
# below this one.
_UNCOMPRESSED = 1
_LZW, _DEFLATE, _PACKBITS, _JPEG, _LZMA, _ZSTD = 3000.0, 1100.0, 130.0, 5000.0, 20_000.0, 40_000.0
_EXPANSION = {
    1: 1.0,
    5: _LZW,
    6: _JPEG,
    7: _JPEG,
    8: _DEFLATE,
    32773: _PACKBITS,
    32946: _DEFLATE,
    34925: _LZMA,
    50000: _ZSTD,
    50013: _DEFLATE,
}

_OTHER_EXPANSION = 100_000.0
_SMALL = 2**26  # bytes; a smaller claim may be any picture

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# offsets and byte counts of strips and of tiles: without them no pixel is found
_PLACES = (273, 279, 324, 325)
# compressions whose strips and tiles are pictures: JPEG, JPEG 2000, WebP, PNG
_PICTURES = (7, 33003, 33004, 33005, 34712, 34892, 34933, 50001)
_HEAD = 1 << 12
# A file of many planes names each; no microscope writes more than this number.
_MOST_PLANES = 10_000_000
# letters of axes in tifffile: channels and samples; those that are neither
_CHANNELS, _NO_CHANNELS = "CS", "TZYX"
_FEW = 4  # an unnamed axis that is not longer may hold channels


def check_directories(path: Path) -> None:
    """Follow the chain of pages to its end: a truncated file would look like one with fewer pages.

    Directories of a sound file lie side by side, so together they are no longer than the file. That bounds the time,
    too: directories that overlap can make thousands of pages of a few bytes.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        # BigTIFF: 8-byte offsets and counts, entries of 20 bytes instead of 12
        number, offset, entry = ("Q", "Q", "HHQQ") if big else ("H", "I", "HHII")
        seen: set[int] = set()
        read = 0
        try:
            (place,) = struct.unpack_from(order + offset, head, 8 if big else 4)
            while place and place not in seen and read <= size:
                seen.add(place)
                file.seek(place)
                (entries,) = struct.unpack(order + number, file.read(struct.calcsize(number)))
                length = entries * struct.calcsize(order + entry)
                if place + length > size:
                    break
                read += length
                _check_values(path, struct.iter_unpack(order + entry, file.read(length)), size, 8 if big else 4)
                (place,) = struct.unpack(order + offset, file.read(struct.calcsize(offset)))
            else:
                if not place:
                    return
        except (struct.error, OverflowError):
            pass
    message = f"{path} is truncated or corrupt: its {len(seen)}. page is incomplete; download or copy it again"
    raise FileReadError(message)


def _check_values(path: Path, entries: Iterable[tuple[int, int, int, int]], size: int, inline: int) -> None:
    """Check that no value of a tag is longer than the file, and that strips and tiles lie within it."""
    for tag, kind, count, value in entries:
        length = count * _TYPE_BYTES.get(kind, 1)
        if length > size or (tag in _PLACES and length > inline and value + length > size):
            message = (
                f"{path} is truncated or corrupt: its tag {tag} claims {count} values that are not in the file; "
                "download or copy it again"
            )
            raise FileReadError(message)


def check_file(path: Path, tif: Any) -> None:
    """Check that an open TIFF, of which only the first page is known, can hold the planes that its metadata name.

    Raises
    ------
    FileReadError
        If it has no page, or fewer than are named.
    """
    if len(tif.pages) == 0:
        message = f"{path} is a TIFF without images; save it again"
        raise FileReadError(message)
    if tif.is_imagej:
        _check_imagej(path, tif)
    elif tif.is_ome:
        _check_ome(path, tif)
    elif tif.is_shaped:
        _check_shaped(path, tif)


def _check_imagej(path: Path, tif: Any) -> None:
    # the samples of a page may be counted as planes
    samples = max(int(tif.pages[0].samplesperpixel or 1), 1)
    planes = int((tif.imagej_metadata or {}).get("images", 1))
    if len(tif.pages) * samples < planes:
        _check_pages(path, tif, planes)


def _check_shaped(path: Path, tif: Any) -> None:
    """Check the shape of the first array that files of tifffile name."""
    page = tif.pages[0]
    try:
        facts = json.loads(page.shaped_description or "{}")
    except (ValueError, RecursionError):
        return  # the pages are read without it
    if not facts.get("truncated") and page.size:
        _check_pages(path, tif, math.prod(int(side) for side in facts.get("shape", ())) // int(page.size))


def _check_pages(path: Path, tif: Any, planes: int) -> None:
    """Check the size of a large ImageJ stack: one page, with the pixels of all planes behind it."""
    first, pages = tif.pages[0], len(tif.pages)
    behind = pages == 1 or not tif.is_imagej  # ImageJ has one page, or all
    if behind and first.compression == _UNCOMPRESSED and first.is_contiguous and first.nbytes:
        pages = max(pages, _behind(path, first.dataoffsets[0]) // int(first.nbytes))
    if planes > pages:
        raise _missing(path, planes - pages, planes)


def _check_ome(path: Path, tif: Any) -> None:
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError:
        return  # the pages are read without it
    for pixels in (element for element in root.iter() if _local(element) == "Pixels"):
        planes = 1
        for axis in "ZCT":
            planes *= int(pixels.get(f"Size{axis}", 1))
        named = [int(d.get(key, 0)) for d in pixels if _local(d) == "TiffData" for key in ("PlaneCount", "NumPlanes")]
        if planes < 1 or max([planes, *named]) > _MOST_PLANES or min(named, default=0) < 0:
            message = (
                f"{path} is corrupt: its OME-XML names {max([planes, *named])} planes, the file has {len(tif.pages)}; "
                "download or copy it again"
            )
            raise FileReadError(message)


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _missing(path: Path, count: int, named: int, files: Iterable[str] = ()) -> FileReadError:
    which = ", ".join(files)
    message = f"{count} of the {named} planes that {path} names are missing"
    return FileReadError(f"{message}: {which} cannot be read" if which else f"{message}; copy or save the file again")


def check_series(path: Path, tif: Any, series: Any, rows: bool = False) -> None:
    """Compare what the pages claim with what the file holds, before anything is allocated.

    Parameters
    ----------
    path
        The file, for messages.
    tif
        The open file; None where the file holds only the names of others.
    series
        Pages that make up one array.
    rows
        The array will be read by rows: the memory need not hold all of it.

    Raises
    ------
    FileReadError
        If planes or pixels are missing, or the memory cannot hold the array.
    """
    pages = list(series.pages)
    absent = sum(page is None for page in pages)
    if absent:
        raise _missing(path, absent, len(pages), _files_missing(path, tif))
    if min(series.shape, default=0) < 1:
        message = f"{path} is corrupt: it claims an image of shape {tuple(series.shape)}; download or copy it again"
        raise FileReadError(message)
    check_pixels(path, _pixels(series))
    claimed = int(series.nbytes)
    if series.dataoffset is not None and pages[0].compression == _UNCOMPRESSED:
        stored = _behind(path, series.dataoffset)
        check_claim(path, claimed, stored, _unpacking(pages[0].keyframe), in_memory=not rows)
        return
    check_claim(path, claimed, in_memory=not rows)
    empty = [not _check_page(path, page) for page in pages]
    if any(empty):
        raise _missing(path, sum(empty), len(pages))


def _pixels(series: Any) -> int:
    """Pixels of all planes; an axis without a name that is as short as one of channels may hold these."""
    sides = zip(series.axes, series.shape, strict=True)
    return math.prod(n for letter, n in sides if letter in _NO_CHANNELS or (letter not in _CHANNELS and n > _FEW))


def _files_missing(path: Path, tif: Any) -> list[str]:
    """Other files of the set that the OME-XML names and that are not beside this one."""
    try:
        root = ElementTree.fromstring((tif.ome_metadata if tif is not None else path.read_bytes()) or "")
    except ElementTree.ParseError:
        return []
    names = {element.get("FileName", "") for element in root.iter() if _local(element) == "UUID"} - {""}
    return sorted(name for name in names if not path.with_name(Path(name).name).is_file())


def _check_page(path: Path, page: Any) -> bool:
    """Whether a page stores anything; sparse files have empty strips and tiles where there is nothing."""
    key = page.keyframe
    # the pages of an OME series may lie in several files
    size = page.parent.filehandle.size
    counts = [int(count) for count in page.databytecounts]
    ends = [int(start) + count for start, count in zip(page.dataoffsets, counts, strict=False) if count]
    expected = _segments(key)
    if len(page.dataoffsets) < expected or len(counts) < expected or max(ends, default=0) > size:
        message = (
            f"{path} is truncated or corrupt: a page has {len(counts)} of {expected} strips or tiles, ends at byte "
            f"{max(ends, default=0)}, and {page.parent.filename} has {size} bytes; download or copy it again"
        )
        raise FileReadError(message)
    filled = sum(count > 0 for count in counts)
    ratio = _EXPANSION.get(int(key.compression))
    claimed = int(key.nbytes * (filled / max(len(counts), 1)))
    if ratio is not None or claimed > _SMALL:
        ratio = _OTHER_EXPANSION if ratio is None else ratio
        check_claim(path, claimed, sum(counts), ratio * _unpacking(key), in_memory=False)
    if int(key.compression) in _PICTURES:
        _check_pictures(path, page, counts)
    return filled > 0


def _check_pictures(path: Path, page: Any, counts: list[int]) -> None:
    """Check strips and tiles that are pictures with their own headers: their sides must be about those of the page."""
    key, handle = page.keyframe, page.parent.filehandle
    area = _sides(key)[0] * _sides(key)[1]
    for start, count in zip(page.dataoffsets, counts, strict=False):
        if not count:
            continue
        with file_of(page):
            handle.seek(start)
            width, height = size_of_picture(handle.read(min(count, _HEAD)))
        if width * height > 4 * area + _HEAD:
            message = (
                f"{path} is corrupt: it has strips or tiles of {area} pixels, one claims {width} x {height}; download "
                "or copy it again"
            )
            raise FileReadError(message)


def _sides(key: Any) -> tuple[int, int]:
    """Rows and columns of a strip or tile."""
    height, width = int(key.imagelength), int(key.imagewidth)
    return (int(key.tilelength), int(key.tilewidth)) if key.is_tiled else (min(int(key.rowsperstrip), height), width)


def _segments(key: Any) -> int:
    """Strips or tiles that a page of these sides has."""
    height, width, planes = int(key.imagelength), int(key.imagewidth), 1
    if int(key.planarconfig or 1) == 2:
        planes = int(key.samplesperpixel)
    down, across = _sides(key)
    if down < 1 or across < 1:
        return 1
    return -(-height // down) * -(-width // across) * planes * max(int(key.imagedepth), 1)


def check_rows(path: Path, key: Any) -> None:
    """Check that one strip, or one row of tiles, of a page fits in memory: the least that is decoded at a time.

    Raises
    ------
    FileReadError
        If not, or if strips or tiles have no pixels.
    """
    rows, across = _sides(key)
    if min(rows, across, int(key.samplesperpixel)) < 1:
        message = f"{path} is corrupt: it claims strips or tiles of {rows} x {across} pixels; download or copy it again"
        raise FileReadError(message)
    check_claim(path, rows * max(across, int(key.imagewidth)) * int(key.samplesperpixel) * int(key.dtype.itemsize))


def _behind(path: Path, offset: Any) -> int:
    """Bytes of a file from an offset to its end."""
    return max(path.stat().st_size - int(offset), 0)


def _unpacking(page: Any) -> float:
    """Bytes of the array for each byte in the file: more than one where samples have 1, 4, 12 … bits."""
    bits = page.bitspersample
    return 1.0 if not isinstance(bits, int) or bits < 1 else max(8 * page.dtype.itemsize / bits, 1.0)
