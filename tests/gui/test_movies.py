"""Movies in the window: time is no depth, frames are segmented and linked, and links are corrected by hand."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from cellpose import dynamics, io, track
from cellpose.gui.controllers._files import Files
from cellpose.gui.controllers._folder import _corrected_by_hand
from cellpose.gui.model import Document, LabelStore
from cellpose.gui.model import _links as links
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._links import Lineage, apart
from cellpose.gui.views._renderer import cell_table, render_settings
from cellpose.gui.views._window import Window
from hand import Answers, Modifier, choose, click, drag, entry, hover, key, press, until_idle, until_open

SHAPE = (6, 90, 120)
# Centres of the cells in each frame: one goes right, one divides in frame 3, one goes left above them.
WAYS = [
    [(30, 20 + 4 * t), (20, 100 - 4 * t), *([(65, 60)] if t < 3 else [(65, 51 - t), (65, 69 + t)])]
    for t in range(SHAPE[0])
]


EARLIER = np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17])  # of the cells 1 to 21


def labels_of(ways: list[list[tuple[int, int]]] = WAYS) -> np.ndarray:
    """Numbered on from frame to frame."""
    labels, number = np.zeros((len(ways), *SHAPE[1:]), np.int32), 0
    for frame, centres in zip(labels, ways, strict=True):
        for y, x in centres:
            number += 1
            cv2.circle(frame, (x, y), 7 if (y, x) in ((65, 60), (30, x), (20, x)) else 5, number, -1)
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    return np.where(labels > 0, 200, 10).astype(np.uint8)


def write_seg(image: Path, labels: np.ndarray, **more: Any) -> None:
    """As another program writes it, and as the window does with ``more``."""
    content = {"masks": labels, "outlines": labels * 0, "flows": [[]] * 5, **more}
    io.write_seg(image.with_name("cells_seg.npy"), content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A movie of ImageJ with a frame every 90 seconds."""
    path = tmp_path / "cells.tif"
    metadata = {"axes": "TYX", "finterval": 1.5, "tunit": "min"}
    tifffile.imwrite(path, image_of(labels_of()), imagej=True, metadata=metadata)
    return path


@pytest.fixture
def movie(window: Window, file: Path) -> Window:
    """The window with the movie and its cells, not linked."""
    write_seg(file, labels_of())
    window.session.files.open(file)
    window.session.settings.diameter = 14
    return window


@pytest.fixture
def linked(window: Window, file: Path) -> Window:
    """The same with all links."""
    write_seg(file, labels_of(), planes="T", links=EARLIER)
    window.session.files.open(file)
    window.session.settings.diameter = 14
    return window


class Bright:
    """A model to which a cell is what is bright, with flows that say so."""

    model_name = "bright"

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def eval(self, image: np.ndarray, progress: Any, **options: Any) -> tuple[np.ndarray, list[np.ndarray], None]:
        self.asked.append(options)
        progress(50)
        labels = ndimage.label(image[..., 0] > 100)[0].astype(np.int32)
        dP = np.asarray(dynamics.labels_to_flows([labels])[0][2:4], np.float32) * 5
        inner = ndimage.distance_transform_edt(labels)
        return labels, [np.zeros((*labels.shape, 3), np.uint8), dP, np.where(labels, inner - 1, -6).astype("f4")], None


@pytest.fixture
def model(window: Window, monkeypatch: pytest.MonkeyPatch) -> Bright:
    made = Bright()
    monkeypatch.setattr(window.session.segmentation, "_loaded", lambda *_: made)
    return made


def at(window: Window, frame: int, y: int, x: int) -> int:
    return window.session.document.labels.at(frame, y, x)


def tracks(window: Window) -> np.ndarray:
    return window.session.document.lineage.track.copy()


def links_by_place(window: Window) -> dict[tuple[int, ...], tuple[int, ...] | None]:
    """For each cell that is there, by its frame and centre, the earlier one."""
    places = {at(window, t, *way): (t, *way) for t in range(6) for way in WAYS[t] if at(window, t, *way)}
    earlier = window.session.document.lineage.earlier
    return {place: places.get(int(earlier[cell])) for cell, place in places.items()}


def state(window: Window) -> tuple[bytes, bytes]:
    store = window.session.document.labels
    return store.planes.tobytes(), store.table[store.ids].tobytes()


# --- time ---


