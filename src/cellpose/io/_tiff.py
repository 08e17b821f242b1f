"""TIFF: plain, ImageJ, OME, shaped, BigTIFF, FLEX."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError
from cellpose.io._axes import UNKNOWN_AXIS, FileAxes, known_letters
from cellpose.io._image import FINEST_PRINT_UM, Image, ImageArray
from cellpose.io._interval import interval_of_imagej, interval_of_pixels
from cellpose.io._limits import check_claim
from cellpose.io._ome_series import OmeSeries, file_of
from cellpose.io._ome_set import companion_series, series_of_set
from cellpose.io._open import head_of
from cellpose.io._scratch import leaves_on_disk, room_for, tell
from cellpose.io._tiff_check import check_directories, check_file, check_rows, check_series

__all__ = ["TIFF_SUFFIXES", "LazyTiff", "is_tiff", "micrometres", "open_tiff", "read_companion", "read_tiff"]

logger = logging.getLogger(__name__)

TIFF_SUFFIXES = (".tif", ".tiff", ".flex")

Sizes = tuple[float | None, float | None, float | None]
Metadata = tuple[Sizes, tuple[str, ...]]

_RESOLUTION_UNITS = {2: "inch", 3: "cm"}

_MOST_CHANNELS = 9  # columns of pages; pages of more are planes

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MICROMETRES = {
    "": None,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nanometre": 1e-3,
    "millimetre": 1e3,
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
    "meter": 1e6,
    "centimeter": 1e4,
    "angstrom": 1e-4,
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

    check_directories(path)
    with tifffile.TiffFile(path) as tif:
        series = _first_series(path, tif)
        large = leaves_on_disk(int(series.nbytes))
        check_series(path, tif, series, rows=large)
        data = _left_on_disk(path, tif, series) if large else np.asarray(series.asarray())
        axes = _letters(tif, series.axes, data.shape)
        data, axes = _without_alpha(series.keyframe, data, axes)
        count = series.n_images if isinstance(series, OmeSeries) else len(tif.series)
        if count > 1:
            logger.warning(f"{path} holds {count} series of images; only the first is read")
        sizes, names = _metadata(tif, series)
        return Image(data, axes, sizes, names, _file_axes(tif, series), interval_s=_interval(tif, series))


def _left_on_disk(path: Path, tif: Any, series: Any) -> ImageArray:
    """A memory map of the file where it holds the pixels as they are; else they are decoded, page by page, into one."""
    if series.dataoffset is not None and series.pages[0].keyframe.is_memmappable:
        return np.memmap(path, series.dtype.newbyteorder(tif.byteorder), "r", series.dataoffset, series.shape)
    data = room_for(path, series.shape, series.dtype)
    pages = list(series.pages)
    for index, target in enumerate(data.reshape(len(pages), *pages[0].shape)):
        target[...] = pages[index].asarray()
        tell((index + 1) / len(pages))
    return data


def _without_alpha(page: Any, data: ImageArray, axes: str) -> tuple[ImageArray, str]:
    """The image without an alpha channel that the file declares.

    Writers declare the fourth channel of anything as alpha. It counts as one only if every pixel is fully opaque or
    fully clear, unlike in any intensity channel. Beside a single gray channel it is declared on purpose.
    """
    declared = [int(kind) for kind in page.extrasamples]
    if declared not in ([1], [2]) or not axes.endswith("YXC") or data.shape[-1] not in (2, 4):
        return data, axes
    if data.shape[-1] == 2:
        return np.ascontiguousarray(data[..., 0]), axes[:-1]
    opaque = np.iinfo(data.dtype).max if data.dtype.kind == "u" else 1
    alpha = data[..., 3]
    if not ((alpha == 0) | (alpha == opaque)).all() or not alpha.any():
        return data, axes
    return np.ascontiguousarray(data[..., :3]), axes


def read_companion(path: Path) -> Image:
    """The set of TIFF files that a file of OME-XML (``.companion.ome``) describes."""
    check_claim(path, path.stat().st_size)
    series = companion_series(path)
    check_series(path, None, series)
    sizes, names = _of_pixels(series.pixels)
    axes = known_letters(series.axes, series.shape)
    interval = interval_of_pixels(series.pixels)
    return Image(series.asarray(), axes, sizes, names, _file_axes(None, series), interval_s=interval)


def _letters(tif: Any, declared: str, shape: tuple[int, ...]) -> str:
    """The letters of all axes.

    Programs that know no axes write channels behind Y and X as the columns of pages, one page for each row.
    """
    letters = known_letters(declared, shape)
    by_order = tif is not None and not tif.is_ome and not tif.is_imagej and letters.endswith("QYX")
    if by_order and shape[-1] <= _MOST_CHANNELS < min(shape[-3:-1]):
        return letters[:-3] + "YXQ"
    return letters


def _file_axes(tif: Any, series: Any) -> FileAxes:
    """All axes of the file; letters that only the order of its pages or of its samples suggests are no declaration."""
    letters, shape = series.get_axes(False), tuple(series.get_shape(False))
    kept = [k for k, (a, n) in enumerate(zip(letters, shape, strict=True)) if a != "S" or n > 1]
    letters, shape = "".join(letters[k] for k in kept), tuple(shape[k] for k in kept)
    known = _letters(tif, letters, shape)
    if tif is None or tif.is_ome or tif.is_imagej:
        return FileAxes(known, shape)
    # what is written as three or four planes side by side may be channels as well as planes
    side_by_side = 0 <= letters.find("S") < letters.find("Y")
    assumed = "CYX" if side_by_side else "YX" if UNKNOWN_AXIS in known else ""
    return FileAxes(known, shape, assumed)


def _metadata(tif: Any, series: Any) -> Metadata:
    """Pixel size in micrometers along (z, y, x), and names of the channels, as an open file states them."""
    if isinstance(series, OmeSeries):
        return _of_pixels(series.pixels)
    if tif.is_ome:
        return _of_ome(tif.ome_metadata)
    return (_of_imagej(tif) if tif.is_imagej else _of_tags(tif)), ()


@dataclass(frozen=True, eq=False)
class LazyTiff:
    """The finest resolution of the first series of a TIFF that is read by rows.

    Attributes
    ----------
    path
        Of the file, for messages.
    file
        The open file; it is closed when nothing holds it any more.
    metadata
        Size of a pixel in micrometers along (z, y, x), and names of the channels.
    pages
        In order; of a set of files, pages of several.
    shape, axes, file_axes, dtype
        Of the whole array, as those of `Image`.
    mapped
        A memory map of it, where the file holds it in one piece.
    chunk_rows
        Rows that are stored together.
    """

    path: Path
    file: Any
    metadata: Metadata
    pages: list[Any]
    shape: tuple[int, ...]
    axes: str
    file_axes: FileAxes
    dtype: np.dtype[Any]
    mapped: ImageArray | None
    chunk_rows: int

    @property
    def leading(self) -> int:
        """The number of axes that the pages make."""
        lengths = (prod(self.shape[:k]) for k in range(len(self.shape)))
        return next((k for k, length in enumerate(lengths) if length == len(self.pages)), 0)

    def rows(self, start: int, stop: int) -> ImageArray:
        """Rows (rows, columns, channels); channels are samples of a page, or pages.

        Raises
        ------
        FileReadError
            If they cannot be decoded.
        """
        parts = [self.page_rows(page, start, stop) for page in self.pages]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def page_rows(self, page: Any, start: int, stop: int) -> ImageArray:
        """Rows (rows, columns, samples) of one page; raises as `rows` does."""
        with reading(self.path), file_of(page):
            return self._decoded(page, start, stop)

    def _decoded(self, page: Any, start: int, stop: int) -> ImageArray:
        key = page.keyframe
        height, width = key.imagelength, key.imagewidth
        tall = key.tilelength if key.is_tiled else min(key.rowsperstrip, height)
        across = -(-width // key.tilewidth) if key.is_tiled else 1
        down = -(-height // tall)
        planes = len(page.dataoffsets) // (across * down)
        samples = key.samplesperpixel
        out = np.full((stop - start, width, samples), key.nodata, self.dtype)
        handle = page.parent.filehandle
        for plane in range(planes):
            first = (plane * down + start // tall) * across
            last = (plane * down + (stop - 1) // tall + 1) * across
            for index in range(first, last):
                count = page.databytecounts[index]
                if not count:  # a sparse file stores nothing for empty parts
                    continue
                handle.seek(page.dataoffsets[index])
                tables = {"jpegtables": page.jpegtables} if key.jpegtables is not None else {}
                segment, (sample, _, y, x, _), (_, h, w, _) = key.decode(handle.read(count), index, **tables)
                if segment is None:
                    continue
                w = min(w, width - x)  # tiles may extend beyond the image
                top, bottom = max(y, start), min(y + h, stop)
                where = slice(sample, sample + segment.shape[-1])
                out[top - start : bottom - start, x : x + w, where] = segment[0, top - y : bottom - y, :w]
        return out


def open_tiff(path: Path) -> LazyTiff:
    """A TIFF to be read by rows; of a pyramid the finest resolution.

    Raises
    ------
    FileReadError
        If it cannot be opened, or holds no image.
    """
    import tifffile

    with reading(path):
        head = head_of(path, 4)
        if not is_tiff(head):
            message = f"{path} is not a TIFF: it begins with {head!r}"
            raise FileReadError(message)
        check_directories(path)
        tif = tifffile.TiffFile(path)
        try:
            return _lazy(path, tif)
        except BaseException:
            tif.close()
            raise


def _lazy(path: Path, tif: Any) -> LazyTiff:
    series = _first_series(path, tif)
    level = series.levels[0]
    check_series(path, tif, level, rows=True)
    mapped = None
    if level.dataoffset is not None and level.pages[0].keyframe.is_memmappable:
        mapped = np.memmap(path, level.dtype.newbyteorder(tif.byteorder), "r", level.dataoffset, level.shape)
    key = level.pages[0].keyframe
    if mapped is None:
        check_rows(path, key)
    rows = key.tilelength if key.is_tiled else min(key.rowsperstrip, key.imagelength)
    axes, file_axes = _letters(tif, level.axes, level.shape), _file_axes(tif, series)
    metadata = _metadata(tif, series)
    lazy = LazyTiff(path, tif, metadata, list(level.pages), level.shape, axes, file_axes, level.dtype, mapped, rows)
    weakref.finalize(lazy, tif.close)
    return lazy


def _first_series(path: Path, tif: Any) -> Any:
    check_file(path, tif)
    of_set = series_of_set(path, tif)
    if of_set is not None:
        return of_set
    if not tif.series:
        message = f"{path} is a TIFF without images; save it again"
        raise FileReadError(message)
    return tif.series[0]


def micrometres(value: Any, unit: str | None) -> float | None:
    """A length in micrometers; None unless it is a positive number with a unit of length."""
    factor = _MICROMETRES.get((unit or "").strip().lower())
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size * factor if factor is not None and np.isfinite(size) and size > 0 else None


def _of_imagej(tif: Any) -> Sizes:
    metadata = tif.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    return micrometres(metadata.get("spacing"), unit), *_sides(tif, unit)


def _of_tags(tif: Any) -> Sizes:
    """Pixel size of a TIFF that declares only a resolution, if it is finer than any printer's."""
    tag = tif.pages[0].tags.get("ResolutionUnit")
    y, x = _sides(tif, _RESOLUTION_UNITS.get(int(tag.value) if tag is not None else 0, ""))
    return (None, y, x) if x and y and max(x, y) < FINEST_PRINT_UM else (None, None, None)


