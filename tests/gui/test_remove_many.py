"""Deleting several cells at once: by clicks, by the yellow rectangle."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model import LabelStore
from cellpose.gui.model._regions import cells_touched
from cellpose.gui.views._window import Window
from hand import Modifier, click, drag, key

SIDE = 120


def test_clicked_cells_are_removed_together_and_come_back_together(many: Window) -> None:
    drawing = many.panel.drawing
    assert not drawing.done.isEnabled()
    drawing.click.click()
    for y, x in ((15, 15), (15, 45), (45, 15), (15, 45)):
        click(many, y, x)
    assert many.session.document.selection == {1, 5}, "the second click on a cell leaves it"
    drawing.done.click()
    assert sorted(set(range(1, 17)) - set(many.session.document.labels.ids.tolist())) == [1, 5]
    assert many.session.pointer.mode == "select"
    key(many, "Z", Modifier.ControlModifier)
    assert many.session.cell_count() == 16


def test_the_rectangle_takes_what_it_touches_also_when_it_is_moved(many: Window) -> None:
    many.panel.drawing.region.click()
    region = many.region
    assert region.isVisible()
    assert region.size()[0] == pytest.approx(many.scene.box.viewRect().width() / 2)
    first = many.session.document.selection
    assert first >= {6, 7, 10, 11}
    region.setPos((0, 0))
    region.setSize((30, 120))
    assert many.session.document.selection == {1, 5, 9, 13}
    drag(many, (60, 15), (60, 30), (60, 43))
    assert many.session.document.selection == {2, 6, 10, 14}
    drag(many, (119.5, 58), (90, 70), (62, 100))
    assert many.session.document.selection >= {2, 3, 6, 7}
    assert not many.session.document.selection & {13, 14, 15, 16}
    key(many, "Return")
    assert not region.isVisible()
    assert many.session.cell_count() < 16


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_cancel_keeps_all(many: Window, how: str) -> None:
    many.panel.drawing.region.click()
    click(many, 15, 15)
    many.panel.drawing.cancel.click() if how == "button" else key(many, "Escape")
    assert many.session.cell_count() == 16
    assert many.session.document.selection == set()
    assert not many.region.isVisible()
    assert many.session.pointer.mode == "select"


def test_nothing_is_run_opened_saved_or_drawn_meanwhile(many: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    many.panel.drawing.click.click()
    assert not many.panel.segmentation.run.isEnabled()
    monkeypatch.setattr(many.session.jobs, "start", lambda *_: pytest.fail("something was started"))
    key(many, "S", Modifier.ControlModifier)
    key(many, "Return", Modifier.ShiftModifier)
    click(many, 60, 60, "RightButton")
    assert many.session.pointer.mode == "remove"
    document = many.session.document
    key(many, "Right")
    assert many.session.document is document
    many.panel.drawing.cancel.click()
    assert many.panel.segmentation.run.isEnabled()


def test_another_image_ends_it(many: Window) -> None:
    many.panel.drawing.region.click()
    many.session.open_array(np.zeros((1, 1, SIDE, SIDE), np.uint8))
    assert many.session.pointer.mode == "select"
    assert not many.region.isVisible()


def test_cells_touched_are_those_with_a_pixel_inside() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 30, (12, 12)).astype(np.int32).repeat(5, axis=0).repeat(5, axis=1)
    store = LabelStore(labels)
    for _ in range(50):
        y0, x0 = rng.uniform(-5, 60, 2)
        y1, x1 = y0 + rng.uniform(0, 40), x0 + rng.uniform(0, 40)
        rows, columns = slice(max(0, int(y0 // 1)), int(-(-y1 // 1))), slice(max(0, int(x0 // 1)), int(-(-x1 // 1)))
        inside = set(np.unique(store.planes[0, rows, columns]).tolist()) - {0} if y1 > 0 and x1 > 0 else set()
        assert cells_touched(store, 0, (y0, x0, y1, x1)) == inside
