"""Optional libraries: imported where they are used; the error for a missing one names the extra that installs it."""

from __future__ import annotations

import importlib
from typing import Any

from cellpose.errors import MissingExtraError

__all__ = ["optional"]

# Names of libraries by the names of their modules, where the two differ.
_LIBRARIES = {"dask_jobqueue": "dask-jobqueue", "nrrd": "pynrrd", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def optional(module: str, extra: str, purpose: str) -> Any:
    """A module of an optional library.

    Parameters
    ----------
    module
        Its name, such as "skimage.feature".
    extra
        The extra of this package that installs the library.
    purpose
        Completes "needed to ...".

    Raises
    ------
    MissingExtraError
        If the library, or one that it needs, is not installed.

    Examples
    --------
    >>> optional("no_such_library", "plot", "draw")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cellpose.errors.MissingExtraError: no_such_library is needed to draw and is not installed. Install it with: ...
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise MissingExtraError(_LIBRARIES.get(missing, missing), extra, purpose) from error
