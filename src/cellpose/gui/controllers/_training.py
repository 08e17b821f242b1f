"""Training on the corrected images of a folder, in the background; the window stays usable."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from cellpose import io, weights
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document
from cellpose.gui.model._seg_file import seg_path
from cellpose.gui.model._training_set import OpenImage, TrainingSet, training_set
from cellpose.gui.model._training_settings import SCRATCH, TrainingSettings, start_for
from cellpose.options import Normalization
from cellpose.utils._labels import same_cells

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Epochs", "Trained", "Training", "TrainingRequest"]

_LEAST_CROPS = 8  # in an epoch: one batch, so that one or two images do
_VALIDATIONS = 10  # in a run
_CROP = 128  # side in pixels with which the recipe for U-Nets was measured
_AVERAGED = 0.2
_NICE = 10  # steps by which the threads of a training give way to the window


@dataclass(frozen=True)
class TrainingRequest:
    """All that one training needs, fixed when it begins."""

    settings: TrainingSettings
    images: TrainingSet
    normalization: Normalization
    gpu: bool
    save_path: Path


@dataclass(frozen=True)
class Epochs:
    """How far a training is.

    Parameters
    ----------
    name
        Of the new model.
    n_epochs
        How many there will be.
    rows
        A row per finished epoch: ``epoch``, ``train_loss``, with held-out images now and then ``test_loss``, ``ap50``.
    seconds_left
        About how long it takes; None: not known yet.
    stopping
        Whether it was asked to stop.
    """

    name: str
    n_epochs: int
    rows: tuple[dict[str, float], ...] = ()
    seconds_left: float | None = None
    stopping: bool = False


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Parameters
    ----------
    name, path
        Of the new model.
    diameter
        Mean diameter of the cells it was trained with, in pixels.
    epochs
        How many it was trained for.
    before, after
        AP at 0.5 on held-out images of the base model and of the new one; None where no image was held out.
    harmed
        Whether the new model is worse.
    n_held_out
        How many images were held out.
    unet
        Whether it is a U-Net, which is run at the diameter it was trained with.
    """

    name: str
    path: Path
    diameter: float
    epochs: int
    before: float | None = None
    after: float | None = None
    harmed: bool = False
    n_held_out: int = 0
    unet: bool = True

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return f"{self.name} is trained; with 4 corrected images one is held out to compare it with the old model"
        images = "1 held-out image" if self.n_held_out == 1 else f"{self.n_held_out} held-out images"
        line = f"{self.name}: AP@0.5 {self.before:.2f} before, {self.after:.2f} after training, on {images}"
        return f"{line}; the new model is worse, the old one stays selected" if self.harmed else line


