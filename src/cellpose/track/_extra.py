"""Libraries of the extra "track", which are imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from cellpose.errors import MissingExtraError

__all__ = ["library"]


def library(module: str, purpose: str) -> Any:
    """A module of an optional library.

    Raises
    ------
    MissingExtraError
        If it is not installed; ``purpose`` completes "needed to ...".
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(module.partition(".")[0], "track", purpose) from error
