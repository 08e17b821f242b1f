"""Running a model on an image read from layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from cellpose import weights
from cellpose._progress.bars import Fractions
from cellpose.errors import OptionError
from cellpose.napari._layers import Taken
from cellpose.napari._results import Found
from cellpose.napari._settings import SegmentSettings

__all__ = ["Choice", "Loaded", "choices", "segment", "segment_in_bands"]

Report = Callable[[float], None]


class Choice(NamedTuple):
    """A model to choose from: its name, whether its file is here, and its text for the user."""

    name: str
    installed: bool
    text: str


def choices(task: str = "segmentation") -> list[Choice]:
    """Local models, the bundled ones first, then published ones that would be downloaded."""
    found: dict[str, Choice] = {}
    for model in weights.list_models():
        info = model.info
        if model.task != task or (info is not None and not info.supported):
            continue
        size = f" (download, {info.size_mib:.0f} MB)" if info is not None and not model.installed else ""
        found.setdefault(model.name, Choice(model.name, model.installed, model.name + size))
    return sorted(found.values(), key=lambda choice: not choice.installed)


class Loaded:
    """Keeps the last model loaded, so that the next run can reuse it."""

    def __init__(self) -> None:
        self._wanted: Any = None  # the name, and the state of its file, which a training may replace
        self._model = cast(Any, None)

    def get(self, name: str, report: Report) -> Any:
        """The model with this name or file; a published model that is not here is downloaded.

        Raises
        ------
        CellposeError
            If there is no such model, or it cannot be downloaded.
        """
        name = name or weights.default_model()
        if weights.find(name) is None and not Path(name).is_file() and weights.lookup(name) is not None:
            weights.pull(name, progress=lambda have, total: report(have / total if total else 0.0))
        wanted = name, weights.state_of(name)
        if self._wanted != wanted:
            from cellpose import core, models

            self._model = models.CellposeModel(gpu=core.use_gpu(), pretrained_model=name)
            self._wanted = wanted
        return self._model


def segment(model: Any, taken: Taken, settings: SegmentSettings, report: Report) -> Found:
    """Run a model.

    Raises
    ------
    CellposeError
        If the image cannot be segmented with these settings.
    """
    from cellpose import models

    words = settings.keywords() | {"channels": list(taken.channels), "progress": Fractions(report)}
    masks, flows, *_ = models.segment_image(model, taken.image, **words)
    rgb, dP, cellprob = (np.asarray(each) for each in flows[:3])
    names = taken.image.name, taken.nuclei
    found = Found(np.asarray(masks), rgb, dP, cellprob, str(model.model_name), settings, *names)
    return found.shaped(taken.kept_shape)


def segment_in_bands(model: Any, taken: Taken, settings: SegmentSettings, report: Report) -> Found:
    """Run a model on a plane that is too large for `segment`: masks only, no flows are kept.

    Raises
    ------
    CellposeError
        If the image cannot be segmented with these settings.
    """
    from cellpose import models

    if settings.mode != "plane":
        message = f"mode {settings.mode!r} is not allowed for planes this large; choose the visible plane"
        raise OptionError(message)
    result = models.segment_large(
        model,
        taken.image.data,
        channels=list(taken.channels),
        channel_axis=taken.image.axis("C"),
        progress=report,
        **settings.keywords(),
    )
    labels = np.asarray(result.labels).reshape(taken.kept_shape)
    return Found(labels, None, None, None, str(model.model_name), settings, taken.image.name, taken.nuclei)
