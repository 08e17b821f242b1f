"""The window: what a user waits for, here and in the original, by real events in a window without a screen.

    python benchmarks/window.py [--python-v3 V3/bin/python] [--large] [--json FILE]

Every figure is the time from an event until the view is painted and nothing waits, by the clock and of the processor
(all threads of the process), medians. Images are grids of ellipses: 2048 x 2048 pixels with 2,000 cells, with
``--large`` also 10,000 x 10,000 with 20,000. Each window runs in a process of its own with a home of its own. The
original is a black box: it is started by its `gui.run()`, and seen and touched only as a user does; it needs minutes
for the large image and is measured there with ``--large-original`` only. ``--display`` takes the screen of the
environment (Xvfb with a window manager) in place of none.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from original import environment

Times = list[tuple[float, float]]  # seconds by the clock, and of the processor

# Row of the table: name, and its bound in milliseconds of the processor at 2048 and at 10,000 pixels.
ROWS = {
    "start": (1500, 1500),
    "open": (300, 4000),
    "first picture": (300, 1000),
    "masks on and off": (20, 20),
    "outlines on and off": (20, 20),
    "zoom": (15, 15),
    "pan": (15, 15),
    "recolor": (15, 15),
    "contrast": (15, 15),
    "select": (20, 20),
    "delete": (20, 20),
    "pen move": (4, 4),
    "add": (20, 20),
    "merge": (20, 20),
    "undo": (20, 20),
    "one-click preview": (15, 15),
    "live thresholds, 1024": (150, 150),
}
MOST_BLOCKED_MS, MOST_MB = 50, 1200


def make(folder: Path, name: str, side: int, cells: int, seed: int = 0, *, seg: bool = True) -> Path:
    """An image of ellipses on a grid, and its ``_seg.npy`` as the original writes it."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(cells)))
    pitch = side / columns
    masks = np.zeros((side, side), np.int32)
    for k in range(cells):
        y, x = ((place + 0.5) * pitch + rng.uniform(-1, 1) for place in divmod(k, columns))
        a, b = rng.uniform(0.33, 0.49, 2) * pitch
        cv2.ellipse(masks, ((x, y), (2 * a, 2 * b), float(rng.uniform(0, 180))), k + 1, -1)
    bright = np.concatenate([[0], rng.uniform(90, 220, cells)]).astype(np.float32)
    image = cv2.GaussianBlur(bright[masks], (0, 0), 2)
    image += rng.standard_normal(image.shape, np.float32) * np.where(masks > 0, 8, 4)
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), np.clip(image + 20, 0, 255).astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if seg:
        edge = cv2.morphologyEx(masks.astype(np.uint16), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        colors = np.zeros((1, side, side, 3), np.uint8)
        colors[0][masks > 0] = (200, 80, 40)
        content = {
            "masks": masks.astype(np.uint16), "outlines": np.where(edge, masks, 0).astype(np.uint16),
            "chan_choose": [0, 0], "ismanual": np.zeros(cells, bool), "filename": str(path),
            "flows": [colors, (masks[None] > 0).astype(np.uint8) * 255], "diameter": 30.0,
            "colors": rng.integers(60, 255, (cells, 3)).astype(np.uint8), "manual_changes": [], "model_path": 0,
            "flow_threshold": 0.4, "cellprob_threshold": 0.0,
        }  # fmt: skip
        np.save(folder / f"{name}_seg.npy", content, allow_pickle=True)
    return path


class Hand:
    """A user before a window that is a `QMainWindow` with one pyqtgraph view and a text "N ROIs"."""

    def __init__(self, application: Any, window: Any) -> None:
        import pyqtgraph as pg
        from qtpy import QtCore, QtGui, QtTest, QtWidgets

        self.core, self.gui, self.test, self.widgets = QtCore, QtGui, QtTest.QTest, QtWidgets
        self.application, self.window = application, window
        views = [view for view in window.findChildren(pg.GraphicsView) if view.isVisible()]
        self.view = max(views, key=lambda view: view.width() * view.height())  # plots in docks are views, too
        self.port = self.view.viewport()
        self.box = next(item for item in self.view.scene().items() if isinstance(item, pg.ViewBox))
        self.painted = 0
        self.counter: Any = None  # the text "N ROIs"
        hand = self

        class Filter(QtCore.QObject):
            def eventFilter(self, _watched: Any, event: Any) -> bool:
                hand.painted += event.type() == QtCore.QEvent.Type.Paint
                return False

        self.filter = Filter()
        self.port.installEventFilter(self.filter)
        window.activateWindow()
        window.raise_()
        self.rest(0.5)

    def rest(self, seconds: float = 0.15) -> None:
        """Let the window work for a while."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.application.processEvents()
            time.sleep(0.003)

    def until(self, condition: Callable[[], bool], limit: float = 900) -> None:
        """Let the window work until something is so, or a limit in seconds is over."""
        end = time.perf_counter() + limit
        while not condition() and time.perf_counter() < end:
            self.application.processEvents()
            time.sleep(0.003)

    def timed(
        self, action: Callable[[], object], done: Callable[[], bool] | None = None, limit: float | None = None
    ) -> tuple[float, float]:
        """An action until the view was painted, or until something is so; NaN where that did not come to be."""
        self.rest(0.1)
        self.painted = 0
        ended = done or (lambda: self.painted > 0)
        start, used = time.perf_counter(), time.process_time()
        action()
        self.until(ended, limit or (900 if done else 10))
        self.application.processEvents()
        if not ended():
            return math.nan, math.nan
        return time.perf_counter() - start, time.process_time() - used

    def several(self, n: int, action: Callable[[int], object], budget: float = 30) -> Times:
        """Timed several times, as long as the budget in seconds lasts."""
        times: Times = []
        end = time.perf_counter() + budget
        for k in range(n):
            times.append(self.timed(lambda k=k: action(k)))  # type: ignore[misc]
            if time.perf_counter() > end or math.isnan(times[-1][0]):
                break
        return times

    def count(self) -> int:
        """The cells that the window says it has."""
        labels = [self.counter] if self.counter is not None else self.window.findChildren(self.widgets.QLabel)
        for label in labels:
            found = re.match(r"\s*([\d,]+)\s+ROIs", label.text())
            if found:
                self.counter = label  # not looked for at each glance, which would be counted as work of the window
                return int(found[1].replace(",", ""))
        return 0

    def show(self, y: float, x: float, half: float) -> None:
        """Look at a part of the image."""
        self.box.setRange(xRange=(x - half, x + half), yRange=(y - half, y + half), padding=0)
        self.rest()

    def spot(self, y: float, x: float) -> Any:
        """Where a place of the image is in the view."""
        return self.view.mapFromScene(self.box.mapViewToScene(self.core.QPointF(x, y)))

    def key(self, name: str, keys: str = "NoModifier") -> None:
        """Press a key."""
        held = getattr(self.core.Qt.KeyboardModifier, keys)
        self.test.keyClick(self.window, getattr(self.core.Qt.Key, f"Key_{name}"), held)

    def click(self, y: float, x: float, keys: str = "NoModifier", button: str = "LeftButton") -> None:
        """Click at a place of the image."""
        held, which = getattr(self.core.Qt.KeyboardModifier, keys), getattr(self.core.Qt.MouseButton, button)
        self.test.mouseMove(self.port, self.spot(y, x))
        self.test.mouseClick(self.port, which, held, self.spot(y, x))

    def move(self, y: float, x: float) -> None:
        """Move without buttons and keys: the helper of Qt for tests keeps those of the last click."""
        spot, none = self.core.QPointF(self.spot(y, x)), self.core.Qt.MouseButton.NoButton
        event = self.gui.QMouseEvent(
            self.core.QEvent.Type.MouseMove, spot, self.core.QPointF(self.port.mapToGlobal(spot.toPoint())), none, none,
            self.core.Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        self.application.sendEvent(self.port, event)

    def wheel(self, steps: int) -> None:
        """Turn the wheel."""
        none, centre = self.core.Qt.MouseButton.NoButton, self.core.QPointF(self.port.rect().center())
        event = self.gui.QWheelEvent(
            centre, self.core.QPointF(self.port.mapToGlobal(centre.toPoint())), self.core.QPoint(0, 0),
            self.core.QPoint(0, 120 * steps), none, self.core.Qt.KeyboardModifier.NoModifier,
            self.core.Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        self.application.sendEvent(self.port, event)

    def pan(self, n: int = 8) -> Times:
        """Drag the view, a time for each step."""
        left, none = self.core.Qt.MouseButton.LeftButton, self.core.Qt.KeyboardModifier.NoModifier
        centre = self.port.rect().center()
        self.test.mousePress(self.port, left, none, centre)
        times: Times = []
        for k in range(1, n + 1):
            spot = self.core.QPointF(centre.x() + 12 * k, centre.y() + k % 2 * 12)
            event = self.gui.QMouseEvent(
                self.core.QEvent.Type.MouseMove, spot, self.core.QPointF(self.port.mapToGlobal(spot.toPoint())),
                self.core.Qt.MouseButton.NoButton, left, none,
            )  # fmt: skip
            times.append(self.timed(lambda event=event: self.application.sendEvent(self.port, event)))  # type: ignore[misc]
        self.test.mouseRelease(self.port, left, none, spot.toPoint())
        return times

    def stroke(self, y: float, x: float, radius: float) -> tuple[Times, Callable[[], None]]:
        """A right click and most of a circle; its moves, and what ends it."""
        angles = np.linspace(0, 2 * np.pi * 0.85, 40)
        path = [(y + radius * np.sin(angle), x + radius * np.cos(angle)) for angle in angles]
        self.click(*path[0], button="RightButton")
        moves: Times = []
        for point in path[1:]:
            time.sleep(0.015)  # the original drops moves that come faster
            start, used = time.perf_counter(), time.process_time()
            self.test.mouseMove(self.port, self.spot(*point))
            self.application.processEvents()
            moves.append((time.perf_counter() - start, time.process_time() - used))
        return moves, lambda: self.click(*path[-1], button="RightButton")

    def open(self, path: Path) -> None:
        """Ctrl+L, and this file in the dialog."""
        dialog = self.widgets.QFileDialog
        dialog.getOpenFileName = staticmethod(lambda *_, **__: (str(path), ""))
        dialog.getOpenFileNames = staticmethod(lambda *_, **__: ([str(path)], ""))
        self.key("L", "ControlModifier")

    def longest_block(self, run: Callable[[], None]) -> float:
        """Milliseconds between two beats of a timer of 5 ms while something runs."""
        beats = [time.perf_counter()]
        timer = self.core.QTimer()
        timer.setInterval(5)
        timer.timeout.connect(lambda: beats.append(time.perf_counter()))
        timer.start()
        self.rest(0.3)
        del beats[:-1]
        run()
        timer.stop()
        return 1000 * float(np.max(np.diff([*beats, time.perf_counter()])))


def memory() -> int:
    """Most MB that were resident; 0 where the system does not say."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


def looking(hand: Hand, result: dict[str, Any], side: int, pitch: float, centre: tuple[float, float]) -> None:
    """Switching layers, zooming, panning, colors."""
    result["masks on and off"] = hand.several(8, lambda _: hand.key("X"))
    result["outlines on and off"] = hand.several(8, lambda _: hand.key("Z"))
    result["recolor"] = hand.several(4, lambda _: hand.key("W"))
    result["zoom"] = hand.several(8, lambda k: hand.wheel(1 if k % 2 else -1))
    hand.show(side / 2, side / 2, side / 2)
    result["pan"] = hand.pan()
    hand.show(*centre, 5 * pitch)


def editing(hand: Hand, result: dict[str, Any], side: int, cells: int) -> None:
    """Select, delete, draw, merge and take back, with autosave on."""
    columns = int(np.ceil(np.sqrt(cells)))
    pitch, middle = side / columns, columns // 2
    cell = lambda row, column: ((row + 0.5) * pitch, (column + 0.5) * pitch)  # noqa: E731
    looking(hand, result, side, pitch, cell(middle, middle))
    counts = [hand.count()]
    result["select"] = hand.several(5, lambda k: hand.click(*cell(middle - 3, middle - 3 + k)))
    spots = [cell(middle + k // 3, middle - 3 + 2 * (k % 3)) for k in range(5)]
    result["delete"] = hand.several(5, lambda k: hand.click(*spots[k], "ControlModifier"))
    counts.append(hand.count())
    result["pen move"], result["add"] = [], []
    for k in range(len(result["delete"])):
        moves, end = hand.stroke(*spots[k], 0.3 * pitch)
        result["pen move"] += moves
        result["add"].append(hand.timed(end))
    counts.append(hand.count())
    result["merge"] = []
    for k in range(3):
        hand.click(*cell(middle - 3 + k, middle + 2))
        hand.rest()
        target = cell(middle - 3 + k, middle + 3)
        result["merge"].append(hand.timed(lambda target=target: hand.click(*target, "AltModifier")))  # type: ignore[misc]
    counts.append(hand.count())
    result["undo"] = hand.several(3, lambda _: hand.key("Z", "ControlModifier"))
    result["counts"] = [*counts, hand.count()]


def drive(hand: Hand, work: dict[str, Any], result: dict[str, Any]) -> None:
    """What both windows do."""
    side, cells, path = work["side"], work["cells"], Path(work["image"])
    first: list[tuple[float, float]] = []
    start, used = time.perf_counter(), time.process_time()

    def complete() -> bool:
        shown = work["ours"] and hand.window.session.document is not None and hand.painted > 0
        if shown and not first:
            first.append((time.perf_counter() - start - 0.1, time.process_time() - used))
        return hand.count() >= cells

    result["open"] = [hand.timed(lambda: hand.open(path), complete)]
    result["first picture"] = first
    result["memory"] = memory()
    editing(hand, result, side, cells)


def drive_ours(hand: Hand, work: dict[str, Any], result: dict[str, Any]) -> None:
    """What only this window can do, and how long it is held up."""
    from cellpose import dynamics
    from cellpose.gui.model import Flows

    session = hand.window.session
    result["contrast"] = hand.several(6, lambda k: session.view.__setattr__("levels", [(k, 250.0 - k)] * 3))
    if not work["flows"]:
        return
    session.files.autosave.enabled = False

    def give_flows() -> None:
        labels = session.document.labels.numbered()[0][0]
        dP = 5 * np.asarray(dynamics.masks_to_flows(labels), np.float32)  # (2, Y, X)
        session.document.flows = Flows(None, dP, np.where(labels > 0, 4, -4).astype(np.float32))

    give_flows()
    columns = int(np.ceil(np.sqrt(work["cells"])))
    pitch = work["side"] / columns
    session.pointer.choose("click")
    hand.show(work["side"] / 2, work["side"] / 2, 5 * pitch)
    middle = columns // 2

    def hover(k: int) -> None:
        hand.move((middle + k % 4 + 0.5) * pitch, (middle + k // 4 + 0.5) * pitch)

    seen = []
    for k in range(12):  # the first finds the ends of all flows; where nothing is shown nothing was done
        time_of = hand.timed(lambda k=k: hover(k), lambda: hand.painted > 0 and hand.window.scene.pixels.isVisible(), 5)
        seen.append(time_of)
    result["one-click preview"] = seen[2:]
    session.pointer.choose("click")
    session.files.open(Path(work["small"]))
    give_flows()
    jobs, settings = session.jobs, session.settings

    def threshold(value: float) -> tuple[float, float]:
        """Until other masks are there: a job that did nothing is no figure."""
        history = session.document.history
        before = history.edits[-1:]
        done = lambda: history.edits[-1:] != before and history.next_undo == "thresholds"  # noqa: E731
        return hand.timed(lambda: setattr(settings, "cellprob_threshold", value), done, 30)

    hand.until(lambda: not jobs.any, 60)
    threshold(0.5)
    result["live thresholds, 1024"] = [threshold(value) for value in (0.25, 0.75, 0.0, 1.0)]
    settings.cellprob_threshold = 0.0
    hand.until(lambda: not jobs.any)

    def segment() -> None:
        session.segmentation.run()
        hand.until(lambda: jobs.running("segment") is None)
        hand.rest(0.3)

    result["block, first segmentation"] = hand.longest_block(segment)
    result["block, segmentation"] = hand.longest_block(segment)
    session.files.open(Path(work["train"]))
    hand.until(lambda: not jobs.any)

    def begin(settings: Any, _images: Any, start: Callable[[], None]) -> None:
        settings.n_epochs = 2
        start()

    session.dialogs.ask_training = begin

    def train() -> None:
        session.training.ask()
        hand.until(lambda: session.training.is_running, 60)
        hand.until(lambda: not session.training.is_running, 300)
        hand.rest(0.3)

    result["block, training"] = hand.longest_block(train)


def worker(work: dict[str, Any]) -> None:
    """In a process of its own: start the window, drive it, write what was measured."""
    begun = time.perf_counter()
    used = time.process_time()
    result: dict[str, Any] = {}
    from qtpy import QtWidgets

    def script(*_: Any) -> None:
        application = QtWidgets.QApplication.instance()
        application.processEvents()
        result["start"] = [(time.perf_counter() - begun, time.process_time() - used)]
        window = next(w for w in application.topLevelWidgets() if isinstance(w, QtWidgets.QMainWindow))
        QtWidgets.QMainWindow.resize(window, 1600, 1150)  # the original has a value of that name
        hand = Hand(application, window)
        try:
            drive(hand, work, result)
            if work["ours"]:
                drive_ours(hand, work, result)
        finally:
            result["peak"] = memory()
            Path(work["out"]).write_text(json.dumps(result))
            sys.stdout.flush()
            os._exit(0)

    QtWidgets.QApplication.exec = script
    QtWidgets.QApplication.exec_ = script
    from cellpose.gui import gui

    gui.run()


def home_for(folder: Path, *, ours: bool) -> Path:
    """A home folder; that of the original has a model and pictures, so that it asks no network for them."""
    home = folder / ("home-ours" if ours else "home-original")
    models = home / ".cellpose" / "models"
    models.mkdir(parents=True, exist_ok=True)
    if not ours:
        import torch

        from cellpose import weights

        bundled = weights.bundled_models()["generalist"]
        from safetensors.torch import load_file

        torch.save(load_file(bundled), models / "cyto3")
        sizes = bundled.with_name(f"{bundled.stem}_size.npy")
        if sizes.is_file():
            (models / "size_cyto3.npy").write_bytes(sizes.read_bytes())
        for name in ("logo.png", "cellpose_gui.png"):
            cv2.imwrite(str(home / ".cellpose" / name), np.zeros((64, 64, 3), np.uint8))
    return home


def measure(
    python: str, folder: Path, work: dict[str, Any], display: bool, limit: float, qt: str | None = None
) -> dict[str, Any]:
    """One window in one process."""
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    work = {**work, "out": str(out)}
    variables: dict[str, Any] = {"HOME": home_for(folder, ours=work["ours"])}
    if not display:
        variables["QT_QPA_PLATFORM"] = "offscreen"
    if work["ours"]:
        variables["QT_API"] = "pyside6"
    elif qt:
        variables["PYTHONPATH"] = qt
    command = [python, str(Path(__file__).resolve()), "--worker", json.dumps(work)]
    try:
        done = subprocess.run(
            command, env=environment(ours=work["ours"], **variables), timeout=limit, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        said = done.stderr
    except subprocess.TimeoutExpired as error:
        said = f"it took more than {limit:.0f} s; {error.stderr or ''}"
    if not out.exists():
        print(said[-2000:], file=sys.stderr)
        return {}
    return json.loads(out.read_text())


def median(times: Times) -> tuple[float, float] | None:
    """In milliseconds, of those that painted; None where none did."""
    times = [pair for pair in times if not math.isnan(pair[0])]
    if not times:
        return None
    return tuple(1000 * statistics.median(column) for column in zip(*times, strict=True))  # type: ignore[return-value]


def table(title: str, ours: dict[str, Any], original: dict[str, Any], large: bool) -> None:
    """Wall / CPU in milliseconds, the bound, and the ratio of the processor's time."""
    print(f"\n{title}\n\n| work | here | bound (CPU) | 3.1.1.3 | 3.1.1.3 / here (CPU) |\n|---|---|---|---|---|")
    shown = lambda pair, name, of: f"{pair[0]:.0f} / {pair[1]:.1f}" if pair else "not reached" if name in of else "–"  # noqa: E731
    for name, bounds in ROWS.items():
        here, there = median(ours.get(name, [])), median(original.get(name, []))
        if name not in ours and name not in original:
            continue
        bound = bounds[large]
        mark = "" if here is None else " ✓" if here[1] <= bound else " ✗"
        ratio = f"{there[1] / max(here[1], 1e-3):.1f}" if here and there else "–"
        print(f"| {name} | {shown(here, name, ours)} | {bound}{mark} | {shown(there, name, original)} | {ratio} |")
    for name in (key for key in ours if key.startswith("block")):
        print(f"| longest {name} (clock) | {ours[name]:.0f} | {MOST_BLOCKED_MS} | – | – |")
    there = original.get("memory", "–")
    print(f"| peak memory after opening, MB | {ours.get('memory', '–')} | {MOST_MB} | {there} | – |")
    print(f"\ncells after the steps: here {ours.get('counts')}, 3.1.1.3 {original.get('counts')}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter of cellpose 3.1.1.3 with its window")
    parser.add_argument("--qt", help="folder with qtpy, pyqtgraph, superqt and Qt, where they are not installed there")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--large", action="store_true", help="also 10,000 x 10,000 with 20,000 cells")
    parser.add_argument("--large-original", action="store_true", help="the original, too; takes many minutes")
    parser.add_argument("--only-edits", action="store_true", help="no segmentation, training and thresholds")
    parser.add_argument("--display", action="store_true", help="on the screen of the environment")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        worker(json.loads(given.worker))
        return 0
    everything: dict[str, Any] = {}
    sizes = [(given.side, given.cells), *([(10_000, 20_000)] if given.large else [])]
    for side, cells in sizes:
        with tempfile.TemporaryDirectory() as name:
            everything[str(side)] = compare(Path(name), side, cells, given)
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1))
    return 0 if all(result["ours"] for result in everything.values()) else 1


def compare(folder: Path, side: int, cells: int, given: argparse.Namespace) -> dict[str, Any]:
    """Both windows with one image, one after the other."""
    large = side >= 10_000
    for part in ("one", "small", "train"):
        (folder / part).mkdir()
    work: dict[str, Any] = {"side": side, "cells": cells, "flows": not large and not given.only_edits}
    work["image"] = str(make(folder / "one", "image", side, cells))
    work["small"] = str(make(folder / "small", "small", 1024, 500, 1))
    trained = [make(folder / "train", f"t{k}", 512, 120, 10 + k) for k in range(3)]
    work["train"] = str(trained[0])
    ours = measure(sys.executable, folder, {**work, "ours": True}, given.display, 1800)
    original: dict[str, Any] = {}
    if given.python_v3 and (not large or given.large_original):
        (folder / "one" / "image_seg.npy").unlink()
        make(folder / "one", "image", side, cells)  # as it was
        original = measure(given.python_v3, folder, {**work, "ours": False}, given.display, 5400, given.qt)
    load = f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    table(f"{side} x {side}, {cells:,} cells ({load}); milliseconds, clock / processor", ours, original, large)
    return {"ours": ours, "original": original}


if __name__ == "__main__":
    sys.exit(main())
