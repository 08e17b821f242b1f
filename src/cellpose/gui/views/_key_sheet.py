"""The sheet of all keys and mouse actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui._texts import tr
from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.controllers.commands import MENU_NAMES, Command, MouseRule
from cellpose.gui.views._keycaps import caps, search_line, shown_keys

__all__ = ["KeySheet"]

_CAPS_WIDTH = 170  # width of the column of keys, so that all groups align
_COLUMNS = 2
_LONG = 42  # letters that fit beside the keys


class _Section(QWidget):  # type: ignore[misc]
    """A titled group of rows: the keys, and what they do."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 2)
        self._grid.setVerticalSpacing(5)
        self._grid.setHorizontalSpacing(12)
        self._grid.setColumnMinimumWidth(0, _CAPS_WIDTH)
        self._grid.setColumnStretch(1, 1)
        head = QLabel(title)
        head.setObjectName("heading")
        head.setIndent(0)
        self._grid.addWidget(head, 0, 0, 1, 2)
        self._rows: list[tuple[str, tuple[QWidget, QWidget]]] = []

    def add(self, press: QWidget, what: str, words: str) -> None:
        """Add a row; searches find it by ``words`` and by its title."""
        text, place = QLabel(what), len(self._rows) + 1
        text.setWordWrap(len(what) > _LONG)  # a label that may wrap reserves room that it does not need
        self._grid.addWidget(press, place, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(text, place, 1, Qt.AlignmentFlag.AlignVCenter)
        self._rows.append((f"{self._title} {what} {words}".casefold(), (press, text)))

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, query: str) -> int:
        """Show the rows that contain all words of a query; return their number."""
        n = 0
        for text, widgets in self._rows:
            fits = all(word in text for word in query.casefold().split())
            n += fits
            for widget in widgets:
                widget.setVisible(fits)
        self.setVisible(n > 0)
        return n


class KeySheet(QDialog):  # type: ignore[misc]
    """All keys and mouse rules in two columns, with a search line. It can stay open while the user works.

    Parameters
    ----------
    commands, keys
        The commands and their current keys.
    mouse
        The mouse rules.
    parent
        The window.
    """

    def __init__(
        self, commands: Sequence[Command], keys: KeyMap, mouse: Sequence[MouseRule], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Keys and mouse"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(1000, 760)
        self.search = search_line(tr("Search keys and commands"))
        self.search.textChanged.connect(self._find)
        self._change = QPushButton(tr("Change keys…"))
        self._change.setAutoDefault(False)
        change = next((command for command in commands if command.id == "help.change_keys"), None)
        self._change.setVisible(change is not None)
        self._change.clicked.connect(lambda: self._leave_for(change))
        self._nothing = QLabel(tr("No key and no command has these words."))
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._nothing.hide()
        self.sections = [*_of_commands(commands, keys), *_of_mouse(mouse)]
        self._lay_out()
        self.search.setFocus()

    def _lay_out(self) -> None:
        page = QWidget()
        columns = QHBoxLayout(page)
        columns.setContentsMargins(20, 12, 20, 12)
        columns.setSpacing(40)
        for sections in _halves(self.sections):
            column = QVBoxLayout()
            for section in sections:
                column.addWidget(section)
            column.addStretch(1)
            columns.addLayout(column, 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(page)
        top = QHBoxLayout()
        top.setContentsMargins(20, 14, 20, 6)
        top.setSpacing(12)
        top.addWidget(self.search, 1)
        top.addWidget(self._change)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self._nothing)
        layout.addWidget(area, 1)

    def _find(self, query: str) -> None:
        self._nothing.setVisible(not sum([section.find(query) for section in self.sections]))

    def _leave_for(self, command: Command | None) -> None:
        self.close()
        if command is not None:
            command.run()


def _of_commands(commands: Iterable[Command], keys: KeyMap) -> list[_Section]:
    sections: dict[str, _Section] = {}
    for command in commands:
        own = keys.of(command)
        if own:
            section = sections.setdefault(command.menu, _Section(MENU_NAMES[command.menu]))
            section.add(caps(own), command.title.removesuffix("…"), " ".join([*own, *shown_keys(own)]))
    return list(sections.values())


def _of_mouse(mouse: Iterable[MouseRule]) -> list[_Section]:
    sections: dict[str, _Section] = {}
    for rule in mouse:
        press = QLabel(rule.gesture)
        press.setWordWrap(len(rule.gesture) > _LONG // 2)
        press.setObjectName("gesture")
        press.setFixedWidth(_CAPS_WIDTH)
        sections.setdefault(rule.tool, _Section(rule.tool)).add(press, rule.what, rule.gesture)
    return list(sections.values())


def _halves(sections: Sequence[_Section]) -> list[list[_Section]]:
    """The sections in order, split into two columns of about equal length."""
    heights = [len(section) + 2 for section in sections]
    columns: list[list[_Section]] = [[] for _ in range(_COLUMNS)]
    so_far = 0
    for section, height in zip(sections, heights, strict=True):
        place = min(_COLUMNS - 1, int((so_far + height / 2) * _COLUMNS / max(sum(heights), 1)))
        columns[place].append(section)
        so_far += height
    return columns
