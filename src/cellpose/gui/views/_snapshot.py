"""A picture of the view: the visible image with cells, scale bar and measurements."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QApplication

from cellpose.gui._texts import tr
from cellpose.gui.controllers._session import Session
from cellpose.gui.model._saved import saved
from cellpose.gui.views._canvas import Scene
from cellpose.gui.views._minimap import Minimap

__all__ = ["take_picture"]


def take_picture(session: Session, scene: Scene, path: Path | None) -> None:
    """Save a picture of the view, without the minimap; None: copy it to the clipboard."""
    picture = _grabbed(scene)
    if path is None:
        QApplication.clipboard().setPixmap(picture)
        session.told.emit(tr("the view is in the clipboard"))
    elif picture.save(str(path)):
        session.told.emit(saved(path))
    else:
        session.failed.emit(
            tr("the view was not saved as {path}; choose a folder that can be written to, and .png or .jpg", path=path)
        )


def _grabbed(scene: Scene) -> QPixmap:
    hidden = [each for each in scene.viewport().findChildren(Minimap) if each.isVisible()]
    for each in hidden:
        each.hide()
    picture = scene.grab()
    for each in hidden:
        each.show()
    return picture
