"""Filtering the image: background subtraction, sharpening, smoothing, normalization by blocks, inversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import numpy as np
from psygnal import Signal

from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document, Picture, Restored
from cellpose.gui.model._settings import filters_something

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Filters"]


class Filters:
    """The filter of a session's image. Networks get the raw image and the parameters, so nothing is filtered twice.

    Parameters
    ----------
    session
        Whose image is filtered.

    Attributes
    ----------
    live
        Whether the picture follows the parameters as they change.
    unset : Signal()
        A filter is wanted, but none of its parameters is set.
    """

    job = "filter"
    unset = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.live = True
        self._stale = False  # parameters changed while the image was filtered
        # the image that was last filtered, which must not stay in memory once it is left, and how
        self._started: tuple[ReferenceType[Document] | None, dict[str, Any]] = None, {}
        for name in session.settings.filters():
            getattr(session.settings.events, name).connect(lambda _: self.follow())

    @property
    def is_on(self) -> bool:
        """Whether the open image is filtered."""
        restored = None if self._session.document is None else self._session.document.restored
        return restored is not None and restored.stack is None

    @property
    def coming(self) -> dict[str, Any] | None:
        """Parameters of the filter that the open image is about to have; None: nothing is being filtered."""
        session, (filtered, filters) = self._session, self._started
        if filtered is None or filtered() is not session.document or session.jobs.running(self.job) is None:
            return None
        return session.settings.filters() if self._stale else filters

    @property
    def in_effect(self) -> Mapping[str, Any]:
        """Parameters of the filter through which a network sees the open image; empty: none."""
        coming, document = self.coming, self._session.document
        if coming is not None:
            return coming
        return {} if document is None or document.restored is None else document.restored.filters

    def apply(self) -> None:
        """Filter the open image in the background and show it; networks will use the filter too."""
        session, document = self._session, self._session.document
        if document is None:
            session.failed.emit(tr("open an image first, then filter it"))
            return
        if document.is_provisional:
            session.told.emit(session.held)
            return
        is_set = filters_something(session.settings.filters())
        if not filters_something(self._fitting(document.stack.shape)):
            if not is_set:  # otherwise a message says what was reset
                session.told.emit(
                    tr("the filter has nothing to do yet: set a radius, a tile_norm blocksize, or invert")
                )
            self.unset.emit()
            return
        session.restoration.cancel()
        self._start()

    def enter(self) -> None:
        """Filter with the number that was typed; show the raw image if none is set."""
        document = self._session.document
        if filters_something(self._session.settings.filters()):
            self.apply()
        elif document is not None and self.is_on:
            document.restored = None

    def follow(self) -> None:
        """Filter again with the current parameters in the background; changes made meanwhile share the next run.

        The filter is on while any parameter is set. An image restored by a network stays as it is.
        """
        session, document = self._session, self._session.document
        if not self.live or document is None or document.is_provisional:
            return
        if session.restoration.done or session.restoration.task:
            if filters_something(session.settings.filters()):
                session.told.emit(tr("no live preview of a restored image; press filter to filter the image instead"))
            return
        if session.jobs.running(self.job) is not None:
            self._stale = True
        elif filters_something(self._fitting(document.stack.shape)):
            self._start()
        elif self.is_on:
            document.restored = None

    def clear(self) -> None:
        """Show the raw image, remove the filter for networks, and reset the boxes."""
        self.cancel()
        self._session.restoration.cancel()
        document, settings = self._session.document, self._session.settings
        if document is not None:
            document.restored = None
        live, self.live = self.live, False
        for name in settings.filters():
            setattr(settings, name, type(getattr(settings, name))())
        self.live = live

    def cancel(self) -> None:
        """Cancel the running filter."""
        self._stale = False
        self._session.jobs.cancel(self.job)

    def _start(self) -> None:
        session, document, settings = self._session, self._session.document, self._session.settings
        if document is None:
            return
        self._stale, stack, filters = False, document.stack, settings.filters()
        self._started = ref(document), filters
        try:
            options = settings.normalization(filters)
        except CellposeError as error:
            session.failed.emit(str(error))
            return

        def work(_report: Report) -> Picture:
            from cellpose import transforms

            filtered = transforms.apply_normalization(np.moveaxis(stack, 1, -1), options)
            return Picture.of(np.moveaxis(filtered, -1, 1))

        def done(picture: Picture) -> None:
            first = document.restored is None
            document.restored = Restored(picture, filters)
            if first or not self._stale:
                session.view.view = "restored"
            if self._stale:
                self._stale = False
                self.follow()

        session.jobs.start(
            self.job, work, done, lambda error: session.failed.emit(tr("not filtered: {error}", error=error))
        )

    def _fitting(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The filter parameters from the boxes; a block size larger than the image is reset to 0."""
        settings = self._session.settings
        if settings.tile_norm_blocksize > max(shape[-2:]):
            self._session.told.emit(
                tr(
                    "tile_norm blocksize {tile_norm_blocksize:g} is larger than the image of {height} x "
                    "{width} pixels; it is 0 now",
                    tile_norm_blocksize=settings.tile_norm_blocksize,
                    height=shape[-2],
                    width=shape[-1],
                )
            )
            settings.tile_norm_blocksize = 0.0
        return settings.filters()
