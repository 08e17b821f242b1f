"""Cells of an image: kept with their flows, recomputed with other thresholds, added and removed one by one."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics, utils
from cellpose.errors import EditRefusedError
from cellpose.options import Masking
from cellpose.serve._hues import carried_hues
from cellpose.serve._warnings import NONE_FOUND

__all__ = ["Cells", "Settings"]

Array = npt.NDArray[Any]

_FINDERS = 2  # kept for sliders that are being dragged
_MOST_KEPT = 2**24  # pixels of a finder that is kept


@dataclass(frozen=True)
class Settings:
    """The settings of a segmentation.

    Attributes
    ----------
    model
        Name of the model.
    diameter
        In pixels; None: as the model expects.
    channels
        Channel of the cells and of the nuclei, from 1; 0: gray, or none.
    mode
        ``"planes"``: each plane by itself; ``"stitch"``: cells that overlap are joined; ``"volume"``.
    masking
        Options of the step from flows to masks.
    stitch_threshold
        Overlap above which cells of neighboring planes are one.
    anisotropy
        Distance of planes divided by the size of a pixel.
    invert
        Cells are darker than the background.
    """

    model: str
    diameter: float | None
    channels: tuple[int, int]
    mode: str
    masking: Masking
    stitch_threshold: float
    anisotropy: float
    invert: bool


@dataclass(frozen=True, eq=False)
class _Edit:
    """A cell that was added (its pixels) or removed (one of its pixels)."""

    frame: int
    y: int
    x: int
    mask: Array | None = None


class Cells:
    """The result of a run, in files in a subfolder of its image's folder.

    Parameters
    ----------
    folder
        The image's folder.
    settings
        Settings of the run.
    masks
        Labels (frame, Y, X); a frame is one plane at one time.
    dP
        Flows (2 or 3, frame, Y, X), float32.
    cellprob
        Logits (frame, Y, X), float32.
    planes
        Planes per time, each of them a frame.

    Attributes
    ----------
    version
        Changes whenever the labels change.
    count
        Number of cells.
    doubts
        Warnings of the run.
    hues
        One uint32 per cell number, from which the cell's color derives; it stays the same while thresholds change.
    """

    def __init__(self, folder: Path, settings: Settings, masks: Array, dP: Array, cellprob: Array, planes: int) -> None:
        self._folder, self.settings, self._planes = Path(tempfile.mkdtemp(dir=folder)), settings, planes
        self._lock = threading.RLock()
        self._edits: list[_Edit] = []
        self.version = 0
        self.count = 0
        self.doubts: tuple[str, ...] = ()
        self.hues: npt.NDArray[np.uint32] = np.zeros(1, np.uint32)
        self._write("flows", dP)
        self._write("cellprob", cellprob)
        self._write("found", _numbered(masks, self._together))
        self._show()

    @property
    def _together(self) -> int:
        """Number of frames whose cells share one numbering."""
        return 1 if self.settings.mode == "planes" else self._planes

    @property
    def labels(self) -> Array:
        """Current labels (frame, Y, X), int32."""
        while True:
            version = self.version
            try:
                return self._read(f"labels-{version}")
            except FileNotFoundError:
                if version == self.version:  # otherwise they were recomputed in the meantime
                    raise

    @property
    def flows(self) -> tuple[Array, Array]:
        """Flows (2 or 3, frame, Y, X) and logits (frame, Y, X)."""
        return self._read("flows"), self._read("cellprob")

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt these cells."""
        return list(self.doubts) if self.count else [*self.doubts, NONE_FOUND]

    @property
    def n_edits(self) -> int:
        """Number of cells added and removed by hand."""
        return len(self._edits)

    def threshold(self, **masking: Any) -> None:
        """Recompute the cells from the kept flows; additions and removals by hand remain.

        Raises
        ------
        OptionError
            If a threshold is out of range.
        """
        with self._lock:
            wanted = replace(self.settings.masking, **masking)
            found = self._found(wanted)
            self.settings = replace(self.settings, masking=wanted)
            self._write("found", found)
            self._show()

    def click(self, frame: int, y: int, x: int) -> int:
        """Remove the cell at a pixel; if there is none, add one there. Returns its number; 0: the cell was removed.

        Raises
        ------
        EditRefusedError
            If there is no cell, or it cannot be added here.
        """
        with self._lock:
            labels = self.labels
            if not (0 <= frame < labels.shape[0] and 0 <= y < labels.shape[1] and 0 <= x < labels.shape[2]):
                message = f"there is no pixel x={x}, y={y} in plane {frame} of an image of shape {labels.shape}"
                raise EditRefusedError(message)
            if labels[frame, y, x]:
                self._edits.append(_Edit(frame, y, x))
                self._show()
                return 0
            self._edits.append(_Edit(frame, y, x, self._cell_at(frame, y, x, labels[frame])))
            self._show()
            return int(self.labels[frame, y, x])

    def undo(self) -> bool:
        """Undo the last edit; return whether there was one."""
        with self._lock:
            if not self._edits:
                return False
            self._edits.pop()
            self._show()
            return True

    def close(self) -> None:
        """Delete the files."""
        with _kept_lock:
            for key in [key for key in _kept if key[0] == self._folder]:
                del _kept[key]
        shutil.rmtree(self._folder, ignore_errors=True)

    def _cell_at(self, frame: int, y: int, x: int, plane: Array) -> Array:
        """Pixels (bool, Y, X) of a cell to add."""
        dP, cellprob = self.flows
        if len(dP) != 2:
            message = "cells of volumes can be removed by a click, not added"
            raise EditRefusedError(message)
        reach = max(128, int(3 * (self.settings.diameter or 0)))
        finder = dynamics.CellFinder(np.asarray(dP[:, frame]), np.asarray(cellprob[frame]), reach_px=reach)
        found = finder.at(y, x, self.settings.masking.cellprob_threshold)
        # a click means the cell that a lower threshold would show there
        found = found or finder.at(y, x, min(self.settings.masking.cellprob_threshold - 3.0, -3.0))
        if found is None:
            message = "no cell was found there; lower the threshold of cell probability to find more"
            raise EditRefusedError(message)
        (top, left), mask = found
        whole = np.zeros(plane.shape, bool)
        whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        whole &= plane == 0
        if not whole[y, x]:
            message = "no cell was found there; click nearer to its middle"
            raise EditRefusedError(message)
        return whole

    def _found(self, masking: Masking) -> Array:
        """Labels from the kept flows, as a run would make them."""
        dP, cellprob = self.flows
        words = {name: getattr(masking, name) for name in Masking.__dataclass_fields__}
        stitch = self.settings.mode == "stitch"
        if stitch:  # cells joined between planes are filtered by size when they are joined
            words["min_size"] = -1
        depth = self._planes if len(dP) == 3 else 1
        masks = np.empty(cellprob.shape, np.int32)
        for start in range(0, len(masks), depth):
            frames = slice(start, start + depth)
            at = frames if len(dP) == 3 else start
            masks[frames] = _finder(self._folder, start, dP[:, at], cellprob[at]).masks(**words)
        for start in range(0, len(masks) if stitch else 0, self._planes):
            frames = slice(start, start + self._planes)
            joined = utils.stitch3D(masks[frames], self.settings.stitch_threshold)
            masks[frames] = utils.fill_holes_and_remove_small_masks(joined, masking.min_size)
        return _numbered(masks, self._together)

    def _show(self) -> None:
        """Apply the edits to the labels found, and count the cells."""
        labels = np.array(self._read("found"), np.int32)
        number = int(labels.max(initial=0))
        for edit in self._edits:
            if edit.mask is None:
                _remove(labels, int(labels[edit.frame, edit.y, edit.x]))
                continue
            number += 1
            plane = labels[edit.frame]
            plane[edit.mask & (plane == 0)] = number
        present = np.bincount(labels.ravel())
        before = self._path(f"labels-{self.version}")
        if self.version:
            self.hues = carried_hues(self.labels, self.hues, labels)
        else:
            self.hues = np.arange(len(present), dtype=np.uint32)
        self.count = int((present[1:] > 0).sum())
        self._write(f"labels-{self.version + 1}", labels)
        self.version += 1
        with suppress(OSError):  # on Windows, if a reader has the file open; then it goes with the folder
            before.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _read(self, name: str) -> Array:
        array: Array = np.load(self._path(name), mmap_mode="r")
        return array

    def _write(self, name: str, array: Array) -> None:
        """Write a new file in place of one that may be memory-mapped."""
        path = self._path(name)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        np.save(path, array)


