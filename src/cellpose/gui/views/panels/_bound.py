"""Widgets bound to a field of a state, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyqtgraph as pg
import qtawesome
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QWidget,
)
from superqt import QCollapsible, QDoubleSlider

from cellpose.gui._texts import tr
from cellpose.gui.views.panels._number import NumberBox

__all__ = [
    "WALKING",
    "CollapsibleGroup",
    "Group",
    "SliderRow",
    "button",
    "check_box",
    "choice_box",
    "color_button",
    "list_keys",
    "number_box",
    "own_keys",
    "row",
]

_GRAY = "#8a8f98"
_Key = Qt.Key
WALKING = frozenset((_Key.Key_Up, _Key.Key_Down, _Key.Key_PageUp, _Key.Key_PageDown, _Key.Key_Home, _Key.Key_End))
_ENTERING = {Qt.Key.Key_Return, Qt.Key.Key_Enter}
_LEAVING = _ENTERING | {Qt.Key.Key_Escape}


class Group(QGroupBox):  # type: ignore[misc]
    """A titled box of rows in the column of controls."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.form = form_of(self)


def form_of(widget: QWidget) -> QFormLayout:
    """A form: rows of a label and a widget, as wide as the column."""
    form = QFormLayout(widget)
    form.setContentsMargins(10, 8, 10, 8)
    form.setVerticalSpacing(6)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return form


class _OwnKeys(QObject):  # type: ignore[misc]
    """Keeps plain keys for the focused widget, which would otherwise trigger commands of the window."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Enter and Escape release the focus; the wheel scrolls the column unless the widget has the focus."""
        kind = event.type()
        if kind == QEvent.Type.ShortcutOverride:
            keys: Any = event.modifiers()
            runs = event.key() in _ENTERING and keys & Qt.KeyboardModifier.ShiftModifier
            if isinstance(watched, QAbstractSpinBox) and event.key() in _ENTERING:
                watched.interpretText()  # so that Shift+Enter, and Ctrl+Enter, run with the number that was typed
            commanding = runs or keys & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
            if not commanding and not _Key.Key_F1 <= event.key() <= _Key.Key_F12:
                event.accept()
                return True
        elif kind == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        elif kind == QEvent.Type.KeyRelease and event.key() in _LEAVING and isinstance(watched, QWidget):
            watched.clearFocus()
        return bool(super().eventFilter(watched, event))


