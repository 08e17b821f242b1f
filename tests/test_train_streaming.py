"""Training on more images than the memory takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "training_data.py"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_folder(tmp_path):
    """500 images hold 0.8 GB with their targets; training on all takes little more memory than on some of them."""
    pytest.importorskip("resource", reason="peaks of memory are known on POSIX systems only")
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import training_data
    finally:
        sys.path.remove(str(SCRIPT.parent))
    training_data.make(tmp_path, 500, 256)
    peaks = []
    for n in (20, 500):
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(SCRIPT),
            "--worker",
            "--folder",
            str(tmp_path),
            "--images",
            str(n),
        ]
        command += ["--cache_gb", "0.05", "--epochs", "2", "--crops", "500"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        assert row["images"] == n
        peaks.append(row["peak_gb"])
    assert peaks[1] < peaks[0] + 0.15
