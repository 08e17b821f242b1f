"""Giving a segmentation from the window to a real server: nothing goes without consent, and errors can be mended."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit
from shiboken6 import isValid

from cellpose.contributions import CONSENT, Store
from cellpose.gui.views._contribution_dialog import ContributionDialog
from cellpose.gui.views._window import Window
from served import Served, serving

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn")), reason="needs the extra serve"
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collection") / "given"


@pytest.fixture(scope="module")
def server(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    words = ["--contributions", str(collection), "--token", "secret"]
    with serving(*words, folder=tmp_path_factory.mktemp("serve")) as one:
        yield one


def ask(window: Window) -> ContributionDialog:
    """Open the dialog by its menu entry."""
    menus = [action.menu() for action in window.menuBar().actions()]
    (entry,) = [a for menu in menus for a in menu.actions() if a.text() == "Contribute this segmentation…"]
    entry.trigger()
    dialogs = [each for each in window.findChildren(ContributionDialog) if each.isVisible()]
    return dialogs[0]


def is_closed(dialog: ContributionDialog) -> bool:
    return not isValid(dialog) or not dialog.isVisible()


def write(line: QLineEdit, text: str) -> None:
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, text)


def press(dialog: ContributionDialog) -> None:
    QTest.mouseClick(dialog.send, Qt.MouseButton.LeftButton)


def test_a_segmentation_is_sent_with_licence_consent_and_origin(
    filled: Window, server: Served, collection: Path, qtbot: QtBot, home: Path
) -> None:
    told: list[str] = []
    filled.session.told.connect(told.append)
    dialog = ask(filled)
    assert "the open image, 120 x 120 pixels, 2 cells" in {
        label.text() for label in dialog.findChildren(type(dialog.problem))
    }
    assert not dialog.send.isEnabled()
    write(dialog.server, server.address)
    write(dialog.contributor, "Ada")
    assert "Say where the image comes from" in dialog.problem.text()
    write(dialog.source, "room 12")
    assert dialog.problem.text() == "Nothing is sent unless you agree."
    press(dialog)
    assert not filled.session.contributing.is_running
    dialog.consent.click()
    assert dialog.problem.text() == ""
    press(dialog)
    qtbot.waitUntil(lambda: "a token is needed" in dialog.problem.text(), timeout=60_000)
    write(dialog.token, "secret")  # what was wrong is mended, and the rest is still there
    press(dialog)
    qtbot.waitUntil(lambda: is_closed(dialog), timeout=60_000)
    assert "it is looked at before a model is trained on it" in told[-1]

    store = Store(collection)
    (kept,) = store.contributions()
    given = kept.provenance
    assert (given.contributor, given.source, given.licence) == ("Ada", "room 12", "CC-BY-4.0")
    assert given.consent == CONSENT
    assert given.method == "0 of 2 cells drawn or corrected by hand"
    np.testing.assert_array_equal(store.read(kept).labels, filled.session.document.labels.planes[0])
    np.testing.assert_array_equal(store.read(kept).image, filled.session.document.stack[0, 0])

    again = ask(filled)
    assert again.source.text() == "room 12"
    assert not again.consent.isChecked()  # asked each time
    assert again.token.text() == "secret"  # until the window is closed
    again.consent.click()
    press(again)
    qtbot.waitUntil(lambda: "was contributed" in again.problem.text(), timeout=60_000)
    QTest.keyClick(again, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: is_closed(again), timeout=10_000)
    remembered = json.loads((home / ".cellpose" / "window.json").read_text())["contribution"]
    assert remembered == {"server": server.address, "licence": "CC-BY-4.0", "contributor": "Ada", "source": "room 12"}


def test_a_server_that_is_not_there_is_named_and_closing_stops_it(filled: Window, qtbot: QtBot) -> None:
    dialog = ask(filled)
    write(dialog.server, "ftp://a")
    assert "needs an address" in dialog.problem.text()
    write(dialog.server, "127.0.0.1:9")
    write(dialog.contributor, "Ada")
    write(dialog.source, "room 12")
    dialog.consent.click()
    press(dialog)
    qtbot.waitUntil(lambda: "cannot be reached" in dialog.problem.text(), timeout=60_000)
    press(dialog)
    dialog.reject()
    assert not filled.session.contributing.is_running


def test_there_must_be_cells(window: Window) -> None:
    told: list[str] = []
    window.session.told.connect(told.append)
    command = next(command for command in window.commands if command.id == "file.contribute")
    assert command.obstacle() == "open an image first"
    window.session.open_array(np.zeros((1, 1, 80, 80), np.uint8))
    assert command.obstacle() == "there are no cells yet"


def test_of_a_volume_the_plane_that_is_seen_is_given(
    window: Window, server: Served, collection: Path, qtbot: QtBot
) -> None:
    rng = np.random.default_rng(3)
    stack = rng.integers(0, 255, (3, 2, 80, 80)).astype(np.uint8)
    stack[:, 1] = 7  # a channel in which nothing is seen is not given
    labels = np.zeros((3, 80, 80), np.int32)
    labels[1, 10:30, 10:30], labels[2, 10:30, 10:30] = 1, 2
    window.session.open_array(stack, labels)
    window.session.view.plane = 1
    dialog = ask(window)
    assert "the open image, plane 2 of 3, 80 x 80 pixels" in {
        each.text() for each in dialog.findChildren(type(dialog.problem))
    }
    form = {"server": server.address, "token": "secret", "contributor": "Bo", "source": "volumes"}
    for name, text in form.items():
        write(getattr(dialog, name), text)
    dialog.licence.setCurrentIndex(0)
    dialog.consent.click()
    press(dialog)
    qtbot.waitUntil(lambda: is_closed(dialog), timeout=60_000)
    store = Store(collection)
    kept = next(each for each in store.contributions() if each.source == "volumes")
    assert kept.provenance.licence == "CC0-1.0"
    np.testing.assert_array_equal(store.read(kept).image, stack[1, 0])
    np.testing.assert_array_equal(store.read(kept).labels, (labels[1] > 0).astype(np.int32))
