"""The diameter in pixels, and in micrometres where the size of a pixel is known."""

from __future__ import annotations

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox, QLabel

from cellpose.gui.controllers._session import Session
from cellpose.gui.model._scale import in_words, pixels_in

__all__ = ["DiameterBox", "DiameterLabel"]

_UNIT_LETTERS = set("0123456789., µμumn")


class DiameterBox(QDoubleSpinBox):  # type: ignore[misc]
    """Takes pixels, and lengths with their unit such as ``12 µm``."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setToolTip('of the cells, in pixels or as "12 µm"; 0: as the model was trained')

    def _typed(self, text: str) -> float | None:
        size = self._session.scale.pixel_um
        return pixels_in(text, size[1] if size else None)

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """Numbers as always; lengths once they are whole."""
        if self._typed(text) is not None:
            return QValidator.State.Acceptable, text, place
        state, text, place = super().validate(text, place)
        if state == QValidator.State.Invalid and set(text) <= _UNIT_LETTERS:
            state = QValidator.State.Intermediate
        return state, text, place

    def valueFromText(self, text: str) -> float:
        """In pixels."""
        typed = self._typed(text)
        return float(super().valueFromText(text)) if typed is None else typed


class DiameterLabel(QLabel):  # type: ignore[misc]
    """The diameter in micrometres; not there where the size of a pixel is unknown."""

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
