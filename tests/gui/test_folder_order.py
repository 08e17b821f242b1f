"""The order of the images of a folder: by name, by doubt, by what to annotate first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from cellpose import io, weights
from cellpose.gui.controllers._folder import ORDERS
from cellpose.gui.controllers._proposal import places_of
from cellpose.gui.views._window import Window
from hand import entry, until_idle, until_open

pytestmark = pytest.mark.skipif(not weights.bundled_models(), reason="needs the bundled model")


def spots(seed: int, radius: float) -> np.ndarray:
    """Discs of a size, 64 by 64."""
    y, x = np.mgrid[:64, :64]
    random = np.random.default_rng(seed)
    discs = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) < radius**2
    return (30 + 150 * discs + random.normal(0, 4, discs.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images that are alike, a third that is not, and a file that is no image."""
    made = tmp_path / "images"
    made.mkdir()
    for name, image in (("a", spots(0, 9)), ("b", spots(1, 9)), ("c", 255 - spots(2, 3).T)):
        io.imsave(str(made / f"{name}.png"), image)
    (made / "d.png").write_bytes(b"no image")
    return made


def test_places_are_those_of_unlike_images_first(folder: Path) -> None:
    shares: list[float] = []
    paths = sorted(folder.iterdir())
    places = places_of(paths, 20, False, shares.append)
    assert [path.name for path in places][-1] in ("a.png", "b.png"), "of two that are alike one is last"
    assert sorted(path.name for path in places) == ["a.png", "b.png", "c.png"]
    assert sorted(places.values()) == [0, 1, 2]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_large_images_are_looked_at_in_their_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose import models

    seen: list[tuple[int, ...]] = []
    real = models.CellposeModel.eval

    def watched(self: object, x: np.ndarray, **options: object) -> object:
        seen.append(x.shape)
        return real(self, x[:64, :64], **options)

    monkeypatch.setattr(models.CellposeModel, "eval", watched)
    image = np.zeros((1200, 3000), np.uint8)
    image[88:152, 988:1052] = spots(0, 9)
    io.imsave(str(tmp_path / "wide.tif"), image)
    assert places_of([tmp_path / "wide.tif"], 20, False, lambda _: None) == {tmp_path / "wide.tif": 0}
    assert seen == [(1024, 1024, 1)]


def names(window: Window) -> list[str]:
    rows = window.folder.rows
    return [rows.topLevelItem(place).text(0) for place in range(rows.topLevelItemCount())]


def test_the_list_follows_the_order(window: Window, qtbot: QtBot, folder: Path) -> None:
    session = window.session
    session.settings.diameter = 20
    session.files.begin(folder / "a.png")
    until_open(window)
    until_idle(window, qtbot)
    assert names(window) == ["a.png", "b.png", "c.png", "d.png"]
    entry(window, "View", "To annotate first").trigger()
    assert session.jobs.running(session.folder.proposing), "it is found out in the background"
    assert window.folder.order.currentText() == "to annotate first"
    until_idle(window, qtbot)
    first = names(window)
    assert first[-1] == "d.png", "what cannot be read is last"
    assert first != ["a.png", "b.png", "c.png", "d.png"]
    assert [path.name for path in session.files.images()] == first, "the arrows go through them so"
    assert not window.folder.looked.isVisible()
    window.folder.order.setCurrentIndex(0)
    window.folder.order.activated.emit(0)
    assert names(window) == ["a.png", "b.png", "c.png", "d.png"]
    window.folder.order.setCurrentIndex(2)
    window.folder.order.activated.emit(2)
    assert not session.jobs.running(session.folder.proposing), "it is known by now"
    assert names(window) == first


def test_another_order_ends_the_looking(window: Window, qtbot: QtBot, folder: Path) -> None:
    session = window.session
    session.files.begin(folder / "a.png")
    until_open(window)
    session.folder.set_order("annotate")
    session.folder.set_order("doubt")
    assert not session.jobs.running(session.folder.proposing)
    until_idle(window, qtbot)
    assert session.folder.order == "doubt"
    assert set(ORDERS) == {"name", "doubt", "annotate"}
