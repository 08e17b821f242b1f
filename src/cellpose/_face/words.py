"""Words of messages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["listed"]


def listed(items: Sequence[object], most: int = 5) -> str:
    """The first few items, for a message, and how many more there are.

    Examples
    --------
    >>> listed(["a.tif", "b.tif"]), listed(range(1, 8), most=3)
    ('a.tif, b.tif', '1, 2, 3 and 4 more')
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
