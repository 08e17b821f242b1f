"""Boxes for numbers, which read input as it was meant, or reject it."""

from __future__ import annotations

import re

from qtpy.QtCore import QPoint
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox, QToolTip, QWidget

from cellpose.gui._texts import tr

__all__ = ["NumberBox", "number_in"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?")
_LETTERS = set("0123456789.,+-eE ")


def number_in(text: str) -> float | None:
    """A number as people write it; None if the text is not a number.

    Examples
    --------
    >>> number_in("1e3"), number_in("0,5"), number_in(" -2. "), number_in("1e"), number_in("")
    (1000.0, 0.5, -2.0, None, None)
    """
    plain = text.strip().replace(",", ".").lower()
    return float(plain) if _NUMBER.fullmatch(plain) else None


class NumberBox(QDoubleSpinBox):  # type: ignore[misc]
    """Also takes ``1e3`` and a decimal comma, where Qt drops the letters that it rejects and reads the rest.

    Input that is not a number keeps the last value; a value out of range becomes the nearest limit, with a message.

    Parameters
    ----------
    parent
        The widget that holds the box.

    Attributes
    ----------
    blank
        The meaning of an empty box; None: the last number stays.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.blank: float | None = None
        self.editingFinished.connect(lambda: self.setValue(self.value()))  # the text is rewritten as it was understood

    def number(self, text: str) -> float | None:
        """The value of a text without the suffix of the box."""
        bare = text.removesuffix(self.suffix()).strip()
        return self.blank if not bare else number_in(bare)

    def is_begin(self, text: str) -> bool:
        """Whether a partly typed text may become a number."""
        return set(text.removesuffix(self.suffix())) <= _LETTERS

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """Acceptable, intermediate or invalid."""
        number = self.number(text)
        if number is not None and self.minimum() <= number <= self.maximum():
            return QValidator.State.Acceptable, text, place
        known = number is not None or self.is_begin(text)
        return QValidator.State.Intermediate if known else QValidator.State.Invalid, text, place

    def valueFromText(self, text: str) -> float:
        """The number, or the last one."""
        number = self.number(text)
        return float(self.value() if number is None else round(number, self.decimals()))

    def fixup(self, text: str) -> str:
        """The nearest limit for a value out of range, else the last number; report the allowed numbers."""
        number = self.number(text)
        value = self.value() if number is None else min(max(number, self.minimum()), self.maximum())
        if self.isVisible():
            QToolTip.showText(self.mapToGlobal(QPoint(0, self.height())), self.allowed(), self)
        return f"{self.textFromValue(value)}{self.suffix()}"

    def allowed(self) -> str:
        """The allowed numbers, for the user."""
        low, high = (f"{end:,.{self.decimals()}f}" for end in (self.minimum(), self.maximum()))
        if "." in low:
            low, high = (end.rstrip("0").rstrip(".") for end in (low, high))
        return tr("a number from {low} to {high}", low=low, high=high)
