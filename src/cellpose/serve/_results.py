"""Results of an image, as files."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io, measure, plot
from cellpose.errors import InputError, OptionError
from cellpose.serve._cells import Cells
from cellpose.serve._picture import colored
from cellpose.serve._store import Item

__all__ = ["FORMATS", "Format", "write_all", "write_result"]

Array = npt.NDArray[Any]

_YELLOW = (255, 225, 77)


@dataclass(frozen=True)
class Format:
    """A downloadable file format.

    Attributes
    ----------
    ending
        The suffix after the image's name.
    media
        Its media type.
    what
        A description in words.
    write
        Function that takes a path, the image and its cells.
    most_axes
        How many axes of labels it can hold: 2 of a plane, 3 also of a stack or movie, 4 also of a movie of stacks.
    """

    ending: str
    media: str
    what: str
    write: Callable[[Path, Item, Cells], None]
    most_axes: int = 3


def _axes(item: Item) -> str:
    """Letters of the axes of the labels: those of the image without its channels."""
    return item.about.axes.removesuffix("C")


def _labels(item: Item, cells: Cells) -> Array:
    """Labels ([T, Z,] Y, X), without axes of length 1."""
    about = item.about
    sides = {"T": about.times, "Z": about.planes, "Y": about.height, "X": about.width}
    return np.asarray(cells.labels).reshape([sides[letter] for letter in _axes(item)])


def _to(name: str, *, measured: bool = False) -> Callable[[Path, Item, Cells], None]:
    """The function that writes cells in one of `io.CELL_FORMATS`."""

    def write(path: Path, item: Item, cells: Cells) -> None:
        table = _table(item, cells) if measured else {}
        sizes = item.about.pixel_size_um
        given = io.Cells(_labels(item, cells), table=table, pixel_size_um=sizes, axes=_axes(item))
        io.write_cells(path, given, name)

    return write


def _write_tif(path: Path, item: Item, cells: Cells) -> None:
    io.write_tiff(path, io.smallest_labels(_labels(item, cells)), axes=_axes(item))


def _write_rois(path: Path, item: Item, cells: Cells) -> None:
    several = item.about.channels > 1
    io.write_rois(_labels(item, cells), path, exact=True, axes=_axes(item), hyperstack=several)


def _write_seg(path: Path, item: Item, cells: Cells) -> None:
    dP, cellprob = (np.asarray(array) for array in cells.flows)
    if dP.shape[1] == 1:
        dP, cellprob = dP[:, 0], cellprob[0]
    flows = [plot.dx_to_circ(dP), dP, cellprob]
    settings = cells.settings
    content = io.seg_content(
        _labels(item, cells), flows, item.name, channels=settings.channels, diameter=settings.diameter or np.nan,
        model=settings.model,
    )  # fmt: skip
    io.write_seg(path, content)


def _write_overlay(path: Path, item: Item, cells: Cells) -> None:
    picture = colored(item.plane(0), item.about.spans)
    io.imsave(path, plot.outline_view(picture, cells.labels[0], _YELLOW).astype(np.uint8))


def _table(item: Item, cells: Cells) -> dict[str, Any]:
    """One row per cell; with its frame in movies, and with its plane in stacks whose planes are separate."""
    about = item.about
    sizes = about.pixel_size_um
    together = about.planes if cells.settings.mode != "planes" else 1
    labels, pixels = cells.labels, item.pixels.reshape(about.frames, about.height, about.width, about.channels)
    parts = []
    for start in range(0, about.frames, together):
        frames = slice(start, start + together) if together > 1 else start
        part = np.asarray(labels[frames])
        image = np.asarray(pixels[frames])
        image = image[..., 0] if about.channels == 1 else image
        sides = sizes[-part.ndim :]
        known = None if None in sides else [float(side or 0) for side in sides]
        columns = measure.table(part, image, pixel_size_um=known)
        frame, plane = divmod(start, about.planes)
        place = {"frame": frame} if about.times > 1 else {}
        place |= {"plane": plane} if together < about.planes else {}
        n = len(columns["label"])
        parts.append({**{name: np.full(n, number) for name, number in place.items()}, **columns})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write_csv(path: Path, item: Item, cells: Cells) -> None:
    measure.write_table(path, _table(item, cells))


#: Keys are the names in the API.
FORMATS = {
    "png": Format("_masks.png", "image/png", "labels as PNG", _to("png"), most_axes=2),
    "tif": Format("_masks.tif", "image/tiff", "labels as TIFF", _write_tif, most_axes=4),
    "seg": Format("_seg.npy", "application/octet-stream", "labels and flows, for the window", _write_seg),
    "roi": Format("_rois.zip", "application/zip", "ROIs for ImageJ and Fiji", _write_rois),
    "geojson": Format(".geojson", "application/geo+json", "GeoJSON for QuPath", _to("geojson", measured=True)),
    "coco": Format("_coco.json", "application/json", "COCO annotations", _to("coco")),
    "csv": Format("_cells.csv", "text/csv", "a table of measurements", _write_csv, most_axes=4),
    "overlay": Format("_outlines.png", "image/png", "a picture with outlines", _write_overlay, most_axes=2),
}


def cells_of(item: Item) -> Cells:
    """The cells of an image.

    Raises
    ------
    InputError
        If it has not been segmented.
    """
    if item.cells is None:
        message = f"{item.name} is not segmented yet; start a segmentation first"
        raise InputError(message)
    return item.cells


def write_result(item: Item, name: str, folder: Path) -> Path:
    """Write one format into a folder.

    Raises
    ------
    OptionError
        If there is no such format.
    InputError
        If there are no cells, or the format cannot hold so many axes.
    """
    form = FORMATS.get(name)
    if form is None:
        message = f"{name!r} is not a format; choose one of {', '.join(FORMATS)}"
        raise OptionError(message)
    cells = cells_of(item)
    if len(_axes(item)) > form.most_axes:
        held = "a single plane" if form.most_axes == 2 else "a single stack, or a movie of single planes"
        message = f"{name} holds {held}; for an image with the axes {_axes(item)} choose tif"
        raise InputError(message)
    path = folder / (item.stem + form.ending)
    form.write(path, item, cells)
    return path


def write_all(items: Iterable[Item], names: Iterable[str], target: Path) -> None:
    """Write formats of images into a ZIP archive; with several images, each has its own folder.

    Raises
    ------
    OptionError, InputError
        As `write_result`; formats that cannot hold the axes of an image are left out.
    """
    images, wanted = list(items), list(names)
    taken: dict[str, int] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for item in images:
            number = taken[item.stem] = taken.get(item.stem, 0) + 1
            place = item.stem if number == 1 else f"{item.stem}_{number}"
            for name in wanted:
                if name in FORMATS and len(_axes(item)) > FORMATS[name].most_axes:
                    continue
                with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                    path = write_result(item, name, Path(folder))
                    archive.write(path, f"{place}/{path.name}" if len(images) > 1 else path.name)
