"""Work in as many threads as torch uses, for kernels that release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_threads", "threads_for"]

Part = TypeVar("Part")
Result = TypeVar("Result")


def threads_for(n: int) -> int:
    """How many threads ``n`` parts of work are worth."""
    return max(1, min(n, torch.get_num_threads()))


def in_threads(run: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What ``run`` gives for each part, in order."""
    if threads_for(len(parts)) == 1:
        return [run(part) for part in parts]
    with ThreadPoolExecutor(threads_for(len(parts))) as pool:
        return list(pool.map(run, parts))
