"""The code of the documents runs: Python as it stands, and the commands of this package, page by page, in order.

A block that cannot run here (it needs a network, a cluster, a screen) has a comment before it that says why:
``<!-- not run: reason -->``. Blocks with ``>>>`` are doctests, and a ``text`` block after commands is their output.
"""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cellpose import io

ROOT = Path(__file__).parents[1]

# Every page whose blocks run. Pages are added here as they are made to.
PAGES = (
    "install",
    "first_steps",
    "python",
    "command_line",
    "migration",
    "troubleshooting",
    "index",
    "styles",
    "track",
    "synthetic",
    "contributing_data",
    "../README",
)

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are not part of this installation")

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<kind>\w+)[^\n]*\n(?P<code>.*?)^```", re.M | re.S
)
_OTHER_PROGRAMS = ("python -m venv", "source ", "pip ", "git ", "make ", "docker ", "cd ")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``reason`` says why it is not run."""

    kind: str
    code: str
    reason: str | None


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in _BLOCK.finditer(text):
        yield Block(found["kind"], found["code"], found["reason"])


def commands(code: str) -> Iterator[list[str]]:
    """The commands of this package in a block, as words after the name of the program."""
    for line in code.splitlines():
        typed = line.partition("  #")[0].strip()
        if not typed or typed.startswith(("#", *_OTHER_PROGRAMS)):
            continue
        words = shlex.split(typed)
        assert words[:1] == ["cellpose"] or words[:3] == ["python", "-m", "cellpose"], typed
        yield words[1:] if words[0] == "cellpose" else words[3:]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder like that of a reader: images to segment, and a home of its own."""
    for name in ("images", "my_images", "home"):
        (tmp_path / name).mkdir()
    for name in ("nuclei_dense.png", "phase_cells_1.png"):
        (tmp_path / "images" / name).write_bytes((ROOT / "examples" / name).read_bytes())
    small = io.imread(ROOT / "examples" / "nuclei_dense.png")[:96, :96]
    io.imsave(tmp_path / "my_images" / "a.tif", small)
    io.imsave(tmp_path / "cells.tif", small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "home" / "models"))
    return tmp_path


def _run_python(code: str, names: dict[str, object], page: str) -> None:
    if ">>>" not in code:
        exec(compile(code, page, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(code, names, page, page, 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


def _run_commands(code: str, capfd) -> str:
    from cellpose.__main__ import main

    capfd.readouterr()
    for words in commands(code):
        if words:  # else it is the window
            # doctor finds the problems of this machine, which are none of the page
            assert main(words) == 0 or words[0] == "doctor", words
    out, err = capfd.readouterr()
    return out + err


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, folder, capfd):
    names: dict[str, object] = {"np": np}
    told = ""
    for block in blocks((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
        if block.reason is not None:
            continue
        if block.kind == "python":
            _run_python(block.code, names, page)
        elif block.kind in ("bash", "sh"):
            told = _run_commands(block.code, capfd)
        elif block.kind == "text":
            missing = [line for line in block.code.splitlines() if line.strip() and line not in told]
            assert missing == [], told


def test_commands_are_taken_from_lines_and_unknown_programs_are_noticed():
    code = 'pip install .\ncellpose --dir "a b"  # a remark\npython -m cellpose doctor\n'
    assert list(commands(code)) == [["--dir", "a b"], ["doctor"]]
    with pytest.raises(AssertionError, match="rm -rf"):
        list(commands("rm -rf /"))


def test_blocks_that_are_not_run_say_why():
    text = "<!-- not run: needs a cluster -->\n```bash\ncellpose x\n```\n\n```python\nx = 1\n```\n"
    assert [(block.kind, block.reason) for block in blocks(text)] == [("bash", "needs a cluster"), ("python", None)]


@pytest.mark.slow  # all example images
def test_the_pictures_of_the_gallery_are_those_that_the_code_makes(tmp_path, monkeypatch):
    import runpy
    import sys

    monkeypatch.setattr(sys, "argv", ["gallery.py", "--out", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "gallery.py"), run_name="__main__")
    made = sorted(tmp_path.glob("*.jpg"))
    assert [path.name for path in made] == sorted(path.name for path in (ROOT / "docs" / "images").glob("gallery_*"))
    for path in made:
        old, new = (io.imread(folder / path.name).astype(int) for folder in (ROOT / "docs" / "images", tmp_path))
        # a cell more or less on another processor is well below this
        assert np.abs(old - new).mean() < 2, path.name
