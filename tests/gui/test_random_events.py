"""A restless hand: thousands of random events raise nothing, lose nothing, and can all be taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QKeySequence, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cellpose import io
from cellpose.gui.controllers._dialogs import NoDialogs
from cellpose.gui.model import Document, Flows
from cellpose.gui.views._window import Window
from hand import Modifier, hover, place, until_open

SIDE = 90
KEYS = [Modifier.NoModifier] * 6 + [
    Modifier.ShiftModifier, Modifier.ControlModifier, Modifier.AltModifier,
    Modifier.ControlModifier | Modifier.ShiftModifier,
]  # fmt: skip
BUTTONS = [Qt.MouseButton.LeftButton] * 5 + [Qt.MouseButton.RightButton] * 3 + [Qt.MouseButton.MiddleButton]
# Commands that open other windows, run a network, or end the window.
LEFT_OUT = ("file.open", "file.seg", "file.masks", "file.save_", "file.quit", "models.", "help.", "view.full_screen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        image, labels = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint16)
        for cell, (y, x) in enumerate(np.random.default_rng(number).integers(12, SIDE - 12, (6, 2)), 1):
            cv2.circle(labels, (int(x), int(y)), 9, cell, -1)
        image[labels > 0] = 200
        cv2.imwrite(str(tmp_path / f"image_{number}.png"), image)
        if number:
            shape = image.shape
            flows = [np.zeros((*shape, 3), np.uint8), np.zeros((2, *shape), np.float32), np.zeros(shape, np.float32)]
            io.write_seg(tmp_path / f"image_{number}_seg.npy", io.seg_content(labels, flows, f"image_{number}.png"))
    return tmp_path


class Watch:
    """Knows for every document that was open its labels without any edit."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.first: list[tuple[Document, np.ndarray]] = []

    def look(self) -> None:
        document = self.window.session.document
        if document is None or any(document is known for known, _ in self.first):
            return
        steps = len(document.history)
        for _ in range(steps):
            document.undo()
        self.first.append((document, document.labels.planes.copy()))
        for _ in range(steps):
            document.redo()
        to_centre = np.stack(np.meshgrid(45 - np.arange(SIDE), 45 - np.arange(SIDE), indexing="ij")).astype(np.float32)
        away = np.hypot(*to_centre)
        document.flows = Flows(None, 5 * to_centre / np.maximum(away, 1), np.where(away < 14, 4, -9).astype(np.float32))

    def assert_all_can_be_taken_back(self) -> None:
        for document, first in self.first:
            last, steps = document.labels.planes.copy(), len(document.history)
            table = document.labels.table.copy()
            for _ in range(steps):
                assert document.undo() is not None
            assert np.array_equal(document.labels.planes, first)
            for _ in range(steps):
                assert document.redo() is not None
            assert np.array_equal(document.labels.planes, last)
            assert document.labels.table.tobytes() == table.tobytes()


