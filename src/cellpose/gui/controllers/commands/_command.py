"""Commands, and the conditions for using them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session

__all__ = ["Command", "Conditions", "When"]


class When:
    """Whether a command can be used now, and what to do first if it cannot.

    Parameters
    ----------
    needs
        Conditions, each with a message for the user about what to do first.

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
        """What to do first; empty if nothing is missing."""
        return next((words for holds, words in self._needs if not holds()), "")


class Conditions:
    """The conditions that commands need, for a session."""

    def __init__(self, session: Session) -> None:
        def selected(least: int) -> bool:
            return session.document is not None and len(session.document.selection) >= least

        def has_path() -> bool:
            return session.document is not None and session.document.path is not None

        def has_something() -> bool:
            document = session.document
            there = document is not None and (document.has_file or not document.is_saved)  # without the last cell, too
            return there or session.cell_count() > 0

        self.quiet = When((lambda: not session.removing, tr("finish deleting first")))
        self.open = When((lambda: session.document is not None, tr("open an image first")))
        self.image = self.open & self.quiet
        self.file = self.open & When((has_path, tr("the image is in no file")))
        self.cells = self.open & When((lambda: session.cell_count() > 0, tr("there are no cells yet")))
        self.to_save = self.open & When((has_something, tr("there are no cells yet")))
        self.selection = self.open & When((lambda: selected(1), tr("select a cell first: click on it")))
        self.several = self.open & When((lambda: selected(2), tr("select at least two cells first")))
        self.removing = When((lambda: session.removing, tr("choose cells to delete first")))


class Command(NamedTuple):
    """The action of a menu entry or a key.

    Parameters
    ----------
    id
        ``"edit.undo"``: its menu and a name.
    title
        Title in the menu and the palette.
    run
        Called without arguments.
    keys
        Shortcuts; the menu shows the first. Return is the main key, Enter the one on the number pad. The user may have
        chosen others, see ``KeyMap``.
    group
        Menu entries with the same group are shown together, in the order of the groups.
    checked
        For entries that can be on or off: whether it is on.
    enabled
        Whether it can be used now, preferably a `When`, which explains what is missing; None: always.
    submenu
        Title of its submenu; empty: none.
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
        """Why it cannot be used now; empty if it can."""
        if self.enabled is None or self.enabled():
            return ""
        return self.enabled.missing() if isinstance(self.enabled, When) else tr("this cannot be used now")

    def trigger(self) -> str:
        """Run it if it can be used now, else return why not; keys go through here too."""
        obstacle = self.obstacle()
        if not obstacle:
            self.run()
        return obstacle

    @property
    def menu(self) -> str:
        """The menu it belongs to."""
        return self.id.split(".")[0]

    def within(self, submenu: str) -> Command:
        """The same command in a submenu."""
        return self._replace(submenu=submenu)