class Training:
    """The trainings of a session, one at a time.

    Parameters
    ----------
    session
        Whose folder is trained on, and whose model is replaced.

    Attributes
    ----------
    progressed : Signal(Epochs)
        A training began, went on or is about to stop.
    finished : Signal(Trained)
        A model is there.
    failed : Signal(str)
        A training ended without a model, and why.
    """

    name = "train"
    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stop = threading.Event()
        self._epochs: Epochs | None = None

    @property
    def is_running(self) -> bool:
        """Whether a model is being trained."""
        return self._session.jobs.running(self.name) is not None

    def ask(self) -> None:
        """Collect the images of the folder, in the background, then ask how to train."""
        session, document = self._session, self._session.document
        if self.is_running:
            session.told.emit("a model is being trained; stop it first to train another")
            return
        if document is None or document.path is None:
            session.told.emit("open an image of the folder to train with first")
            return
        if document.labels.shape[0] > 1:
            session.told.emit("training needs images of one plane; `cellpose slices` cuts them from stacks")
            return
        opened, folder = _opened(document), document.path.parent

        def failed(error: Exception) -> None:
            session.told.emit(f"the images to train with cannot be read: {error}")

        session.jobs.start("training set", lambda report: training_set(folder, opened, report), self._ask_with, failed)

    def _ask_with(self, images: TrainingSet) -> None:
        session = self._session
        if not images.train:
            why = f" ({images.left_out[0][0]}: {images.left_out[0][1]})" if images.left_out else ""
            session.told.emit(f"no image in {images.folder} has masks in a _seg.npy to train with{why}")
            return
        settings = TrainingSettings.of(start_for(session.settings.model), session.settings.channels, datetime.now())
        session.dialogs.ask_training(settings, images, lambda: self.start(settings, images))

    def start(self, settings: TrainingSettings, images: TrainingSet) -> None:
        """Train in the background; the finished model is selected and tried on the next image."""
        session = self._session
        chosen = images.only_corrected() if settings.only_corrected else images
        if not chosen.train:
            session.told.emit("no corrected image is left to train with")
            return
        writable = os.access(images.folder, os.W_OK)
        save_path = images.folder if writable else Path(tempfile.mkdtemp(prefix="cellpose-"))
        request = TrainingRequest(
            replace(settings), chosen, session.settings.normalization(), session.settings.gpu, save_path
        )
        began_with = session.document
        self._stop.clear()
        self._tell(Epochs(settings.model_name, settings.n_epochs))
        session.jobs.start(
            self.name,
            lambda report: self._train(request, report),
            lambda trained: self._use(trained, began_with),
            self._tell_failure,
        )

    def stop(self) -> None:
        """End after the present step; the model as it is then is kept."""
        if self.is_running and self._epochs is not None:
            self._stop.set()
            self._tell(replace(self._epochs, stopping=True))

    # --- in the thread of the job ---

    def _train(self, request: TrainingRequest, report: Report) -> Trained:
        _give_way()
        from cellpose import models, train

        settings, images = request.settings, request.images
        scratch = settings.base == SCRATCH
        model = models.CellposeModel(
            gpu=request.gpu, pretrained_model=False if scratch else settings.base, engine="torch"
        )
        rows: list[dict[str, float]] = []

        def on_step(step: dict[str, int]) -> bool:
            report((step["epoch"] + step["crops"] / step["n_crops"]) / settings.n_epochs)
            return not self._stop.is_set()

        def on_epoch(row: dict[str, float]) -> bool:
            rows.append(row)
            told = Epochs(settings.model_name, settings.n_epochs, tuple(rows), row["seconds_left"], self._stop.is_set())
            self._session.in_main(lambda: self._tell(told))
            return not self._stop.is_set()

        options = _held_out(images, settings)
        if settings.is_unet:
            options |= {"channels": list(settings.channels), "bsize": _CROP}
        path, losses, _ = train.train_seg(
            model.net,
            [example.image for example in images.train],
            [example.labels for example in images.train],
            normalize=request.normalization,
            channel_axis=-1,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            n_epochs=settings.n_epochs,
            nimg_per_epoch=max(_LEAST_CROPS, len(images.train)),
            min_train_masks=0,
            save_path=request.save_path,
            model_name=settings.model_name,
            average_weights=_AVERAGED,
            on_epoch=on_epoch,
            on_step=on_step,
            progress=False,
            **options,
        )
        io.add_model(path)
        np.save(path.with_name(f"{path.name}_train_losses.npy"), losses)
        compared = weights.ModelFile(path.name, path).card.get("validation", {})
        before, after = (compared.get(key, [None])[0] for key in ("ap_base", "ap_tuned"))
        return Trained(
            path.name, path, float(model.net.diam_labels), len(rows), before, after,
            bool(compared.get("harmed", False)), len(images.held_out), settings.is_unet,
        )  # fmt: skip

    # --- in the main thread ---

    def _tell(self, epochs: Epochs) -> None:
        self._epochs = replace(epochs, stopping=epochs.stopping or self._stop.is_set())
        self.progressed.emit(self._epochs)

    def _tell_failure(self, error: Exception) -> None:
        self._session.told.emit(f"training failed: {error}")
        self.failed.emit(str(error))

    def _use(self, trained: Trained, began_with: Document | None) -> None:
        """Select the new model unless it is worse, and segment the next image that nobody segmented yet."""
        session = self._session
        self.finished.emit(trained)
        session.told.emit(str(trained))
        if trained.harmed:
            return
        if trained.unet:
            session.settings.diameter = round(trained.diameter, 1)
        session.settings.model = trained.name
        document = session.document
        if document is None or document is not began_with or session.pointer.mode != "select":
            return  # the user works on something else by now
        following = self.next_unsegmented()
        if following is None:
            session.told.emit(f"{trained} All images of this folder have masks: run {trained.name} on a new one")
        elif session.files.open(following):
            session.segmentation.run()

    def next_unsegmented(self) -> Path | None:
        """The next image of the folder without a ``_seg.npy``, round and round; None where all have one."""
        files, document = self._session.files, self._session.document
        if document is None or document.path is None:
            return None
        names = files.images()
        start = names.index(document.path) + 1 if document.path in names else 0
        ordered = [*names[start:], *names[: max(start - 1, 0)]]
        return next((path for path in ordered if not seg_path(path).exists()), None)


def _held_out(images: TrainingSet, settings: TrainingSettings) -> dict[str, Any]:
    """Keywords of the training for the images that both models are compared on."""
    if not images.held_out:
        return {}
    return {
        "test_data": [example.image for example in images.held_out],
        "test_labels": [example.labels for example in images.held_out],
        "validate_every": max(1, settings.n_epochs // _VALIDATIONS),
        "report": True,
    }


def _opened(document: Document) -> OpenImage:
    labels, rows = document.labels.numbered()
    corrected = bool(rows["manual"].any() or rows["checked"].any())
    if not corrected and document.found is not None:
        corrected = not same_cells(document.found.labels.unpacked(), labels)
    return OpenImage(document.path or Path(), document.stack, labels.copy(), corrected)


def _give_way() -> None:
    """Let this thread, and those that it starts, run after the window's where there are few processors."""
    if sys.platform == "linux":  # elsewhere priorities are those of whole programs
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
