"""The status bar: mode in words, what is under the pointer, zoom, and what is saved."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from cellpose.gui.views._window import Window
from hand import click, draw, hover, key


def test_place_intensities_and_cell_under_the_pointer(window: Window, qtbot: object) -> None:
    stack = np.zeros((1, 2, 50, 60), np.uint16)
    stack[0, :, 20, 30] = 40_000, 7
    labels = np.zeros((50, 60), np.int32)
    labels[15:25, 25:35] = 1
    window.session.open_array(stack, labels)
    hover(window, 20, 30)
    qtbot.waitUntil(lambda: window.status.place.text() == "x 30  y 20     40000  7     cell 1")
    hover(window, 5, 5)
    qtbot.waitUntil(lambda: window.status.place.text() == "x 5  y 5     0  0")
    QApplication.sendEvent(window.scene.viewport(), QEvent(QEvent.Type.Leave))
    qtbot.waitUntil(lambda: window.status.place.text() == "")


def test_following_the_pointer_fills_no_pixel_of_the_image_again(filled: Window, qtbot: object) -> None:
    hover(filled, 50, 30)
    qtbot.waitUntil(lambda: "cell 1" in filled.status.place.text())
    pixels = filled.scene.canvas._pixels
    hover(filled, 50, 50)
    qtbot.waitUntil(lambda: "cell 2" in filled.status.place.text())
    assert filled.scene.canvas._pixels is pixels


def test_the_mode_is_told_in_words(filled: Window) -> None:
    status = filled.status
    assert status.mode.text() == "Select"
    click(filled, 90, 90, "RightButton")
    assert (status.mode.text(), status.message.text()) == ("drawing", "right click ends, Esc gives up")
    key(filled, "Escape")
    assert status.mode.text() == "Select"
    key(filled, "P")
    assert status.mode.text() == "Brush"
    filled.session.told.emit("something to read")
    assert status.message.text() == "something to read"
    filled.statusBar().clearMessage()
    assert "drag" in status.message.text()


def test_zoom_in_percent(filled: Window, qtbot: object) -> None:
    ratio = filled.devicePixelRatioF()
    filled.scene.box.setRange(xRange=(0, filled.scene.viewport().width() * ratio / 2), padding=0)
    qtbot.waitUntil(lambda: filled.status.zoom.text() == "200 %")
    key(filled, "Minus")
    qtbot.waitUntil(lambda: filled.status.zoom.text() == "182 %")


def test_a_dot_in_the_title_until_edits_are_saved(window: Window, tmp_path: Path, qtbot: object) -> None:
    cv2.imwrite(str(tmp_path / "cells.png"), np.zeros((120, 120), np.uint8))
    window.session.files.open(tmp_path / "cells.png")
    assert window.windowTitle() == "cells.png"
    draw(window, 60, 60, 20)
    assert window.windowTitle() == "cells.png \N{BLACK CIRCLE}"
    assert window.status.saved.text() == "not saved"
    window.session.files.save()
    qtbot.waitUntil(lambda: window.status.saved.text().startswith("saved "), timeout=10_000)
    assert window.windowTitle() == "cells.png"
    window.session.undo()
    assert window.windowTitle().endswith("\N{BLACK CIRCLE}")
