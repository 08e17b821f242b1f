"""The code of the documents runs: Python as it stands, and the commands of this package, page by page, in order.

A block that cannot run here (it needs a network, a cluster, a screen) has a comment before it that says why:
``<!-- not run: reason -->``; its options and the names it imports are checked. Blocks with ``>>>`` are doctests, and a
``text`` block after commands is their output.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cellpose import io

ROOT = Path(__file__).parents[1]

# Every page with code; the Python of the page on training runs in tests/test_docs.py.
PAGES = (
    "../README",
    "bioimageio",
    "browser",
    "command_line",
    "contributing_data",
    "first_steps",
    "formats",
    "index",
    "install",
    "measure",
    "migration",
    "napari",
    "python",
    "restoration",
    "scaling",
    "styles",
    "synthetic",
    "track",
    "training",
    "troubleshooting",
    "volumes",
    "window",
)
# Pages whose text counts the cells of whole example images; others get a part of one, which is faster.
WHOLE_IMAGES = ("first_steps",)

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are not part of this installation")

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<kind>\w+)[^\n]*\n(?P<code>.*?)^```", re.M | re.S
)
_OTHER_PROGRAMS = (
    "python -m venv",
    "source ",
    "pip ",
    "git ",
    "make ",
    "docker ",
    "cd ",
    "napari",
    "bioimageio ",
    "curl ",
)
_OTHER_COMMANDS = ("cellpose.denoise", "cellpose.export")  # python -m ..., only checked


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
    """The commands of this package in a block, as words after the name of the program; other modules by their name."""
    for line in code.splitlines():
        typed = line.partition("  #")[0].strip()
        if not typed or typed.startswith(("#", *_OTHER_PROGRAMS)) or re.match(r"[A-Z]+=", typed):
            continue
        words = shlex.split(typed)
        if words[:2] == ["python", "-m"] and words[2] in _OTHER_COMMANDS:
            yield words[2:]
            continue
        assert words[:1] == ["cellpose"] or words[:3] == ["python", "-m", "cellpose"], typed
        yield words[1:] if words[0] == "cellpose" else words[3:]


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> Path:
    """Small images, stacks, masks and other files that the pages use, made once."""
    place = tmp_path_factory.mktemp("reader")
    nuclei = io.imread(ROOT / "examples" / "nuclei_dense.png")[:96, :96]
    masks = io.imread(ROOT / "examples" / "nuclei_dense_masks.png")[:96, :96]
    for name in ("images", "my_images", "noisy_images", "stacks", "results", "home"):
        (place / name).mkdir()
    for name in ("images/nuclei_dense.png", "images/phase_cells_1.png", "noisy_images/a.png"):
        io.imsave(place / name, nuclei)
    for name in ("my_images/a.tif", "cells.tif", "noisy.tif"):
        io.imsave(place / name, nuclei)
    for name in ("nuclei_dense", "phase_cells_1"):
        io.imsave(place / "images" / f"{name}_nuclei_masks.tif", masks)
        io.imsave(place / "results" / f"{name}_cp_masks.tif", masks)
    io.write_cells(place / "corrected.geojson", masks)
    io.imsave(place / "stacks" / "stack.tif", np.stack([nuclei[:64, :64]] * 4))
    return place


@pytest.fixture
def folder(request, examples, tmp_path, monkeypatch):
    """A folder like that of a reader: images to segment, and a home of its own."""
    shutil.copytree(examples, tmp_path, dirs_exist_ok=True)
    if request.getfixturevalue("page") in WHOLE_IMAGES:
        for name in ("nuclei_dense.png", "phase_cells_1.png"):
            shutil.copy(ROOT / "examples" / name, tmp_path / "images" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "home" / "models"))
    return tmp_path


def _names(page: str) -> dict[str, object]:
    """What the code of a page takes for given."""
    nuclei = io.imread(ROOT / "examples" / "nuclei_dense.png")[:96, :96]
    masks = io.imread(ROOT / "examples" / "nuclei_dense_masks.png")[:96, :96].astype(np.int32)
    given: dict[str, dict[str, object]] = {
        "volumes": {"stack": np.stack([nuclei[:64, :64]] * 4)},
        "measure": {"image": nuclei, "masks": masks, "nuclei": masks},
        "formats": {"masks": masks},
    }
    return {"np": np, **given.get(page, {})}


def _slide(page: str) -> None:
    """The large images of the page on large images, in the folder of the reader."""
    if page == "scaling":
        pytest.importorskip("zarr", reason="zarr, of the extra distributed, is not installed")
        image = io.imread("cells.tif")
        io.write_ome_tiff("slide.ome.tif", image, "YX")
        io.write_ome_zarr("slide.ome.zarr", image, "YX")


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


class _ParsedError(BaseException):
    """Ends a command once its words are parsed."""


def _check_command(words: list[str], monkeypatch) -> None:
    """The words of a command that cannot run here are understood."""
    from cellpose.__main__ import main

    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser, args=None, namespace=None):
        parse(parser, args, namespace)
        raise _ParsedError

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", only_parse)
        run = main
        if words[0] in _OTHER_COMMANDS:
            place = "cellpose.denoise.__main__" if words[0] == "cellpose.denoise" else words[0]
            run, words = importlib.import_module(place).main, words[1:]
        with pytest.raises(_ParsedError):
            run(words)


def _check_python(code: str, page: str) -> None:
    """Code that cannot run here is Python, and takes names of this package that exist."""
    for node in ast.walk(ast.parse(code, page)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cellpose"):
            module = importlib.import_module(node.module)
            absent = [name.name for name in node.names if not hasattr(module, name.name)]
            assert absent == [], node.module


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, folder, capfd, monkeypatch):
    names, told = _names(page), ""
    _slide(page)
    for block in blocks((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
        if block.kind == "python":
            if block.reason is not None:
                _check_python(block.code, page)
            else:
                _run_python(block.code, names, page)
        elif block.kind in ("bash", "sh"):
            if block.reason is not None:
                for words in filter(None, commands(block.code)):
                    _check_command(words, monkeypatch)
            else:
                told = _run_commands(block.code, capfd)
        elif block.kind == "text":
            missing = [line for line in block.code.splitlines() if line.strip() and line not in told]
            assert missing == [], told


def test_every_page_with_code_is_run():
    shell = {
        path.stem
        for path in (ROOT / "docs").glob("*.md")
        if re.search(r"^```(python|bash)", path.read_text("utf-8"), re.M)
    }
    assert shell - set(PAGES) == set()


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
