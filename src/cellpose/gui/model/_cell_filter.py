"""Filter of the cell table as typed by the user: ``score<0.5 class=2 unchecked``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError
from cellpose.gui._texts import tr
from cellpose.gui.model._labels import Table
from cellpose.gui.model._marks import is_settled

__all__ = ["EXAMPLES", "FIELDS", "WORDS", "Filter", "diameters", "filter_of"]

EXAMPLES = "score<0.5   class=2   size<50   diameter>20   unchecked   manual"

Numbers = npt.NDArray[np.int32]
Filter = Callable[[Numbers, Table], npt.NDArray[np.bool_]]


def diameters(rows: Table) -> npt.NDArray[np.float64]:
    """Diameters in pixels of disks with the area of the cells."""
    return np.asarray(2 * np.sqrt(rows["area"] / np.pi))


# Values that can be compared with a number.
FIELDS: dict[str, Callable[[Numbers, Table], npt.NDArray[Any]]] = {
    "id": lambda ids, rows: ids,
    "frame": lambda ids, rows: rows["box"][:, 0],
    "size": lambda ids, rows: rows["area"],
    "diameter": lambda ids, rows: diameters(rows),
    "score": lambda ids, rows: rows["score"],
    "class": lambda ids, rows: rows["kind"],
}
# Conditions that hold or not.
WORDS: dict[str, Filter] = {
    "checked": lambda ids, rows: rows["checked"],
    "unchecked": lambda ids, rows: ~is_settled(rows),
    "manual": lambda ids, rows: rows["manual"],
    "scored": lambda ids, rows: ~np.isnan(rows["score"]),
}
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_TERM = re.compile(
    r"""\s*(?:and\b|&+|,)?\s*          # between terms
    (?P<negated>not\b|!)?\s*
    (?P<name>[a-z]+)\s*
    (?:(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>"[^"]*"|[^\s,&]+))?""",
    re.IGNORECASE | re.VERBOSE,
)


def filter_of(text: str, classes: Sequence[str] = ()) -> Filter | None:
    """The filter described by a text; None if the text is empty. All terms must hold.

    Parameters
    ----------
    text
        Terms such as ``score<0.5``, ``class=2``, ``class="immune cell"``, ``unchecked``, ``not manual``.
    classes
        Names of the classes 1, 2, ..., which can be used in place of their numbers.

    Raises
    ------
    InputError
        If the text is not a valid filter; the message says what is allowed.

    Examples
    --------
    >>> from cellpose.gui.model import LabelStore
    >>> store = LabelStore(np.repeat(np.arange(4), 5)[None])
    >>> small = filter_of("size<=5 id>1")
    >>> small(store.ids, store.table[store.ids]).tolist()
    [False, True, True]
    """
    place, terms = 0, []
    text = text.strip()
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            message = tr(
                "{text!r} is not understood; write for example  {examples}", text=text[place:], examples=EXAMPLES
            )
            raise InputError(message)
        terms.append(_term(found["negated"], found["name"], found["sign"], found["value"], classes))
        place = found.end()
    if not terms:
        return None
    return lambda ids, rows: np.logical_and.reduce([term(ids, rows) for term in terms])


def _term(negated: str | None, name: str, sign: str | None, value: str | None, classes: Sequence[str]) -> Filter:
    name = name.lower()
    if sign is None or value is None:
        if name not in WORDS:
            hint = (
                tr("{name} needs a number, as in {name}<5", name=name)
                if name in FIELDS
                else tr("{name!r} is not known", name=name)
            )
            message = tr(
                "{hint}; words are {words}, fields {fields}",
                hint=hint,
                words=", ".join(WORDS),
                fields=", ".join(FIELDS),
            )
            raise InputError(message)
        word = WORDS[name]
        return (lambda ids, rows: ~word(ids, rows)) if negated else word
    if name not in FIELDS:
        message = tr("there is no field {name!r}; fields are {fields}", name=name, fields=", ".join(FIELDS))
        raise InputError(message)
    field, compare, number = FIELDS[name], _COMPARE[sign], _number(name, value.strip('"'), classes)
    if negated:
        return lambda ids, rows: ~compare(field(ids, rows), number)
    return lambda ids, rows: np.asarray(compare(field(ids, rows), number))


def _number(name: str, value: str, classes: Sequence[str]) -> float:
    try:
        return float(value)
    except ValueError:
        lowered = [each.lower() for each in classes]
        if name == "class" and value.lower() in lowered:
            return lowered.index(value.lower()) + 1
        message = tr("{value!r} is no number; write for example {name}<5", value=value, name=name)
        raise InputError(message) from None
