"""OME-Zarr is written: OME-NGFF 0.4 in Zarr version 2, 0.5 in version 3, with all resolutions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileWriteError, InputError
from cellpose.io._ome_zarr import OmeZarr, open_ome_zarr
from cellpose.io._write import make_folder, replacing, temporary_beside
from cellpose.io._zarr import create_array, is_zarr, open_zarr

__all__ = [
    "finish_image",
    "finish_labels",
    "is_labels_place",
    "labels_group",
    "new_folder",
    "write_labels",
    "write_ome_zarr",
    "write_zarr_bands",
]

PathLike = str | os.PathLike[str]
Bands = Iterable[tuple[int, npt.NDArray[Any]]]
Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], None]
Sizes = tuple[float | None, float | None, float | None]

_CHUNK = 512
_SMALLEST_LEVEL = 512  # no coarser resolution is made of a plane whose sides are no longer than this
_VERSIONS = {2: "0.4", 3: "0.5"}
_KINDS = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_NO_SIZES: Sizes = (None, None, None)
# Where labels are, seen from the image that they belong to, and the other way round.
_GROUP, _SOURCE = "labels", "../../"


@dataclass(frozen=True)
class _Pyramid:
    """What is written besides pixels.

    Attributes
    ----------
    shapes, scales
        Of each resolution, finest first: its shape, and the size of a pixel along each axis.
    labels
        Whether these are labels.
    source
        Where the image of the labels is, seen from them; "" where they stand for themselves.
    """

    name: str
    axes: str
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    units: tuple[bool, ...]
    labels: bool = False
    source: str = ""
    zarr_format: int = 2

    def places(self, level: int, axis: int) -> npt.NDArray[np.int64]:
        """Which pixels of the finest resolution make a coarser one, along an axis."""
        full, n = self.shapes[0][axis], self.shapes[level][axis]
        step = round(full / n)
        if -(-full // step) == n:  # every second, fourth, …
            return np.arange(n) * step
        return np.arange(n) * full // n

    def attributes(self, omero: dict[str, Any] | None = None) -> dict[str, Any]:
        """The metadata of the group."""
        version = {"version": _VERSIONS[self.zarr_format]}
        axes = []
        for letter, known in zip(self.axes, self.units, strict=True):
            unit = {"unit": "micrometer"} if known else {}
            axes.append({"name": letter.lower(), "type": _KINDS[letter], **unit})
        datasets = [
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}
            for level, scale in enumerate(self.scales)
        ]
        old = version if self.zarr_format == 2 else {}
        out: dict[str, Any] = {"multiscales": [{**old, "name": self.name, "axes": axes, "datasets": datasets}]}
        if self.labels:
            out["image-label"] = {**old, **({"source": {"image": self.source}} if self.source else {})}
        elif omero:
            out["omero"] = {**old, **omero}
        return out if self.zarr_format == 2 else {"ome": {**version, **out}}


def _halved(
    name: str, shape: tuple[int, ...], axes: str, sizes: Sizes, *, labels: bool, zarr_format: int = 2
) -> _Pyramid:
    """Resolutions that are each half the one before along y and x."""
    n_levels, longest = 1, max(shape[-2:])
    while longest > _SMALLEST_LEVEL:
        n_levels, longest = n_levels + 1, -(-longest // 2)
    known = dict(zip("ZYX", sizes, strict=True))
    steps = [[2**level if letter in "YX" else 1 for letter in axes] for level in range(n_levels)]
    shapes = tuple(tuple(-(-n // k) for n, k in zip(shape, step, strict=True)) for step in steps)
    scales = tuple(
        tuple((known.get(letter) or 1.0) * k for letter, k in zip(axes, step, strict=True)) for step in steps
    )
    units = tuple(bool(known.get(letter)) for letter in axes)
    return _Pyramid(name, axes, shapes, scales, units, labels, zarr_format=zarr_format)


def _as_image(image: OmeZarr, name: str, axes: str) -> _Pyramid:
    """As many resolutions as an image has, and as large: the format wants this of labels in its folder."""
    kept = [image.axes.index(letter) for letter in axes]
    shapes = tuple(tuple(shape[k] for k in kept) for shape, _ in image.levels)
    known = dict(zip("ZYX", image.pixel_size_um, strict=True))
    # sizes in micrometres, whatever the unit of the image
    factor = [
        (known.get(a) or 1.0) / image.levels[0][1][k] if known.get(a) else 1.0 for a, k in zip(axes, kept, strict=True)
    ]
    scales = tuple(tuple(scale[k] * f for k, f in zip(kept, factor, strict=True)) for _, scale in image.levels)
    units = tuple(bool(known.get(letter)) for letter in axes)
    return _Pyramid(name, axes, shapes, scales, units, True, _SOURCE, image.zarr_format)


# ------------------------------------------------------------------------------------------------------------- folders


def _write_group(folder: Path, attributes: dict[str, Any], zarr_format: int) -> None:
    """Metadata of a group, each file whole or not at all."""
    if zarr_format == 2:
        files = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}
    else:
        files = {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
    for name, content in files.items():
        with replacing(folder / name) as file:
            file.write(json.dumps(content, indent=1).encode())


@contextmanager
def new_folder(path: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """A folder that gets its name when it is whole; what stands there is untouched until then."""
    target = Path(path)
    if target.exists() and not (overwrite and is_zarr(target)):
        message = f"could not write {path}: it is there already; delete it, or choose another name"
        raise FileWriteError(message)
    make_folder(target.parent)
    folder = temporary_beside(target)
    try:
        folder.mkdir()
        yield folder
        if target.exists():
            old = temporary_beside(target)
            os.replace(target, old)
            os.replace(folder, target)
            shutil.rmtree(old)
        else:
            os.replace(folder, target)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, FileWriteError):
            message = f"could not write {path}: {error.strerror or error}; nothing was changed there"
            raise FileWriteError(message) from error
        raise


def _make_levels(folder: Path, pyramid: _Pyramid, dtype: Any) -> list[Any]:
    chunks = (*(1 for _ in pyramid.shapes[0][:-2]), _CHUNK, _CHUNK)
    return [
        create_array(folder / str(level), shape, chunks, dtype, zarr_format=pyramid.zarr_format)
        for level, shape in enumerate(pyramid.shapes)
    ]


# -------------------------------------------------------------------------------------------------------------- images


def write_zarr_bands(
    path: PathLike,
    shape: tuple[int, int],
    bands: Bands,
    dtype: Any = np.uint32,
    pixel_size_um: Sizes = _NO_SIZES,
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
        Put it in the place of a Zarr folder that is there.

    Raises
    ------
    FileWriteError
        If it cannot be written, or something is there already.
    """
    name = Path(path).stem
    image = _image_of(Path(path))
    pyramid = _as_image(image, name, "YX") if image else _halved(name, shape, "YX", pixel_size_um, labels=True)
    with new_folder(path, overwrite) as folder:
        levels = _make_levels(folder, pyramid, dtype)
        places = [[pyramid.places(level, axis) for axis in range(2)] for level in range(len(levels))]
        for first, rows in bands:
            for array, (down, across) in zip(levels, places, strict=True):
                start, stop = np.searchsorted(down, (first, first + len(rows)))
                if stop > start:
                    array[start:stop] = rows[down[start:stop] - first][:, across].astype(dtype, copy=False)
        _write_group(folder, pyramid.attributes(), pyramid.zarr_format)
    if image:
        _register(Path(path), image.zarr_format)


