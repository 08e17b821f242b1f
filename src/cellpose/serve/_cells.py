"""Cells of an image: kept with their flows, made anew at other thresholds, added and removed one by one."""

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

__all__ = ["Cells", "Settings"]

Array = npt.NDArray[Any]

_FINDERS = 2  # that are kept, for sliders that are dragged
_MOST_KEPT = 2**24  # pixels, of one that is kept


@dataclass(frozen=True)
class Settings:
    """How an image is segmented.

    Attributes
    ----------
    model
        Its name.
    diameter
        In pixels; None: as the model expects.
    channels
        Channel of the cells and of the nuclei, from 1; 0: gray, or none.
    mode
        ``"planes"``, each plane by itself; ``"stitch"``, joined where cells overlap; ``"volume"``.
    masking
        From flows to masks.
    stitch_threshold
        Overlap from which cells of neighbouring planes are one.
    anisotropy
        Distance of planes divided by the size of a pixel.
    invert
        Cells are darker than what is around them.
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
    """A cell that was added (its pixels) or removed (a pixel that it has, or had)."""

    frame: int
    y: int
    x: int
    mask: Array | None = None


class Cells:
    """What a run found, in files of a folder within that of its image.

    Parameters
    ----------
    folder
        Of the image.
    settings
        Of the run.
    masks
        Labels (frame, Y, X), where a frame is a plane of a time.
    dP
        Flows (2 or 3, frame, Y, X), float32.
    cellprob
        Logits (frame, Y, X), float32.
    planes
        Of a time, so many frames.

    Attributes
    ----------
    version
        Another one whenever the labels have changed.
    count
        Number of cells.
    hues
        By the numbers of the cells, uint32: what their colors are made of; they stay where thresholds change.
    """

    def __init__(self, folder: Path, settings: Settings, masks: Array, dP: Array, cellprob: Array, planes: int) -> None:
        self._folder, self.settings, self._planes = Path(tempfile.mkdtemp(dir=folder)), settings, planes
        self._lock = threading.RLock()
        self._edits: list[_Edit] = []
        self.version = 0
        self.count = 0
        self.hues: npt.NDArray[np.uint32] = np.zeros(1, np.uint32)
        self._write("flows", dP)
        self._write("cellprob", cellprob)
        self._write("found", _numbered(masks, self._together))
        self._show()

    @property
    def _together(self) -> int:
        """Frames whose cells are numbered together."""
        return 1 if self.settings.mode == "planes" else self._planes

    @property
    def labels(self) -> Array:
        """Labels (frame, Y, X), int32, as they are now."""
        while True:
            version = self.version
            try:
                return self._read(f"labels-{version}")
            except FileNotFoundError:
                if version == self.version:  # else they were made anew just now
                    raise

    @property
    def flows(self) -> tuple[Array, Array]:
        """Flows (2 or 3, frame, Y, X) and logits (frame, Y, X)."""
        return self._read("flows"), self._read("cellprob")

    @property
    def n_edits(self) -> int:
        """Cells that were added and removed by hand."""
        return len(self._edits)

    def threshold(self, **masking: Any) -> None:
        """Make the cells anew of the kept flows; what was added and removed by hand stays so.

        Raises
        ------
        OptionError
            If a threshold is out of its range.
        """
        with self._lock:
            wanted = replace(self.settings.masking, **masking)
            found = self._found(wanted)
            self.settings = replace(self.settings, masking=wanted)
            self._write("found", found)
            self._show()

    def click(self, frame: int, y: int, x: int) -> int:
        """Remove the cell at a pixel; where there is none add the one that is there. Its number; 0: it was removed.

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
        """Take back the last edit; whether there was one."""
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
        # a cell that a lower threshold would have shown is what is meant by a click on it
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
        """Labels of the kept flows, as a run would have made them."""
        dP, cellprob = self.flows
        words = {name: getattr(masking, name) for name in Masking.__dataclass_fields__}
        stitch = self.settings.mode == "stitch"
        if stitch:  # cells that are joined between planes are sized when that is done
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
        """Apply the edits to what was found, and count."""
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
        with suppress(OSError):  # on Windows while somebody reads it; then it goes with the folder
            before.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _read(self, name: str) -> Array:
        array: Array = np.load(self._path(name), mmap_mode="r")
        return array

    def _write(self, name: str, array: Array) -> None:
        """Another file in the place of one that may be mapped."""
        path = self._path(name)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        np.save(path, array)


def _remove(labels: Array, number: int) -> None:
    if number:
        labels[labels == number] = 0


def _numbered(masks: Array, together: int) -> Array:
    """Labels of frames, int32, so that each number is there once, though each few together were numbered from 1.

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
    """What makes masks of the flows of a frame or volume; the last ones are kept."""
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
