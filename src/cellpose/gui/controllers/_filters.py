"""The image filtered: sharpened, smoothed, normalised block by block, inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose.errors import CellposeError
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Picture, Restored
from cellpose.gui.model._settings import filters_something

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Filters"]


class Filters:
    """The filter of a session's image. Networks get the raw image with its parameters, so nothing is filtered twice.

    Parameters
    ----------
    session
        Whose image is filtered.
    """

    job = "filter"

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def is_on(self) -> bool:
        """Whether the open image is filtered."""
        return self._session.document is not None and self._session.document.restored is not None

    def apply(self) -> None:
        """Filter the open image in the background and show it; networks will see it so too."""
        session, document, settings = self._session, self._session.document, self._session.settings
        if document is None:
            session.failed.emit("open an image first, then filter it")
            return
        if document.is_provisional:
            session.told.emit(session.held)
            return
        filters = self._fitting(document.stack.shape)
        if not filters_something(filters):
            session.failed.emit(
                "the filter has nothing to do; set a radius to subtract the background, sharpen or smooth, a tile_norm "
                "blocksize, or invert"
            )
            return
        try:
            options = settings.normalization(filters)
        except CellposeError as error:
            session.failed.emit(str(error))
            return
        stack = document.stack

        def work(_report: Report) -> Picture:
            from cellpose import transforms

            filtered = transforms.apply_normalization(np.moveaxis(stack, 1, -1), options)
            return Picture.of(np.moveaxis(filtered, -1, 1))

        def done(picture: Picture) -> None:
            document.restored = Restored(picture, filters)
            session.view.view = "restored"

        session.jobs.start(self.job, work, done, lambda error: session.failed.emit(f"not filtered: {error}"))

    def clear(self) -> None:
        """The raw image again, and no filter for networks; the boxes go back to nothing."""
        self._session.jobs.cancel(self.job)
        settings = self._session.settings
        for name in settings.filters():
            setattr(settings, name, type(getattr(settings, name))())
        if self._session.document is not None and self._session.document.restored is not None:
            self._session.document.restored = None

    def _fitting(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The filter as the boxes say; blocks larger than the image make none."""
        settings = self._session.settings
        if settings.tile_norm_blocksize > max(shape[-2:]):
            self._session.told.emit(
                f"tile_norm blocksize {settings.tile_norm_blocksize:g} is larger than the image of "
                f"{shape[-2]} x {shape[-1]} pixels; it is 0 now"
            )
            settings.tile_norm_blocksize = 0.0
        return settings.filters()
