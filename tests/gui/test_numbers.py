"""Numbers that are typed mean what they look like, in every box, or leave the box as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QDialog

from cellpose.gui.views._window import Window
from cellpose.gui.views.panels._number import NumberBox
from hand import write_in

DIAMETERS = {
    "1e2": 100, "1E1": 10, "2.5e1": 25, "1,5": 1.5, "12.5": 12.5, " 40 ": 40, "1e6": 10_000, "100000": 10_000,
    "-5": 0, "1e": 17, "-": 17, "abc": 17, "1.2.3": 17, "5e-1": 0.5,
}  # fmt: skip
WHOLE = {"1e3": 1000, "1.6": 2, "2e1": 20, "1e9": 10_000_000, "-7": -1}


def test_a_diameter_is_what_was_typed_or_the_last_one(window: Window) -> None:
    box, settings = window.panel.segmentation.diameter, window.session.settings
    for typed, diameter in DIAMETERS.items():
        settings.diameter = 17
        write_in(box, typed)
        assert settings.diameter == box.value() == diameter, typed
        assert box.text() == f"{diameter:.1f}"
    settings.niter = 300
    for empty in (box, window.panel.segmentation.niter):
        empty.setFocus()
        empty.selectAll()
        QTest.keyClick(empty, Qt.Key.Key_Backspace)
        QTest.keyClick(empty, Qt.Key.Key_Tab)
    assert (settings.diameter, settings.niter) == (0, 0), "empty boxes, as in version 4"


def test_whole_numbers(window: Window) -> None:
    for typed, n in WHOLE.items():
        write_in(window.panel.segmentation.min_size.box, typed)
        assert window.session.settings.min_size == n, typed


def test_ends_of_the_brightness_are_typed(window: Window) -> None:
    from cellpose.gui.views.panels._views import _ends

    window.session.open_array(np.tile(np.arange(250, dtype=np.uint8), (1, 1, 250, 1)))
    black, white = _ends(window.panel.views.levels[0])
    for end, typed, place, level in ((white, "200", 1, 200), (black, "1e2", 0, 100), (black, "12,5", 0, 12.5)):
        end.setFocus()
        end.selectAll()
        QTest.keyClicks(end, typed)
        QTest.keyClick(end, Qt.Key.Key_Return)
        assert window.session.view.levels[0][place] == level, typed


def test_what_can_be_typed_is_told_where_something_else_was(window: Window) -> None:
    from qtpy.QtWidgets import QToolTip

    write_in(window.panel.segmentation.diameter, "1e6")
    assert QToolTip.text().startswith("a number from 0 to 10,000, or a length once")


def test_every_box_of_the_window_is_such_a_box(window: Window) -> None:
    boxes = window.findChildren(QAbstractSpinBox)
    assert len(boxes) > 8
    assert [type(box).__name__ for box in boxes if not isinstance(box, NumberBox)] == []


def test_a_length_that_is_asked_for(window: Window) -> None:
    def answer(typed: str) -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QDialog)
        box = dialog.findChild(NumberBox)
        QTest.keyClicks(box, typed)
        QTest.keyClick(box, Qt.Key.Key_Return)

    for typed, length in (("6,5e-2", 0.065), ("0.325", 0.325), ("2e9", 1e6)):
        QTimer.singleShot(0, lambda typed=typed: answer(typed))
        assert window.session.dialogs.ask_length("Pixel size", "in micrometres", 0.1) == length


def test_a_length_that_is_not_given(window: Window) -> None:
    QTimer.singleShot(0, lambda: QTest.keyClick(QApplication.activeModalWidget(), Qt.Key.Key_Escape))
    assert window.session.dialogs.ask_number("Number", "of the cell", 3) is None


def test_rates_of_a_training_are_typed_as_they_are_told(qtbot: object) -> None:
    from cellpose.gui.model._training_set import TrainingSet
    from cellpose.gui.model._training_settings import TrainingSettings
    from cellpose.gui.views._training_dialog import TrainingDialog

    settings = TrainingSettings()
    dialog = TrainingDialog(settings, TrainingSet(Path(), (), ()), lambda: None)
    qtbot.addWidget(dialog)
    with qtbot.waitActive(dialog):
        dialog.show()
        dialog.activateWindow()
    write_in(dialog.rate, "1e-5")
    write_in(dialog.decay, "0,1")
    write_in(dialog.epochs, "1e2")
    assert (settings.learning_rate, settings.weight_decay, settings.n_epochs) == (1e-5, 0.1, 100)
    assert isinstance(settings.n_epochs, int)
    assert dialog.rate.text() == "0.00001"
