"""The parts of every written OME-Zarr: resolutions, metadata (OME-NGFF 0.4 and 0.5), an atomically made folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.temporary import temporary_beside
from cellpose._machine.writing import make_folder, replacing
from cellpose.errors import FileWriteError, InputError
from cellpose.io._zarr import create_array, is_zarr

__all__ = [
    "NO_SIZES",
    "VERSIONS",
    "Pyramid",
    "Sizes",
    "check_axes",
    "fill",
    "halved",
    "make_levels",
    "new_folder",
    "write_group",
]

PathLike = str | os.PathLike[str]
#: Of a pixel along (z, y, x) in micrometers, None if unknown.
Sizes = tuple[float | None, float | None, float | None]

NO_SIZES: Sizes = (None, None, None)
#: Of OME-NGFF, by the version of Zarr.
VERSIONS = {2: "0.4", 3: "0.5"}

_CHUNK = 512
_SMALLEST_LEVEL = 512  # no coarser resolution is made of a plane whose sides are no longer than this
_KINDS = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}


@dataclass(frozen=True)
class Pyramid:
    """The metadata written besides pixels.

    Attributes
    ----------
    shapes, scales
        Of each resolution, finest first: its shape, and the size of a pixel along each axis.
    labels
        Whether these are labels.
    source
        Where the image of the labels is, seen from them; "" where they stand for themselves.
    label_facts
        ``colors`` and ``properties`` of the labels, as OME-NGFF has them.
    """

    name: str
    axes: str
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    units: tuple[bool, ...]
    labels: bool = False
    source: str = ""
    zarr_format: int = 2
    label_facts: Mapping[str, Any] = field(default_factory=dict)

    def places(self, level: int, axis: int) -> npt.NDArray[np.int64]:
        """The pixels of the finest resolution that make a coarser one, along an axis."""
        full, n = self.shapes[0][axis], self.shapes[level][axis]
        step = round(full / n)
        if -(-full // step) == n:  # every second, fourth, …
            return np.arange(n) * step
        return np.arange(n) * full // n

    def attributes(self, omero: dict[str, Any] | None = None) -> dict[str, Any]:
        """The metadata of the group."""
        version = {"version": VERSIONS[self.zarr_format]}
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
            source = {"source": {"image": self.source}} if self.source else {}
            out["image-label"] = {**old, **self.label_facts, **source}
        elif omero:
            out["omero"] = {**old, **omero}
        return out if self.zarr_format == 2 else {"ome": {**version, **out}}


def halved(
    name: str, shape: tuple[int, ...], axes: str, sizes: Sizes, *, labels: bool, zarr_format: int = 2
) -> Pyramid:
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
    return Pyramid(name, axes, shapes, scales, units, labels, zarr_format=zarr_format)


def check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raise InputError where axes do not fit an array, or stand in an order that the format does not allow."""
    if len(axes) != len(shape) or "".join(a for a in "TCZYX" if a in axes) != axes or not axes.endswith("YX"):
        message = f"axes={axes!r} does not fit an array of shape {shape}; give letters of TCZYX in this order"
        raise InputError(message)


def make_levels(folder: Path, pyramid: Pyramid, dtype: Any) -> list[Any]:
    """An empty array of each resolution, finest first."""
    chunks = (*(1 for _ in pyramid.shapes[0][:-2]), _CHUNK, _CHUNK)
    return [
        create_array(
            folder / str(level),
            shape,
            chunks,
            dtype,
            zarr_format=pyramid.zarr_format,
            every_chunk=not pyramid.labels,
        )
        for level, shape in enumerate(pyramid.shapes)
    ]


def fill(levels: list[Any], image: npt.NDArray[Any], pyramid: Pyramid) -> None:
    """Write all resolutions of an image; coarser ones take every second row and column, which keeps labels."""
    for level, array in enumerate(levels):
        coarse = image
        for axis in range(image.ndim):
            if array.shape[axis] != image.shape[axis]:
                coarse = coarse.take(pyramid.places(level, axis), axis)
        array[...] = coarse


def write_group(folder: Path, attributes: dict[str, Any], zarr_format: int) -> None:
    """Write the metadata of a group, each file atomically."""
    if zarr_format == 2:
        files = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}
    else:
        files = {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
    for name, content in files.items():
        with replacing(folder / name) as file:
            file.write(json.dumps(content, indent=1).encode())


@contextmanager
def new_folder(path: PathLike, overwrite: bool = False) -> Iterator[Path]:
    """A context that writes a folder and renames it when it is complete; an existing one is untouched until then."""
    target = Path(path)
    if os.path.exists(target) and not (overwrite and is_zarr(target)):
        message = f"could not write {path}: it exists already; delete it, or choose another name"
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
