"""OME-Zarr: images and labels with their axes, pixel sizes and resolutions (OME-NGFF 0.4 and 0.5 read, 0.4 written)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileReadError, FileWriteError, InputError
from cellpose.io._image import UNKNOWN_AXIS, Image
from cellpose.io._tiff import micrometres
from cellpose.io._write import make_folder, temporary_beside
from cellpose.io._zarr import create_array, is_zarr, open_zarr

__all__ = ["OmeZarr", "open_ome_zarr", "read_ome_zarr", "write_ome_zarr", "write_zarr_bands"]

PathLike = str | os.PathLike[str]
Bands = Iterable[tuple[int, npt.NDArray[Any]]]

_CHUNK = 512
_SMALLEST_LEVEL = 512  # no coarser resolution is made of a plane whose sides are no longer than this
_VERSION = "0.4"


@dataclass(frozen=True)
class OmeZarr:
    """An array in a Zarr folder that is not read yet, and what the folder says about it.

    Attributes
    ----------
    array
        The Zarr array of the finest resolution.
    axes
        One letter an axis, as in `Image`.
    pixel_size_um
        Along (z, y, x) in micrometres; None where unknown.
    channel_names
        Empty where unknown.
    """

    array: Any
    axes: str
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channel_names: tuple[str, ...] = ()


def open_ome_zarr(path: PathLike) -> OmeZarr:
    """The finest resolution of an OME-Zarr image, or a plain Zarr array, without reading its pixels.

    Raises
    ------
    FileReadError
        If there is no image.
    MissingExtraError
        If zarr is not installed.
    """
    node = open_zarr(path)
    if hasattr(node, "shape"):
        return OmeZarr(node, UNKNOWN_AXIS * len(node.shape))
    attributes = dict(node.attrs)
    described = attributes.get("ome", attributes)
    try:
        image = described["multiscales"][0]
        dataset = image["datasets"][0]
        array = node[dataset["path"]]
        ndim = len(array.shape)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"{path} is a Zarr group without an image; name the array in it, such as {path}/0"
        raise FileReadError(message) from error
    axes, units = _axes(image.get("axes"), ndim)
    names = tuple(str(channel.get("label", "")) for channel in described.get("omero", {}).get("channels", ()))
    return OmeZarr(array, axes, _sizes(image, dataset, axes, units), names if any(names) else ())


def read_ome_zarr(path: PathLike) -> Image:
    """An OME-Zarr image or Zarr array in memory, squeezed of axes of length 1 that are neither Y nor X."""
    lazy = open_ome_zarr(path)
    keep = [i for i, n in enumerate(lazy.array.shape) if n > 1 or lazy.axes[i] in "YX" + UNKNOWN_AXIS]
    data = np.asarray(lazy.array[...]).reshape([lazy.array.shape[i] for i in keep])
    return Image(data, "".join(lazy.axes[i] for i in keep), lazy.pixel_size_um, lazy.channel_names)


def _axes(declared: Any, ndim: int) -> tuple[str, list[str | None]]:
    """Letters and units of the axes; format 0.3 names axes by strings, older ones are always TCZYX."""
    if not declared:
        return ("TCZYX" if ndim == 5 else UNKNOWN_AXIS * ndim), [None] * ndim
    entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in declared]
    letters = "".join(str(entry.get("name", "")).upper()[:1] or UNKNOWN_AXIS for entry in entries)
    if len(letters) != ndim:
        return UNKNOWN_AXIS * ndim, [None] * ndim
    known = "".join(letter if letter in "TZCYX" else UNKNOWN_AXIS for letter in letters)
    return known, [entry.get("unit") for entry in entries]


def _sizes(
    image: Any, dataset: Any, axes: str, units: Sequence[str | None]
) -> tuple[float | None, float | None, float | None]:
    scale = np.ones(len(axes))
    found = False
    for transforms in (dataset.get("coordinateTransformations"), image.get("coordinateTransformations")):
        for transform in transforms or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(axes):
                scale *= np.asarray(transform["scale"], float)
                found = True
    sizes: list[float | None] = []
    for letter in "ZYX":
        place = axes.find(letter)
        known = found and place >= 0 and units[place] is not None
        sizes.append(micrometres(scale[place], units[place]) if known else None)
    return sizes[0], sizes[1], sizes[2]


# ----------------------------------------------------------------------------------------------------------- writing


def _levels(shape: tuple[int, ...]) -> int:
    """Number of resolutions, each half the one before along y and x."""
    count, longest = 1, max(shape[-2:])
    while longest > _SMALLEST_LEVEL:
        count, longest = count + 1, -(-longest // 2)
    return count


def _metadata(
    name: str,
    axes: str,
    n_levels: int,
    pixel_size_um: tuple[float | None, float | None, float | None],
    channel_names: Sequence[str],
    labels: bool,
) -> dict[str, Any]:
    kinds = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
    sizes = dict(zip("ZYX", pixel_size_um, strict=True))
    entries = []
    for letter in axes:
        entry = {"name": letter.lower(), "type": kinds[letter]}
        if sizes.get(letter):
            entry["unit"] = "micrometer"
        entries.append(entry)
    datasets = []
    for level in range(n_levels):
        scale = [(sizes.get(letter) or 1.0) * (2**level if letter in "YX" else 1) for letter in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    out: dict[str, Any] = {"multiscales": [{"version": _VERSION, "name": name, "axes": entries, "datasets": datasets}]}
    if labels:
        out["image-label"] = {"version": _VERSION}
    elif channel_names:
        channels = [{"label": label, "color": "FFFFFF", "active": True} for label in channel_names]
        out["omero"] = {"version": _VERSION, "channels": channels}
    return out


@contextmanager
def _new_folder(path: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """A folder that gets its name when it is whole; what stands there is untouched until then."""
    target = Path(path)
    if target.exists() and not (overwrite and is_zarr(target)):
        message = f"could not write {path}: it is there already; delete it, or choose another name"
        raise FileWriteError(message)
    make_folder(target.parent)
    folder = temporary_beside(target)
    try:
        folder.mkdir()
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
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


def write_zarr_bands(
    path: PathLike,
    shape: tuple[int, int],
    bands: Bands,
    dtype: Any = np.uint32,
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None),
    overwrite: bool = False,
) -> None:
    """Labels as OME-Zarr with all its resolutions, from bands of rows as they come.

    Parameters
    ----------
    path
        Folder to make; it appears when it is whole.
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
    n_levels = _levels(shape)
    with _new_folder(path, overwrite) as folder:
        levels = [
            create_array(
                folder / str(level), (-(-shape[0] // 2**level), -(-shape[1] // 2**level)), (_CHUNK,) * 2, dtype
            )
            for level in range(n_levels)
        ]
        for first, rows in bands:
            for level, array in enumerate(levels):
                step = 2**level
                coarse = rows[-first % step :: step, ::step]
                if len(coarse):
                    start = -(-first // step)
                    array[start : start + len(coarse)] = coarse.astype(dtype, copy=False)
        metadata = _metadata(Path(path).stem, "YX", n_levels, pixel_size_um, (), True)
        (folder / ".zattrs").write_text(json.dumps(metadata, indent=1))


def write_ome_zarr(
    path: PathLike,
    array: npt.ArrayLike,
    axes: str,
    *,
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None),
    channel_names: Sequence[str] = (),
    labels: bool = False,
    overwrite: bool = False,
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

    Raises
    ------
    InputError
        If the axes do not fit.
    FileWriteError
        If it cannot be written, or something is there already.
    """
    image = np.asarray(array)
    if len(axes) != image.ndim or "".join(a for a in "TCZYX" if a in axes) != axes or not axes.endswith("YX"):
        message = f"axes={axes!r} does not fit an array of shape {image.shape}; give letters of TCZYX in this order"
        raise InputError(message)
    n_levels = _levels(image.shape)
    chunks = (*(1 for _ in image.shape[:-2]), _CHUNK, _CHUNK)
    with _new_folder(path, overwrite) as folder:
        for level in range(n_levels):
            coarse = image[..., :: 2**level, :: 2**level]
            create_array(folder / str(level), coarse.shape, chunks, image.dtype)[...] = coarse
        metadata = _metadata(Path(path).stem, axes, n_levels, pixel_size_um, channel_names, labels)
        (folder / ".zattrs").write_text(json.dumps(metadata, indent=1))