def write_ome_zarr(
    path: PathLike,
    array: npt.ArrayLike,
    axes: str,
    *,
    pixel_size_um: Sizes = _NO_SIZES,
    channel_names: Sequence[str] = (),
    labels: bool = False,
    overwrite: bool = False,
    zarr_format: int = 2,
) -> None:
    """An image or label image as OME-Zarr with several resolutions.

    Coarser resolutions take every second row and column, which keeps labels what they are.

    Parameters
    ----------
    path
        Folder to make.
    array
        Image or labels.
    axes
        One letter an axis: any of TCZYX, in this order, Y and X last.
    pixel_size_um
        Along (z, y, x); None where unknown.
    channel_names
        Names of the channels.
    labels
        Whether these are labels.
    overwrite
        Put it in the place of a Zarr folder that is there.
    zarr_format
        2 for OME-NGFF 0.4, 3 for 0.5 (needs version 3 of zarr).

    Raises
    ------
    InputError
        If the axes do not fit.
    FileWriteError
        If it cannot be written, or something is there already.
    """
    image = np.asarray(array)
    _check_axes(axes, image.shape)
    pyramid = _halved(Path(path).stem, image.shape, axes, pixel_size_um, labels=labels, zarr_format=zarr_format)
    with new_folder(path, overwrite) as folder:
        _fill(_make_levels(folder, pyramid, image.dtype), image, pyramid)
        _write_group(folder, pyramid.attributes(_omero(image, axes, channel_names)), zarr_format)


def _check_axes(axes: str, shape: tuple[int, ...]) -> None:
    if len(axes) != len(shape) or "".join(a for a in "TCZYX" if a in axes) != axes or not axes.endswith("YX"):
        message = f"axes={axes!r} does not fit an array of shape {shape}; give letters of TCZYX in this order"
        raise InputError(message)


def _fill(levels: list[Any], image: npt.NDArray[Any], pyramid: _Pyramid) -> None:
    for level, array in enumerate(levels):
        coarse = image
        for axis in range(image.ndim):
            if array.shape[axis] != image.shape[axis]:
                coarse = coarse.take(pyramid.places(level, axis), axis)
        array[...] = coarse