def test_times_are_frames_from_the_first_on(movie: Window) -> None:
    session, bar = movie.session, movie.planes
    assert (session.document.is_movie, session.document.is_volume) == (True, False)
    assert session.document.labels.shape == SHAPE
    assert bar.isVisible()
    assert (bar.axis.currentText(), bar.plane.value(), bar.last.text(), bar.seconds.text()) == (
        "T frames",
        0,
        "/ 5",
        "0 s",
    )
    assert not bar.layout_box.isVisible()
    assert (movie.panel.time.isVisible(), movie.panel.volume.isVisible()) == (True, False)
    key(movie, "PageDown")
    key(movie, "Right")
    assert (session.view.plane, bar.seconds.text()) == (2, "0:03:00")
    key(movie, "End")
    assert session.view.plane == 5
    key(movie, "Home")
    spot = QPointF(movie.scene.viewport().rect().center())
    held, phase = Modifier.ShiftModifier, Qt.ScrollPhase.NoScrollPhase
    turn = QWheelEvent(spot, spot, QPoint(), QPoint(0, -240), Qt.MouseButton.NoButton, held, phase, False)
    QApplication.sendEvent(movie.scene.viewport(), turn)
    assert session.view.plane == 2


def test_a_movie_plays_round_and_round_until_it_is_stopped(movie: Window, qtbot: Any) -> None:
    view, seen = movie.session.view, []
    view.frames_per_s = 60
    view.events.plane.connect(seen.append)
    key(movie, "O")
    qtbot.waitUntil(lambda: len(seen) > 8)
    press(movie.planes.play)
    assert not view.playing
    assert seen[:8] == [1, 2, 3, 4, 5, 0, 1, 2]
    n = len(seen)
    qtbot.wait(100)
    assert len(seen) == n
    key(movie, "O")
    movie.session.open_array(np.zeros((1, 1, 9, 9), np.uint8))
    assert not view.playing


def test_what_needs_depth_is_off_with_a_reason(movie: Window, qtbot: Any) -> None:
    told: list[str] = []
    movie.session.told.connect(told.append)
    key(movie, "T")
    assert movie.session.view.layout == "one plane"
    assert told == ["Three views: frames of a movie are times, not planes in depth"]
    for title in ("Three views", "Thin slices", "Cells in 3D, turning"):
        assert not entry(movie, "View", title).isEnabled()
    assert not entry(movie, "Models", "Cut training slices of this volume").isEnabled()


def test_planes_without_a_name_are_depth_until_the_user_says_time(
    window: Window, tmp_path: Path, qtbot: Any, model: Bright
) -> None:
    path = tmp_path / "stack.tif"
    planes = np.repeat(image_of(labels_of()), 6, axis=0)[:34]
    tifffile.imwrite(path, planes, photometric="minisblack", metadata=None)
    session, bar = window.session, window.planes
    session.files.begin(path)
    until_open(window)
    assert session.document.is_volume
    assert bar.axis.currentText() == "Z planes"
    bar.axis.setFocus()
    choose(bar.axis, "T frames")
    bar.axis.activated.emit(1)
    assert session.document.is_movie
    assert not window.panel.volume.isVisible()
    key(window, "Return", Modifier.ShiftModifier)
    until_idle(window, qtbot)
    assert session.cell_count() == 3
    key(window, "S", Modifier.ControlModifier)
    until_idle(window, qtbot)
    # known from its file by another window
    monkey = Files(session)
    assert monkey.open(path)
    assert session.document.is_movie
    assert session.cell_count() == 3
    entry(window, "File", "Planes of this file are frames in time").trigger()
    assert session.document.is_volume


