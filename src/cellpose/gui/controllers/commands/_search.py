"""Finding commands by some letters of their names."""

from __future__ import annotations

from collections.abc import Sequence

from cellpose.gui.controllers.commands._command import Command

__all__ = ["found", "score"]

_WORD, _INSIDE, _SCATTERED = 100, 60, 30  # the start of a word, letters together, letters in their order


def found(commands: Sequence[Command], query: str, menus: dict[str, str]) -> list[Command]:
    """The commands that match a query, best first; all for an empty query.

    Parameters
    ----------
    commands
        The commands; equally good matches keep this order.
    query
        Words, or letters of words in their order.
    menus
        Title of each menu.
    """
    ranked = []
    for command in commands:
        fit = score(query, command.title, f"{menus.get(command.menu, '')} {command.submenu}")
        if fit is not None:
            ranked.append((-fit, bool(command.obstacle()) if query.strip() else False, command))
    return [command for *_, command in sorted(ranked, key=lambda row: row[:2])]


def score(query: str, title: str, menu: str = "") -> float | None:
    """How well a query matches a title or, with less weight, a menu; None if a word does not match.

    Examples
    --------
    >>> score("fil hol", "Fill holes") > score("fhs", "Fill holes") > 0
    True
    >>> score("fill cells", "Fill holes", "Cells") is None, score("xyz", "Fill holes") is None
    (False, True)
    """
    total = 0.0
    for word in query.casefold().split():
        fits = [fit for fit in (_fit(word, title.casefold()), _fit(word, menu.casefold(), 0.5)) if fit]
        if not fits:
            return None
        total += max(fits)
    return total


def _fit(word: str, text: str, weight: float = 1.0) -> float:
    place = text.find(word)
    if any(part.startswith(word) for part in text.split()):
        return weight * (_WORD - min(place, 20) / 10)
    if place >= 0:
        return weight * (_INSIDE - min(place, 20) / 10)
    at, gaps = -1, 0
    for letter in word:
        there = text.find(letter, at + 1)
        if there < 0:
            return 0.0
        gaps += there - at - 1 if at >= 0 else 0
        at = there
    return weight * max(_SCATTERED - gaps, 1)
