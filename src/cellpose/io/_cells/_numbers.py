"""Which label an outline of a file belongs to."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["number_in", "numbered", "whole"]

logger = logging.getLogger(__name__)

_LARGEST = 2**31 - 1
_IN_NAME = re.compile(r"\D*?(\d+)(?:-[zt]\d+)?")


def whole(value: Any) -> int | None:
    """A label of a value in a file; None: it is none.

    Examples
    --------
    >>> whole("7"), whole(7.0), whole(True), whole("x"), whole(0)
    (7, 7, None, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number == number // 1 and 0 < number <= _LARGEST else None


def number_in(name: str) -> int | None:
    """The label in a name such as ``cell 7``, ``P07`` or ``7-z2``; None: the name is of another kind.

    Examples
    --------
    >>> number_in("cell 7"), number_in("P07"), number_in("7-z2"), number_in("0001-0034-0056")
    (7, 7, 7, None)
    """
    found = _IN_NAME.fullmatch(name)
    return whole(found.group(1)) if found else None


def numbered(found: Sequence[Sequence[int | None]], planes: Sequence[int | None], source: str) -> list[int]:
    """A label for each outline: what all of them say alike, each cell once per plane; else 1, 2, ... in order.

    Parameters
    ----------
    found
        For each way of saying it the labels that the outlines give.
    planes
        In which plane each outline is.
    source
        Name of the file, for the log.
    """
    for numbers in found:
        given = [number for number in numbers if number is not None]
        if len(given) == len(planes) and len(set(zip(given, planes, strict=True))) == len(planes):
            return given
    logger.info(f"{source} does not give each outline its own number: they become the labels 1 to {len(planes)}")
    return list(range(1, len(planes) + 1))
