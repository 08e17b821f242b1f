"""The loop: correct, train, see how much better the next image is; the manual's sections 17 and 30."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QPainter, QPicture
from qtpy.QtTest import QTest

from cellpose import io, weights
from cellpose.cli import main
from cellpose.errors import InputError
from cellpose.gui.controllers import _training
from cellpose.gui.controllers._dialogs import NoDialogs
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers._trainer import TrainingRequest
from cellpose.gui.controllers._training import Epochs
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._corrections import Correction, ModelCells, compare, verdict
from cellpose.gui.model._folder import ImageState, by_doubt, state_of_image
from cellpose.gui.model._training_set import OpenImage, TrainingSet, training_set
from cellpose.gui.model._training_settings import SCRATCH, TrainingSettings, base_models, start_for
from cellpose.gui.views._training_dialog import TrainingDialog
from cellpose.gui.views._training_dock import Curve
from cellpose.gui.views._window import Window
from cellpose.nets import CPnet
from hand import Modifier, click, draw, key, middle, until_idle, write_in

SIDE = 64


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other make trainings of tiny networks slow on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("cellpose.gui.controllers._trainer._NICE", 0)


@pytest.fixture(autouse=True)
def models_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models of the test, with a small U-Net that trains in no time."""
    folder = home / "models"
    folder.mkdir()
    monkeypatch.setenv(weights.MODEL_DIR_ENV, str(folder))
    torch.manual_seed(0)
    CPnet([2, 4, 8], nout=3).save_model(home / "small")
    io.add_model(home / "small")
    return folder


