"""The positions of the window and its parts, kept between starts."""

from __future__ import annotations

from qtpy.QtCore import QByteArray
from qtpy.QtWidgets import QMainWindow

from cellpose.gui.model._preferences import Preferences
from cellpose.gui.views.panels._bound import CollapsibleGroup

__all__ = ["recall_places", "remember_places"]

_SECTION = "window"


def remember_places(window: QMainWindow, preferences: Preferences) -> None:
    """Save size, position, docks, and which groups are open."""
    parts = {"geometry": window.saveGeometry(), "docks": window.saveState()}
    values = {name: bytes(part.toBase64().data()).decode("ascii") for name, part in parts.items()}
    folds = {fold.text(): fold.isExpanded() for fold in window.findChildren(CollapsibleGroup)}
    preferences.put(_SECTION, {**values, "open": folds})


def recall_places(window: QMainWindow, preferences: Preferences) -> bool:
    """Restore everything; False if nothing was saved. Qt keeps windows on the screens that exist."""
    values = preferences.section(_SECTION)
    folds = values.get("open")
    for fold in window.findChildren(CollapsibleGroup):
        wanted = folds.get(fold.text()) if isinstance(folds, dict) else None
        if isinstance(wanted, bool) and wanted != fold.isExpanded():
            (fold.expand if wanted else fold.collapse)(animate=False)
    geometry, docks = (QByteArray.fromBase64(str(values.get(name, "")).encode()) for name in ("geometry", "docks"))
    window.restoreState(docks)
    return bool(window.restoreGeometry(geometry))
