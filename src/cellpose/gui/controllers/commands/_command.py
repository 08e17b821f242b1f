"""What a command is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Command"]


class Command(NamedTuple):
    """What a menu entry or a key does.

    Parameters
    ----------
    id
        ``"edit.undo"``: its menu and a name.
    title
        As the menu and the palette show it.
    run
        Called without arguments.
    keys
        Shortcuts, the first of which stands in the menu. Return is the key of the letters, Enter that of the numbers.
    group
        Entries of one menu with the same group stand together, in the order of the groups.
    checked
        For entries that are on or off: whether it is on.
    enabled
        Whether it can be used now; None: always.
    """

    id: str
    title: str
    run: Callable[[], object]
    keys: tuple[str, ...] = ()
    group: str = "1"
    checked: Callable[[], bool] | None = None
    enabled: Callable[[], bool] | None = None

    def trigger(self) -> None:
        """Run it, if it can be used now: keys ask here too."""
        if self.enabled is None or self.enabled():
            self.run()

    @property
    def menu(self) -> str:
        """The menu that it stands in."""
        return self.id.split(".")[0]
