"""How long idle threads of torch wait in a busy loop.

On Linux torch distributes its work through GNU OpenMP, whose threads poll for more work for some milliseconds before
they sleep. Meanwhile the threads of this package and of the engines have work to do. On a laptop, where both compete
for the same few cores, the loop takes up to half of them.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

__all__ = ["shorten_busy_waiting"]

_VARIABLE = "GOMP_SPINCOUNT"
_ROUNDS = "2000"  # about ten microseconds: as long as it takes to wake a thread


def shorten_busy_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the environment variable for it, unless the user has set one; torch reads it when it is loaded."""
    if not {_VARIABLE, "OMP_WAIT_POLICY"} & environment.keys():
        environment[_VARIABLE] = _ROUNDS