def cells(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A small image with four discs, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x) in enumerate(((16, 16), (16, 47), (47, 16), (47, 47)), 1):
        cv2.circle(labels, (x + int(rng.integers(-3, 4)), y + int(rng.integers(-3, 4))), 9, number, -1)
    image = cv2.GaussianBlur(20 + 150.0 * (labels > 0), (0, 0), 2) + rng.normal(0, 3, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels


def write_image(path: Path, seed: int) -> np.ndarray:
    image, labels = cells(seed)
    cv2.imwrite(str(path), image)
    return labels


def write_seg(path: Path, labels: np.ndarray, **more: object) -> None:
    empty = [np.zeros((*labels.shape, 3), np.uint8), np.zeros((labels.ndim, *labels.shape), np.float32)]
    content = io.seg_content(labels, [*empty, np.zeros(labels.shape, np.float32)], path)
    io.write_seg(path.with_name(f"{path.stem}_seg.npy"), {**content, **more})


def fill(folder: Path, n: int, *, corrected: int = 0, bare: int = 0) -> list[Path]:
    """Images with a segmentation, the first of them corrected, and some without."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:02d}.png" for number in range(n + bare)]
    for number, path in enumerate(paths):
        labels = write_image(path, number)
        if number < n:
            write_seg(path, labels, ismanual=np.full(4, number < corrected))
    return paths


class Desk:
    """A session without a window: what its threads send back waits until somebody looks."""

    def __init__(self, answer: Callable[[TrainingSettings, TrainingSet], bool] = lambda *_: False) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.told: list[str] = []
        desk = self

        class Answers(NoDialogs):
            def ask_training(self, settings: TrainingSettings, images: TrainingSet, start: Callable[[], None]) -> None:
                desk.asked = (settings, images)
                if answer(settings, images):
                    start()

        self.asked: tuple[TrainingSettings, TrainingSet] | None = None
        self.session = Session(self._calls.put, Answers())
        self.session.told.connect(self.told.append)
        self.session.failed.connect(self.told.append)

    def work(self, seconds: float = 240) -> None:
        """Until no job runs."""
        end = time.monotonic() + seconds
        while self.session.jobs.any or not self._calls.empty():
            assert time.monotonic() < end, "a job did not end"
            if self._calls.empty():
                time.sleep(0.005)
            else:
                self._calls.get()()


# --- what is trained on ---


def test_the_training_set_are_the_images_with_cells_in_a_seg_file(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3, corrected=2, bare=1)
    gaps = cells(0)[1]
    gaps[gaps == 2] = 900
    write_seg(paths[0], gaps)
    write_seg(paths[2], np.zeros((SIDE, SIDE), np.int32))
    write_image(tmp_path / "data" / "stack.png", 9)
    write_seg(tmp_path / "data" / "stack.png", np.stack([cells(9)[1]] * 2))
    found = training_set(tmp_path / "data")
    assert [example.path.name for example in found.train] == ["00.png", "01.png"]
    assert np.unique(found.train[0].labels).tolist() == [0, 1, 2, 3, 4], "masks are not renumbered"
    assert found.cells == 8
    assert dict(found.left_out)["02.png"] == "no cells"
    assert "2 planes" in dict(found.left_out)["stack.png"]
    assert not found.held_out


def test_a_damaged_file_and_masks_of_another_shape_are_named(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3)
    write_seg(paths[0], np.ones((8, 8), np.int32))
    (tmp_path / "data" / "01_seg.npy").write_bytes(b"no file of numpy")
    found = training_set(tmp_path / "data")
    assert [example.path.name for example in found.train] == ["02.png"]
    assert "(8, 8)" in dict(found.left_out)["00.png"]
    assert "01_seg.npy" in dict(found.left_out)["01.png"]


def test_the_cells_of_the_open_image_go_before_those_of_its_file(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 1, bare=1)
    image, labels = cells(1)
    opened = OpenImage(paths[1], image[None, None], np.where(labels == 4, 0, labels)[None], corrected=True)
    found = training_set(tmp_path / "data", opened)
    assert [example.cells for example in found.train] == [4, 3]
    assert found.corrected == 1
    only = found.only_corrected()
    assert [example.path for example in only.train] == [paths[1]]
    assert ("00.png", "not corrected") in only.left_out


def test_cells_at_the_border_are_left_out_if_wanted(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3)
    labels = cells(0)[1]
    labels[0:3, 20:40] = 5  # touches the border
    write_seg(paths[0], labels)
    write_seg(paths[1], np.where(labels == 5, 1, 0))
    found = training_set(tmp_path / "data")
    inner = found.without_border()
    assert [(example.path, example.cells) for example in inner.train] == [(paths[0], 4), (paths[2], 4)]
    assert np.array_equal(inner.train[0].labels == -1, labels == 5)
    assert np.array_equal(inner.train[0].labels > 0, (labels > 0) & (labels < 5))
    assert ("01.png", "only cells at the border") in inner.left_out
    assert found.train[0].cells == 5, "the first is as it was"
    assert found.wanted(False, True).cells == 8
    assert found.wanted(False, False) is found


@pytest.mark.parametrize(("n", "corrected", "held"), [(5, 3, 0), (5, 4, 1), (9, 9, 2)])
def test_corrected_images_are_held_out_where_there_are_enough(
    tmp_path: Path, n: int, corrected: int, held: int
) -> None:
    fill(tmp_path / "data", n, corrected=corrected)
    found = training_set(tmp_path / "data")
    assert len(found.held_out) == held
    assert all(example.corrected for example in found.held_out)
    assert len(found.train) == n - held
    assert [e.path for e in training_set(tmp_path / "data").held_out] == [e.path for e in found.held_out]


def test_settings_follow_the_family_of_the_base_model(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings.of("nuclei-cells", (2, 1), datetime(2026, 3, 4, 5, 6, 7))
    assert settings.model_name == "CP_20260304_050607"
    assert (settings.learning_rate, settings.weight_decay, settings.n_epochs) == (0.003, 1e-4, 100)
    settings.start_from("cpsam")
    assert not settings.is_unet
    assert (settings.learning_rate, settings.weight_decay, settings.n_epochs) == (1e-5, 0.1, 100)
    settings.start_from(SCRATCH)
    assert settings.is_unet
    names = base_models()
    assert names[-1] == SCRATCH
    assert {"generalist", "nuclei-cells", "small"} <= set(names)
    assert "cpsam" not in names, "a model that is not on this machine cannot be trained on"


# --- what a model found, and what became of it ---


def test_corrections_are_judged_and_told() -> None:
    labels = cells(3)[1][None]
    found = ModelCells.of(labels, "m")
    unchanged = compare(found, labels, "a.png")
    assert (unchanged.ap, unchanged.changed, unchanged.cells) == (1.0, 0, 4)
    fewer = compare(found, np.where(labels == 2, 0, labels), "a.png")
    assert fewer.ap == pytest.approx(0.75)
    assert (fewer.changed, fewer.cells) == (1, 3)
    empty = np.zeros_like(labels)
    assert compare(ModelCells.of(empty, "m"), empty, "a.png").ap == 1.0
    assert compare(ModelCells.of(empty, "m"), labels, "a.png").ap == 0.0


def test_the_user_is_told_when_training_on_changes_little() -> None:
    few = [Correction(f"{n}.png", "m", 0.98, 1, 50) for n in range(3)]
    assert verdict(few[:2]) == ""
    assert verdict(few) == "the last 3 images needed 2% corrections: further training changes little"
    assert "Ctrl+T" in verdict([*few, Correction("3.png", "m", 0.5, 40, 50)])


@pytest.mark.parametrize("side", [SIDE, 300])
def test_what_a_model_found_survives_its_file(tmp_path: Path, side: int) -> None:
    labels = cv2.resize(cells(0)[1], (side, side), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((side, side), np.uint8))
    found = ModelCells.of(labels[None], "my model")
    write_seg(tmp_path / "a.png", labels, found=found.content())
    seg = io.read_seg(tmp_path / "a_seg.npy")
    read = ModelCells.read(seg.content["found"], (1, side, side))
    assert read.model == "my model"
    assert np.array_equal(read.labels.unpacked(), labels[None])
    assert ModelCells.read(seg.content["found"], (1, side, side + 1)) is None
    assert ModelCells.read({**seg.content["found"], "labels": np.zeros(9, np.uint8)}, (1, side, side)) is None
    assert state_of_image(tmp_path / "a.png").state == "segmented"
    write_seg(tmp_path / "a.png", np.where(labels == 1, 0, labels), found=found.content())
    state = state_of_image(tmp_path / "a.png")
    assert state.state == "corrected"
    assert state.correction.ap == pytest.approx(0.75)


def test_states_of_images_and_their_order_by_doubt(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3, corrected=1, bare=1)
    write_seg(paths[2], cells(2)[1], checked=np.ones(4, bool), scores=np.full(4, 0.25, np.float32))
    states = [state_of_image(path) for path in paths]
    assert [state.state for state in states] == ["corrected", "segmented", "checked", "no masks"]
    assert [state.doubt for state in states] == [None, None, pytest.approx(0.75), None]
    more = ImageState(paths[1], "segmented", 4, 0.9)
    assert [state.path for state in by_doubt([states[0], states[2], more, states[3]])] == [
        paths[1], paths[2], paths[0], paths[3],
    ]  # fmt: skip


# --- training ---


def quick(settings: TrainingSettings, images: TrainingSet) -> bool:
    settings.start_from("small")
    settings.model_name, settings.n_epochs, settings.learning_rate = "mine", 2, 0.001
    return True


def test_a_model_is_trained_listed_selected_and_segments_the_next_image(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 5, corrected=4, bare=1)
    desk = Desk(quick)
    rows, trained = [], []
    desk.session.training.progressed.connect(rows.append)
    desk.session.training.finished.connect(trained.append)
    desk.session.files.open(paths[1])
    desk.session.training.ask()
    desk.work()
    _, images = desk.asked
    assert len(images.train) == 4
    assert len(images.held_out) == 1
    path = tmp_path / "data" / "models" / "mine"
    assert path.is_file()
    assert np.load(f"{path}_train_losses.npy").shape == (2,)
    assert "mine" in weights.user_models()
    assert [row["epoch"] for row in rows[-1].rows] == [0, 1]
    assert all("ap50" in row for row in rows[-1].rows)
    assert trained[0].before is not None
    assert trained[0].n_held_out == 1
    assert any("AP@0.5" in text for text in desk.told)
    if not trained[0].harmed:
        assert desk.session.settings.model == "mine"
        assert desk.session.settings.diameter == pytest.approx(19, abs=3)
        assert desk.session.document.path == paths[5]
        assert desk.session.document.flows.model == "mine"
        assert start_for("mine") == "small", "the next training begins with the same base model"


def pretend(monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    """A training that is over at once."""

    def messages(request: TrainingRequest, stop: threading.Event) -> Iterator[dict[str, object]]:
        yield {"share": 0.5}
        yield {"row": {"epoch": 0, "train_loss": 0.5, "seconds_left": 0.0}}
        shutil.copy(weights.find("small").path, request.save_path / "mine")
        io.add_model(request.save_path / "mine")
        done = {"name": "mine", "path": "mine", "diameter": 18.0, "epochs": 1, "before": None, "after": None}
        yield {"done": {**done, "harmed": False, **facts}}

    monkeypatch.setattr("cellpose.gui.controllers._training.messages", messages)


def test_a_worse_model_is_not_selected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, before=0.9, after=0.3, harmed=True)
    paths = fill(tmp_path / "data", 4, corrected=4, bare=1)
    desk = Desk(quick)
    desk.session.settings.model = "nuclei-cells"
    desk.session.files.open(paths[0])
    desk.session.training.ask()
    desk.work()
    assert desk.session.settings.model == "nuclei-cells"
    assert desk.session.document.path == paths[0]
    assert "AP@0.5 0.90 before, 0.30 after training, on 1 held-out image; the new model is worse" in desk.told[-1]


def test_models_are_compared_on_another_folder_if_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[TrainingRequest] = []
    pretend(monkeypatch)
    inner = _training.messages
    monkeypatch.setattr(_training, "messages", lambda request, stop: requests.append(request) or inner(request, stop))
    paths = fill(tmp_path / "data", 5, corrected=5)
    fill(tmp_path / "others", 3)
    folder = ""

    def answer(settings: TrainingSettings, images: TrainingSet) -> bool:
        settings.validation = folder
        return quick(settings, images)

    desk = Desk(answer)
    desk.session.files.open(paths[0])
    for place, said in (
        (str(tmp_path / "data"), "is what is trained on"),
        (str(tmp_path / "nowhere"), "no image in"),
        (str(tmp_path / "others"), ""),
    ):
        folder = place
        desk.session.training.ask()
        desk.work()
        assert not said or said in desk.told[-1]
    (request,) = requests
    assert (len(request.train), len(request.held_out)) == (5, 3)


def test_a_stopped_training_leaves_a_usable_model(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 2)

    def long(settings: TrainingSettings, images: TrainingSet) -> bool:
        quick(settings, images)
        settings.n_epochs = 5000
        return True

    desk = Desk(long)
    desk.session.files.open(paths[0])
    desk.session.training.ask()
    seen = []
    desk.session.training.progressed.connect(
        lambda epochs: (
            seen.append(epochs) or desk.session.training.stop() if epochs.rows and not epochs.stopping else None
        )
    )
    desk.work()
    assert seen
    from cellpose.models import CellposeModel

    model = CellposeModel(pretrained_model=str(tmp_path / "data" / "models" / "mine"))
    assert model.eval(cells(0)[0], diameter=18)[0].shape == (SIDE, SIDE)
    assert desk.session.settings.model == "mine"


def test_a_failing_training_is_told_and_the_old_model_stays(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 2)

    def broken(settings: TrainingSettings, images: TrainingSet) -> bool:
        quick(settings, images)
        settings.base = "no such model"
        return True

    desk = Desk(broken)
    failures = []
    desk.session.training.failed.connect(failures.append)
    desk.session.settings.model = "small"
    desk.session.files.open(paths[0])
    desk.session.training.ask()
    desk.work()
    assert "no such model" in failures[0]
    assert desk.told[-1].startswith("training failed: ")
    assert desk.session.settings.model == "small"
    assert not desk.session.training.is_running


def test_without_masks_nothing_is_asked(tmp_path: Path) -> None:
    desk = Desk(quick)
    desk.session.training.ask()
    assert desk.told[-1] == "open an image of the folder to train with first"
    paths = fill(tmp_path / "data", 0, bare=2)
    desk.session.files.open(paths[0])
    desk.session.training.ask()
    desk.work()
    assert desk.asked is None
    assert "to train with" in desk.told[-1]


def test_corrections_of_other_images_are_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    paths = fill(tmp_path / "data", 3, corrected=1)
    before = {path: path.with_name(f"{path.stem}_seg.npy").read_bytes() for path in paths}
    desk = Desk(quick)
    desk.session.files.open(paths[0])
    desk.session.training.ask()
    desk.work()
    assert desk.session.document.path == paths[0]
    assert "All images of this folder have masks" in desk.told[-1]
    assert {path: path.with_name(f"{path.stem}_seg.npy").read_bytes() for path in paths} == before


def test_the_window_does_not_jump_away_from_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    paths = fill(tmp_path / "data", 2, bare=2)
    desk = Desk(quick)
    desk.session.files.open(paths[0])
    desk.session.training.progressed.connect(
        lambda epochs: desk.session.files.open(paths[3]) if len(epochs.rows) == 1 else None
    )
    desk.session.training.ask()
    desk.work()
    assert desk.session.settings.model == "mine"
    assert desk.session.document.path == paths[3]
    assert desk.session.document.flows is None


# --- what leaving a corrected image tells ---


def test_leaving_a_corrected_image_tells_how_good_the_model_was(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 0, bare=4)
    desk = Desk()
    corrections = []
    desk.session.folder.corrected.connect(corrections.append)
    desk.session.files.open(paths[0])
    for number in range(3):
        document = desk.session.document
        labels = cells(number)[1][None]
        document.found = ModelCells.of(labels, "m")
        document.do(operations.replace_all, labels)
        document.do(operations.delete, [int(document.labels.ids[0])])
        desk.session.files.go(1)
        desk.work()
    assert [(each.image, each.changed) for each in corrections] == [("00.png", 1), ("01.png", 1), ("02.png", 1)]
    assert corrections[0].ap == pytest.approx(0.75)
    assert "the last 3 images needed 33% corrections" in desk.told[-1]
    states = {state.path.name: state.state for state in desk.session.folder.states}
    assert states == {"00.png": "corrected", "01.png": "corrected", "02.png": "corrected", "03.png": "no masks"}
    desk.session.files.open(paths[0])
    desk.session.files.go(1)
    desk.work()
    assert len(corrections) == 3, "an image that was only looked at is no correction"


def test_arrows_follow_the_doubt_if_wanted(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3)
    for path, score in zip(paths, (0.9, 0.2, 0.5), strict=True):
        write_seg(path, cells(0)[1], scores=np.full(4, score, np.float32))
    desk = Desk()
    desk.session.files.open(paths[0])
    desk.work()
    desk.session.folder.set_order("doubt")
    order = []
    for _ in range(3):
        desk.session.files.go(1)
        desk.work()
        order.append(desk.session.document.path.name)
    assert order == ["01.png", "02.png", "00.png"]


# --- with the window, by keys and clicks ---


def ask(window: Window, qtbot: QtBot) -> TrainingDialog:
    """The dialog of Ctrl+T."""
    key(window, "T", Modifier.ControlModifier)
    qtbot.waitUntil(lambda: bool(window.findChildren(TrainingDialog)), timeout=60_000)
    (dialog,) = window.findChildren(TrainingDialog)
    qtbot.waitExposed(dialog)
    return dialog


def test_the_dialog_shows_what_is_trained_on_and_takes_other_values(
    window: Window, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(window.session.training, "start", lambda settings, images: seen.append((settings, images)))
    paths = fill(tmp_path / "data", 13, corrected=4)
    window.session.files.open(paths[0])
    dialog = ask(window, qtbot)
    assert (dialog.width(), dialog.height()) == (900, 550)
    rows = [dialog.rows.topLevelItem(place) for place in range(dialog.rows.topLevelItemCount())]
    assert [row.text(0) for row in rows][-1] == "and 3 more"
    assert len(rows) == 11
    assert rows[0].text(1) == "4"
    assert dialog.name.text().startswith("CP_")
    assert (dialog.rate.text(), dialog.decay.text(), dialog.epochs.text()) == ("0.003", "0.0001", "100")
    dialog.only.click()
    assert [dialog.rows.topLevelItem(n).text(2) for n in range(4)] == ["train"] * 3 + ["compare"]
    dialog.border.click()
    write_in(dialog.validation, str(tmp_path / "nowhere"))
    assert not dialog.train.isEnabled()
    assert dialog.problem.isVisible()
    assert f"{tmp_path / 'nowhere'} is not there" in dialog.problem.text()
    write_in(dialog.validation, str(paths[0]))
    assert "is a file, not a folder" in dialog.problem.text()
    write_in(dialog.validation, str(tmp_path))
    assert not dialog.problem.isVisible()
    assert "on the validation folder" in dialog.summary.text()
    assert dialog.train.isEnabled()
    assert [dialog.rows.topLevelItem(n).text(2) for n in range(4)] == ["train"] * 4
    dialog.base.setCurrentText(SCRATCH)
    assert dialog.rate.text() == "0.005"
    write_in(dialog.rate, "0.01")
    write_in(dialog.epochs, "7")
    write_in(dialog.name, "../mine")
    assert not dialog.train.isEnabled()
    assert "needs a file name" in dialog.problem.text()
    write_in(dialog.name, "cyto3")
    assert not dialog.train.isEnabled()
    assert "Another model has this name" in dialog.problem.text()
    write_in(dialog.name, "mine")
    dialog.chan.setCurrentIndex(2)
    QTest.mouseClick(dialog.train, Qt.MouseButton.LeftButton)
    settings, images = seen[0]
    assert (settings.base, settings.learning_rate, settings.n_epochs) == (SCRATCH, 0.01, 7)
    assert (settings.model_name, settings.channels, settings.only_corrected) == ("mine", (2, 0), True)
    assert settings.ignore_border
    assert settings.validation == str(tmp_path)
    assert len(images.train) == 12


def test_a_dialog_that_is_cancelled_trains_nothing(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 1)
    window.session.files.open(paths[0])
    dialog = ask(window, qtbot)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not window.session.training.is_running
    assert not window.training.isVisible()


def test_the_dock_shows_how_far_a_training_is_and_stops_it(
    window: Window, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def messages(request: TrainingRequest, stop: threading.Event) -> Iterator[dict[str, object]]:
        for epoch in range(3):
            yield {"share": (epoch + 1) / 10}
            yield {"row": {"epoch": epoch, "train_loss": 1 / (epoch + 1), "seconds_left": 250.0, "ap50": 0.5}}
        assert stop.wait(60)
        assert go_on.wait(60)
        raise InputError("the card is full")

    monkeypatch.setattr("cellpose.gui.controllers._training.messages", messages)
    paths = fill(tmp_path / "data", 2)
    window.session.files.open(paths[0])
    dialog = ask(window, qtbot)
    write_in(dialog.epochs, "10")
    QTest.mouseClick(dialog.train, Qt.MouseButton.LeftButton)
    dock = window.training
    qtbot.waitUntil(lambda: "epoch 3 of 10, about 4 min left" in dock.line.text(), timeout=60_000)
    assert dock.isVisible()
    assert dock.bar.value() == 30
    assert dock.train_curve.getData()[1].tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert [ticks(curve) for curve in (dock.loss, dock.ap)] == [["1", "2", "3"]] * 2
    click(window, 16, 16)
    assert window.session.document.selection, "the window cannot be used while a model is trained"
    QTest.mouseClick(dock.stop, Qt.MouseButton.LeftButton)
    assert not dock.stop.isEnabled()
    assert "stopping" in dock.line.text()
    go_on.set()
    until_idle(window, qtbot)
    assert dock.line.text() == "training failed: the card is full"
    assert not dock.stop.isVisible()


def ticks(curve: Curve) -> list[str]:
    """Labels below the horizontal axis of a plot, as they are painted."""
    picture = QPicture()
    painter = QPainter(picture)
    _, _, texts = curve.getAxis("bottom").generateDrawSpecs(painter)
    painter.end()
    return [text for _, _, text in texts]


@pytest.mark.parametrize(
    ("epochs", "labels"),
    [
        (1, "1 2"),
        (2, "1 2"),
        (8, "1 2 3 4 5 6 7 8"),
        (9, "2 4 6 8"),
        (40, "5 10 15 20 25 30 35 40"),
        (100, "20 40 60 80 100"),
    ],
)
def test_curves_count_epochs_in_whole_numbers(window: Window, epochs: int, labels: str) -> None:
    rows = tuple({"epoch": epoch, "train_loss": 1.0, "ap50": 0.5} for epoch in range(epochs))
    window.session.training.progressed.emit(Epochs("mine", epochs, rows, 1.0))
    for curve in (window.training.loss, window.training.ap):
        assert " ".join(ticks(curve)) == labels


def test_the_folder_dock_shows_states_and_opens_images(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 2, corrected=1, bare=1)
    window.session.files.open(paths[2])
    until_idle(window, qtbot)
    rows = window.folder.rows
    assert [rows.topLevelItem(n).toolTip(0) for n in range(3)] == [
        "00.png: corrected", "01.png: segmented", "02.png: no masks",
    ]  # fmt: skip
    assert [rows.topLevelItem(n).text(1) for n in range(3)] == ["4/4", "0/4", ""]
    assert rows.currentItem().text(0) == "02.png"
    spot = rows.visualItemRect(rows.topLevelItem(0)).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, Modifier.NoModifier, spot)
    until_idle(window, qtbot)
    assert window.session.document.path == paths[0]


def test_section_17_from_the_first_image_to_the_trained_model_on_a_new_one(
    window: Window, qtbot: QtBot, tmp_path: Path, models_folder: Path
) -> None:
    paths = fill(tmp_path / "data", 0, bare=4)
    session = window.session
    session.files.open(paths[0])  # 2. load an image
    session.models.choose("nuclei-cells")
    session.settings.diameter = 18
    for number, path in enumerate(paths[:3]):
        assert session.document.path == path
        key(window, "Return", Modifier.ShiftModifier)  # 3. run the model
        until_idle(window, qtbot)
        found = session.document.labels.count
        assert found == 4
        y, x = middle(session.document.labels.planes[0] == session.document.labels.ids[0])
        click(window, y, x, keys=Modifier.ControlModifier)  # 4. delete one that is wrong,
        assert session.document.labels.count == 3
        draw(window, y, x, 6)  # and draw one that is missing
        assert session.document.labels.count == 4
        key(window, "Right")  # 5. the next image; what was corrected is saved
        until_idle(window, qtbot)
        assert path.with_name(f"{path.stem}_seg.npy").is_file()
        assert session.folder.corrections[number].changed == 1
        assert session.folder.corrections[number].ap >= 0.6
    assert "corrections" in window.folder.words.text()
    key(window, "Left")
    dialog = ask(window, qtbot)  # 6. train
    assert dialog.base.currentText() == "nuclei-cells"
    assert dialog.rows.topLevelItemCount() == 3
    write_in(dialog.epochs, "1")
    write_in(dialog.name, "mine")
    QTest.mouseClick(dialog.train, Qt.MouseButton.LeftButton)
    until_idle(window, qtbot)
    qtbot.waitUntil(lambda: not window.session.jobs.any and session.document.flows is not None, timeout=240_000)
    assert (models_folder / "mine").is_file()
    assert (tmp_path / "data" / "models" / "mine").is_file()
    assert session.settings.model == "mine"
    assert session.document.path == paths[3]  # 7. a new image, segmented by the new model
    assert session.document.flows.model == "mine"
    assert session.document.labels.count >= 3
    assert "mine is trained" in window.training.line.text()


def test_section_30_command_line_window_command_line(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    folder, others = tmp_path / "train_images", tmp_path / "test_images"
    paths = fill(folder, 0, bare=2)
    fill(others, 0, bare=1)
    first = ["--pretrained_model", "nuclei-cells", "--diameter", "18"]
    assert main(["--dir", str(folder), *first, "--save_tif", "--save_png"]) in (0, None)  # 1. run on all images
    window.session.files.open(paths[0])  # 2. correct in the window
    until_idle(window, qtbot)
    assert window.session.document.labels.count == 4
    assert {state.state for state in window.session.folder.states} == {"segmented"}
    y, x = middle(window.session.document.labels.planes[0] == 1)
    click(window, y, x, keys=Modifier.ControlModifier)
    draw(window, y, x, 6)
    key(window, "Right")
    until_idle(window, qtbot)
    assert [state.state for state in window.session.folder.states] == ["corrected", "segmented"]
    train = ["--train", "--dir", str(folder), "--mask_filter", "_seg.npy", "--pretrained_model", "nuclei-cells"]
    few = ["--n_epochs", "1", "--bsize", "64", "--min_train_masks", "1", "--model_name_out", "mine"]
    assert main([*train, *few, "--learning_rate", "0.00001", "--weight_decay", "0.1"]) in (0, None)  # 3. train
    model = folder / "models" / "mine"
    assert model.is_file()
    assert main(["--dir", str(others), "--pretrained_model", str(model), "--diameter", "18"]) in (0, None)  # 4.
    assert io.read_seg(others / "00_seg.npy").count == 4
    assert "mine" in [choice.name for choice in window.session.models.choices()]


def test_the_curve_shows_corrections_as_they_are_now(tmp_path: Path) -> None:
    paths = fill(tmp_path / "data", 3)
    for number, path in enumerate(paths):
        labels = cells(number)[1]
        kept = labels if number == 1 else np.where(labels == 1, 0, labels)
        write_seg(path, kept, found=ModelCells.of(labels[None], "m").content())
    desk = Desk()
    session = desk.session

    def curve() -> list[tuple[str, float]]:
        session.files.autosave.settle()
        desk.work()
        return [(each.image, round(each.ap, 2)) for each in session.folder.corrections]

    session.files.open(paths[1])
    assert curve() == [("00.png", 0.75), ("02.png", 0.75)]
    session.document.do(operations.delete, [1])
    assert curve() == [("00.png", 0.75), ("02.png", 0.75), ("01.png", 0.75)]
    session.document.do(operations.delete, [2])
    assert curve()[-1] == ("01.png", 0.5)
    session.files.open(paths[0])
    session.document.do(operations.delete, [2])
    assert curve()[0] == ("00.png", 0.5)
    session.files.open(paths[1])
    session.undo()
    session.undo()
    assert sorted(curve()) == [("00.png", 0.5), ("02.png", 0.75)]


def test_the_field_of_the_validation_folder_has_room_for_its_words(qtbot: object) -> None:
    dialog = TrainingDialog(TrainingSettings(), TrainingSet(Path(), (), ()), lambda: None)
    qtbot.addWidget(dialog)
    dialog.show()
    field = dialog.validation
    assert dialog.width() == 900
    assert field.width() >= field.fontMetrics().horizontalAdvance(field.placeholderText()) + 10, "with its frame"
