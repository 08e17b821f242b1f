"""What the documents say is there: tests, files, commands and options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cellpose.cli import get_arg_parser
from cellpose.cli._retired import split_retired

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])

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
