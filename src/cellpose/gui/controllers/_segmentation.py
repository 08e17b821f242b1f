"""Running a network on the open image, and making masks anew from the flows that it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document, Flows
from cellpose.gui.model import _operations as operations

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Segmentations"]


class Segmentations:
    """The segmentations of a session.

    Parameters
    ----------
    session
        Whose image is segmented.
    """

    name = "segment"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._model: tuple[Any, Any] = (None, None)  # what was asked for, and the loaded model

    @property
    def is_running(self) -> bool:
        """Whether a network runs."""
        return self._session.jobs.running(self.name) is not None

    def run(self) -> None:
        """Segment the open image with the present settings, in the background."""
        document, settings = self._session.document, self._session.settings
        if document is None:
            self._session.told.emit("open an image first")
            return
        wanted = (settings.model, settings.gpu)
        options = {
            "diameter": settings.diameter or None,
            "channels": list(settings.channels),
            "normalize": settings.normalization(),
            **settings.masking(),
        }
        image = np.moveaxis(document.stack[0], 0, -1)

        def work(report: Report) -> tuple[npt.NDArray[Any], list[Any], str]:
            model = self._loaded(*wanted)
            masks, flows, _ = model.eval(image, channel_axis=-1, progress=lambda done: report(done / 100), **options)
            return masks, flows, model.model_name

        def done(result: tuple[npt.NDArray[Any], list[Any], str]) -> None:
            self._take(document, *result)

        self._session.jobs.start(self.name, work, done, lambda error: self._session.told.emit(f"NET ERROR: {error}"))

    def masks_anew(self) -> None:
        """Masks from the kept flows, with the thresholds as they are now."""
        document = self._session.document
        if document is None or document.flows is None or document.flows.dP is None or document.flows.cellprob is None:
            return
        from cellpose import dynamics

        labels = dynamics.resize_and_compute_masks(
            document.flows.dP,
            document.flows.cellprob,
            resize=document.labels.shape[1:],
            **self._session.settings.masking(),
        )
        document.do(operations.replace_all, labels[None], keep=self._kept(document), name="thresholds")

    def _loaded(self, name: str, gpu: bool) -> Any:
        from cellpose import models, weights

        if self._model[0] != (name, gpu):
            self._model = ((name, gpu), models.CellposeModel(gpu=gpu, pretrained_model=name or weights.default_model()))
        return self._model[1]

    def _take(self, document: Document, masks: npt.NDArray[Any], flows: list[Any], model: str) -> None:
        document.flows = Flows(np.asarray(flows[0])[None], np.asarray(flows[1]), np.asarray(flows[2]), model)
        document.do(operations.replace_all, masks[None], keep=self._kept(document))
        self._session.told.emit(f"{model}: {int(masks.max(initial=0))} cells found")

    def _kept(self, document: Document) -> list[int]:
        if not self._session.settings.keep_corrected:
            return []
        table = document.labels.table
        return [int(cell) for cell in np.flatnonzero((table["area"] > 0) & (table["manual"] | table["checked"]))]