def _omero(image: npt.NDArray[Any], axes: str, names: Sequence[str]) -> dict[str, Any] | None:
    """Names and ranges of the channels; the format wants a colour and a range of each."""
    if not names or image.dtype == bool:
        return None
    by_channel = np.moveaxis(image, axes.index("C"), 0) if "C" in axes else image[np.newaxis]
    channels = []
    for name, channel in zip(names, by_channel, strict=False):
        some = channel[..., ::4, ::4] if channel.size > 2**22 else channel
        start, end = float(some.min(initial=0)), float(some.max(initial=1))
        whole = np.iinfo(image.dtype) if np.issubdtype(image.dtype, np.integer) else None
        limits = (float(whole.min), float(whole.max)) if whole else (start, end)
        window = {"min": limits[0], "max": limits[1], "start": start, "end": end}
        channels.append({"label": name, "color": "FFFFFF", "active": True, "window": window})
    return {"channels": channels}


# -------------------------------------------------------------------------------------------------------------- labels


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
        message = f"labels cannot be called {name!r}; give a name without / that does not begin with a point"
        raise InputError(message)
    if not Path(image).is_dir() or not is_zarr(image) or not open_ome_zarr(image).levels:
        message = f"could not write labels into {image}: it is not an OME-Zarr image"
        raise FileWriteError(message)
    path = Path(image) / _GROUP / name
    if path.exists() or name in _registered(path.parent):
        message = f"could not write {path}: the image has labels of this name; choose another name"
        raise FileWriteError(message)
    return path


def write_labels(image: PathLike, name: str, masks: npt.ArrayLike, axes: str) -> Path:
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
        One letter an axis, in the order TZYX.

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
    _check_axes(axes, labels.shape)
    extent = tuple(source.array.shape[source.axes.index(a)] if a in source.axes else -1 for a in axes)
    if extent != labels.shape:
        message = (
            f"labels of shape {labels.shape}, axes {axes}, do not fit an image of {source.array.shape}, {source.axes}"
        )
        raise InputError(message)
    pyramid = _as_image(source, name, axes)
    with new_folder(path) as folder:
        _fill(_make_levels(folder, pyramid, labels.dtype), labels, pyramid)
        _write_group(folder, pyramid.attributes(), pyramid.zarr_format)
    _register(path, source.zarr_format)
    return path


def _image_of(path: Path) -> OmeZarr | None:
    """The image whose labels a path names."""
    group = path.absolute().parent
    if group.name != _GROUP or not is_zarr(group.parent):
        return None
    image = open_ome_zarr(group.parent)
    return image if image.levels else None


def is_labels_place(path: PathLike) -> bool:
    """Whether a path lies in the labels of an OME-Zarr image."""
    return _image_of(Path(path)) is not None


def _registered(group: Path) -> list[str]:
    if not is_zarr(group):
        return []
    attributes = dict(open_zarr(group).attrs)
    return [str(name) for name in attributes.get("ome", attributes).get("labels", ())]


def _register(path: Path, zarr_format: int) -> None:
    """Name labels in the list of their group; what else stands there stays."""
    group = path.parent
    attributes = dict(open_zarr(group).attrs) if is_zarr(group) else {}
    listed = [*_registered(group), path.name]
    if zarr_format == 2:
        attributes["labels"] = listed
    else:
        attributes["ome"] = {"version": _VERSIONS[3], **attributes.get("ome", {}), "labels": listed}
    _write_group(group, attributes, zarr_format)


def finish_image(folder: PathLike, axes: str, pixel_size_um: Sizes, channel_names: Sequence[str]) -> None:
    """Make an OME-Zarr image, of one resolution, of a folder whose array ``0`` holds the pixels already."""
    finest = open_zarr(Path(folder) / "0")
    pyramid = _halved(Path(folder).stem, tuple(finest.shape), axes, pixel_size_um, labels=False)
    pyramid = replace(pyramid, shapes=pyramid.shapes[:1], scales=pyramid.scales[:1])
    some = finest[tuple(slice(None) if a == "C" else slice(0, 512) for a in axes)]
    _write_group(Path(folder), pyramid.attributes(_omero(some, axes, channel_names)), 2)


def finish_labels(folder: PathLike, axes: str, pixel_size_um: Sizes = _NO_SIZES, run: Run | None = None) -> None:
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
    _check_axes(axes, finest.shape)
    pyramid = _halved(path.stem, tuple(finest.shape), axes, pixel_size_um, labels=True)
    for level, shape in enumerate(pyramid.shapes[1:], 1):
        chunks = create_array(path / str(level), shape, tuple(finest.chunks), finest.dtype).chunks
        counts = [-(-n // chunk) for n, chunk in zip(shape, chunks, strict=True)]
        calls = ((os.fspath(path), level, tuple(int(k) for k in index)) for index in np.ndindex(*counts))
        (run or _one_by_one)(_halve_chunk, calls)
    _write_group(path, pyramid.attributes(), 2)


def _one_by_one(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> None:
    for call in calls:
        function(*call)


def _halve_chunk(folder: str, level: int, index: tuple[int, ...]) -> None:
    """Fill a chunk of a resolution by every second row and column of the one before."""
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
