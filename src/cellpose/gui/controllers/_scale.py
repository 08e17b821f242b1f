"""The size of a pixel: from the file, or from the user if the file does not state it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from cellpose.gui._texts import tr

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Scale"]


class Scale:
    """The size of a pixel of the open image.

    Parameters
    ----------
    session
        Whose image it is.

    Attributes
    ----------
    changed : Signal()
        The size may have changed.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._typed: float | None = None
        session.opened.connect(lambda _: self.changed.emit())

    @property
    def pixel_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometers; None: unknown."""
        document = self._session.document
        if document is None:
            return None
        if document.pixel_um is not None:
            return document.pixel_um
        return (self._typed, self._typed) if self._typed else None

    def set(self, um: float) -> None:
        """Set the pixel size of this image, and of others whose files do not state it; 0: unknown."""
        self._typed = um or None
        if self._session.document is not None:
            self._session.document.pixel_um = None
        self.changed.emit()

    def ask(self) -> None:
        """Let the user enter the pixel size."""
        known = self.pixel_um
        um = self._session.dialogs.ask_length(
            tr("Pixel size"), tr("µm per pixel (0: unknown)"), known[1] if known else 0.0
        )
        if um is not None:
            self.set(um)
