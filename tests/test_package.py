"""What is in the wheel and in the source distribution, and that the wheel works without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

hatchling = pytest.importorskip("hatchling", reason="hatchling builds the package")
pytest.importorskip("psygnal", reason="the list of the pages of help is part of the window")

from cellpose.gui.model._help_pages import PAGES  # noqa: E402

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").is_file(), reason="needs the repository")

# The files of the browser page.
PAGE = (
    *("index.html", "no-local.html", "sign-in.html", "page.css", "app.css", "alone.css", "icon.svg"),
    *("api.js", "app.js", "contribute.js", "dom.js", "images.js", "list.js", "settings.js"),
    *("theme.js", "thresholds.js"),
    *("viewer.js", "viewer_input.js", "viewer_labels.js", "viewer_paint.js", "viewer_source.js", "viewer_tiles.js"),
    "viewer_view.js",
)

# Every file of the wheel that is not Python.
DATA = {
    "cellpose/py.typed",
    "cellpose/engines/calibration.npz",
    *(f"cellpose/gui/help/{page}.md" for page in PAGES),
    "cellpose/napari/napari.yaml",
    *(f"cellpose/serve/page/{name}" for name in PAGE),
    "cellpose/weights/bundled/generalist.json",
    "cellpose/weights/bundled/generalist.reference.npz",
    "cellpose/weights/bundled/generalist.safetensors",
    "cellpose/weights/bundled/generalist_size.npy",
    "cellpose/weights/bundled/nuclei-cells.json",
    "cellpose/weights/bundled/nuclei-cells.reference.npz",
    "cellpose/weights/bundled/nuclei-cells.safetensors",
    "cellpose/weights/bundled/nuclei-cells_size.npy",
    "cellpose/weights/bundled/restoration/oneclick.json",
    "cellpose/weights/bundled/restoration/oneclick.reference.npz",
    "cellpose/weights/bundled/restoration/oneclick.safetensors",
}
# The page that needs no server, where it was built; its scripts have their hashes in their names.
LOCAL = "cellpose/serve/local/"
LOCAL_PAGE = (
    *("index.html", "sw.js", "icon.svg", "example.png", "manifest.webmanifest"),
    *("licenses.md", "licenses-onnxruntime-web.txt"),
)
# What stands at the top of the source distribution; pyproject.toml and .gitignore come from hatchling.
TOP = {
    *("src", "tests", "examples", "docs", "benchmarks", "training", "deploy", "web"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Makefile", "mkdocs.yml"),
    *("SECURITY.md", "CODE_OF_CONDUCT.md"),
    *("conftest.py", "requirements-dev.lock", "requirements-docs.lock"),
}
# most of the built page is ONNX Runtime, a quarter of which is left when it is packed
MOST_BYTES = {"wheel": 27_000_000, "local": 30_000_000, "sdist": 40_000_000}


def _files(kind: str) -> dict[str, int]:
    """The files of a distribution and their sizes."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    builder = {"wheel": WheelBuilder, "sdist": SdistBuilder}[kind](str(ROOT))
    return {
        Path(file.distribution_path).as_posix(): Path(file.path).stat().st_size
        for file in builder.recurse_included_files()
    }


def test_the_wheel_holds_the_package_and_the_data_that_are_listed_and_is_small():
    files = _files("wheel")
    built = {name for name in files if name.startswith(LOCAL)}
    assert {name for name in files if not name.endswith(".py")} - built == DATA
    if built:  # by `make web`
        assert {name for name in built if "/assets/" not in name} == {LOCAL + name for name in LOCAL_PAGE}
        assert [name for name in built if name.endswith((".map", ".safetensors", ".onnx"))] == []
    assert {name.partition("/")[0] for name in files} == {"cellpose"}
    assert sum(size for name, size in files.items() if name not in built) < MOST_BYTES["wheel"]
    assert sum(files[name] for name in built) < MOST_BYTES["local"]


def test_the_source_distribution_holds_what_is_listed_and_is_small():
    files = _files("sdist")
    assert {name.partition("/")[0] for name in files} == TOP
    assert [name for name in files if "__pycache__" in name or name.endswith((".nbi", ".nbc", ".pyc"))] == []
    assert sum(size for name, size in files.items() if "/serve/local/" not in name) < MOST_BYTES["sdist"]


def test_every_version_of_python_that_is_named_is_one_that_the_package_takes():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [
        line.rsplit(" ", 1)[1]
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert named == ["3.10", "3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.10"
    assert "Typing :: Typed" in project["classifiers"]


@pytest.mark.slow  # packs 17 MB, and a process with a home of its own compiles
def test_the_demo_runs_with_the_wheel_and_without_the_repository(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)}
    where = "import cellpose; print(cellpose.__file__)"
    run = [sys.executable, "-c", where], [sys.executable, "examples/demo.py", "--model", "nuclei-cells"]
    told = [
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
        for words in run
    ]
    assert told[0].startswith(str(tmp_path / "site"))
    assert "results and *_overlay.png pictures are in demo/" in told[1]
    assert len(list((tmp_path / "demo").glob("*_overlay.png"))) == 6