def _sides(tif: Any, unit: str) -> tuple[float | None, float | None]:
    """Height and width of a pixel in micrometers, where the resolution counts pixels per this unit."""
    found: list[float | None] = []
    for name in ("YResolution", "XResolution"):
        tag = tif.pages[0].tags.get(name)
        pixels, per = tag.value if tag is not None else (0, 0)
        found.append(micrometres(per / pixels, unit) if pixels and per else None)
    return found[0], found[1]


def _interval(tif: Any, series: Any) -> float | None:
    """Seconds between frames, as an open file states them."""
    if isinstance(series, OmeSeries):
        return interval_of_pixels(series.pixels)
    return interval_of_pixels(_pixels_in(tif.ome_metadata)) if tif.is_ome else interval_of_imagej(tif.imagej_metadata)


def _of_ome(xml: str | None) -> Metadata:
    return _of_pixels(_pixels_in(xml))


def _pixels_in(xml: str | None) -> Any:
    """The first element ``Pixels`` of OME-XML; None where there is none."""
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return None
    return next((element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"), None)


def _of_pixels(pixels: Any) -> Metadata:
    if pixels is None:
        return (None, None, None), ()
    z, y, x = (
        micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    )
    channels = [element for element in pixels if element.tag.rpartition("}")[2] == "Channel"]
    names = tuple(channel.get("Name", "") for channel in channels)
    return (z, y, x), names if any(names) else ()
