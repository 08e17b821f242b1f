"""Boxes for numbers, which take what is typed as it is meant, or not at all."""

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
    """A number as people write it; None where it is none.

    Examples
    --------
    >>> number_in("1e3"), number_in("0,5"), number_in(" -2. "), number_in("1e"), number_in("")
    (1000.0, 0.5, -2.0, None, None)
    """
    plain = text.strip().replace(",", ".").lower()
    return float(plain) if _NUMBER.fullmatch(plain) else None


class NumberBox(QDoubleSpinBox):  # type: ignore[misc]
    """Takes ``1e3`` and a decimal comma too, where Qt leaves out the letters that it does not like and reads the rest.

    What is no number leaves the last one; a number beyond the range becomes the end of the range, and says so.

    Parameters
    ----------
    parent
        Above which it lies.

    Attributes
    ----------
    blank
        What an empty box means; None: the last number stays.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.blank: float | None = None
        self.editingFinished.connect(lambda: self.setValue(self.value()))  # as it is understood is how it stands there

    def number(self, text: str) -> float | None:
        """What a text, without the suffix of the box, means."""
        bare = text.removesuffix(self.suffix()).strip()
        return self.blank if not bare else number_in(bare)

    def is_begin(self, text: str) -> bool:
        """Whether a text may become a number while it is typed."""
        return set(text.removesuffix(self.suffix())) <= _LETTERS

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """Whole, on the way, or no number."""
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
        """The end of the range for what is beyond it, else the last number; tell which numbers there can be."""
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
