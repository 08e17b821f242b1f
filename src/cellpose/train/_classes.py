"""Targets of plain U-Nets, which predict background, cell and boundary instead of flows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import utils
from cellpose.errors import InputError
from cellpose.train._sets import ImageSet, Item

__all__ = ["class_image", "with_classes"]

_BOUNDARY = 2


def class_image(numbers: Any, n_classes: int) -> npt.NDArray[np.float32]:
    """The class of every pixel, float32 ``(Ly, Lx)``: 0 background, 1 cell and, of three, 2 boundary.

    The boundary are the pixels of a cell that touch another cell or the background by an edge.

    Examples
    --------
    >>> class_image(np.pad(np.ones((3, 3), int), 1), 3).astype(int)[1:4, 1:4]
    array([[2, 2, 2],
           [2, 1, 2],
           [2, 2, 2]])
    """
    labels = np.maximum(np.asarray(numbers), 0).astype(np.int32)
    classes: npt.NDArray[np.float32] = (labels > 0).astype(np.float32)
    if n_classes > _BOUNDARY:
        classes[utils.masks_to_outlines(labels)] = _BOUNDARY
    return classes


def with_classes(images: ImageSet, n_classes: int) -> ImageSet:
    """The same images, with their classes between the label numbers and the cell mask of their targets.

    Raises
    ------
    InputError
        If the number of classes is not 2 or 3.
    """
    if n_classes not in (2, 3):
        message = (
            f"{n_classes} classes are not allowed; a U-Net that predicts classes has nout=2 (background, cell) or 3 "
            "(also boundary)"
        )
        raise InputError(message)
    if images.labels is not None:
        return replace(images, labels=[_joined(targets, n_classes) for targets in images.labels])
    values = {f.name: getattr(images, f.name) for f in fields(ImageSet)}
    return _ClassedSet(**values, n_classes=n_classes)


def _joined(targets: Any, n_classes: int) -> npt.NDArray[np.float32]:
    classes = class_image(targets[0], n_classes)[np.newaxis]
    return np.concatenate([targets[:1], classes, targets[-3:]]).astype(np.float32, copy=False)


@dataclass
class _ClassedSet(ImageSet):
    """Images read from files, whose classes are made when they are read."""

    n_classes: int = 2

    def item(self, index: int) -> Item:
        """Image and targets, with the classes as one of them."""
        image, targets = super().item(index)
        return image, _joined(targets, self.n_classes)
