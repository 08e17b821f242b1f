"""Libraries of the extra "measure", which are imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from cellpose.errors import MissingExtraError

__all__ = ["optional"]

_LIBRARIES = {"skimage": "scikit-image"}


def optional(module: str, purpose: str) -> Any:
    """A module of an optional library.

    Raises
    ------
    MissingExtraError
        If it is not installed; ``purpose`` completes "needed to ...".
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingExtraError(_LIBRARIES.get(name, name), "measure", purpose) from error
