"""Possible faults in the labels of a training set, reported per image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose._face.words import listed
from cellpose._labels.arrays import Labels, as_labels, scan
from cellpose._labels.kinds import label_plane
from cellpose.errors import InputError

__all__ = ["LabelReport", "check_labels", "log_reports"]

logger = logging.getLogger("cellpose.train")


# Thresholds that distinguish cells from classes of pixels and from pictures.
_FEW_LABELS = 5  # this many labels may be classes
_MANY_PIECES = 3  # a cell may be in two, of which the smaller ...
_WORTH_COUNTING = 0.1  # ... is at least this part of the larger one: a slip of the brush is not counted
_PIECES_OF_A_PICTURE = 10
_SCATTERED = 20  # sum of the boxes of all labels, in images, from which a sample of labels is looked at
_SAMPLE = 20
_LARGEST_NUMBERS = (127, 255, 32767, 65535)  # at which label numbers wrap


@dataclass(frozen=True)
class LabelReport:
    """Findings in the labels of one image.

    Attributes
    ----------
    name
        File, or number of the image.
    n_masks
        Number of labels.
    gaps
        Numbers between 1 and the largest label that no pixel has (harmless: labels are renumbered).
    in_pieces
        Labels whose pixels do not hang together: often two cells under one number, or a slip of the brush.
    ignored
        Fraction of the image to ignore (negative labels).
    error
        Why the image cannot be used; None: it can.
    notes
        Reasons to doubt that the labels are cells.
    """

    name: str
    n_masks: int = 0
    gaps: int = 0
    in_pieces: tuple[int, ...] = ()
    ignored: float = 0.0
    error: str | None = None
    notes: tuple[str, ...] = ()

    def remarks(self, min_masks: int = 0) -> list[str]:
        """Remarks for the user, each a sentence without the name of the image."""
        if self.error is not None:
            return [self.error]
        found = []
        if self.n_masks < min_masks:
            found.append(f"{self.n_masks} masks, fewer than {min_masks}")
        if self.in_pieces:
            found.append(f"labels in several pieces: {listed(self.in_pieces)}")
        return [*found, *self.notes]


def check_labels(
    labels: Sequence[Any], images: Sequence[Any] | None = None, names: Sequence[Any] | None = None
) -> list[LabelReport]:
    """Check labels before training starts.

    Parameters
    ----------
    labels
        Label images ``(Ly, Lx)``, or training targets ``(4 or more, Ly, Lx)`` of which the first channel is looked at.
        0 is background, negative labels are regions to ignore.
    images
        The images, channels first or none, whose sizes must be those of the labels; None: not looked at.
    names
        Names of the images; None: their numbers.

    Returns
    -------
    list of LabelReport
        One per image.

    Examples
    --------
    >>> labels = np.array([[1, 0, 1], [0, 0, 0], [4, 4, 4]])
    >>> check_labels([labels])
    [LabelReport(name='0', n_masks=2, gaps=2, in_pieces=(1,), ignored=0.0, error=None, notes=())]
    """
    reports = []
    for i, label in enumerate(labels):
        name = str(i) if names is None else str(names[i])
        shape = None if images is None else np.shape(images[i])[-2:]
        reports.append(_report(name, np.asarray(label), shape))
    return reports


def _report(name: str, given: npt.NDArray[Any], shape: tuple[int, ...] | None) -> LabelReport:
    try:
        label = label_plane(given)
    except InputError as reason:
        return LabelReport(name, error=str(reason))
    numbers = label[0] if label.ndim == 3 else label
    error = _wrong_size(numbers.shape, shape) or _no_numbers(numbers)
    if error is not None:
        return LabelReport(name, error=error)
    unknown = label[-3] < 0 if label.ndim == 3 else numbers < 0
    if unknown.all():
        error = "has only regions to ignore (negative labels); give its cells numbers above 0, and the background 0"
        return LabelReport(name, error=error)
    cells = as_labels(np.where(numbers < 0, 0, numbers)) if unknown.any() else as_labels(numbers)
    found = scan(cells)
    present = np.flatnonzero(found.counts[1:]) + 1
    gaps = int(numbers.max()) - len(present) if len(present) else 0
    notes = []
    if numbers.dtype == np.int8 and unknown.any():
        notes.append("negative 8-bit labels mean regions to ignore; to save more than 127 cells, use 16 bits")
    pieces = _Pieces.of(cells, found.boxes, present)
    error, doubt = _no_cells(pieces, int(numbers.max(initial=0)))
    if error is None:
        error, background = _no_background(cells, len(present), found.counts[0])
        notes += [note for note in (doubt, background) if note]
    return LabelReport(name, len(present), gaps, pieces.several, float(np.mean(unknown)), error, tuple(notes))


def _wrong_size(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> str | None:
    if wanted is None or shape == wanted:
        return None
    turned = "the labels are rotated: transpose them" if shape == wanted[::-1] else "is the channel axis right?"
    sizes = f"{wanted[0]} x {wanted[1]} pixels and its labels have {shape[0]} x {shape[1]}"
    return f"has {sizes}; they must agree ({turned})"


def _no_numbers(numbers: npt.NDArray[Any]) -> str | None:
    if numbers.dtype.kind not in "biuf":
        return f"has labels of type {numbers.dtype}; give integers, 0 for the background"
    if numbers.dtype.kind != "f" or np.array_equal(numbers, np.rint(numbers)):
        return None
    low, high = numbers.min(), numbers.max()
    kind = ", a map of probabilities?" if 0 <= low < high <= 1 else ""
    return (
        f"has labels that are not integers ({low:g} to {high:g}{kind}); give one number per cell, 0 for the background"
    )


@dataclass(frozen=True)
class _Pieces:
    """For the labels looked at: their numbers, all pieces, and the pieces large enough to count."""

    labels: npt.NDArray[np.int64]
    all: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]
    whole: bool = True

    @classmethod
    def of(cls, cells: Labels, boxes: npt.NDArray[np.int32], present: npt.NDArray[np.int64]) -> _Pieces:
        """The pieces of all labels; of a part of them if labels are scattered like the gray values of a picture."""
        y0, y1, x0, x1 = boxes[present, 2:].astype(np.int64).T
        scattered = ((y1 - y0) * (x1 - x0)).sum() > _SCATTERED * cells.size and len(present) > _SAMPLE
        if scattered:
            sample = cls._counted(cells, boxes, present[:: len(present) // _SAMPLE])
            if np.median(sample.all) > _PIECES_OF_A_PICTURE:
                return sample
        return cls._counted(cells, boxes, present, whole=True)

    @classmethod
    def _counted(
        cls, cells: Labels, boxes: npt.NDArray[np.int32], labels: npt.NDArray[np.int64], *, whole: bool = False
    ) -> _Pieces:
        every, counted = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
        for i, number in enumerate(labels):
            y0, y1, x0, x1 = boxes[number, 2:]
            mask = np.ascontiguousarray(cells[y0:y1, x0:x1] == number, dtype=np.uint8)
            areas = _areas(mask)
            every[i], counted[i] = len(areas), np.count_nonzero(areas >= _WORTH_COUNTING * areas.max())
        return cls(labels, every, counted, whole)

    @property
    def several(self) -> tuple[int, ...]:
        """Labels that are not one piece."""
        return tuple(self.labels[self.all > 1].tolist())


def _areas(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Pixels of each piece of a mask; pixels that touch at a corner belong to one piece."""
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], np.int64)  # the first is the background


