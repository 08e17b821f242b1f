"""A training in its own process, so it cannot block the window: ``python -m`` this module.

The window writes a `TrainingRequest` to a file and reads one JSON object per line: ``{"share": 0.25}``,
``{"row": {...}}``, and at the end ``{"done": {...}}`` or ``{"failed": "why"}``. A line on standard input, or its end
when the window dies, stops the training and saves the model in its current state.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import CellposeError, InputError
from cellpose.gui.model._training_settings import SCRATCH, TrainingSettings
from cellpose.options import Normalization

__all__ = ["TrainingRequest", "messages"]

_LEAST_CROPS = 8  # in an epoch: one batch, so that one or two images do
_VALIDATIONS = 10  # in a run
_CROP = 128  # crop side in pixels used when the recipe for U-Nets was measured
_AVERAGED = 0.2
_NICE = 5  # the training yields to the window on machines with few cores
_LAST_WORDS = 400  # characters kept of a process's last output before it died

Pair = tuple[npt.NDArray[Any], npt.NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """All that one training needs.

    Parameters
    ----------
    settings
        Fields of `TrainingSettings`.
    train, held_out
        Images (Y, X, C) and labels (Y, X), for training and for evaluation.
    normalization
        How images are prepared.
    gpu
        Whether to train on a GPU.
    save_path
        The model is saved in the folder ``models`` in here.
    """

    settings: dict[str, Any]
    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    normalization: Normalization
    gpu: bool
    save_path: Path

    @classmethod
    def of(cls, settings: TrainingSettings, **given: Any) -> TrainingRequest:
        """A request with the current settings."""
        return cls(asdict(settings), **given)


def messages(request: TrainingRequest, stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Train in another process and yield its messages; closing the iterator stops the training.

    Raises
    ------
    InputError
        If the training failed; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="cellpose-train-") as folder:
        file = Path(folder) / "request"
        with file.open("wb") as out:
            pickle.dump(request, out, protocol=5)
        log = Path(folder) / "log"
        with log.open("wb") as words:
            process = _start(file, words)
        watch = threading.Thread(target=_pass_on, args=(stop, process), daemon=True)
        watch.start()
        try:
            ended = yield from _read(process)
        finally:
            _end(process)
        if not ended:
            said = log.read_text("utf-8", "replace").strip()[-_LAST_WORDS:]
            message = f"the training process ended with status {process.returncode}: {said or 'it said nothing'}"
            raise InputError(message)


def _start(request: Path, words: IO[bytes]) -> subprocess.Popen[str]:
    lower = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # of Windows
    return subprocess.Popen(
        [sys.executable, "-m", "cellpose.gui.controllers._trainer", str(request), str(_NICE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        encoding="utf-8",
        creationflags=lower,
    )


def _read(process: subprocess.Popen[str]) -> Generator[dict[str, Any], None, bool]:
    """Yield its messages; return whether it finished."""
    for line in process.stdout or ():
        told = json.loads(line)
        if "failed" in told:
            raise InputError(told["failed"])
        yield told
        if "done" in told:
            return True
    process.wait()
    return False


def _pass_on(stop: threading.Event, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if stop.wait(0.2):
            with suppress(OSError, ValueError):  # it has ended by itself
                if process.stdin is not None:
                    process.stdin.write("stop\n")
                    process.stdin.flush()
            return


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the process to stop and to save the model in its current state."""
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()


# --- in the other process ---


def train_model(request: TrainingRequest, tell: Callable[[dict[str, Any]], None], stop: threading.Event) -> None:
    """Train, save and list the new model, and report progress and results."""
    from cellpose import io, models, train, weights

    settings = TrainingSettings(**request.settings)
    base = False if settings.base == SCRATCH else settings.base
    net = models.CellposeModel(gpu=request.gpu, pretrained_model=base, engine="torch").net
    n_done = 0

    def on_step(step: dict[str, int]) -> bool:
        tell({"share": (step["epoch"] + step["crops"] / step["n_crops"]) / settings.n_epochs})
        return not stop.is_set()

    def on_epoch(row: dict[str, float]) -> bool:
        nonlocal n_done
        n_done += 1
        tell({"row": row})
        return not stop.is_set()

    path, losses, _ = train.train_seg(
        net,
        train_data=[image for image, _ in request.train],
        train_labels=[labels for _, labels in request.train],
        normalize=request.normalization,
        channel_axis=-1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        n_epochs=settings.n_epochs,
        nimg_per_epoch=max(_LEAST_CROPS, len(request.train)),
        min_train_masks=0,
        save_path=request.save_path,
        model_name=settings.model_name,
        average_weights=_AVERAGED,
        on_epoch=on_epoch,
        on_step=on_step,
        progress=False,
        **_further(request, settings),
    )
    io.add_model(path)
    np.save(path.with_name(f"{path.name}_train_losses.npy"), losses)
    compared = weights.ModelFile(path.name, path).card.get("validation", {})
    before, after = (compared.get(key, [None])[0] for key in ("ap_base", "ap_tuned"))
    result = {"name": path.name, "path": str(path), "diameter": float(net.diam_labels), "epochs": n_done}
    tell({"done": {**result, "before": before, "after": after, "harmed": bool(compared.get("harmed", False))}})


def _further(request: TrainingRequest, settings: TrainingSettings) -> dict[str, Any]:
    """Keywords that depend on the kind of network, and on whether images are held out."""
    options: dict[str, Any] = {}
    if settings.is_unet:
        options |= {"channels": list(settings.channels), "bsize": _CROP}
    if request.held_out:
        options |= {"test_data": [image for image, _ in request.held_out], "report": True}
        options["test_labels"] = [labels for _, labels in request.held_out]
        options["validate_every"] = max(1, settings.n_epochs // _VALIDATIONS)
    return options


def main(file: str, nice: str = "0") -> None:
    """Run the training of a request, and report on standard output."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with messages
    if hasattr(os, "nice"):
        os.nice(int(nice))
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        stop.set()

    def tell(message: dict[str, Any]) -> None:
        with suppress(OSError):  # the window is gone; the model is saved anyway
            out.write(json.dumps(message) + "\n")
            out.flush()

    threading.Thread(target=listen, daemon=True).start()
    with open(file, "rb") as request:
        wanted = pickle.load(request)  # noqa: S301  (the window has just written it, in a folder that is the user's alone)
    try:
        train_model(wanted, tell, stop)
    except (CellposeError, OSError, MemoryError, RuntimeError) as error:
        tell({"failed": str(error) or type(error).__name__})
    out.close()
    os._exit(0)  # at once: the thread that listens cannot be ended otherwise


if __name__ == "__main__":
    main(*sys.argv[1:])
