"""Every command of the registry, by each of its keys and by its menu, in an empty window and in a filled one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest

from cellpose.gui.controllers._dialogs import NoDialogs
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands import Command, commands
from cellpose.gui.model import Flows
from cellpose.gui.views._window import Window
from hand import within

SIDE = 60
REGISTRY = {command.id: command for command in commands(Session(lambda function: function()))}
KEYS = [(name, key) for name, command in REGISTRY.items() for key in command.keys]
STATES = ["empty", "filled"]


@pytest.fixture(scope="module")
def one_window(qapp: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window for all of these tests: to make one takes longer than to use it."""
    with pytest.MonkeyPatch.context() as patch:
        home = str(tmp_path_factory.mktemp("home"))
        patch.setenv("HOME", home)
        patch.setenv("USERPROFILE", home)
        made = Window()
    made.resize(900, 700)
    made.show()
    assert QTest.qWaitForWindowExposed(made)
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def triggered(one_window: Window, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[str]:
    """The commands that were run; questions have no answer, and no job is started."""
    session, ran, run = one_window.session, [], one_window._run
    session.dialogs = NoDialogs()
    monkeypatch.setattr(session.jobs, "start", lambda *_: None)

    def record(command: Command) -> None:
        ran.append(command.id)
        run(command)

    monkeypatch.setattr(one_window, "_run", record)
    if request.getfixturevalue("state") == "empty":
        session.pointer.open(None)
        session.document = None
        return ran
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[20:40, 10:30], labels[20:40, 30:50] = 1, 2
    document = session.open_array(np.tile(np.arange(SIDE, dtype=np.uint8), (1, 1, SIDE, 1)), labels)
    plane = np.zeros((SIDE, SIDE), np.float32)
    document.flows = Flows(np.zeros((1, SIDE, SIDE, 3), np.uint8), np.stack([plane, plane]), plane)
    document.select([1, 2])
    return ran


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("name", "key"), KEYS, ids=[f"{name}-{key}" for name, key in KEYS])
def test_each_key_runs_its_command(one_window: Window, triggered: list[str], name: str, key: str, state: str) -> None:
    one_window.scene.setFocus()
    QTest.keySequence(one_window, QKeySequence(key))
    assert triggered == [name], state


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", REGISTRY)
def test_each_entry_runs_its_command_or_tells_why_not(
    one_window: Window, triggered: list[str], name: str, state: str
) -> None:
    command = next(command for command in one_window.commands if command.id == name)
    menus = [action.menu() for action in one_window.menuBar().actions()]
    menus += [inner for menu in menus for inner in within(menu)]
    (shown,) = [menu for menu in menus for action in menu.actions() if action.objectName() == name]
    shown.aboutToShow.emit()
    action = next(action for action in shown.actions() if action.objectName() == name)
    assert action.isEnabled() is not bool(command.obstacle())
    assert action.text() == command.title
    if command.checked is not None:
        assert action.isChecked() is command.checked()
    action.trigger()
    assert triggered == ([name] if action.isEnabled() else []), state
    shown.aboutToHide.emit()
