"""Restoring the image with a network: less noise, less blur, more pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose import weights
from cellpose.errors import CellposeError, InputError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._preload import load_networks
from cellpose.gui.model import Document, Restored

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["BUNDLED_SET", "SETS", "TASKS", "Restoration"]

#: Tasks for a network, and their names in the window.
TASKS = {
    "denoise": tr("denoise"),
    "deblur": tr("deblur"),
    "upsample": tr("upsample"),
    "oneclick": tr("one-click"),
}
#: What the networks were trained on: first the bundled network, then the published ones.
BUNDLED_SET = "bundled"
SETS = (BUNDLED_SET, "cyto3", "cyto2", "nuclei")
_DOWNLOADING = 0.5  # fraction of the progress, if something must be downloaded


class Restoration:
    """Restores a session's image with networks. The result is kept beside the image and segmented in its place.

    Parameters
    ----------
    session
        Whose image is restored.

    Attributes
    ----------
    task
        The running task, one of ``TASKS``; empty: none.
    """

    job = "restore"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._model: tuple[Any, Any] = (None, None)  # the requested model, and the loaded one
        self._task = ""

    @property
    def task(self) -> str:
        """The running task, one of ``TASKS``; empty: none."""
        return self._task if self._session.jobs.running(self.job) is not None else ""

    @property
    def done(self) -> str:
        """The model that restored the open image; empty: none did."""
        document = self._session.document
        return document.restored.model if document is not None and document.restored is not None else ""

    @property
    def is_file(self) -> bool:
        """Whether the chosen network is the user's own file, which does only the task it was trained for."""
        return self._session.settings.restorer not in SETS

    def model_for(self, task: str) -> str:
        """Name, or path, of the network that does a task."""
        chosen = self._session.settings.restorer
        if self.is_file:
            return chosen
        return task if chosen == BUNDLED_SET else f"{task}_{chosen}"

    def choose_file(self) -> None:
        """Let the user choose a file of weights, as written by ``python -m cellpose.denoise``."""
        path = self._session.dialogs.ask_open(tr("Weights of a restoration model"), "", self._session.files.folder())
        if path is not None:
            self._session.settings.restorer = str(path)

    def start(self, task: str) -> None:
        """Restore the open image in the background and show it; a running task is canceled."""
        session, document, settings = self._session, self._session.document, self._session.settings
        if document is None:
            session.failed.emit(tr("open an image first, then {task}", task=TASKS[task]))
            return
        if document.is_provisional:
            session.told.emit(session.held)
            return
        name = self.model_for(task)
        try:
            _check(task, document, settings.diameter)
            normalization = replace(settings.normalization(), norm3D=settings.norm3D and not document.is_movie)
        except CellposeError as error:
            session.failed.emit(str(error))
            return
        size_mib = self._to_download(name)
        if size_mib is not None:
            question = tr(
                "The model {name} is not on this computer. Download it (about {size_mib:.0f} MB)?",
                name=name,
                size_mib=size_mib,
            )
            if not session.dialogs.ask_yes(tr("Download a model"), question):
                return
        channels, gpu, diameter = session.segmentation.channel_pair(), settings.gpu, settings.diameter or None

        def work(report: Report) -> Restored:
            begun = 0.0
            if size_mib is not None:
                weights.pull(name, progress=lambda have, total: report(_DOWNLOADING * (have / total if total else 0)))
                begun = _DOWNLOADING
            model = self._loaded(name, gpu)
            restored = _restored(
                model, name, document, channels, diameter, normalization,
                lambda share: report(begun + (1 - begun) * share),
            )  # fmt: skip
            if task == "upsample" and restored.ratio == 1:
                message = tr(
                    "upsample makes cells {diam_mean:g} pixels wide, and these are {diameter:g}; choose "
                    "denoise, deblur or one-click, or correct the diameter",
                    diam_mean=model.diam_mean,
                    diameter=diameter,
                )
                raise InputError(message)
            return restored

        def done(restored: Restored) -> None:
            document.restored = restored
            session.view.view = "restored"
            session.told.emit(tr("restored by {name}; run segments the restored image", name=Path(name).name))

        session.filters.cancel()
        self._task = task
        session.jobs.start(
            self.job, work, done, lambda error: session.failed.emit(tr("not restored: {error}", error=error))
        )

    def cancel(self) -> None:
        """Stop restoring; the image stays as it was."""
        self._session.jobs.cancel(self.job)

    def _to_download(self, name: str) -> float | None:
        """Size of what must be downloaded first; None: nothing."""
        info = None if weights.find(name) is not None else weights.lookup(name)
        return None if info is None else info[0].size_mib

    def _loaded(self, name: str, gpu: bool) -> Any:
        load_networks()
        from cellpose import denoise

        if self._model[0] != (name, gpu):
            self._model = ((name, gpu), denoise.DenoiseModel(gpu=gpu, pretrained_model=name))
        return self._model[1]


def _check(task: str, document: Document, diameter: float) -> None:
    """Raise an error if a task makes no sense."""
    if task == "upsample" and document.has_planes:
        message = tr(
            "upsample: of single planes only; denoise, deblur and one-click restore volumes and movies by planes"
        )
        raise InputError(message)
    if task == "upsample" and not diameter:
        message = tr("upsample needs to know how large the cells are; set the diameter")
        raise InputError(message)


def _restored(
    model: Any,
    name: str,
    document: Document,
    channels: tuple[int, int] | None,
    diameter: float | None,
    normalization: Any,
    report: Callable[[float], None],
) -> Restored:
    """The image, restored in any thread, plane by plane."""
    from cellpose.models import Images, Layout
    from cellpose.options import Tiling

    stack, volume = document.stack, document.has_planes
    image = np.moveaxis(stack if volume else stack[0], -3, -1)
    layout = Layout(None if channels is None else list(channels), -1, 0 if volume else None)
    (one,) = model.restored(
        Images.of(image), layout, normalization, Tiling(), (diameter, None), do_3D=volume, progress=False, report=report
    )
    planes = one.image if volume else one.image[None]
    result = np.ascontiguousarray(np.moveaxis(planes, -1, 1))
    return Restored.by_model(name, result, one.ratio, channels, stack.shape[1])
