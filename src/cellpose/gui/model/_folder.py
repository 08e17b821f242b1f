"""The images of a folder, and the progress of the work on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from natsort import natsorted

from cellpose import io
from cellpose._labels.arrays import same_cells
from cellpose.errors import CellposeError, InputError
from cellpose.gui._texts import mark
from cellpose.gui.model._corrections import FOUND_KEY, Correction, ModelCells, compare
from cellpose.gui.model._seg_file import seg_path
from cellpose.io import Segmentation

__all__ = ["STATES", "ImageState", "by_doubt", "images_of", "is_corrected", "state_of_image"]

STATES = (mark("no masks"), mark("segmented"), mark("corrected"), mark("checked"))


_MASKS = ("_masks", "_labels")  # name endings of results


@dataclass(frozen=True)
class ImageState:
    """The progress of the work on an image.

    Parameters
    ----------
    path
        The image.
    state
        One of ``STATES``; ``mark("cannot be read")`` if its ``_seg.npy`` cannot be read.
    cells
        Number of cells.
    settled
        How many of them were checked, drawn or corrected.
    doubt
        1 minus the mean score of its cells, 0 to 1; None if no cell has a score.
    correction
        How good the model was that segmented it, if known.
    model
        The name of that model; empty: unknown.
    """

    path: Path
    state: str = STATES[0]
    cells: int = 0
    doubt: float | None = None
    correction: Correction | None = None
    settled: int = 0
    model: str = ""


def images_of(folder: Path) -> list[Path]:
    """The images of a folder in natural order, including OME-Zarr; empty if it has none or cannot be read."""
    zarr = _zarr_images(folder)
    try:
        files = [Path(name) for name in io.get_image_files(str(folder), "_masks")]
    except CellposeError:
        return zarr
    return list(natsorted([*files, *zarr])) if zarr else files


def _zarr_images(folder: Path) -> list[Path]:
    try:
        inner = [path for path in folder.iterdir() if path.is_dir() and io.is_zarr(path)]
    except OSError:
        return []
    stems = {path: path.name.lower().removesuffix(".zarr").removesuffix(".ome") for path in inner}
    return list(natsorted(path for path, stem in stems.items() if not stem.endswith(_MASKS)))


def is_corrected(seg: Segmentation, found: ModelCells | None) -> bool:
    """Whether a person changed what a model found, or drew the cells."""
    flags = [seg.content.get(key) for key in ("ismanual", "checked")]
    if seg.manual_changes or any(isinstance(each, (np.ndarray, list)) and np.any(each) for each in flags):
        return True
    return found is not None and not same_cells(found.labels.unpacked(), seg.masks.reshape(found.labels.shape))


def state_of_image(path: Path) -> ImageState:
    """Read the state of an image from its ``_seg.npy``."""
    file = seg_path(path)
    if not file.is_file():
        return ImageState(path)
    try:
        seg = _read(file)
    except CellposeError:
        return ImageState(path, "cannot be read")
    count = _count(seg)
    if not count:
        return ImageState(path)
    shape = seg.masks.shape if seg.masks.ndim == 3 else (1, *seg.masks.shape)
    found = ModelCells.read(seg.content.get(FOUND_KEY), shape)
    checked = seg.content.get("checked")
    corrected = is_corrected(seg, found)
    state = STATES[2] if corrected else STATES[1]
    if _settled(seg, count) == count and isinstance(checked, np.ndarray) and checked.any():
        state = STATES[3]
    correction = None
    if corrected and found is not None:
        try:
            correction = compare(found, seg.masks.reshape(shape), path.name)
        except InputError:
            correction = None
    model = "" if found is None else found.model
    return ImageState(path, state, count, _doubt(seg), correction, _settled(seg, count), model)


def _settled(seg: Segmentation, count: int) -> int:
    checked = seg.content.get("checked")
    manual = np.zeros(count, bool)
    flags = np.ravel(seg.content.get("ismanual", ()))
    if flags.size == count and flags.dtype.kind in "biu":
        manual = flags.astype(bool)
    known = isinstance(checked, np.ndarray) and checked.shape == manual.shape and checked.dtype == np.bool_
    return int(np.count_nonzero(manual | checked if known else manual))


def _read(file: Path) -> Segmentation:
    """Read the content that determines the state of an image; masks only if needed."""
    unused = ("outlines", "flows", "img", "img_restore")
    seg = io.read_seg(file, without=(*unused, "masks"))
    known = isinstance(seg.content.get("ismanual"), (np.ndarray, list)) and FOUND_KEY not in seg.content
    return seg if known else io.read_seg(file, without=unused)


def _count(seg: Segmentation) -> int:
    """Number of cells in a file: from the masks if they were read, else from ``ismanual``."""
    return seg.count or int(np.size(seg.content.get("ismanual", ())))


def _doubt(seg: Segmentation) -> float | None:
    scores = seg.content.get("scores")
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f":
        return None
    known = scores[np.isfinite(scores)]
    return float(1 - known.mean().clip(0, 1)) if known.size else None


def by_doubt(states: Sequence[ImageState]) -> list[ImageState]:
    """Sort images by doubt, the most doubtful first; images without scores follow in their order."""
    return sorted(states, key=lambda image: -1.0 if image.doubt is None else image.doubt, reverse=True)
