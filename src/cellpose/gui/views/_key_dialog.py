"""The dialog for changing keys."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.controllers.commands import MENU_NAMES, Command, found
from cellpose.gui.views._keycaps import search_line, shown_keys

__all__ = ["KeyDialog"]

_COMMAND = Qt.ItemDataRole.UserRole + 1


class KeyDialog(QDialog):  # type: ignore[misc]
    """A table of all commands; keys for the selected command are typed below it. Changes apply at once.

    Parameters
    ----------
    commands, keys
        The commands and their keys; both are changed here.
    parent
        The window.
    """

    def __init__(self, commands: Sequence[Command], keys: KeyMap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Change keys"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 640)
        self._commands, self._keys = list(commands), keys
        self.search, self.table, self.edit = search_line(tr("Search commands")), QTreeWidget(), QKeySequenceEdit()
        self.chosen, self.conflict = QLabel(), QLabel()
        self.assign, self.also = (
            _button(tr("Set"), tr("the only key of this command")),
            _button(tr("Add"), tr("one key more")),
        )
        self.none = _button(tr("No key"), tr("the command stays in the menus and the palette"))
        self.reset, self.reset_all = (
            _button(tr("Reset"), tr("its first keys")),
            _button(tr("Reset all"), tr("all keys as at first")),
        )
        self.table.setAccessibleName(tr("commands"))
        self.edit.setAccessibleName(tr("another key"))
        self._fill()
        self._lay_out()
        self._connect()
        self.table.setCurrentItem(self.table.topLevelItem(0))
        self.search.setFocus()

    @property
    def command(self) -> Command | None:
        """The selected command."""
        item = self.table.currentItem()
        return None if item is None or item.isHidden() else item.data(0, _COMMAND)

    def _fill(self) -> None:
        self.table.setHeaderLabels([tr("Command"), tr("Menu"), tr("Keys")])
        self.table.setRootIsDecorated(False)
        self.table.setAlternatingRowColors(True)
        self.table.setUniformRowHeights(True)
        self.table.setStyleSheet("QTreeView::item { padding: 3px 2px; }")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.header().setStretchLastSection(False)
        self.table.setColumnWidth(1, 90)
        self.table.setColumnWidth(2, 200)
        for command in self._commands:
            item = QTreeWidgetItem([command.title.removesuffix("…"), MENU_NAMES[command.menu], ""])
            item.setData(0, _COMMAND, command)
            self.table.addTopLevelItem(item)
        self._show_keys()

    def _lay_out(self) -> None:
        self.chosen.setObjectName("heading")
        self.chosen.setIndent(0)
        self.conflict.setWordWrap(True)
        self.edit.setMaximumSequenceLength(1)
        self.edit.setClearButtonEnabled(True)
        editor = QGridLayout()
        editor.addWidget(self.chosen, 0, 0, 1, 5)
        for column, widget in enumerate((self.edit, self.assign, self.also, self.none, self.reset)):
            editor.addWidget(widget, 1, column)
        editor.addWidget(self.conflict, 2, 0, 1, 5)
        editor.setColumnStretch(0, 1)
        editor.setRowMinimumHeight(2, self.fontMetrics().height())
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.buttons.addButton(self.reset_all, QDialogButtonBox.ButtonRole.ResetRole)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 14, 16, 14)
        layout.setSpacing(10)
        layout.addWidget(self.search)
        layout.addWidget(self.table, 1)
        layout.addLayout(editor)
        layout.addWidget(self.buttons)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._find)
        self.table.currentItemChanged.connect(lambda *_: self._show_chosen())
        self.edit.keySequenceChanged.connect(lambda _: self._tell_conflict())
        self.assign.clicked.connect(lambda: self._set(()))
        self.also.clicked.connect(lambda: self._set(self._keys.of(self.command) if self.command else ()))
        self.none.clicked.connect(self._take_keys)
        self.reset.clicked.connect(self._reset)
        self.reset_all.clicked.connect(self._reset_all)
        self.buttons.rejected.connect(self.reject)
        self.buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        self._keys.changed.connect(self._changed)
        self.finished.connect(lambda _: self._keys.changed.disconnect(self._changed))

    def _changed(self) -> None:
        self._show_keys()
        self._show_chosen()

    def _find(self, query: str) -> None:
        fitting = {command.id for command in found(self._commands, query, MENU_NAMES)}
        first = None
        for place in range(self.table.topLevelItemCount()):
            item = self.table.topLevelItem(place)
            item.setHidden(item.data(0, _COMMAND).id not in fitting)
            first = first if first is not None or item.isHidden() else item
        if self.command is None and first is not None:
            self.table.setCurrentItem(first)
        self._show_chosen()

    def _show_keys(self) -> None:
        for place in range(self.table.topLevelItemCount()):
            item = self.table.topLevelItem(place)
            command = item.data(0, _COMMAND)
            item.setText(2, "   ".join(shown_keys(self._keys.of(command))))
            item.setForeground(
                2, QBrush(self.palette().link() if self._keys.is_own(command) else self.palette().text())
            )

    def _show_chosen(self) -> None:
        command = self.command
        self.chosen.setText("" if command is None else command.title.removesuffix("…"))
        self.edit.clear()
        for widget in (self.edit, self.none):
            widget.setEnabled(command is not None)
        self.reset.setEnabled(command is not None and self._keys.is_own(command))
        self._tell_conflict()

    def _typed(self) -> str:
        return str(self.edit.keySequence().toString(QKeySequence.SequenceFormat.PortableText))

    def _tell_conflict(self) -> None:
        command, key = self.command, self._typed()
        for widget in (self.assign, self.also):
            widget.setEnabled(bool(command and key))
        user = self._keys.user_of(key, self._commands, command) if key else None
        words = (
            tr(
                "Now the key of “{command}” ({menu}), which would lose it.",
                command=user.title.removesuffix("…"),
                menu=MENU_NAMES[user.menu],
            )
            if user
            else ""
        )
        self.conflict.setText(words)

    def _set(self, before: tuple[str, ...]) -> None:
        command, key = self.command, self._typed()
        if command is not None and key:
            self._keys.set(command, (*before, key), self._commands)

    def _take_keys(self) -> None:
        if self.command is not None:
            self._keys.set(self.command, (), self._commands)

    def _reset(self) -> None:
        if self.command is not None:
            self._keys.reset(self.command, self._commands)

    def _reset_all(self) -> None:
        asked = tr("All keys become what they were at first. Go on?")
        if QMessageBox.question(self, tr("Reset all keys"), asked) == QMessageBox.StandardButton.Yes:
            self._keys.reset_all()


def _button(text: str, hint: str) -> QPushButton:
    made = QPushButton(text)
    made.setAutoDefault(False)  # Enter in the table or the line must not set a key
    made.setToolTip(hint)
    return made
