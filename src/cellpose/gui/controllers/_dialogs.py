"""Questions from the session to the user; the window answers with dialogs, tests with prepared answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cellpose.gui.model._training_set import TrainingSet
from cellpose.gui.model._training_settings import TrainingSettings

if TYPE_CHECKING:
    from cellpose.gui.controllers._contributing import Contributing
    from cellpose.gui.controllers._keymap import KeyMap
    from cellpose.gui.controllers._session import Session
    from cellpose.gui.controllers.commands import Command, MouseRule

__all__ = ["Dialogs", "NoDialogs"]


class Dialogs(Protocol):
    """Questions to the user."""

    def ask_open(self, title: str, kinds: str = "", suggested: Path | None = None) -> Path | None:
        """A file to open; None where the user chose none. ``kinds`` as Qt's name filters."""

    def ask_save(self, title: str, suggested: Path) -> Path | None:
        """A file to write; None where the user chose none."""

    def ask_folder(self, title: str, suggested: Path | None = None) -> Path | None:
        """A folder; None where the user chose none."""

    def ask_length(self, title: str, label: str, value: float) -> float | None:
        """A length from 0 upwards; None where the user gave none."""

    def ask_color(self, title: str, color: str) -> str | None:
        """A color, ``"#rrggbb"``; None where the user chose none."""

    def ask_yes(self, title: str, question: str) -> bool:
        """Whether the user agrees."""

    def ask_number(self, title: str, question: str, suggested: int) -> int | None:
        """A whole number from 1 upwards; None where the user gave none."""

    def show_text(self, title: str, text: str) -> None:
        """Show a text with some HTML in it."""

    def show_help(self, place: str) -> None:
        """Show a page of help, ``"window"``, or a section of it, ``"window#keys"``."""

    def show_sheet(self, commands: Sequence[Command], keys: KeyMap, mouse: Sequence[MouseRule]) -> None:
        """Show all keys and mouse actions."""

    def show_palette(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Let the user find a command and run it."""

    def change_keys(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Let the user choose other keys."""

    def ask_training(self, settings: TrainingSettings, images: TrainingSet, start: Callable[[], None]) -> None:
        """Let the user change the training settings, then call ``start`` or cancel; returns at once."""

    def ask_contribution(self, contributing: Contributing) -> None:
        """Ask for license, consent and origin, and let the user send; returns at once."""

    def show_batch(self, session: Session) -> None:
        """Show the queue of folders; returns at once."""


class NoDialogs:
    """No dialogs: every question is answered with None or no."""

    def ask_open(self, title: str, kinds: str = "", suggested: Path | None = None) -> Path | None:
        """None."""
        return None

    def ask_save(self, title: str, suggested: Path) -> Path | None:
        """None."""
        return None

    def ask_folder(self, title: str, suggested: Path | None = None) -> Path | None:
        """None."""
        return None

    def ask_length(self, title: str, label: str, value: float) -> float | None:
        """None."""
        return None

    def ask_color(self, title: str, color: str) -> str | None:
        """None."""
        return None

    def ask_yes(self, title: str, question: str) -> bool:
        """No."""
        return False

    def ask_number(self, title: str, question: str, suggested: int) -> int | None:
        """None."""
        return None

    def show_text(self, title: str, text: str) -> None:
        """Nothing."""

    def show_help(self, place: str) -> None:
        """Nothing."""

    def show_sheet(self, commands: Sequence[Command], keys: KeyMap, mouse: Sequence[MouseRule]) -> None:
        """Nothing."""

    def show_palette(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Nothing."""

    def change_keys(self, commands: Sequence[Command], keys: KeyMap) -> None:
        """Nothing."""

    def ask_training(self, settings: TrainingSettings, images: TrainingSet, start: Callable[[], None]) -> None:
        """Nothing is trained."""

    def ask_contribution(self, contributing: Contributing) -> None:
        """Nothing."""

    def show_batch(self, session: Session) -> None:
        """Nothing."""
