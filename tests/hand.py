"""The hand of a user in tests of the window: clicks, moves, keys and strokes as real events."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu

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
    QApplication.processEvents()  # a person presses what was painted
    viewport = window.scene.viewport()
    first, *others = [place(window, *point) for point in points]  # before the view pans
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, keys, first)
    for spot in others:
        QTest.mouseMove(viewport, spot)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, keys, [first, *others][-1])


def key(window: object, name: str, keys: Modifier = Modifier.NoModifier) -> None:
    QTest.keyClick(window, getattr(Qt.Key, f"Key_{name}"), keys)


def until_open(window: object) -> None:
    """Wait for the image that is being opened in the background, and its cells."""
    end = time.monotonic() + 30
    while window.session.files.is_opening and time.monotonic() < end:
        QApplication.processEvents()
    assert not window.session.files.is_opening


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


def drop(window: object, *paths: Path) -> None:
    """Drop files on the middle of the window: on the widget there that takes drops, as Qt does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left, none = Qt.MouseButton.LeftButton, Modifier.NoModifier
    spot = window.scene.mapTo(window, window.scene.rect().center())
    target = window.childAt(spot)
    while not target.acceptDrops():
        target = target.parentWidget()
    place = target.mapFrom(window, spot)
    enter = QDragEnterEvent(place, Qt.DropAction.CopyAction, data, left, none)
    QApplication.sendEvent(target, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(target, QDropEvent(QPointF(place), Qt.DropAction.CopyAction, data, left, none))
    until_open(window)


def choose(box: object, text: str) -> None:
    """Take an entry of a box with several, by the keys."""
    way = box.findText(text) - box.currentIndex()
    for _ in range(abs(way)):
        QTest.keyClick(box, Qt.Key.Key_Down if way > 0 else Qt.Key.Key_Up)
    assert box.currentText() == text


def write_in(box: object, text: str) -> None:
    """Type into a box in place of what stands there, and leave it."""
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_A, Modifier.ControlModifier)
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Tab)


def press(button: object) -> None:
    """Click on a button or a check box."""
    spot = QPoint(10, button.height() // 2)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)


def until_idle(window: object, qtbot: object) -> None:
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=240_000)


def middle(mask: np.ndarray) -> tuple[int, int]:
    """The pixel farthest from the border of a cell."""
    place = np.argmax(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3))
    return tuple(int(axis) for axis in np.unravel_index(place, mask.shape))


class Answers:
    """Dialogs that answer by themselves and keep what they were shown."""

    def __init__(self, path: Path | None = None, yes: bool = False, number: int | None = None) -> None:
        self.path, self.yes, self.number = path, yes, number
        self.asked: list[str] = []
        self.shown: list[str] = []

    def ask_open(self, title: str, kinds: str = "", suggested: Path | None = None) -> Path | None:
        self.asked.append(title)
        self.kinds, self.suggested = kinds, suggested
        return self.path

    def ask_save(self, title: str, _suggested: Path) -> Path | None:
        self.asked.append(title)
        return self.path

    def ask_folder(self, title: str, suggested: Path | None = None) -> Path | None:
        self.asked.append(title)
        return self.path

    def ask_yes(self, title: str, question: str) -> bool:
        self.asked.append(f"{title}: {question}")
        return self.yes

    def ask_number(self, _title: str, question: str, _suggested: int) -> int | None:
        self.asked.append(question)
        return self.number

    def ask_training(self, *_: object) -> None:
        self.asked.append("training")

    def show_batch(self, *_: object) -> None:
        self.asked.append("batch")

    def show_help(self, place: str) -> None:
        self.shown.append(place)

    def show_sheet(self, *_: object) -> None:
        self.asked.append("sheet")

    def show_palette(self, *_: object) -> None:
        self.asked.append("palette")

    def change_keys(self, *_: object) -> None:
        self.asked.append("keys")

    def show_text(self, _title: str, text: str) -> None:
        self.shown.append(text)


def menu(window: object, title: str) -> QMenu:
    found = next(action.menu() for action in window.menuBar().actions() if action.text().replace("&", "") == title)
    for each in (found, *within(found)):
        each.aboutToShow.emit()
    return found


def within(above: QMenu) -> list[QMenu]:
    """The menus within a menu."""
    return [action.menu() for action in above.actions() if action.menu() is not None]


def entry(window: object, title: str, text: str) -> object:
    found = menu(window, title)
    return next(action for each in (found, *within(found)) for action in each.actions() if action.text() == text)
