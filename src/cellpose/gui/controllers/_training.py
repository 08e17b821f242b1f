"""Training on the corrected images of a folder, in the background; the window stays usable."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from cellpose._labels.arrays import same_cells
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._jobs import Cancelled, Report
from cellpose.gui.controllers._trainer import TrainingRequest, messages
from cellpose.gui.model import Document
from cellpose.gui.model._seg_file import seg_path
from cellpose.gui.model._training_set import OpenImage, TrainingSet, training_set
from cellpose.gui.model._training_settings import TrainingSettings, start_for

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Epochs", "Trained", "Training"]


@dataclass(frozen=True)
class Epochs:
    """The progress of a training.

    Parameters
    ----------
    name
        Of the new model.
    n_epochs
        How many there will be.
    rows
        One row per finished epoch: ``epoch``, ``train_loss``; with held-out images sometimes ``test_loss``, ``ap50``.
    seconds_left
        Estimated time left; None: not known yet.
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
        Number of epochs trained.
    before, after
        AP at 0.5 on held-out images of the base model and of the new one; None where no image was held out.
    harmed
        Whether the new model is worse.
    n_held_out
        How many images were held out.
    """

    name: str
    path: str
    diameter: float
    epochs: int
    before: float | None = None
    after: float | None = None
    harmed: bool = False
    n_held_out: int = 0

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return tr(
                "{name} is trained; with 4 corrected images one is held out to compare it with the old model",
                name=self.name,
            )
        images = tr_n("{n} held-out image", "{n} held-out images", self.n_held_out)
        line = tr(
            "{name}: AP@0.5 {before:.2f} before, {after:.2f} after training, on {images}",
            name=self.name,
            before=self.before,
            after=self.after,
            images=images,
        )
        return tr("{line}; the new model is worse, the old one stays selected", line=line) if self.harmed else line


class Training:
    """The trainings of a session, one at a time.

    Parameters
    ----------
    session
        Whose folder is trained on, and whose model is replaced.

    Attributes
    ----------
    progressed : Signal(Epochs)
        A training began, advanced or is about to stop.
    finished : Signal(Trained)
        A new model is ready.
    failed : Signal(str)
        A training ended without a model; the value is the reason.
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
            session.failed.emit(tr("a model is being trained; stop it first to train another"))
            return
        if document is None or document.path is None:
            session.failed.emit(tr("open an image of the folder to train with first"))
            return
        if session.held:
            session.told.emit(session.held)
            return
        if document.labels.shape[0] > 1:
            session.failed.emit(tr("training needs images of one plane; `cellpose slices` cuts them from stacks"))
            return
        opened, folder = _opened(document), document.path.parent

        def failed(error: Exception) -> None:
            session.failed.emit(tr("the images to train with cannot be read: {error}", error=error))

        session.jobs.start(
            "training set", lambda report: training_set(folder, opened(), report), self._ask_with, failed
        )

    def _ask_with(self, images: TrainingSet) -> None:
        session = self._session
        if not images.train:
            why = f" ({images.left_out[0][0]}: {images.left_out[0][1]})" if images.left_out else ""
            session.failed.emit(
                tr("no image in {folder} has masks in a _seg.npy to train with{why}", folder=images.folder, why=why)
            )
            return
        settings = TrainingSettings.of(start_for(session.settings.model), session.settings.channels, datetime.now())
        session.dialogs.ask_training(settings, images, lambda: self.start(settings, images))

    def start(self, settings: TrainingSettings, images: TrainingSet) -> None:
        """Train in the background; then select the new model and try it on the next image."""
        session = self._session
        if not settings.validation:
            self._start(settings, images)
            return
        folder = Path(settings.validation).expanduser()

        def read(others: TrainingSet) -> None:
            if not (others.train or others.held_out):
                session.failed.emit(
                    tr("no image in {folder} has masks in a _seg.npy to compare the models on", folder=folder)
                )
            else:
                self._start(settings, images.compared_on(others))

        def failed(error: Exception) -> None:
            session.failed.emit(tr("the images to compare on cannot be read: {error}", error=error))

        if folder.resolve() == images.folder.resolve():
            session.failed.emit(
                tr("{folder} is what is trained on; choose another folder to compare the models on", folder=folder)
            )
        else:
            session.jobs.start("validation set", lambda report: training_set(folder, report=report), read, failed)

    def _start(self, settings: TrainingSettings, images: TrainingSet) -> None:
        session = self._session
        chosen = images.wanted(settings.only_corrected, settings.ignore_border)
        if not chosen.train:
            session.failed.emit(tr("no image is left to train with: allow more in the dialog, or correct more images"))
            return
        writable = os.access(images.folder, os.W_OK)
        save_path = images.folder if writable else Path(tempfile.mkdtemp(prefix="cellpose-"))
        request = TrainingRequest.of(
            settings,
            train=tuple((example.image, example.labels) for example in chosen.train),
            held_out=tuple((example.image, example.labels) for example in chosen.held_out),
            normalization=session.settings.normalization(),
            gpu=session.settings.gpu,
            save_path=save_path,
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
        """Stop after the current step; the model is kept in its state then."""
        if self.is_running and self._epochs is not None:
            self._stop.set()
            self._tell(replace(self._epochs, stopping=True))

    def _train(self, request: TrainingRequest, report: Report) -> Trained:
        """In the thread of the job: pass on the messages of the training."""
        name, n_epochs = request.settings["model_name"], request.settings["n_epochs"]
        rows: list[dict[str, float]] = []
        for told in messages(request, self._stop):
            if "share" in told:
                report(told["share"])
            elif "row" in told:
                rows.append(told["row"])
                epochs = Epochs(name, n_epochs, tuple(rows), told["row"]["seconds_left"])
                self._session.in_main(lambda epochs=epochs: self._tell(epochs))  # type: ignore[misc]
            else:
                return Trained(**told["done"], n_held_out=len(request.held_out))
        raise Cancelled

    # --- in the main thread ---

    def _tell(self, epochs: Epochs) -> None:
        self._epochs = replace(epochs, stopping=epochs.stopping or self._stop.is_set())
        self.progressed.emit(self._epochs)

    def _tell_failure(self, error: Exception) -> None:
        self._session.failed.emit(tr("training failed: {error}", error=error))
        self.failed.emit(str(error))

    def _use(self, trained: Trained, began_with: Document | None) -> None:
        """Select the new model unless it is worse, and segment the next image without a segmentation."""
        session = self._session
        self.finished.emit(trained)
        session.models.changed.emit()
        session.told.emit(str(trained))
        if trained.harmed:
            return
        session.models.choose(trained.name)
        document = session.document
        if document is None or document is not began_with or session.pointer.mode != "select":
            return  # the user is working on another image now
        following = self.next_unsegmented()
        if following is None:
            session.told.emit(
                tr(
                    "{trained} All images of this folder have masks: run {name} on a new one",
                    trained=trained,
                    name=trained.name,
                )
            )
        else:
            session.files.begin(following, then=session.segmentation.run)

    def next_unsegmented(self) -> Path | None:
        """The next image of the folder without a ``_seg.npy``, wrapping around; None if all have one."""
        files, document = self._session.files, self._session.document
        if document is None or document.path is None:
            return None
        names = files.images()
        start = names.index(document.path) + 1 if document.path in names else 0
        ordered = [*names[start:], *names[: max(start - 1, 0)]]
        return next((path for path in ordered if not seg_path(path).exists()), None)


def _opened(document: Document) -> Callable[[], OpenImage]:
    """The open image as it is now; the slow work is done when the result is called, in the thread of a job."""
    frozen, rows = document.labels.frozen()
    found, restored, regions = (
        document.found,
        document.restored,
        [np.array(region) for region in document.labels.ignored],
    )
    touched = bool(rows["manual"].any() or rows["checked"].any())

    def opened() -> OpenImage:
        labels = frozen.labels()
        corrected = touched or (found is not None and not same_cells(found.labels.unpacked(), labels))
        return OpenImage(document.path or Path(), document.stack, labels, corrected, regions, restored)

    return opened