@pytest.mark.parametrize("name", ["frames", "pos1.5"])
def test_a_folder_with_an_image_for_each_frame(window: Window, tmp_path: Path, qtbot: Any, name: str) -> None:
    folder, answers = tmp_path / name, Answers(tmp_path / name)
    folder.mkdir()
    for t, frame in enumerate(image_of(labels_of())):
        tifffile.imwrite(folder / f"t{t * 5}.tif", frame)  # t5 before t10
    session, window.session.dialogs = window.session, answers
    entry(window, "File", "Load folder as a movie").trigger()
    until_open(window)
    assert session.document.is_movie
    np.testing.assert_array_equal(session.document.stack[:, 0], image_of(labels_of()))
    session.document.do(operations.replace_all, labels_of())
    session.document.do(links.join, 1, 4)
    key(window, "S", Modifier.ControlModifier)
    until_idle(window, qtbot)
    session.movies.save_tables()
    until_idle(window, qtbot)
    assert (tmp_path / f"{name}_tracks.csv").is_file()
    session.open_array(np.zeros((1, 1, 9, 9), np.uint8))
    assert session.files.open(tmp_path / f"{name}_seg.npy")
    assert session.document.lineage.earlier[4] == 1
    tifffile.imwrite(folder / "t99.tif", np.zeros((9, 9), np.uint8))
    failed: list[str] = []
    session.failed.connect(failed.append)
    assert not session.files.open(folder)
    assert "t99.tif has 1 planes, 1 channels, 9 x 9 pixels" in failed[0]


# --- segmentation ---


def test_one_frame_then_all_of_them_with_the_same_settings(
    window: Window, file: Path, qtbot: Any, model: Bright
) -> None:
    session = window.session
    session.files.open(file)
    session.settings.diameter, session.settings.flow_threshold = 14, 0.0
    session.volumes.see(4)
    assert window.panel.segmentation.run.text() == "run on this frame"
    press(window.panel.segmentation.run)
    until_idle(window, qtbot)
    assert session.cell_count() == 4
    assert np.unique(session.document.labels.table["box"][1:, 0]).tolist() == [4]
    assert session.document.flows_at(4) is not None
    assert session.document.flows_at(3) is None
    key(window, "Return", Modifier.ControlModifier | Modifier.AltModifier)
    until_idle(window, qtbot)
    assert session.cell_count() == sum(map(len, WAYS))
    assert [asked["diameter"] for asked in model.asked] == [14] * 7
    assert sorted(session.document.flows.frames) == list(range(6))
    whole = session.document.labels.planes.copy()
    key(window, "Z", Modifier.ControlModifier)
    assert session.cell_count() == 4
    key(window, "Y", Modifier.ControlModifier)
    np.testing.assert_array_equal(session.document.labels.planes, whole)


def test_a_run_on_all_frames_shows_progress_and_is_canceled(
    window: Window, file: Path, qtbot: Any, model: Bright
) -> None:
    session, seen = window.session, []
    session.files.open(file)
    plain = model.eval

    def slow(image: np.ndarray, progress: Any, **options: Any) -> Any:
        time.sleep(0.05)
        seen.append(session.jobs.running("segment").progress)
        if len(seen) == 3:
            session.in_main(session.segmentation.cancel)
            time.sleep(0.3)
        return plain(image, progress, **options)

    model.eval = slow  # type: ignore[method-assign]
    press(window.panel.time.run)
    qtbot.waitUntil(lambda: len(seen) == 3 and not session.segmentation.is_running)
    qtbot.waitUntil(lambda: not session.segmentation.is_ending)
    assert seen == pytest.approx([0, 1 / 6, 2 / 6])
    assert session.cell_count() == 0
    assert window.panel.time.run.text() == "run on all frames"


def test_thresholds_change_the_cells_of_all_frames_in_one_step(
    window: Window, file: Path, qtbot: Any, model: Bright
) -> None:
    session, settings = window.session, window.session.settings
    session.files.open(file)
    settings.flow_threshold = 0.0
    session.segmentation.run_all_frames()
    until_idle(window, qtbot)
    areas = [session.document.labels.table["area"][session.document.labels.at(t, *WAYS[t][0])] for t in range(6)]
    before, steps = state(window), len(session.document.history)
    settings.cellprob_threshold = 1.5
    session.segmentation.live.settle()
    until_idle(window, qtbot)
    for t in range(6):
        assert session.document.labels.table["area"][session.document.labels.at(t, *WAYS[t][0])] < 0.8 * areas[t]
    assert len(session.document.history) == steps + 1
    key(window, "Z", Modifier.ControlModifier)
    assert state(window) == before


def test_the_flows_of_a_frame_are_seen_and_used(window: Window, file: Path, qtbot: Any, model: Bright) -> None:
    session, view = window.session, window.session.view
    session.files.open(file)
    session.settings.flow_threshold = 0.0
    session.volumes.see(4)
    session.segmentation.run()
    until_idle(window, qtbot)
    document, (y, x) = session.document, WAYS[4][1]
    document.do(operations.delete, [at(window, 4, y, x)])
    key(window, "C")
    hover(window, y, x)
    click(window, y, x)
    assert document.labels.box(at(window, 4, y, x))[:2] == (4, 5)
    view.view = "cellprob"
    assert render_settings(document, view).palette.size
    session.volumes.see(3)
    hover(window, *WAYS[3][1])
    click(window, *WAYS[3][1])
    assert at(window, 3, *WAYS[3][1]) == 0  # nothing is known of this frame
    assert not render_settings(document, view).palette.size


