"""What an empty window says, and that it fits the screen."""

from __future__ import annotations

import numpy as np


def test_an_empty_window_tells_how_to_begin_until_an_image_is_open(window, monkeypatch):
    asked = []
    monkeypatch.setattr(window.session.dialogs, "ask_open", lambda *words: asked.append(words))
    assert window.welcome.isVisible()
    assert window.welcome.size() == window.scene.size()
    window.resize(700, 500)
    assert window.welcome.size() == window.scene.size()
    window.welcome.button.click()
    assert asked
    window.session.open_array(np.zeros((1, 1, 20, 20), np.uint8))
    assert not window.welcome.isVisible()


def test_a_new_window_lies_within_the_screen(qtbot):
    from cellpose.gui.views._window import Window

    made = Window()
    qtbot.addWidget(made)
    assert made.screen().availableGeometry().contains(made.geometry())
    made.close()
