"""Widgets bound to a field of a state, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QGroupBox

__all__ = ["Group", "check_box", "choice_box", "number_box"]


class Group(QGroupBox):  # type: ignore[misc]
    """A titled box of rows in the column of controls."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.form = QFormLayout(self)


def choice_box(choices: Sequence[Any], state: Any, field: str) -> QComboBox:
    """A box for a field of few values."""
    box = QComboBox()
    box.addItems([str(choice) for choice in choices])
    box.setCurrentIndex(choices.index(getattr(state, field)))
    box.currentIndexChanged.connect(lambda place: setattr(state, field, choices[place]))
    getattr(state.events, field).connect(lambda value: box.setCurrentText(str(value)))
    return box


def check_box(title: str, state: Any, field: str) -> QCheckBox:
    """A box for a field that is true or false."""
    box = QCheckBox(title)
    box.setChecked(getattr(state, field))
    box.toggled.connect(lambda on: setattr(state, field, on))
    getattr(state.events, field).connect(lambda on: box.setChecked(on))
    return box


def number_box(state: Any, field: str, low: float, high: float, step: float, decimals: int = 2) -> QDoubleSpinBox:
    """A box for a field that is a number."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setValue(getattr(state, field))
    box.valueChanged.connect(lambda value: setattr(state, field, int(value) if decimals == 0 else value))
    getattr(state.events, field).connect(lambda value: box.setValue(value))
    return box
