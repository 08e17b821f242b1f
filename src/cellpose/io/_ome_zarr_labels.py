"""Labels as OME-Zarr: in the folder of their image, in bands of rows, or around pixels that are written already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileWriteError, InputError
from cellpose.io._ome_zarr import OmeZarr, open_ome_zarr
from cellpose.io._ome_zarr_pyramid import (
    NO_SIZES,
    VERSIONS,
    Pyramid,
    Sizes,
    check_axes,
    fill,
    halved,
    make_levels,
    new_folder,
    write_group,
)
from cellpose.io._zarr import create_array, is_zarr, open_zarr

__all__ = ["finish_labels", "is_labels_place", "labels_group", "write_labels", "write_zarr_bands"]

PathLike = str | os.PathLike[str]
Bands = Iterable[tuple[int, npt.NDArray[Any]]]
Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], None]

# The place of labels relative to their image, and the other way round.
_GROUP, _SOURCE = "labels", "../../"


def labels_group(image: PathLike, name: str) -> Path:
    """Where labels of a name belong in an OME-Zarr image.

    Raises
    ------
    FileWriteError
        If the image has labels of this name, or is no OME-Zarr image.
    InputError
        If the name cannot be one of a folder.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        message = f"labels cannot be named {name!r}; give a name without / that does not start with a dot"
        raise InputError(message)
    if not Path(image).is_dir() or not is_zarr(image) or not open_ome_zarr(image).levels:
        message = f"could not write labels into {image}: it is not an OME-Zarr image"
        raise FileWriteError(message)
    path = Path(image) / _GROUP / name
    if path.exists() or name in _registered(path.parent):
        message = f"could not write {path}: the image already has labels with this name; choose another name"
        raise FileWriteError(message)
    return path


def is_labels_place(path: PathLike) -> bool:
    """Whether a path lies in the labels of an OME-Zarr image."""
    return _image_of(Path(path)) is not None


def write_labels(
    image: PathLike, name: str, masks: npt.ArrayLike, axes: str, label_facts: Mapping[str, Any] | None = None
) -> Path:
    """Write labels into the folder of their OME-Zarr image, where napari and other programs look for them.

    They get as many resolutions as the image, and are named in its list of labels. Nothing is ever overwritten.

    Parameters
    ----------
    image
        Folder of the OME-Zarr image.
    name
        Of the labels.
    masks
        Labels, of the extent of the image.
    axes
        One letter per axis, in the order TZYX.
    label_facts
        ``colors`` and ``properties`` of the labels, as OME-NGFF has them.

    Returns
    -------
    Path
        Folder of the labels.

    Raises
    ------
    InputError
        If labels and image do not fit.
    FileWriteError
        If the image has labels of this name, or they cannot be written.
    """
    path = labels_group(image, name)
    source = open_ome_zarr(image)
    labels = np.asarray(masks)
    check_axes(axes, labels.shape)
    extent = tuple(source.array.shape[source.axes.index(a)] if a in source.axes else -1 for a in axes)
    if extent != labels.shape:
        message = (
            f"labels of shape {labels.shape}, axes {axes}, do not fit an image of {source.array.shape}, {source.axes}"
        )
        raise InputError(message)
    pyramid = replace(_as_image(source, name, axes), label_facts=label_facts or {})
    with new_folder(path) as folder:
        fill(make_levels(folder, pyramid, labels.dtype), labels, pyramid)
        write_group(folder, pyramid.attributes(), pyramid.zarr_format)
    _register(path, source.zarr_format)
    return path


def write_zarr_bands(
    path: PathLike,
    shape: tuple[int, int],
    bands: Bands,
    dtype: Any = np.uint32,
    pixel_size_um: Sizes = NO_SIZES,
    overwrite: bool = False,
) -> None:
    """Labels as OME-Zarr with all its resolutions, from bands of rows as they come.

    Parameters
    ----------
    path
        Folder to make; it appears when it is whole. A folder ``labels`` in an OME-Zarr image may be its parent, see
        `labels_group`: then the labels get the resolutions of the image.
    shape
        Rows and columns.
    bands
        ``(first row, labels (rows, columns))`` in order.
    dtype
        Of the labels on disk.
    pixel_size_um
        Along (z, y, x).
    overwrite
        Replace an existing Zarr folder.

    Raises
    ------
    FileWriteError
        If it cannot be written, or the target exists already.
    """
    name = Path(path).stem
    image = _image_of(Path(path))
    pyramid = _as_image(image, name, "YX") if image else halved(name, shape, "YX", pixel_size_um, labels=True)
    with new_folder(path, overwrite) as folder:
        levels = make_levels(folder, pyramid, dtype)
        places = [[pyramid.places(level, axis) for axis in range(2)] for level in range(len(levels))]
        for first, rows in bands:
            for array, (down, across) in zip(levels, places, strict=True):
                start, stop = np.searchsorted(down, (first, first + len(rows)))
                if stop > start:
                    array[start:stop] = rows[down[start:stop] - first][:, across].astype(dtype, copy=False)
        write_group(folder, pyramid.attributes(), pyramid.zarr_format)
    if image:
        _register(Path(path), image.zarr_format)


