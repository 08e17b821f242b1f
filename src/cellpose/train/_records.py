"""Records that a run leaves beside the model: a table and a plot of the losses, pictures of predictions, a report."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose import plot
from cellpose._machine.writing import replacing
from cellpose.train._validate import Scores

__all__ = ["COLUMNS", "run_folder", "write_pictures", "write_plot", "write_report", "write_table"]

logger = logging.getLogger("cellpose.train")

COLUMNS = (
    "epoch", "train_loss", "test_loss", "learning_rate", "seconds", "ap50", "ap75", "ap90", "flow_error",
)  # fmt: skip

_TILE = 256  # side in pixels of a picture on the sheet of predictions


def run_folder(model: Path) -> Path:
    """Where the records of a model's training are: ``training/<model>`` beside its folder ``models``."""
    return model.parent.parent / "training" / model.name


def checkpoint_file(model: Path) -> Path:
    """The file from which an interrupted training of a model continues."""
    return run_folder(model) / "checkpoint.pt"


def write_table(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """``losses.csv``: one line per epoch, empty where nothing was measured."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, restval="")
    table.writeheader()
    table.writerows(rows)
    with replacing(folder / "losses.csv") as file:
        file.write(text.getvalue().encode())


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """``report.json``: the results of the run."""
    with replacing(folder / "report.json") as file:
        file.write(json.dumps(report, indent=1).encode())


def write_plot(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """``losses.png``, if matplotlib is installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        logger.info("losses.png is not drawn: matplotlib is not installed (pip install 'cellpose[plot]')")
        return
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _line(axes, rows, "train_loss", "training loss")
    _line(axes, rows, "test_loss", "test loss")
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any("ap50" in row for row in rows):
        right = axes.twinx()
        for column, color in (("ap50", "C2"), ("ap75", "C3"), ("ap90", "C4")):
            _line(right, rows, column, f"AP@0.{column[2:].rstrip('0')}", color=color, linestyle="--", marker=".")
        right.set(ylabel="average precision", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(folder / "losses.png")


def _line(axes: Any, rows: Sequence[Mapping[str, float]], column: str, label: str, **style: Any) -> None:
    points = [(row["epoch"], row[column]) for row in rows if column in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, **style)


def write_pictures(folder: Path, scores: Scores) -> None:
    """``validation.png``: held-out images, each with its true outlines (left) and the predicted ones (right)."""
    if not scores.shown:
        return
    rows = []
    for image, true, predicted in scores.shown:
        pair = [_tile(image, masks) for masks in (true, predicted)]
        rows.append(np.concatenate(pair, axis=1))
    sheet = np.concatenate(rows, axis=0)
    encoded = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1]
    (folder / "validation.png").write_bytes(encoded.tobytes())


def _tile(image: npt.NDArray[Any], masks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    gray = (255 * np.clip(image, 0, 1)).astype(np.uint8)
    drawn = np.asarray(plot.outline_view(gray, masks, color=(255, 60, 0)), dtype=np.uint8)
    scale = _TILE / max(drawn.shape[:2])
    if scale != 1:
        size = (max(1, int(drawn.shape[1] * scale)), max(1, int(drawn.shape[0] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        drawn = np.asarray(cv2.resize(drawn, size, interpolation=how), dtype=np.uint8)
    tile = np.zeros((_TILE + 4, _TILE + 4, 3), np.uint8)
    tile[: drawn.shape[0], : drawn.shape[1]] = drawn
    return tile
