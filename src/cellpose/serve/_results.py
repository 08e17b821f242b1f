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
    stacks
        Whether a file can hold more than one plane.
    """

    ending: str
    media: str
    what: str
    write: Callable[[Path, Item, Cells], None]
    stacks: bool = True


def _labels(cells: Cells) -> Array:
    """Labels ([frame,] Y, X)."""
    labels = np.asarray(cells.labels)
    return labels[0] if len(labels) == 1 else labels


def _to(name: str, *, measured: bool = False) -> Callable[[Path, Item, Cells], None]:
    """The function that writes cells in one of `io.CELL_FORMATS`."""

    def write(path: Path, item: Item, cells: Cells) -> None:
        table = _table(item, cells) if measured else {}
        given = io.Cells(_labels(cells), table=table, pixel_size_um=item.about.pixel_size_um)
        io.write_cells(path, given, name)

    return write


def _write_seg(path: Path, item: Item, cells: Cells) -> None:
    dP, cellprob = (np.asarray(array) for array in cells.flows)
    if dP.shape[1] == 1:
        dP, cellprob = dP[:, 0], cellprob[0]
    flows = [plot.dx_to_circ(dP), dP, cellprob]
    settings = cells.settings
    content = io.seg_content(
        _labels(cells), flows, item.name, channels=settings.channels, diameter=settings.diameter or np.nan,
        model=settings.model,
    )  # fmt: skip
    io.write_seg(path, content)


def _write_overlay(path: Path, item: Item, cells: Cells) -> None:
    picture = colored(item.plane(0), item.about.spans)
    io.imsave(path, plot.outline_view(picture, cells.labels[0], _YELLOW).astype(np.uint8))


def _table(item: Item, cells: Cells) -> dict[str, Any]:
    """One row per cell; for movies with its frame."""
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
        if about.frames > together:
            columns = {"frame": np.full(len(columns["label"]), start // together), **columns}
        parts.append(columns)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write_csv(path: Path, item: Item, cells: Cells) -> None:
    measure.write_table(path, _table(item, cells))


#: Keys are the names in the API.
FORMATS = {
    "png": Format("_masks.png", "image/png", "labels as PNG", _to("png"), stacks=False),
    "tif": Format("_masks.tif", "image/tiff", "labels as TIFF", _to("tif")),
    "seg": Format("_seg.npy", "application/octet-stream", "labels and flows, for the window", _write_seg),
    "roi": Format("_rois.zip", "application/zip", "ROIs for ImageJ and Fiji", _to("roi")),
    "geojson": Format(".geojson", "application/geo+json", "GeoJSON for QuPath", _to("geojson", measured=True)),
    "coco": Format("_coco.json", "application/json", "COCO annotations", _to("coco")),
    "csv": Format("_cells.csv", "text/csv", "a table of measurements", _write_csv),
    "overlay": Format("_outlines.png", "image/png", "a picture with outlines", _write_overlay, stacks=False),
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
        If there are no cells, or the format cannot hold a stack.
    """
    form = FORMATS.get(name)
    if form is None:
        message = f"{name!r} is not a format; choose one of {', '.join(FORMATS)}"
        raise OptionError(message)
    cells = cells_of(item)
    if not form.stacks and item.about.frames > 1:
        message = f"{name} holds a single plane and the image has {item.about.frames}; choose tif"
        raise InputError(message)
    path = folder / (item.stem + form.ending)
    form.write(path, item, cells)
    return path


def write_all(items: Iterable[Item], names: Iterable[str], target: Path) -> None:
    """Write formats of images into a ZIP archive; with several images, each has its own folder.

    Raises
    ------
    OptionError, InputError
        As `write_result`; formats that a stack cannot have are left out.
    """
    images, wanted = list(items), list(names)
    taken: dict[str, int] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for item in images:
            number = taken[item.stem] = taken.get(item.stem, 0) + 1
            place = item.stem if number == 1 else f"{item.stem}_{number}"
            for name in wanted:
                if item.about.frames > 1 and name in FORMATS and not FORMATS[name].stacks:
                    continue
                with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                    path = write_result(item, name, Path(folder))
                    archive.write(path, f"{place}/{path.name}" if len(images) > 1 else path.name)
