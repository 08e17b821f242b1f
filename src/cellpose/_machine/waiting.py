"""How long idle threads of torch wait in a busy loop.

On Linux torch shares its work out by GNU OpenMP, whose threads look for more work for some milliseconds before they
sleep. Meanwhile other threads do theirs: those of this package, and of the engines. On a laptop, where both want the
same few cores, the loop takes up to half of them.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

__all__ = ["shorten_busy_waiting"]

_VARIABLE = "GOMP_SPINCOUNT"
_ROUNDS = "2000"  # some ten microseconds: as long as it takes to wake a thread


def shorten_busy_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variable for it, unless the user has set one; torch reads it when it is loaded."""
    if not {_VARIABLE, "OMP_WAIT_POLICY"} & environment.keys():
        environment[_VARIABLE] = _ROUNDS
