"""Options of older generations: still accepted, with one warning that they do nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

__all__ = ["EVAL", "INIT", "drop_retired", "renamed", "warn_once"]

logger = logging.getLogger("cellpose.models")

_ONE_FILE = "a model is one file now"
_OWN_PROGRAM = "Omnipose is a separate program"

# Keywords of constructors: name -> why it has no effect.
INIT: Mapping[str, str] = {
    "net_avg": _ONE_FILE,
    "torch": "torch is always used",
    "omni": _OWN_PROGRAM,
    "residual_on": "the weight file tells",
    "style_on": "the weight file tells",
    "concatenation": "the weight file tells",
    "nclasses": "the weight file tells",
    "dim": _OWN_PROGRAM,
}

# Keywords of eval.
EVAL: Mapping[str, str] = {
    "net_avg": _ONE_FILE,
    "omni": _OWN_PROGRAM,
    "tile": "images are always run in tiles",
    "fast_mode": "give resample=False",
    "loop_run": "it concerned the console only",
    "model_loaded": "the model is loaded when it is made",
    "channels_last": "give channel_axis",
    "transparency": _OWN_PROGRAM,
    "affinity_seg": _OWN_PROGRAM,
    "cluster": _OWN_PROGRAM,
    "diam_threshold": _OWN_PROGRAM,
    "verbose": "set the level of the logger named cellpose",
}

# Keywords of eval that have another name now.
RENAMED: Mapping[str, str] = {
    "dP_smooth": "flow3D_smooth",
    "mask_threshold": "cellprob_threshold",
    "dist_threshold": "cellprob_threshold",
    "diam": "diameter",
}


# Options of the command line, and what does the same in Python.
_INSTEAD: Mapping[str, str] = {
    "exclude_on_edges": "call utils.remove_edge_masks(masks)",
    "norm_percentile": "give normalize={'percentile': (1, 99)}",
    "no_norm": "give normalize=False",
    "no_resample": "give resample=False",
    "no_interp": "give interp=False",
    "chan": "give channels=[chan, chan2]",
    "chan2": "give channels=[chan, chan2]",
    "use_gpu": "give gpu=True where the model is made",
    "restore_type": "use denoise.CellposeDenoiseModel",
}


@cache
def warn_once(message: str) -> None:
    """Log a warning the first time it is given."""
    logger.warning(message)


def drop_retired(function: str, given: Mapping[str, Any], table: Mapping[str, str]) -> None:
    """Warn once of each given keyword of ``table``.

    Raises
    ------
    TypeError
        If a keyword is not in the table.
    """
    for name in given:
        if name not in table:
            instead = f"; {_INSTEAD[name]}" if name in _INSTEAD else ""
            message = f"{function}() got an unexpected keyword argument {name!r}{instead}"
            raise TypeError(message)
        warn_once(f"{function}({name}=...) no longer has an effect: {table[name]}")


def renamed(retired: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Options, with values given under older names moved to the current ones; warns of retired ones."""
    for old in [name for name in retired if name in RENAMED]:
        new = RENAMED[old]
        warn_once(f"eval({old}=...) is now called {new}")
        given[new] = retired.pop(old)
    drop_retired("eval", retired, EVAL)
    return given
