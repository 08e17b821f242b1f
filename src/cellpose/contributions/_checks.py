"""Checks before a contribution is kept: files, sizes, labels; what needs a person's judgment becomes a note."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import CellposeError, InputError

if TYPE_CHECKING:
    from cellpose.io import Image

__all__ = ["FEW_CELLS", "LEAST_DENSE", "MOST_FILE_BYTES", "Pair", "annotated_share", "checked_pair", "read_pair"]

Array = npt.NDArray[Any]

#: Bytes allowed for a file as it is sent, and for its pixels.
MOST_FILE_BYTES, _MOST_BYTES = 2**27, 2**28
_LEAST_SIDE, _MOST_SIDE, _MOST_CHANNELS = 64, 8192, 8  # pixels
_SMALLEST_DIAMETER, _LARGEST_SHARE = 5.0, 0.5  # median diameter: in pixels, and as a share of the shorter side
#: Images with fewer cells get a note: training leaves them out by default.
FEW_CELLS = 5
#: Below this annotated share, a note says that cells may be missing.
LEAST_DENSE = 0.8


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its cells in the form that is stored.

    Parameters
    ----------
    image
        (Y, X) or (C, Y, X), little-endian.
    labels
        int32 (Y, X): cells 1..n in reading order, 0 background, -1 not annotated.
    notes
        Points for the reviewer to check.
    """

    image: Array
    labels: npt.NDArray[np.int32]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, channels)."""
        return (*self.labels.shape, 1 if self.image.ndim == 2 else len(self.image))

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.labels.max(initial=0))

    @property
    def image_hash(self) -> str:
        """SHA-256 of the image's pixels, independent of the file format."""
        return _hash(self.image)

    @property
    def id(self) -> str:
        """SHA-256 of image and cells, independent of cell numbers and file formats."""
        return hashlib.sha256(f"{self.image_hash} {_hash(self.labels)}".encode()).hexdigest()


