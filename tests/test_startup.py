"""What a process loads before it does anything: counted in modules, since seconds depend on the machine."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from cellpose.cli import _doctor, _warm


def modules_after(code):
    """The modules that a fresh interpreter has loaded after running this, without those it always loads."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-2000:])


def test_importing_the_package_loads_little():
    loaded = modules_after("import cellpose")
    assert "numpy" not in loaded
    # It is some 60 now, most of them of the standard library; numpy alone has more than 100.
    assert len(loaded) < 150


def test_help_loads_little():
    loaded = modules_after("""
import contextlib, io
from cellpose.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
""")
    # It is some 230 now, of which numpy is the largest part; scipy or torch have many hundred.
    assert len(loaded) < 450


def test_size_models_are_made_without_torch(tmp_path):
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("needs onnxruntime")
    np.save(
        tmp_path / "size.npy",
        {"A": np.zeros(128), "smean": np.zeros(128), "ymean": 0.0, "diam_mean": 30.0},
        allow_pickle=True,
    )
    loaded = modules_after(f"""
from cellpose.models import CellposeModel, SizeModel
model = CellposeModel(pretrained_model="nuclei-cells", engine="onnx")
sized = SizeModel(model, pretrained_size={str(tmp_path / "size.npy")!r})
import numpy as np
sized._size_estimation(np.zeros(128))
""")
    assert "onnxruntime" in loaded
    assert "torch" not in loaded


def test_doctor_warms(monkeypatch, capsys):
    monkeypatch.setattr(_warm, "warm", lambda: {"segmentation": 1.26})
    assert _doctor.doctor_command(["--warm"]) == 0
    assert capsys.readouterr().out == "segmentation: 1.3 s\n"


@pytest.mark.slow
def test_warming_compiles_all_that_a_first_run_needs(tmp_path, monkeypatch):
    """Compiles everything anew, in a folder of its own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def files():
        return set(tmp_path.rglob("*.nbc"))

    subprocess.run([sys.executable, "-m", "cellpose", "doctor", "--warm"], check=True, capture_output=True)
    after_warming = files()
    assert after_warming
    script = """
import numpy as np
from cellpose.cli._warm import _cells
from cellpose.models import CellposeModel
from cellpose.utils import outlines_list
image = np.kron(_cells(), np.ones((2, 2)))
outlines_list(CellposeModel(pretrained_model="nuclei-cells").eval(image)[0])
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert files() == after_warming