# --- links ---


def test_linked_cells_have_one_color_and_tails(movie: Window, qtbot: Any) -> None:
    pytest.importorskip("laptrack")
    linked, session = movie, movie.session
    key(movie, "K", Modifier.ControlModifier)
    until_idle(movie, qtbot)
    assert movie.session.document.lineage.earlier[1:].tolist() == EARLIER.tolist()
    first = [at(linked, t, *WAYS[t][0]) for t in range(6)]
    found = tracks(linked)
    assert set(found[first]) == {first[0]}
    colors = cell_table(session.document, session.view)[first]
    assert len(np.unique(colors, axis=0)) == 1
    daughters = [at(linked, 3, *WAYS[3][n]) for n in (2, 3)]
    mother = at(linked, 2, *WAYS[2][2])
    assert session.document.lineage.earlier[daughters].tolist() == [mother, mother]
    assert [session.document.lineage.mother_of(cell) for cell in daughters] == [found[mother]] * 2
    session.volumes.see(4)
    tails = linked.tails.tails
    assert len(tails.divisions) == 1
    assert len(tails.lines) == 2 * 4 + 2 + 4
    linked.panel.time.tail_frames.setValue(1)
    assert len(linked.tails.tails.lines) == 4
    key(linked, "W", Modifier.ShiftModifier)
    assert linked.tails.tails is None


def test_linking_is_one_step_and_takes_the_options(movie: Window, qtbot: Any) -> None:
    pytest.importorskip("laptrack")
    session, before = movie.session, state(movie)
    movie.panel.time.divisions.setChecked(False)
    press(movie.panel.time.link)
    until_idle(movie, qtbot)
    assert not (session.document.lineage.later > 1).any()
    assert session.document.history.next_undo == "link cells"
    key(movie, "Z", Modifier.ControlModifier)
    assert state(movie) == before
    assert not session.movies.has_links
    # a cell that is missing in a frame is put back
    gone = at(movie, 2, *WAYS[2][0])
    session.document.do(operations.delete, [gone])
    before = state(movie)
    movie.panel.time.fill.setChecked(True)
    press(movie.panel.time.link)
    until_idle(movie, qtbot)
    back = at(movie, 2, *WAYS[2][0])
    assert back > gone
    assert tracks(movie)[back] == at(movie, 0, *WAYS[0][0])
    key(movie, "Z", Modifier.ControlModifier)
    assert state(movie) == before


def test_cells_are_linked_by_clicks_from_frame_to_frame(movie: Window) -> None:
    session, before = movie.session, state(movie)
    key(movie, "U")
    for t in range(3):
        assert session.view.plane == t
        hover(movie, *WAYS[t][0])
        click(movie, *WAYS[t][0])
    cells = [at(movie, t, *WAYS[t][0]) for t in range(3)]
    assert tracks(movie)[cells].tolist() == [cells[0]] * 3
    assert movie.scene.stroke.isVisible()  # from the cell to the pointer
    click(movie, 5, 5)  # a chain ends on background
    # a division: its mother, then both daughters
    session.volumes.see(2)
    click(movie, *WAYS[2][2])
    for n in (2, 3):
        click(movie, *WAYS[3][n], keys=Modifier.ShiftModifier)
    mother, daughters = at(movie, 2, *WAYS[2][2]), [at(movie, 3, *WAYS[3][n]) for n in (2, 3)]
    assert session.document.lineage.earlier[daughters].tolist() == [mother, mother]
    click(movie, *WAYS[3][3], keys=Modifier.ControlModifier)
    assert session.document.lineage.later[mother] == 1
    for _ in range(5):
        key(movie, "Z", Modifier.ControlModifier)
    assert state(movie) == before
    key(movie, "Escape")
    assert session.pointer.tool == "select"