def actions(window: Window, rng: np.random.Generator, folder: Path) -> list[tuple[float, Callable[[], object]]]:
    """What the hand may do, each with how often it does."""
    viewport, session = window.scene.viewport(), window.session
    names = [
        (command.id, keys) for command in window.commands for keys in command.keys
        if not command.id.startswith(LEFT_OUT) and not command.title.endswith("…")
    ]  # fmt: skip
    spot = [place(window, 45, 45)]

    def some(count: int, choices: list[object]) -> object:
        return choices[int(rng.integers(count))]

    def near() -> QPoint:
        step = rng.normal(0, 12, 2).round().astype(int)
        moved = spot[0] + QPoint(int(step[0]), int(step[1]))
        spot[0] = QPoint(min(max(moved.x(), 0), viewport.width() - 1), min(max(moved.y(), 0), viewport.height() - 1))
        return spot[0]

    def jump() -> None:
        spot[0] = place(window, *rng.uniform(0, SIDE, 2))
        near()

    def button() -> object:
        return some(len(BUTTONS), BUTTONS)

    def keys() -> object:
        return some(len(KEYS), KEYS)

    def stroke() -> None:
        """A drag, or a right click, a way around and a right click."""
        centre, radius = rng.uniform(10, SIDE - 10, 2), rng.uniform(2, 16)
        angle = np.linspace(0, rng.uniform(3, 7), int(rng.integers(3, 30)))
        path = centre + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        if rng.random() < 0.5:
            held = keys()
            QTest.mousePress(viewport, Qt.MouseButton.LeftButton, held, place(window, *path[0]))
            for point in path[1:]:
                QTest.mouseMove(viewport, place(window, *point))
            QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, held, place(window, *path[-1]))
            return
        QTest.mouseClick(viewport, Qt.MouseButton.RightButton, Modifier.NoModifier, place(window, *path[0]))
        for point in path[1:]:
            hover(window, *point)
        QTest.mouseClick(viewport, Qt.MouseButton.RightButton, Modifier.NoModifier, place(window, *path[-1]))

    def wheel() -> None:
        position, steps = QPointF(near()), QPoint(0, int(rng.choice([-120, 120])))
        event = QWheelEvent(
            position, viewport.mapToGlobal(position), QPoint(), steps, Qt.MouseButton.NoButton, keys(),
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(viewport, event)

    def press_key() -> None:
        name, sequence = some(len(names), names)
        if name in ("edit.clear", "cells.select_all") and rng.random() < 0.9:
            return
        QTest.keySequence(window, QKeySequence(sequence))

    def other_image() -> None:
        session.files.open(folder / f"image_{rng.integers(3)}.png")

    def undo() -> None:
        for _ in range(int(rng.integers(1, 6))):
            QTest.keySequence(window, QKeySequence(some(2, ["Ctrl+Z", "Ctrl+Y"])))

    return [
        (4, jump),
        (4, lambda: QTest.mouseClick(viewport, button(), keys(), near())),
        (3, lambda: QTest.mousePress(viewport, button(), keys(), near())),
        (3, lambda: QTest.mouseRelease(viewport, button(), keys(), near())),
        (1, lambda: QTest.mouseDClick(viewport, button(), keys(), near())),
        (12, lambda: QTest.mouseMove(viewport, near())),
        (6, lambda: hover(window, *rng.uniform(0, SIDE, 2))),
        (8, stroke),
        (2, wheel),
        (8, press_key),
        (3, undo),
        (0.3, other_image),
        (0.3, lambda: session.remove_by(some(3, ["click", "region", "lasso"]))),
        (1.5, lambda: session.fit.emit()),
        (2, lambda: QTest.keyClick(window, some(3, [Qt.Key.Key_Escape, Qt.Key.Key_Escape, Qt.Key.Key_Return]))),
        (0.3, window.session.pointer.let_go),
    ]


def play(window: Window, folder: Path, qtbot: object, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    watch = Watch(window)
    window.session.dialogs = NoDialogs()
    window.activateWindow()
    qtbot.waitActive(window)
    window.session.files.open(folder / "image_0.png")
    watch.look()
    weights, functions = zip(*actions(window, rng, folder), strict=True)
    order = rng.choice(len(functions), count, p=np.array(weights) / sum(weights))
    for number, which in enumerate(order):
        functions[which]()
        until_open(window)
        watch.look()
        if number % 50 == 0:
            QApplication.processEvents()
            window.session.document.labels.table  # noqa: B018
            assert window.session.pointer.mode in {"drawing", *window.session.pointer.tools}
    window.session.pointer.cancel()
    watch.assert_all_can_be_taken_back()
    assert sum(len(document.history) for document, _ in watch.first) > count / 100, "the hand did something"
    last = {}
    for document, _ in watch.first:
        last[document.path] = document.labels.numbered()[0].copy()
    last[window.session.document.path] = window.session.document.labels.numbered()[0].copy()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)
    for path, expected in last.items():
        assert window.session.files.open(path), "the hand is not trapped"
        assert np.array_equal(window.session.document.labels.numbered()[0], expected), f"{path.name}: an edit is lost"


def test_some_random_events(window: Window, folder: Path, qtbot: object) -> None:
    play(window, folder, qtbot, seed=1, count=600)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_random_events(window: Window, folder: Path, qtbot: object, seed: int) -> None:
    play(window, folder, qtbot, seed=seed + 10, count=10_000)
