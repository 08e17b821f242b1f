"""The origin of the cells of a file: which model found them, with which settings, and edits by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from html import escape
from typing import Any

import numpy as np

from cellpose.gui._texts import mark, tr
from cellpose.gui.model._labels import Table
from cellpose.gui.model._marks import is_settled
from cellpose.version import version

__all__ = ["PROVENANCE_KEY", "Origin", "by_hand", "content_of_origins", "origins_of", "told"]

PROVENANCE_KEY = "provenance"  # of a _seg.npy

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Origin:
    """One event that found cells, or loaded them from a file.

    Parameters
    ----------
    what
        ``"segment"``, ``"thresholds"`` or ``"load masks"``: the name of the edit.
    model
        Name of the model; for loaded masks, the name of their file.
    cells
        Number of cells found.
    settings
        Settings of the run, plain values by name.
    when
        ISO 8601, local time.
    version
        Version of this package.
    """

    what: str
    model: str
    cells: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    when: str = field(default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds"))
    version: str = version


def by_hand(rows: Table) -> dict[str, int]:
    """Number of all cells, and of those drawn or corrected by hand, checked, and given a class."""
    return {
        mark("cells"): len(rows),
        mark("drawn or corrected"): int(np.count_nonzero(rows["manual"])),
        mark("checked or by hand"): int(np.count_nonzero(is_settled(rows))),
        mark("with a class"): int(np.count_nonzero(rows["kind"])),
    }


def content_of_origins(origins: Sequence[Origin], rows: Table) -> dict[str, Any]:
    """The origins as content of a ``_seg.npy``."""
    return {"origins": [asdict(each) for each in origins], "now": by_hand(rows), "version": version}


def origins_of(content: Any) -> tuple[Origin, ...]:
    """The origins in a ``_seg.npy``; invalid entries are dropped."""
    listed = content.get("origins") if isinstance(content, Mapping) else None
    if not isinstance(listed, (list, tuple)):
        return ()
    return tuple(found for each in listed if (found := _origin(each)) is not None)


def _origin(content: Any) -> Origin | None:
    if not isinstance(content, Mapping):
        return None
    texts = {name: content.get(name) for name in ("what", "model", "when", "version")}
    cells, settings = content.get("cells"), content.get("settings")
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(cells, int):
        return None
    plain = {str(name): value for name, value in settings.items()} if isinstance(settings, Mapping) else {}
    return Origin(cells=cells, settings=plain, **texts)  # type: ignore[arg-type]


def told(name: str, origins: Sequence[Origin], rows: Table) -> str:
    """The history of a file as HTML."""
    parts = [f"<h3>{escape(name)}</h3>"]
    for origin in origins:
        shown = ", ".join(f"{escape(key)} {escape(_shown(value))}" for key, value in origin.settings.items())
        when = escape(origin.when.replace("T", " "))
        parts.append(
            tr(
                "<p><b>{when}</b>: {what} by <b>{model}</b>, {cells} cells (cellpose "
                "{version})<br><small>{shown}</small></p>",
                when=when,
                what=escape(tr(origin.what)),
                model=escape(origin.model),
                cells=origin.cells,
                version=escape(origin.version),
                shown=shown,
            )
        )
    if not origins:
        parts.append(tr("<p>Nothing is known of where the cells come from.</p>"))
    lines = "".join(
        f"<tr><td align='right'>{n}</td><td>{escape(tr(what))}</td></tr>" for what, n in by_hand(rows).items()
    )
    return "".join([*parts, tr("<p>Now:</p><table cellpadding='3'>{lines}</table>", lines=lines)])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, (*_PLAIN, list, tuple)) else "..."
