"""The parts of a model: its weights, the device and precision they run in, and the diameters they state."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

from cellpose import weights
from cellpose.engines import LoadedNetwork
from cellpose.errors import OptionError
from cellpose.models._retired import warn_once
from cellpose.nets import FAMILIES

__all__ = [
    "DEFAULT_MODEL",
    "PathLike",
    "check_sizes",
    "diameters_of",
    "wanted_model",
    "wanted_precision",
    "weight_bytes",
]

logger = logging.getLogger("cellpose.models")

PathLike = str | os.PathLike[str]

# Where no model is named: Cellpose-SAM if its weights are installed, else the bundled model.
DEFAULT_MODEL = "default"
_DIAMETER = 30.0
_MOST_CHANNELS = 1024


def wanted_model(pretrained_model: Any, model_type: str | None) -> PathLike | None:
    """The requested model, ``None`` for a network without weights."""
    if isinstance(pretrained_model, (list, tuple)):
        if len(pretrained_model) > 1:
            warn_once("only the first of several models runs: averaging over networks is not supported")
        pretrained_model = pretrained_model[0] if pretrained_model else ""
    if isinstance(pretrained_model, (str, os.PathLike)) and str(pretrained_model) not in ("", DEFAULT_MODEL):
        if model_type:
            logger.info("model_type=%r is not used, since pretrained_model is given", model_type)
        return pretrained_model
    if model_type:
        return model_type
    if isinstance(pretrained_model, str) and pretrained_model == DEFAULT_MODEL:
        name = weights.default_model()
        logger.info("no model was named: using %s", name)
        return name
    if pretrained_model is None or pretrained_model is False:
        return None
    message = (
        f"pretrained_model={pretrained_model!r} is not allowed. Leave it out "
        f"for the default model ({weights.default_model()}), or give a name, such as cpsam or cyto3, or the path "
        "of a weight file"
    )
    raise OptionError(message)


def wanted_precision(precision: str | None, use_bfloat16: bool | None) -> str | None:
    """The precision in which to run the network, ``None`` for the usual one."""
    if precision is None:
        return None if use_bfloat16 is None else "bfloat16" if use_bfloat16 else "float32"
    if use_bfloat16 and precision != "bfloat16":
        message = f"precision={precision!r} is not allowed with use_bfloat16=True; remove one of them"
        raise OptionError(message)
    return precision


def check_sizes(diam_mean: float | None, nchan: int | None) -> None:
    """Refuse sizes that no network can have."""
    if diam_mean is not None and not 0 < diam_mean < math.inf:
        message = f"diam_mean={diam_mean!r} is not allowed; it is a diameter in pixels, more than 0"
        raise OptionError(message)
    if nchan is not None and not 1 <= nchan <= _MOST_CHANNELS:
        message = f"nchan={nchan!r} is not allowed; it is a number of channels, from 1 to {_MOST_CHANNELS}"
        raise OptionError(message)


def diameters_of(net: LoadedNetwork, file: weights.ModelFile | None, diam_mean: float | None) -> tuple[float, float]:
    """The diameters to which images are brought and of the training images.

    Published files state 30, those of nuclei 17; the constructor's diameter replaces theirs, except for nuclei. Other
    files state their own.
    """
    own, labels = (
        float(value) if value is not None else None
        for value in (net.described(name, None) for name in ("diam_mean", "diam_labels"))
    )
    mean = own or diam_mean or _DIAMETER
    info = None if file is None else file.info
    if info is not None and FAMILIES[info.family].diameter_px is None:
        mean = info.diam_mean if info.diam_mean != _DIAMETER else diam_mean or _DIAMETER
    return mean, labels or mean


def weight_bytes(model: Any) -> int:
    """Size of the weights of a model, as a file or, if there is none, of its parameters."""
    if model.pretrained_model is not None:
        return os.path.getsize(model.pretrained_model)
    return sum(parameter.numel() * parameter.element_size() for parameter in model.net.parameters())