def _image_of(path: Path) -> OmeZarr | None:
    """The image whose labels a path names."""
    group = path.absolute().parent
    if group.name != _GROUP or not is_zarr(group.parent):
        return None
    image = open_ome_zarr(group.parent)
    return image if image.levels else None


def _as_image(image: OmeZarr, name: str, axes: str) -> Pyramid:
    """Resolutions equal to those of the image, as the format requires of labels in its folder."""
    kept = [image.axes.index(letter) for letter in axes]
    shapes = tuple(tuple(shape[k] for k in kept) for shape, _ in image.levels)
    known = dict(zip("ZYX", image.pixel_size_um, strict=True))
    # sizes are in micrometers, whatever the unit of the image
    factor = [
        (known.get(a) or 1.0) / image.levels[0][1][k] if known.get(a) else 1.0 for a, k in zip(axes, kept, strict=True)
    ]
    scales = tuple(tuple(scale[k] * f for k, f in zip(kept, factor, strict=True)) for _, scale in image.levels)
    units = tuple(bool(known.get(letter)) for letter in axes)
    return Pyramid(name, axes, shapes, scales, units, True, _SOURCE, image.zarr_format)


def _registered(group: Path) -> list[str]:
    if not is_zarr(group):
        return []
    attributes = dict(open_zarr(group).attrs)
    return [str(name) for name in attributes.get("ome", attributes).get("labels", ())]


def _register(path: Path, zarr_format: int) -> None:
    """Add labels to the list of their group; other entries stay."""
    group = path.parent
    attributes = dict(open_zarr(group).attrs) if is_zarr(group) else {}
    listed = [*_registered(group), path.name]
    if zarr_format == 2:
        attributes["labels"] = listed
    else:
        attributes["ome"] = {"version": VERSIONS[3], **attributes.get("ome", {}), "labels": listed}
    write_group(group, attributes, zarr_format)


def finish_labels(folder: PathLike, axes: str, pixel_size_um: Sizes = NO_SIZES, run: Run | None = None) -> None:
    """Make an OME-Zarr label image of a folder whose array ``0`` holds the labels already.

    Coarser resolutions are made chunk by chunk, so labels may be of any size.

    Parameters
    ----------
    folder
        Made by the caller; its name is that of the image.
    axes, pixel_size_um
        As in `write_ome_zarr`.
    run
        Makes many calls of a function, in any order and on any machine that sees the folder; None: one by one, here.
    """
    path = Path(folder)
    finest = open_zarr(path / "0")
    check_axes(axes, finest.shape)
    pyramid = halved(path.stem, tuple(finest.shape), axes, pixel_size_um, labels=True)
    for level, shape in enumerate(pyramid.shapes[1:], 1):
        chunks = create_array(path / str(level), shape, tuple(finest.chunks), finest.dtype).chunks
        counts = [-(-n // chunk) for n, chunk in zip(shape, chunks, strict=True)]
        calls = ((os.fspath(path), level, tuple(int(k) for k in index)) for index in np.ndindex(*counts))
        (run or _one_by_one)(_halve_chunk, calls)
    write_group(path, pyramid.attributes(), 2)


def _one_by_one(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> None:
    for call in calls:
        function(*call)


def _halve_chunk(folder: str, level: int, index: tuple[int, ...]) -> None:
    """Fill a chunk of a resolution with every second row and column of the one before."""
    import zarr

    fine = open_zarr(Path(folder) / str(level - 1))
    coarse = zarr.open(os.fspath(Path(folder) / str(level)), mode="r+")
    place, taken = [], []
    for axis, (k, chunk, n) in enumerate(zip(index, coarse.chunks, coarse.shape, strict=True)):
        step = 2 if axis >= coarse.ndim - 2 else 1
        start, stop = k * chunk, min((k + 1) * chunk, n)
        place.append(slice(start, stop))
        taken.append(slice(step * start, min(step * stop, fine.shape[axis])))
    labels = fine[tuple(taken)][..., ::2, ::2]
    if labels.any():  # chunks of background are not stored
        coarse[tuple(place)] = labels