def test_a_click_moves_a_link_to_the_right_cell(linked: Window) -> None:
    session = linked.session
    session.volumes.see(1)
    key(linked, "U")
    click(linked, *WAYS[1][0])
    click(linked, *WAYS[2][1])  # not the cell that it was linked to
    earlier, wrong = session.document.lineage.earlier, at(linked, 2, *WAYS[2][1])
    assert earlier[wrong] == at(linked, 1, *WAYS[1][0])
    assert earlier[at(linked, 2, *WAYS[2][0])] == 0
    assert session.document.lineage.later[at(linked, 1, *WAYS[1][1])] == 0


def test_cut_swap_and_division_by_the_menu(linked: Window) -> None:
    session, before, found = linked.session, state(linked), tracks(linked)
    session.volumes.see(3)
    click(linked, *WAYS[3][0])
    key(linked, "U", Modifier.ShiftModifier)
    assert tracks(linked)[at(linked, 4, *WAYS[4][0])] == at(linked, 3, *WAYS[3][0])
    key(linked, "Z", Modifier.ControlModifier)
    key(linked, "U", Modifier.ControlModifier | Modifier.ShiftModifier)
    assert tracks(linked)[at(linked, 4, *WAYS[4][0])] == at(linked, 4, *WAYS[4][0])
    key(linked, "Z", Modifier.ControlModifier)
    click(linked, *WAYS[3][1], keys=Modifier.ControlModifier | Modifier.ShiftModifier)
    key(linked, "Q", Modifier.ShiftModifier)
    ends = [at(linked, 5, *WAYS[5][n]) for n in (0, 1)]
    assert tracks(linked)[ends].tolist() == found[ends[::-1]].tolist()
    key(linked, "Z", Modifier.ControlModifier)
    assert state(linked) == before
    # one daughter was lost: both together are told to be daughters
    lost = at(linked, 3, *WAYS[3][3])
    session.document.do(links.cut, [lost])
    session.document.select([lost, at(linked, 3, *WAYS[3][2])])
    key(linked, "D", Modifier.ShiftModifier)
    assert session.document.history.next_undo == "mark division"
    np.testing.assert_array_equal(tracks(linked), found)


def test_the_selection_goes_with_the_track(linked: Window) -> None:
    document = linked.session.document
    click(linked, *WAYS[0][0])
    key(linked, "PageDown")
    assert document.selection == {at(linked, 1, *WAYS[1][0])}
    key(linked, "Delete")
    assert at(linked, 1, *WAYS[1][0]) == 0
    assert at(linked, 0, *WAYS[0][0])
    assert not document.selection


def test_a_track_alone_is_seen_in_all_frames(linked: Window) -> None:
    session = linked.session
    session.volumes.see(2)
    click(linked, *WAYS[2][0])
    key(linked, "I")
    session.volumes.see(4)
    seen = cell_table(session.document, session.view).any(axis=1)
    assert seen[at(linked, 4, *WAYS[4][0])]
    assert not seen[at(linked, 4, *WAYS[4][1])]
    assert set(linked.tails.tails.track) == {at(linked, 0, *WAYS[0][0])}
    key(linked, "I")
    assert len(set(linked.tails.tails.track)) == 5


def test_edits_keep_the_links_of_the_other_cells(linked: Window) -> None:
    session, found = linked.session, tracks(linked)
    key(linked, "PageDown")
    session.document.do(operations.delete, [at(linked, 1, *WAYS[1][0])])
    y, x = WAYS[1][1]
    key(linked, "P")
    drag(linked, (y, x), (y + 6, x + 8))  # the cell grows
    others = [at(linked, t, *WAYS[t][n]) for t in range(6) for n in (1, 2)]
    assert tracks(linked)[others].tolist() == found[others].tolist()
    assert tracks(linked)[at(linked, 2, *WAYS[2][0])] == at(linked, 2, *WAYS[2][0])
    for _ in range(2):
        key(linked, "Z", Modifier.ControlModifier)
    np.testing.assert_array_equal(tracks(linked), found)
    session.document.do(operations.change_number, at(linked, 2, *WAYS[2][0]), 77)
    assert tracks(linked)[at(linked, 5, *WAYS[5][0])] == at(linked, 0, *WAYS[0][0])


def test_cells_that_are_found_again_keep_their_links(linked: Window, qtbot: Any, model: Bright) -> None:
    session, before = linked.session, links_by_place(linked)
    session.volumes.see(2)
    key(linked, "Return", Modifier.ShiftModifier)
    until_idle(linked, qtbot)
    assert session.document.history.next_undo == "segment"
    assert links_by_place(linked) == before
    session.segmentation.run_all_frames()
    until_idle(linked, qtbot)
    assert links_by_place(linked) == before


