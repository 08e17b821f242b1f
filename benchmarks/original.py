"""What the scripts that run the original beside this package have in common."""

from __future__ import annotations

import os
from typing import Any

# Set by a source tree, and by importing the package: the original must not get them.
OURS = ("PYTHONPATH", "GOMP_SPINCOUNT")
NUMPY = "NPY_DISABLE_CPU_FEATURES"  # set by `as_processor.py`


def environment(*, ours: bool = False, **variables: Any) -> dict[str, str]:
    """The variables of a process of the original, or of this package, and some more."""
    kept = {name: value for name, value in os.environ.items() if ours or name not in OURS}
    if NUMPY in kept and not ours:
        kept[NUMPY] += " AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"  # as NumPy 2.0 names them
    return {**kept, **{name: str(value) for name, value in variables.items()}}
