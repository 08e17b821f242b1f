"""The available models, each loaded once, and running one on an image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cellpose import weights
from cellpose._progress.bars import Fractions
from cellpose.errors import OptionError, UnknownModelError
from cellpose.io import Image
from cellpose.nets import family_named
from cellpose.serve._cells import Cells, Settings
from cellpose.serve._store import Item
from cellpose.serve._work import Scaling

__all__ = ["Models", "segment"]

_KEPT = 2  # models in memory

_Key = tuple[Any, ...]


class Models:
    """The models on this machine. They are chosen by name only, never by path, and nothing is downloaded."""

    def __init__(self, *, gpu: bool = False) -> None:
        self._gpu = gpu
        # By their names and the states of their files, which a training may replace.
        self._loaded: OrderedDict[_Key, Any] = OrderedDict()
        self._scalings: dict[_Key, Scaling] = {}
        self._lock = threading.Lock()

    @staticmethod
    def default() -> str:
        """The model used if none is named."""
        return weights.default_model()

    @staticmethod
    def kinds() -> dict[str, str]:
        """Names of the models, and whether each is bundled, published or the user's own; the default first."""
        found = {
            model.name: model.kind
            for model in weights.list_models()
            if model.installed and model.task == "segmentation" and (model.info is None or model.info.supported)
        }
        first = Models.default()
        return {first: found.pop(first, "bundled"), **found}

    def get(self, name: str) -> Any:
        """The loaded model of this name.

        Raises
        ------
        UnknownModelError
            If it is not one of `kinds`.
        WeightsError
            If its file is damaged.
        """
        known = self.kinds()
        if name not in known:
            message = f"the model {name!r} is not on this server; choose one of {', '.join(known)}"
            raise UnknownModelError(message)
        with self._lock:
            key = _key(name)
            model = self._loaded.pop(key, None)
            if model is None:
                from cellpose.models import CellposeModel

                model = CellposeModel(gpu=self._gpu, pretrained_model=name)
            self._loaded[key] = model
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return model

    def scaling(self, name: str) -> Scaling:
        """What the model of this name does to the size of an image; it is loaded once for that. Raises as `get`."""
        key = _key(name)
        if key not in self._scalings:
            model = self.get(name)
            family = family_named(model.backbone)
            self._scalings[key] = Scaling(family, float(model.diam_mean), float(model.diam_labels))
        return self._scalings[key]


def _key(name: str) -> _Key:
    return name, *weights.state_of(name).values()


def segment(models: Models, item: Item, settings: Settings, report: Callable[[float], None]) -> Cells:
    """Segment an image.

    Raises
    ------
    CellposeError
        If it cannot be segmented with these settings.
    """
    from cellpose.models import segment_image

    about = item.about
    if settings.mode != "planes" and about.planes < 2:
        message = f"mode {settings.mode!r} is not allowed: the image is no stack of planes; choose 'planes'"
        raise OptionError(message)
    model = models.get(settings.model)
    factor = models.scaling(settings.model).factor(settings.diameter)
    settings = replace(settings, masking=settings.masking.at_scale(factor))
    masking = settings.masking
    words: dict[str, Any] = {
        "diameter": settings.diameter,
        "channels": list(settings.channels),
        "invert": settings.invert,
        "cellprob_threshold": masking.cellprob_threshold,
        "flow_threshold": masking.flow_threshold,
        "min_size": masking.min_size,
        "max_size_fraction": masking.max_size_fraction,
        "niter": masking.niter,
        "progress": Fractions(report),
    }
    if settings.mode == "volume":
        words |= {"do_3D": True, "anisotropy": settings.anisotropy}
    elif settings.mode == "stitch":
        words["stitch_threshold"] = settings.stitch_threshold
    masks, flows, *_ = segment_image(model, _given(item.image, settings), **words)
    report(1.0)  # last point at which it can be canceled
    side = (about.frames, about.height, about.width)
    dP = np.asarray(flows[1], np.float32)
    cellprob = np.asarray(flows[2], np.float32)
    labels = np.asarray(masks).reshape(side)
    return Cells(item.folder, settings, labels, dP.reshape(len(dP), *side), cellprob.reshape(side), about.planes)


def _given(image: Image, settings: Settings) -> Image:
    """The image as the network takes it: planes that are segmented separately become frames of a movie."""
    if settings.mode != "planes" or "Z" not in image.axes:
        return image
    if "T" not in image.axes:
        return image.named(image.axes.replace("Z", "T"))
    t, z = image.axes.index("T"), image.axes.index("Z")
    shape = image.data.shape
    data = image.data.reshape(shape[t] * shape[z], *shape[z + 1 :])
    return Image(data, image.axes.replace("Z", ""), image.pixel_size_um, image.channel_names, name=image.name)
