"""Questions to the user, as Qt dialogs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QApplication,
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QMessageBox,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from cellpose.gui.controllers._contributing import Contributing
from cellpose.gui.controllers._keymap import KeyMap
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands import Command, MouseRule
from cellpose.gui.model._training_set import TrainingSet
from cellpose.gui.model._training_settings import TrainingSettings
from cellpose.gui.views._batch_window import BatchWindow
from cellpose.gui.views._contribution_dialog import ContributionDialog
from cellpose.gui.views._help_places import place_of
from cellpose.gui.views._help_window import HelpWindow
from cellpose.gui.views._key_dialog import KeyDialog
from cellpose.gui.views._key_sheet import KeySheet
from cellpose.gui.views._palette import Palette
from cellpose.gui.views._training_dialog import TrainingDialog
from cellpose.gui.views.panels._number import NumberBox

__all__ = ["QtDialogs"]

_HIGHEST_NUMBER = 1_000_000  # of a cell: the table has a row for every number up to it


class QtDialogs:
    """Dialogs above a window; see `controllers._dialogs.Dialogs`.

    Parameters
    ----------
    parent
        The window.
    """

    def __init__(self, parent: QWidget) -> None:
        self._parent = parent
        self._batch: BatchWindow | None = None
        self._help: HelpWindow | None = None

    def ask_open(self, title: str, kinds: str = "", suggested: Path | None = None) -> Path | None:
        """Ask for a file to open; None if the user chose none."""
        short = QFileDialog.Option.HideNameFilterDetails
        name, _ = QFileDialog.getOpenFileName(self._parent, title, str(suggested or ""), kinds, options=short)
        return Path(name) if name else None

    def ask_save(self, title: str, suggested: Path) -> Path | None:
        """Ask for a file to write; None if the user chose none."""
        name, _ = QFileDialog.getSaveFileName(self._parent, title, str(suggested))
        return Path(name) if name else None

    def ask_folder(self, title: str, suggested: Path | None = None) -> Path | None:
        """Ask for a folder; None if the user chose none."""
        name = QFileDialog.getExistingDirectory(self._parent, title, str(suggested or Path.home()))
        return Path(name) if name else None

    def ask_length(self, title: str, label: str, value: float) -> float | None:
        """Ask for a length of 0 or more; None if the user gave none."""
        return self._ask_number(title, label, value, (0, 1e6), 4)

    def ask_color(self, title: str, color: str) -> str | None:
        """Ask for a color, ``"#rrggbb"``; None if the user chose none."""
        chosen = QColorDialog.getColor(QColor(color), self._parent, title)
        return str(chosen.name()) if chosen.isValid() else None

    def ask_yes(self, title: str, question: str) -> bool:
        """Whether the user agrees."""
        answer = QMessageBox.question(self._parent, title, question)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def ask_number(self, title: str, question: str, suggested: int) -> int | None:
        """Ask for a whole number of 1 or more; None if the user gave none."""
        number = self._ask_number(title, question, suggested, (1, _HIGHEST_NUMBER), 0)
        return None if number is None else int(number)

    def _ask_number(
        self, title: str, question: str, suggested: float, ends: tuple[float, float], decimals: int
    ) -> float | None:
        """Ask for a number within a range; None if the user gave none."""
        dialog = QDialog(self._parent)
        dialog.setWindowTitle(title)
        layout, label, box = QVBoxLayout(dialog), QLabel(question), NumberBox()
        box.setDecimals(decimals)
        box.setRange(*ends)
        box.setValue(suggested)
        box.selectAll()
        label.setBuddy(box)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(dialog.accept)
        buttons.rejected.connect(dialog.reject)
        for widget in (label, box, buttons):
            layout.addWidget(widget)
        given = dialog.exec() == QDialog.DialogCode.Accepted
        dialog.deleteLater()
        return float(box.value()) if given else None

    def show_text(self, title: str, text: str) -> None:
        """Show a text that contains some HTML."""
        dialog = QDialog(self._parent)
        dialog.setWindowTitle(title)
        layout, page = QVBoxLayout(dialog), QTextBrowser()
        page.setOpenExternalLinks(True)
        page.setHtml(text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.reject)
        layout.addWidget(page)
        layout.addWidget(buttons)
        dialog.resize(700, 600)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def show_help(self, place: str) -> None:
        """Show a help page or section, reusing the open help window unless a modal dialog blocks it."""
        modal = QApplication.activeModalWidget()
        shown = HelpWindow(modal or self._parent) if modal is not None or self._help is None else self._help
        if modal is None:
            self._help = shown
        shown.show_place(place)
        _bring_forward(shown)

    def _helped(self, dialog: QDialog) -> QDialog:
        """The dialog, with F1 for its own help: keys of the window do not reach it."""
        QShortcut(QKeySequence("F1"), dialog).activated.connect(lambda: self.show_help(place_of(dialog)))
        return dialog

    def show_sheet(self, commands: Sequence[Command], keys: KeyMap, mouse: Sequence[MouseRule]) -> None:
        """Show all keys and the mouse actions."""
        self._helped(KeySheet(commands, keys, mouse, self._parent)).show()

    def show_palette(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Let the user find a command and run it."""
        self._helped(Palette(commands, keys, self._parent)).show()

    def change_keys(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Let the user choose other keys."""
        self._helped(KeyDialog(commands, keys, self._parent)).open()

    def ask_training(self, settings: TrainingSettings, images: TrainingSet, start: Callable[[], None]) -> None:
        """Let the user change the training settings, then call ``start`` or cancel; returns at once."""
        self._helped(TrainingDialog(settings, images, start, self._parent)).open()

    def ask_contribution(self, contributing: Contributing) -> None:
        """Ask for license, consent and origin, and let the user send; returns at once."""
        self._helped(ContributionDialog(contributing, self._parent)).open()

    def show_batch(self, session: Session) -> None:
        """Show the queue of folders, reusing the open window; returns at once."""
        if self._batch is None:
            self._batch = BatchWindow(session, self._parent)
            self._helped(self._batch)
        _bring_forward(self._batch)


def _bring_forward(window: QWidget) -> None:
    window.show()
    window.raise_()
    window.activateWindow()