class _ListKeys(QObject):  # type: ignore[misc]
    """Keeps the navigation keys for a list, which would otherwise trigger commands of the window."""

    def __init__(self, parent: QWidget, keys: frozenset[Qt.Key]) -> None:
        super().__init__(parent)
        self._keys = keys

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take these keys before the window does."""
        if event.type() == QEvent.Type.ShortcutOverride and event.key() in self._keys:
            keys: Any = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
            if event.key() in WALKING:
                keys &= ~Qt.KeyboardModifier.ShiftModifier  # it selects; Shift+Enter is a command of the window
            if not keys:
                event.accept()
                return True
        return bool(super().eventFilter(watched, event))


def list_keys(widget: QWidget, *more: Qt.Key) -> None:
    """Give a list or a table its navigation keys, and some more."""
    widget.installEventFilter(_ListKeys(widget, WALKING | set(more)))


def own_keys(widget: QWidget, focus: Qt.FocusPolicy | None = None) -> None:
    """Give a focused widget its plain keys, and let it take focus only by Tab or a click into text."""
    widget.installEventFilter(_OwnKeys(widget))
    writes = isinstance(widget, QAbstractSpinBox)
    usual = Qt.FocusPolicy.StrongFocus if writes else Qt.FocusPolicy.TabFocus
    widget.setFocusPolicy(usual if focus is None else focus)


def choice_box(choices: Sequence[Any], state: Any, field: str) -> QComboBox:
    """A combo box for a field with few values."""
    box = QComboBox()
    own_keys(box)
    box.addItems([tr(str(choice)) for choice in choices])
    box.setCurrentIndex(choices.index(getattr(state, field)))
    box.currentIndexChanged.connect(lambda place: setattr(state, field, choices[place]))
    getattr(state.events, field).connect(lambda value: box.setCurrentText(tr(str(value))))
    return box


def check_box(title: str, state: Any, field: str) -> QCheckBox:
    """A check box for a boolean field."""
    box = QCheckBox(title)
    own_keys(box)
    box.setChecked(getattr(state, field))
    box.toggled.connect(lambda on: setattr(state, field, on))
    getattr(state.events, field).connect(lambda on: box.setChecked(on))
    return box


def color_button(state: Any, field: str, hint: str = "") -> pg.ColorButton:
    """A button for a color field, ``"#rrggbb"``; it opens a dialog."""
    made = pg.ColorButton(color=getattr(state, field), padding=4)
    own_keys(made)
    made.setFixedSize(30, 22)
    made.setToolTip(hint)
    made.sigColorChanging.connect(lambda button: setattr(state, field, button.color().name()))
    made.sigColorChanged.connect(lambda button: setattr(state, field, button.color().name()))

    def show(color: str) -> None:
        if made.color().name() != color:
            made.setColor(color)

    getattr(state.events, field).connect(show)
    return made


def number_box(
    state: Any,
    field: str,
    low: float,
    high: float,
    step: float,
    decimals: int = 2,
    entered: Callable[[], object] | None = None,
    box: NumberBox | None = None,
) -> NumberBox:
    """A box for a numeric field; ``entered`` is called on Enter, even if the number is unchanged."""
    box = NumberBox() if box is None else box
    own_keys(box)
    box.setKeyboardTracking(False)  # a number counts only when complete
    box.setDecimals(decimals)
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setValue(getattr(state, field))

    def show(value: float) -> None:
        with QSignalBlocker(box):  # the box rounds for display; the state keeps the exact value
            box.setValue(value)

    box.valueChanged.connect(lambda value: setattr(state, field, int(value) if decimals == 0 else value))
    getattr(state.events, field).connect(show)
    if entered is not None:
        box.lineEdit().returnPressed.connect(lambda: entered())
    return box


class SliderRow(QWidget):  # type: ignore[misc]
    """A slider and a box for one number; the box also takes values beyond the slider.

    Parameters
    ----------
    box
        A box made by `number_box`.
    state, field
        As for the box.
    ends
        The ends of the slider.
    settled
        Called when the slider is released, and after each change by other means.
    """

    def __init__(
        self,
        box: NumberBox,
        state: Any,
        field: str,
        ends: tuple[float, float],
        settled: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self.box, self.slider = box, QDoubleSlider(Qt.Orientation.Horizontal)
        own_keys(self.slider)
        self.slider.setRange(*ends)
        self.slider.setSingleStep(box.singleStep())
        self.slider.setPageStep(box.singleStep())
        self.slider.setValue(getattr(state, field))
        step = 10.0 ** -box.decimals()

        def change(value: float) -> None:
            setattr(state, field, round(value) if step == 1 else round(value / step) * step)
            if not self.slider.isSliderDown():
                settled()

        def show(value: float) -> None:
            with QSignalBlocker(self.slider):
                self.slider.setValue(min(max(value, ends[0]), ends[1]))

        self.slider.valueChanged.connect(change)
        self.slider.sliderReleased.connect(lambda: settled())
        box.valueChanged.connect(lambda _: settled())
        getattr(state.events, field).connect(show)
        box.setFixedWidth(92)
        row(self.slider, self.box, into=self)


def button(text: str, run: Callable[[], object], hint: str = "") -> QPushButton:
    """A button that does not take the focus when clicked; a number being typed in a box is committed first."""
    made = QPushButton(text)
    own_keys(made)
    made.setToolTip(hint)

    def click() -> None:
        box = QApplication.focusWidget()
        if isinstance(box, QAbstractSpinBox):
            box.interpretText()
        run()

    made.clicked.connect(click)
    return made


def row(*widgets: QWidget, into: QWidget | None = None, even: bool = False) -> QWidget:
    """Widgets side by side; the first takes the remaining room, or all have equal width."""
    whole = into or QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    for place, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if even or not place else 0)
    return whole


class CollapsibleGroup(QCollapsible):  # type: ignore[misc]
    """Rows of a group that can be collapsed."""

    def __init__(self, title: str) -> None:
        icons = {name: qtawesome.icon(f"mdi6.chevron-{name}", color=_GRAY) for name in ("down", "right")}
        super().__init__(title, expandedIcon=icons["down"], collapsedIcon=icons["right"])
        own_keys(self.toggleButton())
        inner = QWidget()
        self.form = form_of(inner)
        self.form.setContentsMargins(0, 4, 0, 0)
        self.setDuration(120)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(0)
        self.setContent(inner)
        self.collapse(animate=False)