def _remove(labels: Array, number: int) -> None:
    if number:
        labels[labels == number] = 0


def _numbered(masks: Array, together: int) -> Array:
    """Labels of frames, int32, with unique numbers, where each group of frames was numbered from 1.

    Examples
    --------
    >>> _numbered(np.array([[[1, 2]], [[0, 1]]]), 1).tolist()
    [[[1, 2]], [[0, 3]]]
    """
    labels, top = masks.astype(np.int32), 0
    for start in range(0, len(labels), together):
        block = labels[start : start + together]
        highest = int(block.max(initial=0))
        block[block > 0] += top
        top += highest
    return labels


_kept: OrderedDict[tuple[Path, int], dynamics.MaskFinder] = OrderedDict()
_kept_lock = threading.Lock()


def _finder(folder: Path, number: int, dP: Array, cellprob: Array) -> dynamics.MaskFinder:
    """The mask finder for the flows of a frame or volume; the most recent ones are kept."""
    with _kept_lock:
        finder = _kept.pop((folder, number), None)
    if finder is None:
        finder = dynamics.MaskFinder(np.array(dP), np.array(cellprob))  # copies: files may go while it is kept
    if cellprob.size > _MOST_KEPT:
        return finder
    with _kept_lock:
        _kept[folder, number] = finder
        while len(_kept) > _FINDERS:
            _kept.popitem(last=False)
    return finder
