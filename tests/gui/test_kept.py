"""Full screen, pictures of the view, dark and light, and what is kept between starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication

from cellpose.gui.controllers._dialogs import NoDialogs
from cellpose.gui.controllers._training import Epochs
from cellpose.gui.model._preferences import Preferences
from cellpose.gui.views._window import Window
from hand import Modifier, key

BOTH = Modifier.ControlModifier | Modifier.ShiftModifier


class Answers(NoDialogs):
    def __init__(self, path: Path) -> None:
        self.path = path

    def ask_save(self, title: str, suggested: Path) -> Path | None:
        self.suggested = suggested
        return self.path


def run(window: Window, name: str) -> None:
    next(command for command in window.commands if command.id == name).trigger()


def again(window: Window, qtbot: object) -> Window:
    """Close the window and open another."""
    window.close()
    other = Window()
    qtbot.addWidget(other)
    with qtbot.waitExposed(other):
        other.show()
    return other


def test_full_screen_and_back(filled: Window) -> None:
    key(filled, "F11")
    assert filled.isFullScreen()
    assert filled.session.view.full_screen
    key(filled, "F11")
    assert not filled.isFullScreen()


def test_a_picture_of_the_view_goes_to_the_clipboard(filled: Window) -> None:
    QApplication.clipboard().clear()
    for _ in range(8):
        key(filled, "Equal")
    assert filled.minimap.isVisible()
    key(filled, "C", BOTH)
    copied = QApplication.clipboard().image()
    assert copied.width() == round(filled.scene.width() * filled.devicePixelRatioF())
    x, y = copied.width() - 100, 50  # where the minimap is
    filled.session.view.minimap_on = False
    assert copied.pixelColor(x, y) == filled.scene.grab().toImage().pixelColor(x, y)


def test_a_picture_of_the_view_is_saved(filled: Window, tmp_path: Path) -> None:
    filled.session.dialogs = answers = Answers(tmp_path / "seen")
    key(filled, "S", BOTH)
    assert answers.suggested == Path("image_view.png")
    assert not QImage(str(tmp_path / "seen.png")).isNull()
    answers.path = tmp_path / "no folder" / "a.png"
    key(filled, "S", BOTH)
    assert "not saved" in filled.notice.text.text()


@pytest.mark.parametrize(("theme", "dark"), [("light", False), ("dark", True)])
def test_dark_and_light(filled: Window, theme: str, dark: bool) -> None:
    run(filled, f"view.theme_{theme}")
    assert filled.session.view.dark is dark
    assert (filled.palette().window().color().lightness() < 128) is dark
    run(filled, "view.theme_system")
    scheme = QApplication.instance().styleHints().colorScheme()
    assert filled.session.view.dark is (scheme.name != "Light")


def test_choices_are_there_again_at_the_next_start(filled: Window, qtbot: object) -> None:
    view = filled.session.view
    changed = {"palette": "Okabe-Ito", "opacity": 60, "outline_width": 3, "outlines_on": True, "theme": "light"}
    for name, value in {**changed, "masks_on": False, "brush": 7, "color": "magma"}.items():
        setattr(view, name, value)
    view.set_channel(1, color="#123456", gamma=0.5)
    other = again(filled, qtbot).session.view
    assert {name: getattr(other, name) for name in changed} == changed
    assert (other.brush, other.dark) == (7, False)
    assert (other.channel(1).color, other.channel(1).gamma) == ("#123456", 1.0)
    assert other.masks_on, "nobody should look in vain for cells"
    other.theme = "system"


def test_size_docks_and_open_groups_are_there_again(filled: Window, qtbot: object) -> None:
    filled.resize(770, 560)  # the screen has 800 x 800 points
    filled.folder.hide()
    filled.panel.drawing.look.expand(animate=False)
    filled.panel.segmentation.more.collapse(animate=False)
    other = again(filled, qtbot)
    assert (other.width(), other.height()) == (770, 560)
    assert not other.folder.isVisible()
    assert other.panel.drawing.look.isExpanded()
    assert not other.panel.segmentation.more.isExpanded()


def test_the_dock_of_a_training_is_closed_at_the_next_start(filled: Window, qtbot: object) -> None:
    dock = filled.training
    dock.show()
    assert dock.line.text() == "Nothing is being trained. Ctrl+T begins a training."
    assert not dock.stop.isVisible()
    assert not dock.bar.isVisible()
    filled.session.training.progressed.emit(Epochs("mine", 9))
    assert dock.stop.isVisible()
    other = again(filled, qtbot).training
    assert not other.isVisible()
    other.show()
    assert not other.stop.isVisible()
    assert not other.bar.isVisible()


def test_names_can_be_told_apart_after_the_window_was_small(filled: Window, qtbot: object) -> None:
    filled.resize(1, 1)
    QApplication.processEvents()
    filled.resize(780, 700)
    other = again(filled, qtbot)
    QApplication.processEvents()
    for window in (filled, other):
        header = window.folder.rows.header()
        assert header.sectionSize(0) >= header.fontMetrics().horizontalAdvance("nuclei_dense")


def test_choices_that_make_no_sense_are_left_out(qtbot: object) -> None:
    wrong = {
        "palette": "none",
        "opacity": 999,
        "scale_bar_color": "red",
        "brush": [1],
        "theme": None,
        "outline_width": 0,
    }
    Preferences().put("view", wrong)
    Preferences().put("window", {"geometry": "?", "docks": 5, "open": [1]})
    window = Window()
    qtbot.addWidget(window)
    view = window.session.view
    assert (view.palette, view.opacity, view.scale_bar_color, view.brush) == ("many colors", 128, "#ffffff", 3)
    assert (view.theme, view.outline_width) == ("system", 1)
    window.close()


def test_on_a_small_screen_drawing_and_the_run_button_are_seen_first(window: Window) -> None:
    window.resize(1366, 720)  # of 768 the frame and the bar of the system take a part
    window.session.open_array(np.zeros((1, 3, 50, 50), np.uint8), pixel_um=(0.5, 0.5))
    QApplication.processEvents()
    for part in (window.panel.drawing, window.panel.segmentation.run, window.panel.segmentation.count):
        bottom = part.mapTo(window, part.rect().bottomRight())
        assert bottom.y() < 720 - window.statusBar().height()
    inner = window.panel.widget()
    assert inner.width() <= window.panel.viewport().width(), "nothing is cut off at the right"
