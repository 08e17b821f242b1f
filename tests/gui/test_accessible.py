"""The window without eyes and without a mouse: names of controls, the way of the Tab key, dialogs by keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QAccessible
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractItemView, QApplication, QDialog, QGraphicsView, QLabel, QWidget
from shiboken6 import isValid

from cellpose import io
from cellpose.gui.views._window import Window
from cellpose.gui.views.panels._names import controls_of
from hand import Modifier, key, until_open

Keys = Qt.Key


def spoken(widget: QWidget) -> str:
    """What a screen reader says."""
    return str(QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name))


def nameless(top: QWidget) -> list[str]:
    """Controls without a name of their own; Qt names a box of choices by what is chosen."""
    named = lambda each: spoken(each) and (each.accessibleName() or not hasattr(each, "currentText"))  # noqa: E731
    return [f"{type(each).__name__}: {each.toolTip()}" for each in controls_of(top) if not named(each)]


@pytest.fixture
def several(window: Window) -> Window:
    """A window with five channels and some cells."""
    labels = np.zeros((60, 60), np.int32)
    labels[20:40, 10:30], labels[20:40, 30:50] = 1, 2
    image = np.arange(60, dtype=np.uint8) + np.zeros((1, 5, 60, 60), np.uint8)
    window.session.open_array(image[:, :3], labels, channels=image, channel_names=("DAPI", "", "actin", "", "ER"))
    return window


def dialogs(window: Window) -> Iterator[QDialog]:
    from cellpose.gui.model._training_set import TrainingSet
    from cellpose.gui.model._training_settings import TrainingSettings

    asked, commands, keys = window.session.dialogs, window.commands, window.session.keys
    asked.ask_training(TrainingSettings(), TrainingSet(Path(), (), ()), lambda: None)
    asked.change_keys(commands, keys)
    asked.show_sheet(commands, keys, [])
    asked.show_palette(commands, keys)
    asked.ask_contribution(window.session.contributing)
    asked.show_help("window")
    window.session.batch.add(Path())
    asked.show_batch(window.session)
    yield from window.findChildren(QDialog)


def test_every_control_has_a_name(several: Window) -> None:
    controls = controls_of(several)
    assert len(controls) > 100
    assert nameless(several) == []
    panel = several.panel
    assert spoken(panel.segmentation.flow.slider) == spoken(panel.segmentation.flow.box) == "flow threshold"
    assert panel.segmentation.model.accessibleName() == "model"
    assert panel.segmentation.form.labelForField(panel.segmentation.model.parentWidget()).buddy() is (
        panel.segmentation.model
    )
    assert spoken(panel.views.channels.colors[0]) == "DAPI, color"
    assert spoken(panel.views.levels[2]) == "actin"
    assert spoken(several.scene) == "image"


def test_every_control_of_every_dialog_has_a_name(several: Window) -> None:
    shown = list(dialogs(several))
    assert len(shown) == 7
    assert {type(dialog).__name__: nameless(dialog) for dialog in shown} == {type(each).__name__: [] for each in shown}
    for dialog in shown:
        dialog.close()


def test_whatever_can_have_the_keys_has_a_name(several: Window) -> None:
    """Besides controls: tabs, areas that scroll, views. Parts of a control, and labels without a text, are left out."""
    several.session.tour.begin()
    shown = list(dialogs(several))
    found = {}
    for top in (several, *shown):
        for each in (top, *top.findChildren(QWidget)):
            takes_keys = each.window() is top and each.focusPolicy() != Qt.FocusPolicy.NoFocus
            part = each.focusProxy() is not None or each.objectName().startswith("qt_") or isinstance(each, QLabel)
            if takes_keys and not part and not isinstance(each.parentWidget(), QGraphicsView):
                found[each] = spoken(each)
    assert len(found) > 100
    assert [
        f"{type(each).__name__} in {type(each.window()).__name__}" for each, name in found.items() if not name
    ] == []
    for dialog in shown:
        dialog.close()


def way_of_tab(top: QWidget, first: QWidget, most: int = 400) -> list[QWidget]:
    """Where the Tab key goes from a control, until it is there again."""
    first.setFocus(Qt.FocusReason.TabFocusReason)
    assert QApplication.focusWidget() is not None
    way = [QApplication.focusWidget()]
    for _ in range(most):
        QTest.keyClick(QApplication.focusWidget(), Keys.Key_Tab)
        if QApplication.focusWidget() is way[0]:
            return way
        way.append(QApplication.focusWidget())
    seen = [f"{type(each).__name__} {each.accessibleName()}" for each in way]
    raise AssertionError(f"Tab goes nowhere: {seen[:130]}")


def test_tab_goes_through_the_controls_as_they_are_read(several: Window, qtbot: object) -> None:
    several.resize(1200, 1600)
    several.activateWindow()
    qtbot.waitUntil(several.isActiveWindow)
    for fold in (several.panel.views.channels, several.panel.drawing.look, several.panel.filtering.more):
        fold.expand(animate=False)
    way = way_of_tab(several, several.panel.views.color)
    ends = [several.panel, several.scene, several.folder]
    owners = [next((n for n, end in enumerate(ends) if end.isAncestorOf(each) or end is each), 3) for each in way]
    assert owners == sorted(owners), "the column, then the image, then the docks"
    assert owners.count(0) > 40
    column = [each.mapTo(several.panel.widget(), QPoint(0, each.height() // 2)) for each in way if
              several.panel.isAncestorOf(each)]  # fmt: skip
    rows = [place.y() for place in column]
    assert all(later > before - 12 for before, later in pairwise(rows)), [
        (each.accessibleName(), row) for each, row in zip(way, rows, strict=False)
    ]


def test_the_folder_is_gone_through_by_keys(window: Window, qtbot: object, tmp_path: Path) -> None:
    for name in "abc":
        io.imsave(str(tmp_path / f"{name}.png"), np.tile(np.arange(30, dtype=np.uint8), (30, 1)))
    window.session.files.begin(tmp_path / "a.png")
    until_open(window)
    qtbot.waitUntil(lambda: window.folder.rows.topLevelItemCount() == 3)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    key(window, "F", Modifier.ControlModifier | Modifier.ShiftModifier)
    if not window.folder.rows.hasFocus():  # it was before the others and is put away first
        key(window, "F", Modifier.ControlModifier | Modifier.ShiftModifier)
    assert window.folder.rows.hasFocus()
    color = window.session.view.color
    for _ in range(2):
        QTest.keyClick(window.folder.rows, Keys.Key_Down)
    QTest.keyClick(window.folder.rows, Keys.Key_Return)
    until_open(window)
    assert window.session.document.path == tmp_path / "c.png"
    assert window.session.view.color == color


@pytest.mark.parametrize(("letter", "name"), [("F", "folder"), ("T", "cells")])
def test_a_panel_that_was_closed_comes_back(several: Window, qtbot: object, letter: str, name: str) -> None:
    several.activateWindow()
    qtbot.waitUntil(several.isActiveWindow)
    both, dock = Modifier.ControlModifier | Modifier.ShiftModifier, getattr(several, name)
    dock.close()
    key(several, letter, both)
    assert dock.isVisible()
    assert not dock.visibleRegion().isEmpty(), "before the others"
    assert isinstance(QApplication.focusWidget(), QAbstractItemView)
    assert dock.isAncestorOf(QApplication.focusWidget())
    key(several, letter, both)
    assert not dock.isVisible()


def by_tab(dialog: QDialog, wanted: QWidget) -> None:
    """Go to a control with the Tab key."""
    for _ in range(40):
        if QApplication.focusWidget() is wanted:
            return
        QTest.keyClick(QApplication.focusWidget() or dialog, Keys.Key_Tab)
    raise AssertionError(f"Tab does not reach {wanted}, it is at {QApplication.focusWidget()}")


def test_a_training_is_asked_for_by_keys(window: Window, qtbot: object) -> None:
    from cellpose.gui.model._training_set import TrainingSet
    from cellpose.gui.model._training_settings import TrainingSettings
    from cellpose.gui.views._training_dialog import TrainingDialog

    settings, started = TrainingSettings(model_name="mine"), []
    dialog = TrainingDialog(settings, TrainingSet(Path(), (), ()), lambda: started.append(settings.n_epochs))
    qtbot.addWidget(dialog)
    with qtbot.waitActive(dialog):
        dialog.show()
        dialog.activateWindow()
    for control in (dialog.base, dialog.chan, dialog.chan2, dialog.rate, dialog.decay, dialog.epochs, dialog.name):
        by_tab(dialog, control)
    by_tab(dialog, dialog.border)
    QTest.keyClick(dialog.border, Keys.Key_Space)
    by_tab(dialog, dialog.epochs)
    dialog.epochs.selectAll()
    QTest.keyClicks(dialog.epochs, "7")
    by_tab(dialog, dialog.train)
    QTest.keyClick(dialog.train, Keys.Key_Space)
    assert settings.ignore_border
    assert started == [7]


def test_a_key_is_changed_by_keys(window: Window, qtbot: object) -> None:
    from cellpose.gui.views._key_dialog import KeyDialog

    dialog = KeyDialog(window.commands, window.session.keys)
    with qtbot.waitActive(dialog):
        dialog.show()
        dialog.activateWindow()
    assert dialog.search.hasFocus(), (QApplication.focusWidget(), QApplication.activeWindow())
    QTest.keyClicks(dialog.search, "measure a length")
    by_tab(dialog, dialog.table)
    by_tab(dialog, dialog.edit)
    QTest.keyClick(dialog.edit, Keys.Key_U)
    qtbot.waitUntil(dialog.assign.isEnabled)
    by_tab(dialog, dialog.assign)
    QTest.keyClick(dialog.assign, Keys.Key_Space)
    (command,) = [each for each in window.commands if each.id == "view.tool_measure"]
    assert window.session.keys.of(command) == ("U",)
    QTest.keyClick(dialog, Keys.Key_Escape)
    qtbot.waitUntil(lambda: not isValid(dialog))
