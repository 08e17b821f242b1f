"""What the contracts with other programs share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Folders for one run, with a quick model under the name cyto3."""
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


@pytest.fixture
def process(bench: Bench) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Start the program as clients do: in a process of its own, in the environment of the bench."""

    def run(*words: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        variables = {name: value for name, value in variables.items() if value is not None}
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True, encoding="utf-8", timeout=240, check=False, env=variables, cwd=bench.root,
        )  # fmt: skip

    return run
