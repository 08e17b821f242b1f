"""What the tests of the window share: a home of their own, a window, and the hand that moves in it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_API", "pyside6")

collect_ignore_glob = [] if importlib.util.find_spec("pytestqt") and importlib.util.find_spec("psygnal") else ["*.py"]

SIDE = 120


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    """No screen; told to Qt alone, so that no other test opens a window."""
    return ["pytest", "-platform", os.environ.get("QT_QPA_PLATFORM", "offscreen")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test: journals and settings are kept there."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def hands_off() -> Iterator[None]:
    """No button stays down for the next test: QTest remembers those that a test pressed."""
    yield
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QWidget

    if QApplication.instance() is not None:
        nowhere = QWidget()
        for button in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton):
            QTest.mouseRelease(nowhere, button)


@pytest.fixture
def window(qtbot: object) -> Iterator[object]:
    """An empty window that is shown."""
    from cellpose.gui.views._window import Window

    made = Window()
    qtbot.addWidget(made)
    made.resize(900, 700)
    with qtbot.waitExposed(made):
        made.show()
    yield made
    made.close()


@pytest.fixture
def filled(window: object) -> object:
    """The window with two cells that touch, 1 at the left and 2 at the right."""
    image = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))[None, None]
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[40:60, 20:40], labels[40:60, 40:60] = 1, 2
    window.session.open_array(image, labels)
    return window


@pytest.fixture
def many(window: object) -> object:
    """The window with 16 cells in rows of four, from 1 at the top left."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number in range(16):
        y, x = divmod(number, 4)
        labels[10 + 28 * y : 26 + 28 * y, 10 + 28 * x : 26 + 28 * x] = number + 1
    window.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8), labels)
    return window
