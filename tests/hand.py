"""The hand of a user in tests of the window: clicks, moves, keys and strokes as real events."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

Modifier = Qt.KeyboardModifier


def place(window: object, y: float, x: float) -> QPoint:
    """Where a pixel of the image is in the view."""
    return window.scene.mapFromScene(window.scene.box.mapViewToScene(QPointF(x + 0.5, y + 0.5)))


def click(window: object, y: float, x: float, button: str = "LeftButton", keys: Modifier = Modifier.NoModifier) -> None:
    QTest.mouseClick(window.scene.viewport(), getattr(Qt.MouseButton, button), keys, place(window, y, x))


def hover(window: object, y: float, x: float) -> None:
    """Move without buttons and keys (QTest keeps those of the last click)."""
    viewport, spot = window.scene.viewport(), QPointF(place(window, y, x))
    none = Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, spot, viewport.mapToGlobal(spot), none, none, Modifier.NoModifier)
    QApplication.sendEvent(viewport, event)


def drag(window: object, *points: tuple[float, float], keys: Modifier = Modifier.NoModifier) -> None:
    """Press the left button at the first point, move over the others, release at the last."""
    viewport = window.scene.viewport()
    first, *others = [place(window, *point) for point in points]  # before the view pans
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, keys, first)
    for spot in others:
        QTest.mouseMove(viewport, spot)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, keys, [first, *others][-1])


def key(window: object, name: str, keys: Modifier = Modifier.NoModifier) -> None:
    QTest.keyClick(window, getattr(Qt.Key, f"Key_{name}"), keys)


def circle(y: float, x: float, radius: float, share: float = 1.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi * share, 40)
    return np.stack([y + radius * np.sin(angle), x + radius * np.cos(angle)], axis=1)


def draw(window: object, y: float, x: float, radius: float, share: float = 0.85) -> None:
    """Right click, hover around, right click."""
    path = circle(y, x, radius, share)
    click(window, *path[0], "RightButton")
    for point in path[1:]:
        hover(window, *point)
    click(window, *path[-1], "RightButton")
