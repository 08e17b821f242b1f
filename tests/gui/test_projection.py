"""The maximum projection between the sections, and the cells as a body."""

from __future__ import annotations

import os

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtTest import QTest

from cellpose.gui.model import _operations as operations
from cellpose.gui.model._turning import shaded
from cellpose.gui.views import _turning_view
from cellpose.gui.views._window import Window
from hand import Modifier, entry, key, until_idle

SHAPE = (12, 40, 50)


@pytest.fixture
def volume(window: Window, qtbot: object) -> Window:
    """The window with three views of a volume with one cell, and its projection."""
    labels = np.zeros(SHAPE, np.int32)
    labels[7:10, 10:20, 20:30] = 1
    image = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)[:, None]
    window.session.open_array(image, labels)
    key(window, "T")
    until_idle(window, qtbot)
    return window


def test_the_projection_is_the_brightest_and_follows_edits(volume: Window, qtbot: object) -> None:
    document, corner = volume.session.document, volume.sections.corner
    shown = corner.canvas.shown
    assert (shown.image == document.picture.planes.max(axis=0)).all()
    assert (shown.labels == document.labels.planes.max(axis=0)).all()
    document.do(operations.delete, [1])
    until_idle(volume, qtbot)
    assert not corner.canvas.shown.labels.any()
    key(volume, "Z", Modifier.ControlModifier)
    until_idle(volume, qtbot)
    assert (corner.canvas.shown.labels == document.labels.planes.max(axis=0)).all()


def test_a_click_on_the_projection_goes_there(volume: Window) -> None:
    view, corner = volume.session.view, volume.sections.corner
    spot = corner.mapFromScene(corner.box.mapViewToScene(QPointF(25.5, 15.5)))
    QTest.mouseClick(corner.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)
    assert view.cross == (15, 25)
    assert view.plane == 8


def test_surfaces_are_shaded() -> None:
    labels = np.zeros((10, 30, 30), np.int32)
    z, y, x = np.indices(labels.shape)
    labels[(2 * (z - 5)) ** 2 + (y - 15) ** 2 + (x - 15) ** 2 < 64] = 1
    seen = shaded(labels, np.array([[0, 0, 0], [200, 100, 50]], np.uint8), 2.0)
    assert seen.shape == (20, 30, 30, 4)
    body = seen[..., 3] > 0
    assert body.sum() < (labels > 0).sum() * 2  # the surface alone
    assert seen[body][:, 0].max() > 1.5 * seen[body][:, 0].min()  # light and shade
    assert seen[:10][body[:10]][:, 0].mean() > seen[10:][body[10:]][:, 0].mean()  # light from above


def test_without_opengl_the_window_says_so(volume: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turning_view, "why_no_opengl", lambda: "no OpenGL here")
    entry(volume, "View", "Cells in 3D, turning").trigger()
    assert volume.notice.text.text() == "no OpenGL here"


@pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM", "offscreen") == "offscreen", reason="needs a screen with OpenGL, as of Xvfb"
)
def test_the_body_is_shown(volume: Window, qtbot: object) -> None:
    reason = _turning_view.why_no_opengl()
    if reason:
        pytest.skip(reason)
    volume.session.body_wanted.emit()
    until_idle(volume, qtbot)
    view = volume.findChild(_turning_view.TurningView)
    assert view.isVisible()
    assert view._body is not None
    view.close()
