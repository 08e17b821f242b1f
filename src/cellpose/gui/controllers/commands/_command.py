"""What a command is, and when it can be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session

__all__ = ["Command", "Conditions", "When"]


class When:
    """Whether a command can be used now, and what to do first where it cannot.

    Parameters
    ----------
    needs
        What must hold, each with the words that tell the user what to do first.

    Examples
    --------
    >>> cells = []
    >>> has_cells = When((lambda: bool(cells), "there are no cells yet"))
    >>> has_cells(), has_cells.missing()
    (False, 'there are no cells yet')
    """

    def __init__(self, *needs: tuple[Callable[[], bool], str]) -> None:
        self._needs = needs

    def __call__(self) -> bool:
        return not self.missing()

    def __and__(self, other: When) -> When:
        return When(*self._needs, *other._needs)

    def missing(self) -> str:
        """What to do first; empty where nothing is missing."""
        return next((words for holds, words in self._needs if not holds()), "")


class Conditions:
    """What commands need, for a session."""

    def __init__(self, session: Session) -> None:
        def selected(least: int) -> bool:
            return session.document is not None and len(session.document.selection) >= least

        def has_path() -> bool:
            return session.document is not None and session.document.path is not None

        self.quiet = When((lambda: not session.removing, tr("finish deleting first")))
        self.open = When((lambda: session.document is not None, tr("open an image first")))
        self.image = self.open & self.quiet
        self.file = self.open & When((has_path, tr("the image is in no file")))
        self.cells = self.open & When((lambda: session.cell_count() > 0, tr("there are no cells yet")))
        self.selection = self.open & When((lambda: selected(1), tr("select a cell first: click on it")))
        self.several = self.open & When((lambda: selected(2), tr("select at least two cells first")))
        self.removing = When((lambda: session.removing, tr("choose cells to delete first")))


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
        The user may have chosen others, see ``KeyMap``.
    group
        Entries of one menu with the same group stand together, in the order of the groups.
    checked
        For entries that are on or off: whether it is on.
    enabled
        Whether it can be used now, best as a `When`, which says what is missing; None: always.
    submenu
        Title of the menu within its menu that it stands in; empty: none.
    """

    id: str
    title: str
    run: Callable[[], object]
    keys: tuple[str, ...] = ()
    group: str = "1"
    checked: Callable[[], bool] | None = None
    enabled: Callable[[], bool] | None = None
    submenu: str = ""

    @classmethod
    def toggle(
        cls, id: str, title: str, state: Any, field: str, keys: tuple[str, ...] = (), group: str = "1"
    ) -> Command:
        """An entry that turns a field of ``state`` on and off."""

        def turn() -> None:
            setattr(state, field, not getattr(state, field))

        return cls(id, title, turn, keys, group, checked=lambda: getattr(state, field))

    def obstacle(self) -> str:
        """Why it cannot be used now; empty where it can."""
        if self.enabled is None or self.enabled():
            return ""
        return self.enabled.missing() if isinstance(self.enabled, When) else tr("this cannot be used now")

    def trigger(self) -> str:
        """Run it, if it can be used now: keys ask here too; else why not."""
        obstacle = self.obstacle()
        if not obstacle:
            self.run()
        return obstacle

    @property
    def menu(self) -> str:
        """The menu that it stands in."""
        return self.id.split(".")[0]

    def within(self, submenu: str) -> Command:
        """The same command, in a sub-menu."""
        return self._replace(submenu=submenu)