def _hash(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_pair(image_file: Path, masks_file: Path) -> Pair:
    """Read image and cells from two untrusted files.

    Raises
    ------
    FileReadError, UnsafeFileError
        If a file cannot be read, or declares more pixels than allowed.
    InputError
        If a model cannot be trained on them; see `checked_pair`.
    """
    from cellpose import io

    for file in (image_file, masks_file):
        if file.stat().st_size > MOST_FILE_BYTES:
            message = (
                f"{file.name} has {file.stat().st_size / 2**20:.0f} MiB; at most {MOST_FILE_BYTES >> 20} are allowed"
            )
            raise InputError(message)
    with io.within_memory(_MOST_BYTES):
        return checked_pair(_channels_first(io.read_image(image_file)), io.read_labels(masks_file))


def _channels_first(image: Image) -> Array:
    """One plane as (Y, X) or (C, Y, X)."""
    data, channel = image.data, image.axis("C")
    if data.ndim == 3 and channel is None and min(data.shape) <= _MOST_CHANNELS and not set(image.axes) & {"Z", "T"}:
        channel = int(np.argmin(data.shape))
    if data.ndim not in (2, 3) or (data.ndim == 3) != (channel is not None):
        message = (
            f"{image.name} has axes {image.axes} of lengths {' x '.join(map(str, data.shape))}; contributions are "
            "planes: send the planes of stacks and the frames of movies one by one"
        )
        raise InputError(message)
    return data if channel is None else np.moveaxis(data, channel, 0)


def checked_pair(image: Array, labels: Array) -> Pair:
    """An image and its labels in the form that is stored.

    Parameters
    ----------
    image
        (Y, X) or (C, Y, X).
    labels
        (Y, X): one number per cell, 0 background, negative: not annotated.

    Raises
    ------
    InputError
        If sizes, numbers or labels rule out training a model on them.
    """
    from cellpose import train

    image = _checked_image(np.asarray(image))
    (report,) = train.check_labels([labels], [image], ["this image"])
    if report.error is not None:
        message = f"the image {report.error}" if report.error.startswith("has ") else f"the labels: {report.error}"
        raise InputError(message)
    if not report.n_masks:
        message = "there are no cells in the labels; an empty segmentation teaches nothing"
        raise InputError(message)
    cells = _in_reading_order(np.asarray(labels))
    notes = [f"labels: {remark}" for remark in report.remarks(FEW_CELLS)]
    return Pair(image, cells, (*notes, *_odd_sizes(cells)))


def _checked_image(image: Array) -> Array:
    sides, channels = image.shape[-2:], 1 if image.ndim == 2 else image.shape[0]
    if image.dtype.kind not in "buif" or image.dtype.itemsize > 8 or image.ndim not in (2, 3):
        message = (
            f"an image of shape {image.shape} and type {image.dtype} is not allowed; send numbers (Y, X) or (C, Y, X)"
        )
        raise InputError(message)
    if min(sides) < _LEAST_SIDE or max(sides) > _MOST_SIDE or channels > _MOST_CHANNELS:
        message = (
            f"the image has {sides[0]} x {sides[1]} pixels and {channels} channels; allowed are sides of {_LEAST_SIDE} "
            f"to {_MOST_SIDE} pixels and up to {_MOST_CHANNELS} channels"
        )
        raise InputError(message)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        message = "the image has pixels that are infinite or no numbers; replace them"
        raise InputError(message)
    if image.min() == image.max():
        message = f"all pixels of the image are {image.flat[0]}; there is nothing to see in it"
        raise InputError(message)
    kept = image[0] if image.ndim == 3 and channels == 1 else image
    dtype = {"b": np.dtype(np.uint8)}.get(kept.dtype.kind, kept.dtype)
    dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype
    return np.ascontiguousarray(kept, dtype.newbyteorder("<"))


def _in_reading_order(labels: Array) -> npt.NDArray[np.int32]:
    """Cells numbered by their first pixel, so equal cells get equal numbers; -1: not annotated."""
    from cellpose._labels.arrays import as_labels, relabeled, scan
    from cellpose._labels.kinds import label_plane

    plane = label_plane(labels)
    unknown = plane < 0
    cells = as_labels(np.where(unknown, 0, plane) if unknown.any() else plane)
    found = scan(cells)
    present = np.flatnonzero(found.counts[1:]) + 1
    table = np.zeros(len(found.counts), np.int32)
    table[present[np.argsort(found.first[present])]] = np.arange(1, len(present) + 1)
    numbered = relabeled(cells, table)
    return np.where(unknown, np.int32(-1), numbered) if unknown.any() else numbered


def _odd_sizes(labels: npt.NDArray[np.int32]) -> list[str]:
    from cellpose import utils

    diameter = float(utils.diameters(np.maximum(labels, 0))[0])
    if diameter < _SMALLEST_DIAMETER:
        return [f"cells have a median diameter of {diameter:.1f} pixels, very small"]
    if diameter > _LARGEST_SHARE * min(labels.shape):
        return [f"cells have a median diameter of {diameter:.0f} pixels, more than half of the image"]
    return []


def annotated_share(pair: Pair) -> float | None:
    """The annotated share of the cell area that the bundled model finds, 0..1: a measure of missing cells.

    The model sees the image scaled to the size of the annotated cells. It may be wrong, more so on new kinds of images:
    a low share is a reason to look, not a fault. None if it finds nothing or cannot run.
    """
    from cellpose import models, utils, weights

    labels = pair.labels
    diameter = float(utils.diameters(np.maximum(labels, 0))[0])
    try:
        model = models.CellposeModel(pretrained_model=weights.BUNDLED)
        channel_axis = 0 if pair.image.ndim == 3 else None
        found = model.eval(pair.image, channels=[0, 0], channel_axis=channel_axis, diameter=diameter)[0]
    except CellposeError:
        return None
    asked = (np.asarray(found) > 0) & (labels >= 0)
    return float((labels[asked] > 0).mean()) if asked.any() else None
