"""Checkpoints: everything a run needs to continue as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cellpose._machine.reading import reading
from cellpose._machine.writing import replacing
from cellpose.errors import FileReadError, OptionError, WeightsError
from cellpose.nets import check_archive
from cellpose.train._average import WeightMean

__all__ = [
    "Progress",
    "check_options",
    "fingerprint",
    "finished_run",
    "forget_finished",
    "read_best",
    "read_checkpoint",
    "restore",
    "write_best",
    "write_checkpoint",
]

_VERSION = 3
_DIGITS = 12  # of a hash, enough to tell data apart


@dataclass
class Progress:
    """How far a run has come: everything that changes beside the weights and the optimizer.

    ``epoch`` is the next one to do. Losses are one per epoch. ``best_score`` is the larger the better; ``sums`` are the
    loss and the number of crops since the last line of the log; ``rows`` are those of the table of losses.
    """

    epoch: int = 0
    train_losses: list[float] = field(default_factory=list)
    test_losses: list[float] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int = -1
    sums: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0
    finished: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)


def fingerprint(facts: dict[str, Any], data: list[Any]) -> str:
    """What identifies a run, as JSON: its options, and a hash of its data, which are arrays and bytes."""
    digest = hashlib.sha256()
    for each in data:
        digest.update(each if isinstance(each, bytes) else np.ascontiguousarray(each).tobytes())
    return json.dumps({**facts, "data": digest.hexdigest()[:_DIGITS]}, sort_keys=True, default=str)


def _write(path: Path, content: Any) -> None:
    """Save with torch atomically: the file is the new one or the old one, never a part."""
    with replacing(path, failures=(RuntimeError,)) as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def write_checkpoint(path: Path, run_id: str, net: Any, optimiser: Any, progress: Progress, mean: WeightMean) -> None:
    """Save the state of a run; of a finished one only its losses.

    Raises
    ------
    FileWriteError
        If the file cannot be written.
    """
    content: dict[str, Any] = {"version": _VERSION, "run": run_id, "progress": json.dumps(asdict(progress))}
    if not progress.finished:
        content |= {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "torch_rng": torch.get_rng_state()}
        content["mean"] = mean.state_dict()
        if torch.cuda.is_available():
            content["cuda_rng"] = torch.cuda.get_rng_state_all()
    _write(path, content)


def write_best(path: Path, net: Any, epoch: int) -> None:
    """Save the best weights so far, those after an epoch.

    Raises
    ------
    FileWriteError
        If the file cannot be written.
    """
    _write(path, {"epoch": epoch, "net": net.state_dict()})


def read_best(path: Path, epoch: int) -> dict[str, Any] | None:
    """The best weights, those after an epoch; None if the file is missing or left by another run.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    if not path.is_file():
        return None
    with reading(path, WeightsError):
        content = _loaded(path, "cpu")
        return dict(content["net"]) if content.get("epoch") == epoch else None


def read_checkpoint(path: Path, run_id: str) -> dict[str, Any] | None:
    """The checkpoint of this very run; None if there is none.

    Raises
    ------
    OptionError
        If it is of a run with other options or data.
    WeightsError
        If it cannot be read.
    """
    return _read(path, json.loads(run_id), "cpu") if path.is_file() else None


def check_options(path: Path, facts: dict[str, Any]) -> None:
    """Refuse to continue a run with other options: known before its data are prepared.

    Raises
    ------
    OptionError, WeightsError
        As `read_checkpoint`.
    """
    if path.is_file():
        _read(path, json.loads(json.dumps(facts, default=str)), "meta")  # of the tensors only the shapes


def _read(path: Path, now: dict[str, Any], device: str) -> dict[str, Any]:
    with reading(path, WeightsError):
        content = _loaded(path, device)
        if content["version"] != _VERSION:
            message = f"the checkpoint {path} comes from another version of this program; train without resume"
            raise WeightsError(message)
        before = json.loads(content["run"])
        different = [f"{k} was {before.get(k)}, is {now[k]}" for k in now if before.get(k) != now[k]]
        if different:
            message = (
                f"{path} belongs to another run: {'; '.join(different[:4])}. Use its options and data, or do not resume"
            )
            raise OptionError(message)
    return dict(content)


def _loaded(path: Path, device: str) -> dict[str, Any]:
    check_archive(path)
    with path.open("rb") as file:  # torch opens no name but UTF-8
        return dict(torch.load(file, map_location=device, weights_only=True))


def finished_run(path: Path, run_id: str) -> Progress | None:
    """The losses of this very run if it has ended; None if there is more to do.

    Raises
    ------
    OptionError, WeightsError
        As `read_checkpoint`.
    """
    if not path.is_file():
        return None
    content = _read(path, json.loads(run_id), "meta")
    with reading(path, WeightsError):
        progress = _progress(content)
    return progress if progress.finished else None


def forget_finished(path: Path) -> None:
    """Delete the checkpoint of a run that has ended: its model is about to be replaced.

    Checkpoints of unfinished runs stay until the next one replaces them: a person may have forgotten to resume.
    """
    with suppress(WeightsError, FileReadError):
        with reading(path, WeightsError):
            finished = _progress(_loaded(path, "meta")).finished
        if finished:
            path.unlink(missing_ok=True)


def restore(path: Path, content: dict[str, Any], net: Any, optimiser: Any, mean: WeightMean) -> Progress:
    """Bring network, optimizer, running mean and random numbers to the state of a checkpoint.

    Raises
    ------
    WeightsError
        If its parts do not fit.
    """
    with reading(path, WeightsError):
        return _restore(content, net, optimiser, mean)


def _restore(content: dict[str, Any], net: Any, optimiser: Any, mean: WeightMean) -> Progress:
    progress = _progress(content)
    if not progress.finished:
        net.load_state_dict(content["net"])
        optimiser.load_state_dict(content["optimiser"])
        mean.load_state_dict(content["mean"])
        torch.set_rng_state(content["torch_rng"])
        if "cuda_rng" in content and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(content["cuda_rng"])
    return progress


def _progress(content: dict[str, Any]) -> Progress:
    facts = json.loads(content["progress"])
    facts["sums"] = tuple(facts["sums"])
    return Progress(**facts)
