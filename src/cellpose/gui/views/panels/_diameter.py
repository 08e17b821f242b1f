"""The diameter in pixels, and in micrometers if the pixel size is known."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._scale import in_words, pixels_in
from cellpose.gui.views.panels._number import NumberBox

__all__ = ["DiameterBox", "DiameterLabel"]

_UNIT_LETTERS = set("0123456789., µμumn")


class DiameterBox(NumberBox):
    """Takes pixels, and lengths with a unit such as ``12 µm``; empty means 0."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.blank = 0.0
        self.setToolTip(tr('of the cells, in pixels or as "12 µm"; 0: as the model was trained'))

    def number(self, text: str) -> float | None:
        """The number in pixels."""
        size = self._session.scale.pixel_um
        length = pixels_in(text, size[1] if size else None)
        return super().number(text) if length is None else length

    def is_begin(self, text: str) -> bool:
        """Whether the text is the beginning of a number, with or without a unit."""
        return super().is_begin(text) or set(text) <= _UNIT_LETTERS

    def allowed(self) -> str:
        """The allowed input: pixels, or a length."""
        known = self._session.scale.pixel_um is not None
        length = tr('a length such as "12 µm"') if known else tr("a length once the size of a pixel is known")
        return tr("{allowed}, or {length}", allowed=super().allowed(), length=length)


class DiameterLabel(QLabel):  # type: ignore[misc]
    """The diameter in micrometers; hidden if the pixel size is unknown."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setObjectName("faint")
        session.scale.changed.connect(lambda: self._show())
        session.settings.events.diameter.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        size, diameter = self._session.scale.pixel_um, self._session.settings.diameter
        known = size is not None and diameter > 0
        self.setVisible(known)
        self.setText(in_words(diameter * size[1], 3) if size is not None and known else "")
