"""Memory of one training step serves the next."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cellpose.train import _memory
from cellpose.train._memory import memory_is_kept

glibc = pytest.mark.skipif(_memory._c_library() is None, reason="another C library, or its parameters are set")


def faults() -> int:
    """Pages that the system had to provide while 64 MB were filled and given back."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**26, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_pages_are_used_again_inside_and_given_back_afterwards():
    with memory_is_kept():
        faults()
        assert faults() < 100
    # 32 pages of 2 MB, or 16384 of 4 kB
    assert faults() > 20
    with memory_is_kept(wanted=False):
        faults()
        assert faults() > 20


@glibc
def test_errors_pass_and_the_usual_parameters_come_back():
    with pytest.raises(ValueError, match="once"), memory_is_kept():
        raise ValueError("once")
    assert faults() > 20


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_parameters_of_the_user_stay(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert _memory._c_library() is None
    with memory_is_kept():
        pass


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert _memory._c_library() is None
