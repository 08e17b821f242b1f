"""Cells as label images: TIFF, PNG, ``_seg.npy`` and OME-Zarr labels with colors and properties."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileWriteError, InputError
from cellpose.io import _ome_zarr, _ome_zarr_write, _seg
from cellpose.io._cells._cells import Cells, color_of, columns_of
from cellpose.io._cells._numbers import whole
from cellpose.io._label_image import read_labels
from cellpose.io._ome_zarr_labels import is_labels_place, write_labels
from cellpose.io._read import read_image
from cellpose.io._seg_content import seg_content
from cellpose.io._write import encode_raster, smallest_labels, write_bytes, write_ome_tiff, write_tiff
from cellpose.io._zarr import is_zarr, open_zarr

__all__ = [
    "read_ome_zarr",
    "read_png",
    "read_seg",
    "read_tif",
    "write_ome_zarr",
    "write_png",
    "write_seg",
    "write_tif",
]

logger = logging.getLogger(__name__)

Shape = Sequence[int] | None

_MOST_IN_PNG = np.iinfo(np.uint16).max
_IMAGES = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".png", ".jpg", ".jpeg")
_OPAQUE = 255


def write_tif(path: Path, cells: Cells) -> None:
    """Labels as TIFF, where its name says so as OME-TIFF."""
    labels = smallest_labels(cells.labels)
    if path.name.lower().endswith((".ome.tif", ".ome.tiff")):
        write_ome_tiff(path, labels, cells.axes, pixel_size_um=cells.pixel_size_um)
    else:
        write_tiff(path, labels, axes=cells.axes)


def read_tif(path: Path, _shape: Shape, _image: str | None) -> Cells:
    """Labels of an image file."""
    image = read_image(path)
    labels = _plain(read_labels(path), path, image.axes)
    return _of_axes(labels, image.axes, pixel_size_um=image.pixel_size_um)


def write_png(path: Path, cells: Cells) -> None:
    """Labels as PNG, which holds no numbers above 65535."""
    labels = smallest_labels(cells.labels)
    if int(labels.max(initial=0)) > _MOST_IN_PNG:
        message = (
            f"could not write {path}: PNG can hold labels up to {_MOST_IN_PNG}, but these go up to {labels.max()}; "
            "use TIFF"
        )
        raise InputError(message)
    write_bytes(path, encode_raster(".png", labels))


def read_png(path: Path, _shape: Shape, _image: str | None) -> Cells:
    """Labels of a PNG."""
    return Cells(_plain(read_labels(path), path, read_image(path).axes))


def write_seg(path: Path, cells: Cells) -> None:
    """A ``_seg.npy`` as the window opens it, without flows."""
    shape = cells.labels.shape
    nothing = [np.zeros((*shape, 3), np.uint8), np.zeros((len(shape), *shape), np.float32), np.zeros(shape, np.float32)]
    base = path.with_name(path.name.removesuffix(".npy").removesuffix("_seg"))
    beside = (base.with_name(base.name + ending) for ending in _IMAGES)
    image = next((file for file in beside if file.is_file()), base.with_name(f"{base.name}.tif"))
    _seg.write_seg(path, seg_content(cells.labels, nothing, image))


read_seg = read_png


def _of_axes(labels: npt.NDArray[Any], axes: str, *facts: Any, **more: Any) -> Cells:
    """Cells of a stack, or of a movie if the file names an axis of time."""
    if labels.ndim == 3 and "T" in axes:
        return replace(Cells(np.moveaxis(labels, axes.index("T"), 0), *facts, **more), axes="TYX")
    return Cells(labels, *facts, **more)


def _plain(array: npt.NDArray[Any], path: Path, axes: str) -> npt.NDArray[Any]:
    """Labels without the regions that training ignores; a color picture is refused."""
    if array.ndim == 3 and array.shape[-1] in (3, 4) and array.dtype.kind == "u" and axes[-1] != "X":
        message = f"{path} is a color image of shape {array.shape}, not labels; give an image of label numbers"
        raise InputError(message)
    return np.where(array == -1, 0, array) if array.dtype.kind == "i" else array


def write_ome_zarr(path: Path, cells: Cells) -> None:
    """Labels with a color and properties each, into the labels of an image where the path lies there."""
    labels, axes = smallest_labels(cells.labels), cells.axes
    facts = _facts(cells)
    if is_labels_place(path):
        write_labels(path.parent.parent, path.name, labels, axes, facts)
        return
    if is_zarr(path) and _ome_zarr.open_ome_zarr(path).is_image:
        message = f"could not write {path}: it is an image; choose another name"
        raise FileWriteError(message)
    _ome_zarr_write.write_ome_zarr(
        path, labels, axes, pixel_size_um=cells.pixel_size_um, labels=True, overwrite=True, label_facts=facts
    )


def _facts(cells: Cells) -> dict[str, Any]:
    """``colors`` and ``properties`` of OME-NGFF: of each label its color, class, name and measurements."""
    own = {name: color_of(k) for k, name in enumerate(cells.class_names, 1)}
    colors, properties = [], []
    for label in cells.numbers.tolist():
        kind = cells.class_of(label)
        color = (kind[1] or own[kind[0]]) if kind else color_of(label)
        colors.append({"label-value": label, "rgba": [*color, _OPAQUE]})
        told: dict[str, Any] = dict(cells.measured(label))
        told |= {"class": kind[0]} if kind else {}
        told |= {"name": name} if (name := cells.name_of(label)) != f"cell {label}" else {}
        properties.append({"label-value": label, **told})
    _tell_of_frames(cells)
    return {"colors": colors, "properties": properties}


def _tell_of_frames(cells: Cells) -> None:
    """Warn of labels that are not alike in all frames of a movie: the properties of a label have no frames."""

    def facts(label: int, frame: int | None) -> tuple[Any, ...]:
        return cells.class_of(label, frame), cells.measured(label, frame), cells.name_of(label, frame)

    of_labels = {label: facts(label, None) for label in cells.numbers.tolist()}
    lost = {label for label, frame in cells.present if facts(label, frame) != of_labels[label]}
    if lost:
        logger.warning(
            f"{len(lost)} labels have another class, name or measurements in each frame: OME-Zarr holds one set for "
            "each label, so these are left out"
        )


def read_ome_zarr(path: Path, _shape: Shape, image: str | None) -> Cells:
    """Labels and their properties; of an image the labels of a name, or the only ones it has."""
    folder = _labels_in(path, image)
    found = _ome_zarr.read_ome_zarr(folder)
    attributes = dict(open_zarr(folder).attrs)
    told = attributes.get("ome", attributes).get("image-label", {})
    rows = {
        label: entry
        for entry in told.get("properties") or ()
        if isinstance(entry, dict) and (label := whole(entry.get("label-value"))) is not None
    }
    colors = {
        whole(entry.get("label-value")): entry.get("rgba")
        for entry in told.get("colors") or ()
        if isinstance(entry, dict)
    }
    classes = {label: (str(row["class"]), colors.get(label)) for label, row in rows.items() if row.get("class")}
    table = columns_of({label: {k: v for k, v in row.items() if k != "label-value"} for label, row in rows.items()})
    names = {label: str(row["name"]) for label, row in rows.items() if row.get("name")}
    labels = _plain(found.data, path, found.axes)
    return _of_axes(labels, found.axes, classes, table, names, found.pixel_size_um)


def _labels_in(path: Path, name: str | None) -> Path:
    group = path / "labels"
    if not is_zarr(group):
        return path
    attributes = dict(open_zarr(group).attrs)
    names = [str(each) for each in attributes.get("ome", attributes).get("labels", ())]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        message = f"{path} is an image with the labels {', '.join(names) or 'of no name'}; choose one with image="
        raise InputError(message)
    return group / name
