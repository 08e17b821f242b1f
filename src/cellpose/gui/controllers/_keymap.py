"""The keys of each command: its defaults, or those chosen by the user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from psygnal import Signal

from cellpose.gui.model._preferences import Preferences

if TYPE_CHECKING:
    from cellpose.gui.controllers.commands import Command

__all__ = ["KeyMap", "same_key"]

_SECTION = "keys"
_ALSO = {"delete": "del", "escape": "esc", "pageup": "pgup", "pagedown": "pgdown", "insert": "ins"}  # as Qt writes them


class KeyMap:
    """The keys of all commands.

    Parameters
    ----------
    preferences
        Where the user's keys are stored.

    Attributes
    ----------
    changed : Signal()
        The keys of a command changed.
    """

    changed = Signal()

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        kept = preferences.section(_SECTION)
        self._own = {
            name: tuple(keys)
            for name, keys in kept.items()
            if isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        }

    def of(self, command: Command) -> tuple[str, ...]:
        """The keys of a command; the menu shows the first. Empty: none."""
        return self._own.get(command.id, command.keys)

    def is_own(self, command: Command) -> bool:
        """Whether the user has chosen them."""
        return command.id in self._own

    def user_of(self, key: str, commands: Iterable[Command], but: Command | None = None) -> Command | None:
        """The command that has a key; None: the key is free."""
        wanted = same_key(key)
        for command in commands:
            if (but is None or command.id != but.id) and wanted in map(same_key, self.of(command)):
                return command
        return None

    def set(self, command: Command, keys: Iterable[str], commands: Iterable[Command]) -> None:
        """Give a command keys; commands that had one of them lose it."""
        chosen = tuple(dict.fromkeys(keys))
        self._take_from_others(command, chosen, commands)
        self._put(command, chosen)
        self._keep()

    def reset(self, command: Command, commands: Iterable[Command]) -> None:
        """Reset a command to its default keys; other commands that have one of them lose it."""
        self._take_from_others(command, command.keys, commands)
        self._own.pop(command.id, None)
        self._keep()

    def reset_all(self) -> None:
        """Reset all keys to their defaults."""
        self._own.clear()
        self._keep()

    def _take_from_others(self, command: Command, keys: tuple[str, ...], commands: Iterable[Command]) -> None:
        taken = {same_key(key) for key in keys}
        for other in commands:
            has = self.of(other)
            left = tuple(key for key in has if same_key(key) not in taken)
            if other.id != command.id and left != has:
                self._put(other, left)

    def _put(self, command: Command, keys: tuple[str, ...]) -> None:
        if keys == command.keys:
            self._own.pop(command.id, None)
        else:
            self._own[command.id] = keys

    def _keep(self) -> None:
        self._preferences.put(_SECTION, {name: list(keys) for name, keys in self._own.items()})
        self.changed.emit()


def same_key(key: str) -> str:
    """Normalize the spelling of a key, for comparison.

    Examples
    --------
    >>> same_key("Shift+Ctrl+PageUp") == same_key("ctrl+shift+pgup"), same_key("Ctrl++"), same_key("+")
    (True, 'ctrl++', '+')
    """
    held, last = key.casefold(), ""
    if held.endswith("+"):
        held, last = held[:-1].removesuffix("+"), "+"
    else:
        held, _, last = held.rpartition("+")
    return "+".join([*sorted(filter(None, held.split("+"))), _ALSO.get(last, last)])
