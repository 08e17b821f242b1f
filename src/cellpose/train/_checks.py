"""What may be wrong with the labels of a training set, named per image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["LabelReport", "check_labels", "listed", "log_reports"]

logger = logging.getLogger("cellpose.train")

_MOST_NAMED = 5  # labels or images that one message lists


@dataclass(frozen=True)
class LabelReport:
    """What was found in the labels of one image.

    Attributes
    ----------
    name
        File, or number of the image.
    n_masks
        Number of labels.
    gaps
        Numbers between 1 and the largest label that no pixel bears (harmless: labels are renumbered).
    in_pieces
        Labels whose pixels do not hang together: often two cells under one number, or a slip of the brush.
    ignored
        Fraction of the image that is to be ignored (negative labels).
    error
        Why the image cannot be used; None: it can.
    """

    name: str
    n_masks: int = 0
    gaps: int = 0
    in_pieces: tuple[int, ...] = ()
    ignored: float = 0.0
    error: str | None = None

    def remarks(self, min_masks: int = 0) -> list[str]:
        """What a person should look at, each remark a sentence without the name of the image."""
        if self.error is not None:
            return [self.error]
        found = []
        if self.n_masks < min_masks:
            found.append(f"{self.n_masks} masks, fewer than {min_masks}")
        if self.in_pieces:
            found.append(f"labels in several pieces: {listed(self.in_pieces)}")
        return found


def check_labels(
    labels: Sequence[Any], images: Sequence[Any] | None = None, names: Sequence[Any] | None = None
) -> list[LabelReport]:
    """Look at labels before a training is started with them.

    Parameters
    ----------
    labels
        Label images ``(Ly, Lx)``, or training targets ``(4 or more, Ly, Lx)`` of which the first channel is looked at.
        0 is background, negative labels are regions to ignore.
    images
        The images, channels first or none, whose sizes must be those of the labels; None: not looked at.
    names
        What to call them; None: their numbers.

    Returns
    -------
    list of LabelReport
        One an image.

    Examples
    --------
    >>> labels = np.array([[1, 0, 1], [0, 0, 0], [4, 4, 4]])
    >>> check_labels([labels])
    [LabelReport(name='0', n_masks=2, gaps=2, in_pieces=(1,), ignored=0.0, error=None)]
    """
    reports = []
    for i, label in enumerate(labels):
        name = str(i) if names is None else str(names[i])
        shape = None if images is None else np.shape(images[i])[-2:]
        reports.append(_report(name, np.asarray(label), shape))
    return reports


def _report(name: str, label: npt.NDArray[Any], shape: tuple[int, ...] | None) -> LabelReport:
    targets = label.ndim == 3 and len(label) > 1
    numbers = label[0] if label.ndim == 3 else label
    if numbers.ndim != 2:
        return LabelReport(name, error=f"labels of shape {label.shape} where (y, x) is needed")
    if shape is not None and numbers.shape != shape:
        sizes = f"{shape[0]} x {shape[1]} pixels and its labels have {numbers.shape[0]} x {numbers.shape[1]}"
        return LabelReport(name, error=f"has {sizes}; they must agree (is the channel axis right?)")
    if not np.issubdtype(numbers.dtype, np.integer) and not np.array_equal(numbers, np.rint(numbers)):
        return LabelReport(name, error="has labels that are no whole numbers")
    whole = numbers.astype(np.int32)
    present = np.unique(whole)
    ignored = float(np.mean(label[-3] < 0 if targets else whole < 0))
    present = present[present > 0]
    gaps = int(present[-1]) - len(present) if len(present) else 0
    return LabelReport(name, len(present), gaps, _in_pieces(whole), ignored)


def _in_pieces(labels: npt.NDArray[np.int32]) -> tuple[int, ...]:
    """Labels that are not one piece; pixels that touch at a corner hang together."""
    from scipy import ndimage

    found = []
    for number, box in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if box is None:
            continue
        mask = np.ascontiguousarray(labels[box] == number, dtype=np.uint8)
        if cv2.connectedComponents(mask, connectivity=8)[0] > 2:  # the background counts too
            found.append(number)
    return tuple(found)


def log_reports(reports: Iterable[LabelReport], what: str, min_masks: int = 0) -> None:
    """Warn of what is to be looked at, one line an image."""
    found = list(reports)
    for report in found:
        remarks = report.remarks(min_masks)
        left_out = " and is left out" if report.error else ""
        for remark in remarks:
            logger.warning(f"{what} image {report.name}: {remark}{left_out}")
    gaps = [r.name for r in found if r.gaps]
    if gaps:
        logger.info(f"labels of {len(gaps)} {what} images have gaps in their numbers and are renumbered")
    ignored = [r.ignored for r in found if r.ignored]
    if ignored:
        logger.info(f"{len(ignored)} {what} images have regions to ignore, {np.mean(ignored):.0%} of their pixels")


def listed(items: Sequence[Any]) -> str:
    """The first few items, and how many there are more."""
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(map(str, items[:_MOST_NAMED])) + more
