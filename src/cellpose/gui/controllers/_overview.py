"""The small overview of a large image, made in the background when first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from psygnal import Signal

from cellpose.gui.model._overview import overview, same_memory

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Overview"]


class Overview:
    """Keeps the overview of the picture in view.

    Attributes
    ----------
    changed : Signal()
        The overview is ready.
    """

    changed = Signal()
    name = "overview"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._image: npt.NDArray[Any] | None = None  # kept alive, so that no other image can get its address
        self._small: npt.NDArray[Any] | None = None

    def of(self, image: npt.NDArray[Any], longest: int) -> npt.NDArray[Any] | None:
        """The overview of an image (C, Y, X); None until it is made, then `changed` is sent."""
        if self._image is None or not same_memory(image, self._image):
            self._image, self._small = image, None
            self._session.jobs.start(self.name, lambda _report: overview(image, longest), self._take, lambda _: None)
        return self._small

    def forget(self) -> None:
        """Drop the overview, because another image is open."""
        self._session.jobs.cancel(self.name)
        self._image = self._small = None

    def _take(self, small: npt.NDArray[Any]) -> None:
        self._small = small
        self.changed.emit()
