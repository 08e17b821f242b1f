"""Settings that an image or its file changes hold for it alone; the user's come back with other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellpose import io
from cellpose.gui.views._window import Window
from hand import draw


def stack(channels: int, *blank: int) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(1, 255, (1, channels, 40, 40)).astype(np.uint8)
    pixels[:, list(blank)] = 0
    return pixels


@pytest.mark.parametrize(("other", "limited"), [(stack(1), (0, 0)), (stack(2), (2, 1))])
def test_an_image_without_a_channel_changes_those_of_no_other(
    window: Window, other: np.ndarray, limited: object
) -> None:
    session = window.session
    session.settings.model = "cyto3"
    session.open_array(stack(3))
    session.settings.channels = (2, 3)
    session.open_array(other)
    assert session.settings.channels == limited
    session.open_array(stack(3))
    assert session.settings.channels == (2, 3)
    assert [box.currentIndex() for box in window.panel.segmentation.channels] == [2, 3]


def test_the_settings_of_a_file_hold_for_its_image(window: Window, tmp_path: Path) -> None:
    a, b = (tmp_path / name for name in ("a.png", "b.png"))
    for path in (a, b):
        io.imsave(path, stack(1)[0, 0])
    session, settings = window.session, window.session.settings
    session.files.open(a)
    settings.diameter, settings.lower = 77.0, 3.0
    draw(window, 20, 20, 8)
    session.files.open(b)
    settings.diameter, settings.lower = 15.0, 2.0
    session.files.open(a)
    assert (settings.diameter, settings.lower) == (77, 3)
    session.remember()
    assert session.preferences.section("segmentation")["diameter"] == 15, "the next session begins with the user's"
    session.files.open(b)
    assert (settings.diameter, settings.lower) == (15, 2)


def test_channels_that_are_hidden_are_seen_in_images_of_another_kind(window: Window) -> None:
    session, view = window.session, window.session.view
    session.open_array(stack(3))
    view.set_channel(0, on=False, gamma=3.0)
    session.open_array(stack(3))
    assert not view.channel(0).on, "images of one kind are seen in one way"
    session.open_array(stack(1))
    assert (view.channel(0).on, view.channel(0).gamma) == (True, 1)
    session.open_array(stack(3))
    assert (view.channel(0).on, view.channel(0).gamma) == (False, 3)
