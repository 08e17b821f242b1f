"""The benchmark of the window, in small."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "window.py"


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("qtpy"), reason="the window is an extra")
def test_the_window_is_driven_and_every_edit_happens(tmp_path: Path) -> None:
    if not SCRIPT.is_file():
        pytest.skip("the benchmarks are in the source tree only")
    out = tmp_path / "figures.json"
    words = ["--side", "512", "--cells", "200", "--only-edits", "--json", str(out)]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = json.loads(out.read_text())["512"]["ours"]
    assert ours["counts"] == [200, 195, 200, 197, 200], "deleted, drawn, merged and taken back"
    for row in ("open", "masks on and off", "pan", "select", "delete", "add", "merge", "undo"):
        assert all(cpu > 0 for _, cpu in ours[row]), f"{row}: nothing was painted"