def test_a_cell_of_a_movie_lies_in_one_frame(linked: Window) -> None:
    session, before, told = linked.session, state(linked), []
    session.told.connect(told.append)
    session.document.do(operations.merge, [at(linked, 0, *WAYS[0][0]), at(linked, 1, *WAYS[1][0])])
    assert "lies in one frame" in told[-1]
    assert state(linked) == before
    session.view.ball, session.view.brush = True, 9
    key(linked, "P")
    drag(linked, (50, 20), (50, 24))
    (drawn,) = session.document.history.edits[-1].added
    assert session.document.labels.box(int(drawn)).shape[0] == 1


def test_the_table_tells_frames_and_tracks(linked: Window) -> None:
    session, table = linked.session, linked.cells.table
    model = linked.cells.model
    titles = [model.headerData(place, Qt.Orientation.Horizontal) for place in range(model.columnCount())]
    shown = [title for place, title in enumerate(titles) if not table.isColumnHidden(place)]
    assert {"frame", "track"} <= set(shown)
    cell = at(linked, 4, *WAYS[4][0])
    row = model.cells.row_of(cell)
    assert [model.cells.value(row, name) for name in ("frame", "track")] == [4, at(linked, 0, *WAYS[0][0])]
    linked.cells.raise_()
    table.scrollTo(model.index(row, 0))
    spot = table.visualRect(model.index(row, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)
    assert session.view.plane == 4
    assert session.document.selection == {cell}
    linked.cells.filter.setText("frame=3")
    assert model.rowCount() == 4
    linked.cells.filter.clear()
    session.open_array(np.zeros((1, 1, 20, 20), np.uint8), np.ones((20, 20), np.int32))
    assert table.isColumnHidden(titles.index("track"))


# --- files ---


def test_links_are_saved_and_come_back(linked: Window, file: Path, qtbot: Any) -> None:
    session = linked.session
    session.document.do(operations.delete, [at(linked, 0, *WAYS[0][1])])  # numbers in the file are others
    found = links_by_place(linked)
    key(linked, "S", Modifier.ControlModifier)
    until_idle(linked, qtbot)
    content = io.read_seg(file.with_name("cells_seg.npy")).content
    assert content["planes"] == "T"
    assert content["links"].shape == (sum(map(len, WAYS)) - 1,)
    # links that are not saved come back from the journal
    session.files.autosave.enabled = False
    cut = at(linked, 3, *WAYS[3][0])
    session.document.do(links.cut, [cut])
    session.files.open(file)
    assert links_by_place(linked) == {**found, (3, *WAYS[3][0]): None}
    assert session.document.lineage.earlier[at(linked, 3, *WAYS[3][0])] == 0
    key(linked, "Z", Modifier.ControlModifier)
    assert session.document.lineage.earlier[at(linked, 3, *WAYS[3][0])] == at(linked, 2, *WAYS[2][0])


def test_numbers_that_go_through_frames_are_tracks(window: Window, file: Path) -> None:
    labels = np.where(labels_of() > 0, 1, 0) * np.array([1, 2, 3, 4, 5, 6]).reshape(6, 1, 1)
    through = np.zeros(SHAPE, np.int32)
    for t in range(6):
        cv2.circle(through[t], WAYS[t][0][::-1], 6, 9, -1)
    write_seg(file, through)
    window.session.files.open(file)
    assert window.session.cell_count() == 6
    assert set(tracks(window)[1:]) == {1}
    np.testing.assert_array_equal(apart(labels)[0], labels)


def test_tracks_as_the_files_of_other_programs(linked: Window, file: Path, qtbot: Any) -> None:
    for title in (
        "Save tracks as tables, and masks by tracks",
        "Save for the Cell Tracking Challenge",
        "Save for TrackMate (Fiji)",
        "Save table of cells (CSV)",
    ):
        entry(linked, "File", title).trigger()
        until_idle(linked, qtbot)
    masks, found = track.read_ctc(file.with_name("cells_RES"))
    assert (masks.shape, found.numbers.size, len(found.divided)) == (SHAPE, 5, 1)
    numbered = io.imread(file.with_name("cells_tracked.tif"))
    assert set(numbered[numbered > 0]) == set(tracks(linked)[1:])
    lines = file.with_name("cells_cells.csv").read_text().splitlines()
    assert lines[0].startswith("label,frame,time_s,track,parent,y_px,x_px")
    assert lines[-1].split(",")[1:3] == ["5", "450"]
    linked.session.document.do(operations.delete, [at(linked, 1, *way) for way in WAYS[1]])  # a frame without cells
    linked.session.exports.measurements("csv")
    until_idle(linked, qtbot)
    with file.with_name("cells_measurements.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["frame"] for row in rows] == [str(t) for t in (0, 2, 3, 4, 5) for _ in WAYS[t]]
    assert (rows[-1]["time_s"], rows[0]["track"], rows[0]["area"]) == ("450", "1", lines[1].split(",")[7])
    assert file.with_name("cells_lineage.csv").read_text().splitlines()[0].startswith("track,first_frame")
    assert "<AllTracks" in file.with_name("cells_trackmate.xml").read_text()


def test_links_that_make_no_sense_are_refused(linked: Window) -> None:
    store, told = linked.session.document.labels, []
    linked.session.told.connect(told.append)
    first, other = at(linked, 1, *WAYS[1][0]), at(linked, 1, *WAYS[1][1])
    before = state(linked)
    for operation, given in (
        (links.join, (first, other)), (links.join, (first, at(linked, 2, *WAYS[2][0]))), (links.cut, ([1],)),
        (links.swap, ([first],)), (links.make_daughters, ([first, other],)),
        (links.make_daughters, ([at(linked, 3, *WAYS[3][n]) for n in (2, 3)],)),
        (links.swap, ([at(linked, 3, *WAYS[3][n]) for n in (2, 3)],)),
        (links.cut_after, ([at(linked, 5, *WAYS[5][0])],)),
    ):  # fmt: skip
        assert linked.session.document.do(operation, *given) is None
    assert len(told) == 8
    assert state(linked) == before
    assert store.count == sum(map(len, WAYS))


def test_another_frame_is_seen_at_once(window: Window) -> None:
    """A frame of 1000 x 1000 pixels with 400 linked cells; the bound is 33 ms, here of processor time."""
    side, n, frames = 1000, 400, 12
    plane = np.zeros((side, side), np.int32)
    for number in range(n):
        y, x = divmod(number, 20)
        cv2.circle(plane, (25 + 50 * x, 25 + 50 * y), 14, number + 1, -1)
    labels = np.stack([np.where(np.roll(plane, t, 1) > 0, np.roll(plane, t, 1) + n * t, 0) for t in range(frames)])
    document = Document(image_of(labels)[:, None], labels, axis="T")
    document.do(links.link_all, {cell: cell - n for cell in range(n + 1, n * frames + 1)})
    window.session.show(document)
    spent = []
    for frame in (*range(frames), *range(frames)):
        start = time.thread_time()
        window.session.volumes.see(frame)
        QApplication.processEvents()
        spent.append(time.thread_time() - start)
    assert len(window.tails.tails.lines) == n * 10
    assert np.median(spent[frames:]) < 0.033


def test_old_links_to_cells_that_are_gone_say_nothing() -> None:
    store = LabelStore(np.array([[[1]], [[2]], [[3]]]))
    links.link_all(store, {2: 1, 3: 2})
    edit = operations.delete(store, [2])
    assert Lineage.of(store.table).earlier.tolist() == [0, 0, 0, 0]
    assert links.numbered_links(store.table[store.ids], store.ids).tolist() == [0, 0]
    store.revert(edit)
    assert Lineage.of(store.table).track.tolist() == [0, 1, 1, 1]


def test_links_alone_are_no_correction_of_the_model(linked: Window, qtbot: Any, model: Bright) -> None:
    session = linked.session
    session.segmentation.run_all_frames()
    until_idle(linked, qtbot)
    session.movies.link()
    until_idle(linked, qtbot)
    assert session.document.history.edits[-1].name == "link cells"
    assert session.document.found is not None
    assert not _corrected_by_hand(session.document)
    session.document.do(operations.delete, [at(linked, 0, *WAYS[0][0])])
    assert _corrected_by_hand(session.document)
    session.movies.link()
    until_idle(linked, qtbot)
    assert _corrected_by_hand(session.document), "links do not hide that cells were corrected before"
