"""The palette: type some letters of a command and press Enter to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QKeyEvent, QPainter, QPalette, QPen, QStandardItem, QStandardItemModel
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.controllers.commands import MENU_NAMES, Command, found
from cellpose.gui.views._keycaps import search_line, shown_keys

__all__ = ["Palette"]

_COMMAND, _KEYS, _OBSTACLE = (Qt.ItemDataRole.UserRole + n for n in (1, 2, 3))
_WIDTH, _ROW, _MOST_ROWS, _MARGIN = 640, 32, 12, 12
_WALKING = {Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown}


class _Row(QStyledItemDelegate):  # type: ignore[misc]
    """Draws a command: its title, its menu, why it is unavailable, and its keys at the right."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size of one line."""
        return QSize(_WIDTH, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one row."""
        command, keys, obstacle = (index.data(role) for role in (_COMMAND, _KEYS, _OBSTACLE))
        if command is None:
            painter.setPen(option.palette.color(QPalette.ColorRole.PlaceholderText))
            area = option.rect.adjusted(_MARGIN, 0, -_MARGIN, 0)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, index.data(Qt.ItemDataRole.DisplayRole))
            return
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        palette = option.palette
        group = QPalette.ColorGroup.Disabled if obstacle else QPalette.ColorGroup.Active
        if chosen:
            painter.fillRect(option.rect, palette.color(QPalette.ColorRole.Highlight if not obstacle else _SELECTED))
        bright = chosen and not obstacle
        main = palette.color(group, QPalette.ColorRole.HighlightedText if bright else QPalette.ColorRole.Text)
        faint = main if bright else palette.color(QPalette.ColorRole.PlaceholderText)
        area = option.rect.adjusted(_MARGIN, 0, -_MARGIN, 0)
        area.setRight(_draw_caps(painter, area, keys, faint))
        mark = "✓ " if command.checked is not None and command.checked() else ""
        title = mark + command.title.removesuffix("…")
        painter.setPen(main)
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, title)
        area.setLeft(area.left() + option.fontMetrics.horizontalAdvance(title) + _MARGIN)
        painter.setPen(faint)
        note = f"{MENU_NAMES[command.menu]}   {obstacle}" if obstacle else MENU_NAMES[command.menu]
        shown = option.fontMetrics.elidedText(note, Qt.TextElideMode.ElideRight, area.width())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, shown)


_SELECTED = QPalette.ColorRole.AlternateBase


def _draw_caps(painter: QPainter, area: QRect, keys: Sequence[str], color: Any) -> int:
    """Draw keys at the right of an area; return where the free room to their left ends."""
    right, metrics = area.right(), painter.fontMetrics()
    for key in reversed(keys):
        width = metrics.horizontalAdvance(key) + 12
        cap = QRect(right - width, area.top() + 6, width, area.height() - 12)
        painter.setPen(QPen(color, 1))
        painter.drawRoundedRect(cap, 4, 4)
        painter.drawText(cap, Qt.AlignmentFlag.AlignCenter, key)
        right = cap.left() - 6
    return int(right) - _MARGIN


class Palette(QDialog):  # type: ignore[misc]
    """A search line and the list of matching commands. Up and Down select, Enter runs, Escape closes.

    Parameters
    ----------
    commands, keys
        The commands and their current keys.
    parent
        The window that the palette lies over.
    """

    def __init__(self, commands: Sequence[Command], keys: KeyMap, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Dialog | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("palette")
        self._commands = [command for command in commands if command.id != "help.palette"]
        self._keys = keys
        self.search, self.list, self._model = search_line(tr("Find a command")), QListView(), QStandardItemModel(self)
        self.list.setModel(self._model)
        self.list.setAccessibleName(tr("commands"))
        self.list.setItemDelegate(_Row(self.list))
        self.list.setFrameShape(QListView.Shape.NoFrame)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.search)
        layout.addWidget(self.list)
        self.search.textChanged.connect(self._find)
        self.search.installEventFilter(self)
        self.list.clicked.connect(lambda index: self._run(index))
        self._find("")
        self.setFixedWidth(_WIDTH)
        if parent is not None:
            middle = parent.mapToGlobal(parent.rect().center())
            self.move(middle.x() - _WIDTH // 2, parent.mapToGlobal(parent.rect().topLeft()).y() + 60)
        self.search.setFocus()

    def _find(self, query: str) -> None:
        self._model.clear()
        for command in found(self._commands, query, MENU_NAMES):
            item = QStandardItem(command.title)
            item.setData(command, _COMMAND)
            item.setData(shown_keys(self._keys.of(command)[:2]), _KEYS)
            item.setData(command.obstacle(), _OBSTACLE)
            self._model.appendRow(item)
        if not self._model.rowCount():
            self._model.appendRow(QStandardItem(tr("No command has these words.")))
            self._model.item(0).setFlags(Qt.ItemFlag.NoItemFlags)
        self.list.setCurrentIndex(self._model.index(0, 0))
        self.list.setFixedHeight(max(1, min(self._model.rowCount(), _MOST_ROWS)) * _ROW)
        self.adjustSize()

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """While the line has the focus, handle the keys that move in the list and run a command."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.list.currentIndex())
                return True
            if event.key() in _WALKING:
                QApplication.sendEvent(self.list, event)
                return True
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Close on a click elsewhere."""
        if event.type() == QEvent.Type.WindowDeactivate:
            self.reject()
        return bool(super().event(event))

    def _run(self, index: QModelIndex) -> None:
        command = index.data(_COMMAND) if index.isValid() else None
        if command is None or command.obstacle():
            QApplication.beep()
            return
        self.accept()  # first, since the command may open a window of its own
        command.run()
