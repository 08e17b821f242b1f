"""Thumbnails of segmented images, made in the background when in view."""

from __future__ import annotations

from collections import OrderedDict, deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from cellpose.errors import InputError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._batch import ImageResult
from cellpose.gui.model._images import image_of_file

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Thumbnails"]

_SIDE = 240  # pixels
_MOST_KEPT = 600
_MOST_WAITING = 60  # the latest requests come first; dropped ones are requested again when in view


class Thumbnails:
    """Pictures by their images.

    Parameters
    ----------
    session
        Its jobs make the pictures.

    Attributes
    ----------
    ready : Signal(object)
        The path of an image whose picture is ready.
    """

    job = "thumbnails"
    ready = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made: OrderedDict[ImageResult, bytes] = OrderedDict()
        self._wanted: deque[ImageResult] = deque(maxlen=_MOST_WAITING)

    def of(self, result: ImageResult) -> bytes | None:
        """The JPEG of an image with the outlines of its cells; empty: it has none; None: it is being made."""
        if result in self._made:
            return self._made[result]
        if result.error or result.masks is None:
            return b""
        if result not in self._wanted:
            self._wanted.append(result)
        self._next()
        return None

    def _next(self) -> None:
        if not self._wanted or self._session.jobs.running(self.job) is not None:
            return
        result = self._wanted.pop()

        def work(_report: Report) -> bytes:
            return picture_of(result.path, result.masks) if result.masks is not None else b""

        def done(picture: bytes) -> None:
            self._made[result] = picture
            if len(self._made) > _MOST_KEPT:
                self._made.popitem(last=False)
            self.ready.emit(result.path)
            self._next()

        self._session.jobs.start(self.job, work, done, lambda _: done(b""))


def picture_of(image: Path, masks: Path) -> bytes:
    """A JPEG of an image with the outlines of the cells in a file of masks.

    Raises
    ------
    InputError
        If the two sizes differ.
    """
    from cellpose import io, plot

    planes = image_of_file(image).channels[0]
    seg = masks.name.endswith("_seg.npy")
    labels = np.asarray(io.read_seg(masks, without=("outlines", "flows")).masks if seg else io.read_labels(masks))
    labels = labels[0] if labels.ndim == 3 else labels
    if labels.shape != planes.shape[1:]:
        message = tr(
            "{masks} holds labels of shape {shape}, and the image has {pixels} pixels",
            masks=masks,
            shape=labels.shape,
            pixels=planes.shape[1:],
        )
        raise InputError(message)
    return plot.thumbnail(np.moveaxis(planes, 0, -1), labels, _SIDE)
