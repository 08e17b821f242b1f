"""Names of controls for screen readers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QFormLayout,
    QGraphicsView,
    QKeySequenceEdit,
    QLabel,
    QLayout,
    QLayoutItem,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QScrollBar,
    QWidget,
)

__all__ = ["controls_of", "give_names", "name_as", "order_tabs"]

_KINDS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QKeySequenceEdit,
    QLineEdit,
    QProgressBar,
)
_WHOLE = (QAbstractItemView, QAbstractSpinBox, QComboBox, QKeySequenceEdit, QLineEdit)  # their parts get no names
_HINT_ENDS = re.compile(r"[;(<]")


def controls_of(whole: QWidget) -> list[QWidget]:
    """The usable controls in a widget, each once, without the parts of controls and without scroll bars."""
    found = [whole, *whole.findChildren(QWidget)]
    return [
        each
        for each in found
        if isinstance(each, _KINDS)
        and not isinstance(each, QScrollBar)
        and not isinstance(each.parentWidget(), _WHOLE)
        and not each.objectName().startswith("qt_")
        and each.window() is whole.window()
    ]


def name_as(name: str, *wholes: QWidget) -> None:
    """Name the unnamed controls in some widgets; if there are several, add the hint of each to its name."""
    for whole in wholes:
        mute = [each for each in controls_of(whole) if not _words(each)]
        for each in mute:
            hint = _hint(each) if len(mute) > 1 else ""
            each.setAccessibleName(f"{name}, {hint}" if hint else name)


def give_names(top: QWidget) -> None:
    """Name all unnamed controls: by the label of their row, their hint, or their placeholder."""
    for form in top.findChildren(QFormLayout):
        for row in range(form.rowCount()):
            label, field = (
                None if item is None else item.widget()
                for item in (form.itemAt(row, role) for role in (_Role.LabelRole, _Role.FieldRole))
            )
            if isinstance(label, (QLabel, QAbstractButton)) and field is not None:
                _name_new(field, label.text())
                controls = controls_of(field)
                if isinstance(label, QLabel) and controls:
                    label.setBuddy(controls[0])  # on Linux, combo boxes get their name from the buddy label
    for each in controls_of(top):
        if not each.accessibleName() and not _words(each):
            each.setAccessibleName(_hint(each) or (each.placeholderText() if isinstance(each, QLineEdit) else ""))


def order_tabs(*wholes: QWidget) -> None:
    """Let the Tab key go through some widgets in turn, and through each in reading order."""
    way = [stop for whole in wholes for stop in _stops(whole)]
    for before, after in pairwise(way):
        QWidget.setTabOrder(before, after)


def _stops(whole: QWidget) -> Iterator[QWidget]:
    """The widgets that take focus by Tab, in layout order."""
    if isinstance(whole, QScrollArea | QDockWidget) and whole.widget() is not None:
        yield from _stops(whole.widget())
    elif whole.layout() is None or isinstance(whole, _KINDS):
        inner = [each for each in whole.findChildren(QLineEdit) if isinstance(whole, QAbstractSlider)]
        for each in inner or [whole]:
            if each.focusPolicy() & Qt.FocusPolicy.TabFocus:
                yield each
    else:
        yield from _in_layout(whole.layout())


def _in_layout(layout: QLayout) -> Iterator[QWidget]:
    for item in _items(layout):
        if item.widget() is not None:
            yield from _stops(item.widget())
        elif item.layout() is not None:
            yield from _in_layout(item.layout())


def _items(layout: QLayout) -> Iterator[QLayoutItem]:
    """The items of a form row by row, regardless of insertion order."""
    if not isinstance(layout, QFormLayout):
        yield from (layout.itemAt(place) for place in range(layout.count()))
        return
    for row in range(layout.rowCount()):
        items = (layout.itemAt(row, role) for role in (_Role.LabelRole, _Role.FieldRole, _Role.SpanningRole))
        yield from dict.fromkeys(item for item in items if item is not None)


_Role = QFormLayout.ItemRole


def _name_new(field: QWidget, name: str) -> None:
    if not any(each.accessibleName() for each in controls_of(field)):
        name_as(name, field)


def _words(control: QWidget) -> str:
    """The text of a button."""
    return str(control.text()) if isinstance(control, QAbstractButton) else ""


def _hint(control: QWidget) -> str:
    return _HINT_ENDS.split(str(control.toolTip()))[0].strip()
