"""Reading OME-Zarr: images with axes, pixel sizes and resolutions (OME-NGFF 0.4 and 0.5, and older ones)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError
from cellpose.io._axes import UNKNOWN_AXIS, FileAxes
from cellpose.io._image import Image
from cellpose.io._interval import seconds
from cellpose.io._tiff import micrometres
from cellpose.io._zarr import open_zarr
from cellpose.io._zarr_check import checked, read_whole

__all__ = ["OmeZarr", "open_ome_zarr", "read_ome_zarr"]

PathLike = str | os.PathLike[str]

_MOST_LEVELS = 64  # each halves the sides of the one before


@dataclass(frozen=True)
class OmeZarr:
    """An array in a Zarr folder that is not read yet, and what the folder says about it.

    Attributes
    ----------
    array
        The Zarr array of the finest resolution; errors of reading it name its folder.
    folder
        Its folder.
    axes
        One letter per axis, as in `Image`.
    pixel_size_um
        Along (z, y, x) in micrometers; None if unknown.
    channel_names
        Empty if unknown.
    levels
        Shape of each resolution, finest first, and the size of its pixels along each axis as the folder states it;
        empty for a plain array.
    zarr_format
        Version of the format on disk, 2 or 3.
    is_image
        Whether the folder says that these are intensities: labels and plain arrays may be empty.
    interval_s
        Seconds from frame to frame; None where unknown.
    """

    array: Any
    axes: str
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channel_names: tuple[str, ...] = ()
    levels: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...] = ()
    zarr_format: int = 2
    folder: Path = Path()
    is_image: bool = False
    interval_s: float | None = None


def open_ome_zarr(path: PathLike) -> OmeZarr:
    """The finest resolution of an OME-Zarr image, or a plain Zarr array, without reading its pixels.

    Raises
    ------
    FileReadError
        If there is no image.
    MissingExtraError
        If zarr is not installed.
    """
    with reading(path):
        return _opened(Path(path))


def _opened(path: Path) -> OmeZarr:
    node = open_zarr(path)
    if hasattr(node, "shape"):
        return OmeZarr(checked(node, path), UNKNOWN_AXIS * len(node.shape), folder=path)
    attributes = dict(node.attrs)
    described = attributes.get("ome", attributes)
    try:
        image = described["multiscales"][0]
        datasets = image["datasets"][:_MOST_LEVELS]
        dataset = datasets[0]
        array = node[dataset["path"]]
        ndim = len(array.shape)
        shapes = [tuple(int(n) for n in node[each["path"]].shape) for each in datasets]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"{path} is a Zarr group without an image; give the path of an array in it, such as {path}/0"
        raise FileReadError(message) from error
    axes, units = _axes(image.get("axes"), ndim)
    names = tuple(str(channel.get("label", "")) for channel in described.get("omero", {}).get("channels", ()))
    folder = path / dataset["path"]
    return OmeZarr(
        checked(array, folder),
        axes,
        _sizes(image, dataset, axes, units),
        names if any(names) else (),
        tuple((shape, tuple(_scale(image, each, ndim)[0])) for shape, each in zip(shapes, datasets, strict=True)),
        3 if "ome" in attributes else 2,
        folder,
        "image-label" not in described,
        _interval(image, dataset, axes, units),
    )


def read_ome_zarr(path: PathLike) -> Image:
    """An OME-Zarr image or Zarr array in memory, squeezed of axes of length 1 that are neither Y nor X."""
    lazy = open_ome_zarr(path)
    shape = lazy.array.shape
    keep = [i for i, n in enumerate(shape) if n > 1 or lazy.axes[i] in "YX" + UNKNOWN_AXIS]
    data = read_whole(lazy.folder, lazy.array, lazy.axes, lazy.is_image).reshape([shape[i] for i in keep])
    file_axes = FileAxes(lazy.axes, tuple(int(n) for n in lazy.array.shape))
    axes = "".join(lazy.axes[i] for i in keep)
    return Image(data, axes, lazy.pixel_size_um, lazy.channel_names, file_axes, interval_s=lazy.interval_s)


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


def _scale(image: Any, dataset: Any, ndim: int) -> tuple[list[float], bool]:
    """Size of a pixel along each axis, 1 where it is unknown, and whether any is known."""
    scale = np.ones(ndim)
    found = False
    for transforms in (dataset.get("coordinateTransformations"), image.get("coordinateTransformations")):
        for transform in transforms or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == ndim:
                scale *= np.asarray(transform["scale"], float)
                found = True
    return scale.tolist(), found


def _interval(image: Any, dataset: Any, axes: str, units: Sequence[str | None]) -> float | None:
    """Seconds between frames."""
    scale, found = _scale(image, dataset, len(axes))
    place = axes.find("T")
    return seconds(scale[place], units[place]) if found and place >= 0 and units[place] is not None else None


def _sizes(
    image: Any, dataset: Any, axes: str, units: Sequence[str | None]
) -> tuple[float | None, float | None, float | None]:
    scale, found = _scale(image, dataset, len(axes))
    sizes: list[float | None] = []
    for letter in "ZYX":
        place = axes.find(letter)
        known = found and place >= 0 and units[place] is not None
        sizes.append(micrometres(scale[place], units[place]) if known else None)
    return sizes[0], sizes[1], sizes[2]
