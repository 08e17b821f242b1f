"""What killed runs leave is removed by the next, what living ones make is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from cellpose import io
from cellpose._machine import temporary


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def name_of(process: int, machine: str | None = None) -> str:
    return f".cellpose-{machine or temporary._machine()}-{process}-0123456789ab.part"


@pytest.mark.skipif(sys.platform == "win32", reason="there the age alone tells")
def test_files_of_killed_runs_are_removed_by_the_next_write(tmp_path, dead):
    (tmp_path / name_of(dead)).write_bytes(b"half")
    (tmp_path / name_of(dead).replace("0123", "4567")).mkdir()
    (tmp_path / name_of(dead).replace("0123", "4567") / "0.0").write_bytes(b"half a chunk")
    same_number = tmp_path / name_of(os.getpid())
    same_number.write_bytes(b"of a container that was killed")
    os.utime(same_number, (0, temporary._STARTED - 5))
    io.imsave(tmp_path / "a.tif", np.zeros((3, 4), np.uint8))
    assert os.listdir(tmp_path) == ["a.tif"]


def test_files_of_others_stay(tmp_path):
    kept = {
        name_of(os.getppid()),
        name_of(os.getpid()),
        name_of(2**22 + 5, machine="00000000"),
        ".cellpose-12-0123456789ab.part",  # does not say on which machine
        ".model.part",  # a download that goes on
        "cellpose-00000000-1-0123456789ab.part",
        ".cellpose-notes.part",
    }
    for name in kept:
        (tmp_path / name).touch()
    temporary.remove_left_over(tmp_path)
    assert set(os.listdir(tmp_path)) == kept


def test_what_nobody_touched_for_long_is_removed(tmp_path):
    for name in (name_of(os.getppid()), name_of(7, machine="00000000"), ".cellpose-12-0123456789ab.part"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - temporary._ABANDONED_S - 60))
    temporary.remove_left_over(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_run_that_is_killed_and_the_next(tmp_path):
    script = (
        "import os, sys; from cellpose.io import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / "a.bin"
    if sys.platform == "win32":
        pytest.skip("processes are killed otherwise there")
    subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert [name.endswith(".part") for name in os.listdir(tmp_path)] == [True]
    with io.replacing(target) as file:
        file.write(b"whole")
    assert os.listdir(tmp_path) == ["a.bin"]
