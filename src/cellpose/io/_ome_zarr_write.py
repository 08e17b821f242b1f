"""Images as OME-Zarr with several resolutions: OME-NGFF 0.4 in Zarr version 2, 0.5 in version 3."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.io._ome_zarr_pyramid import (
    NO_SIZES,
    Sizes,
    check_axes,
    fill,
    halved,
    make_levels,
    new_folder,
    write_group,
)
from cellpose.io._zarr import open_zarr

__all__ = ["finish_image", "write_ome_zarr"]

PathLike = str | os.PathLike[str]


def write_ome_zarr(
    path: PathLike,
    array: npt.ArrayLike,
    axes: str,
    *,
    pixel_size_um: Sizes = NO_SIZES,
    channel_names: Sequence[str] = (),
    labels: bool = False,
    overwrite: bool = False,
    zarr_format: int = 2,
    label_facts: Mapping[str, Any] | None = None,
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
        One letter per axis: any of TCZYX, in this order, Y and X last.
    pixel_size_um
        Along (z, y, x); None if unknown.
    channel_names
        Names of the channels.
    labels
        Whether these are labels.
    overwrite
        Replace an existing Zarr folder.
    zarr_format
        2 for OME-NGFF 0.4, 3 for 0.5 (needs version 3 of zarr).
    label_facts
        Of labels ``colors`` and ``properties``, as OME-NGFF has them.

    Raises
    ------
    InputError
        If the axes do not match.
    FileWriteError
        If it cannot be written, or the target exists already.
    """
    image = np.asarray(array)
    check_axes(axes, image.shape)
    pyramid = halved(Path(path).stem, image.shape, axes, pixel_size_um, labels=labels, zarr_format=zarr_format)
    pyramid = replace(pyramid, label_facts=label_facts or {})
    with new_folder(path, overwrite) as folder:
        fill(make_levels(folder, pyramid, image.dtype), image, pyramid)
        write_group(folder, pyramid.attributes(_omero(image, axes, channel_names)), zarr_format)


def finish_image(folder: PathLike, axes: str, pixel_size_um: Sizes, channel_names: Sequence[str]) -> None:
    """Make an OME-Zarr image, of one resolution, of a folder whose array ``0`` holds the pixels already."""
    finest = open_zarr(Path(folder) / "0")
    pyramid = halved(Path(folder).stem, tuple(finest.shape), axes, pixel_size_um, labels=False)
    pyramid = replace(pyramid, shapes=pyramid.shapes[:1], scales=pyramid.scales[:1])
    some = finest[tuple(slice(None) if a == "C" else slice(0, 512) for a in axes)]
    write_group(Path(folder), pyramid.attributes(_omero(some, axes, channel_names)), 2)


def _omero(image: npt.NDArray[Any], axes: str, names: Sequence[str]) -> dict[str, Any] | None:
    """Names and ranges of the channels; the format wants a color and a range of each."""
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