def _no_cells(pieces: _Pieces, largest: int) -> tuple[str | None, str | None]:
    """Why labels are not cells, or why they may not be: classes of pixels and pictures are in pieces."""
    n = len(pieces.labels)
    if n == 0:
        return None, None
    wanted = "training needs one number per cell"
    if n <= _FEW_LABELS and pieces.counted.min() >= _MANY_PIECES:
        number_them = f"{wanted}: number the pieces, for example with scipy.ndimage.label"
        if n == 1:
            return f"has one label, {largest}, in {pieces.all[0]} pieces: a binary mask? {number_them}", None
        return f"has {n} labels in {listed(pieces.all.tolist())} pieces: classes of pixels? {number_them}", None
    typical = np.median(pieces.all)
    if n > _FEW_LABELS and typical > _PIECES_OF_A_PICTURE:
        labels = f"{n} labels" if pieces.whole else "labels"
        kind = "an ordinary image, or labels with smooth edges (JPEG, resized)?"
        return f"has {labels} in {typical:g} pieces each: {kind} {wanted}", None
    if n > _FEW_LABELS and np.mean(pieces.counted > 1) > 0.5:
        kind = f"their numbers have wrapped at {largest}?" if largest in _LARGEST_NUMBERS else "classes of pixels?"
        return None, f"most labels are in several pieces: {kind} {wanted}, of 16 or 32 bits"
    return None, None


def _no_background(cells: Labels, n: int, n_background: int) -> tuple[str | None, str | None]:
    """Why the background is not 0, or may not be: one label is on most of all four sides, and in corners."""
    if not n:
        return None, None
    corners = cells[[0, 0, -1, -1], [0, -1, 0, -1]]
    label = int(np.bincount(corners).argmax())
    sides = (cells[0], cells[-1], cells[:, 0], cells[:, -1])
    if not label or np.sum(corners == label) < 3 or min(np.mean(side == label) for side in sides) < 0.5:
        return None, None
    is_it = f"label {label} covers most of the border: is it the background? That must be 0"
    if n > 1 and not n_background:
        return f"has labels without background, and {is_it}", None
    if n == 1 and len(_areas((cells == 0).astype(np.uint8))) > 1:
        return f"has inverted labels: {is_it}, and each cell one number", None
    return None, is_it if n_background else None


def log_reports(reports: Iterable[LabelReport], what: str, min_masks: int = 0) -> None:
    """Warn of images that the user should check, one line per image."""
    found = list(reports)
    for report in found:
        remarks = report.remarks(min_masks)
        left_out = "; it is left out" if report.error else ""
        for remark in remarks:
            logger.warning(f"{what} image {report.name}: {remark}{left_out}")
    gaps = [r.name for r in found if r.gaps]
    if gaps:
        logger.info(f"labels of {len(gaps)} {what} images have gaps in their numbers and are renumbered")
    ignored = [r.ignored for r in found if r.ignored]
    if ignored:
        logger.info(f"{len(ignored)} {what} images have regions to ignore, {np.mean(ignored):.0%} of their pixels")
