"""What the documents say is there: tests, files, commands and options."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cellpose.cli import get_arg_parser
from cellpose.cli._retired import split_retired

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are not part of this installation")


def _tests_named(text: str) -> Iterator[tuple[str, str]]:
    """Each (file, test) of `file::test` in backticks; a test without file belongs to the file named before it."""
    file = ""
    for line in text.splitlines():
        for word in re.findall(r"`([^`]+)`", line.rsplit("|", 2)[-2] if line.count("|") > 2 else ""):
            if not word.startswith(("tests/", "test_", "::test_")):
                continue
            before, _, name = word.partition("::")
            if word.startswith("test_"):
                before, name = file, word
            file = before or file
            yield file, name.partition("[")[0]


@cache
def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_named_beside_a_difference_is_there():
    named = list(_tests_named((ROOT / "docs" / "differences.md").read_text(encoding="utf-8")))
    assert len(named) > 100
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or (name and name not in _functions(ROOT / file))
    ]
    assert missing == []


def test_every_row_of_the_differences_names_a_test():
    lines = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| what ")]
    assert [row for row in rows if not list(_tests_named(row))] == []
    assert {row.count(" | ") for row in rows} == {4}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_use_options_that_exist(document):
    text = document.read_text(encoding="utf-8")
    lines = re.findall(r"^\s*(?:python -m cellpose|cellpose) (--.*)$", text, re.MULTILINE)
    for line in lines:
        words = line.partition("  #")[0].split()
        get_arg_parser().parse_args(split_retired(words)[0])


def _is_file(word: str) -> bool:
    """Whether a path in a document exists, from the root or from the package; a bare name may be anywhere in it."""
    package = ROOT / "src" / "cellpose"
    if "/" not in word:
        return any(package.rglob(word)) or (ROOT / word).exists() or any((ROOT / "tests").rglob(word))
    return (ROOT / word).exists() or (package / word).exists()


def _is_module_or_name(word: str) -> bool:
    """Whether ``cellpose.a.b`` is a module, or a name in one."""
    path, value = "cellpose", importlib.import_module("cellpose")
    for part in word.split(".")[1:]:
        path += f".{part}"
        try:
            value = importlib.import_module(path)
        except ModuleNotFoundError:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
    return True


def _absent(text: str) -> list[str]:
    """Files, modules and names in backticks that do not exist; ``file::test`` has a test of its own."""
    words = set(re.findall(r"`([^`\n]+)`", text))
    files = {word for word in words if re.fullmatch(r"[\w./-]+\.py", word)}
    rooms = "|".join(["cellpose", *(path.parent.name for path in ROOT.glob("src/cellpose/_*/__init__.py"))])
    modules = {word for word in words if re.fullmatch(rf"({rooms})(\.\w+)+", word)}
    return sorted(
        [word for word in files if not _is_file(word)]
        + [word for word in modules if not _is_module_or_name(f"cellpose.{word.removeprefix('cellpose.')}")]
    )


def test_files_that_are_absent_are_noticed():
    there = "`nets/_sam.py`, `cellpose.utils.diameters`, `_machine.writing`, `_seg.npy`"
    gone = "`nets/_no_such.py`, `cellpose.utils.no_such`, `_machine.gone.x`"
    assert _absent(f"{there}, {gone}") == ["_machine.gone.x", "cellpose.utils.no_such", "nets/_no_such.py"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_modules_that_are_named_exist(document):
    assert _absent(document.read_text(encoding="utf-8")) == []


def test_the_script_makes_every_picture_of_the_window():
    spec = importlib.util.spec_from_file_location("window_pictures", ROOT / "examples" / "window_pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    there = {path.name for path in ROOT.glob("docs/images/window_*.png")}
    shown = {name for path in DOCUMENTS for name in re.findall(r"images/(window_\w+\.png)", path.read_text("utf-8"))}
    assert set(script.NAMES) == there == shown


@pytest.mark.slow  # fifty epochs, though of a small network
def test_the_python_of_the_training_page_runs(tmp_path, monkeypatch):
    import numpy as np

    from test_train_data import discs

    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    images, masks = zip(*(discs(9, seed=seed) for seed in range(2)), strict=True)
    names = {"images": list(images), "masks": list(masks), "image": images[0]}
    exec(code, names)
    assert names["found"].shape == images[0].shape
    assert np.isfinite(names["losses"]).all()
    assert (tmp_path / "models" / "my_cells").is_file()
