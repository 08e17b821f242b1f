"""Memory of one training step serves the next."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cellpose.train import _memory
from cellpose.train._memory import memory_is_kept

glibc = pytest.mark.skipif(_memory._c_library() is None, reason="another C library, or its parameters are set")

# Pages that the system had to provide each time that 64 MB were filled and given back. Only those of this thread are
# counted, and the fewest of three: others run beside it, and a busy system may take pages away.
FAULTS = """
import importlib.util, resource, sys
import numpy as np

spec = importlib.util.spec_from_file_location("memory", sys.argv[1])
memory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory)

def faults():
    def one():
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        np.empty(2**26, np.uint8).fill(1)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    one()
    return min(one() for _ in range(3))

"""


def output(code: str, **variables: str) -> list[int]:
    """Numbers that a fresh process prints: in this one earlier tests may have moved the thread to another arena."""
    hidden = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    command = [sys.executable, "-c", FAULTS + code, str(_memory.__file__)]
    done = subprocess.run(command, env={**kept, **variables}, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


@glibc
@pytest.mark.parametrize("variables", [{}, {"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}])
def test_pages_are_used_again_inside_and_given_back_afterwards(variables):
    code = (
        "with memory.memory_is_kept():\n print(faults())\n"
        "print(faults())\n"
        "with memory.memory_is_kept(wanted=False):\n print(faults())\n"
    )
    inside, afterwards, unwanted = output(code, **variables)
    # 32 pages of 2 MB, or 16384 of 4 kB, or a mixture
    assert min(afterwards, unwanted) > 20
    assert inside < min(afterwards, unwanted) / 4


@glibc
def test_errors_pass_and_the_usual_parameters_come_back():
    with pytest.raises(ValueError, match="once"), memory_is_kept():
        raise ValueError("once")
    code = "try:\n with memory.memory_is_kept(): raise ValueError\nexcept ValueError: print(faults())"
    assert output(code)[0] > 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000"),
        ("MALLOC_MMAP_MAX_", "1"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=1000"),
    ],
)
def test_parameters_of_the_user_stay(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert _memory._c_library() is None
    with memory_is_kept():
        pass


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert _memory._c_library() is None
