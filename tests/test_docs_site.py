"""The site of the documents: what the code writes into it, and that every page has its place."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from cellpose import errors
from cellpose.cli._parser import SUBCOMMANDS
from cellpose.cli._table import FLAGS

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").is_file(), reason="the site is not part of this installation")


@cache
def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_reference", ROOT / "docs" / "_site" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _nav() -> str:
    return (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]


def test_the_page_of_options_has_every_option_of_every_command():
    page = _reference().options_page()
    missing = [flag.name for flag in FLAGS if not re.search(rf"^\| `--{flag.name}[ `]", page, re.MULTILINE)]
    assert missing == []
    assert [name for name in SUBCOMMANDS if f"\n## cellpose {name}\n" not in page] == []
    assert "### cellpose models pull" in page
    assert all(line.count(" | ") == 1 for line in page.splitlines() if line.startswith("| `"))


def test_messages_are_found_where_they_are_raised_and_where_they_are_named_first():
    first = 'def f(x):\n    message = f"x={x!r}: give 1"\n    raise OptionError(message)\n'
    source = f'{first}raise InputError("no cell " "found")\n'
    found = set(_reference().messages(source, {"OptionError", "InputError"}))
    assert found == {("OptionError", "x=…: give 1"), ("InputError", "no cell found")}


def test_the_page_of_messages_has_a_part_for_every_error_that_is_raised():
    page = _reference().errors_page()
    headings = set(re.findall(r"^## (\w+)$", page, re.MULTILINE))
    assert headings <= set(errors.__all__)
    assert {"AxesError", "InputError", "OptionError", "UnknownModelError", "MissingExtraError"} <= headings
    assert page.count("\n- ") > 300


def test_the_navigation_names_pages_that_exist_and_all_parts_of_the_api():
    named = re.findall(r"[\w./]+\.md", _nav())
    made = ("reference/", "repository/")
    assert [name for name in named if not name.startswith(made) and not (ROOT / "docs" / name).is_file()] == []
    assert [page.name for page in (ROOT / "docs" / "api").glob("*.md") if f"api/{page.name}" not in named] == []


def test_the_page_of_decisions_names_every_decision():
    page = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "adr").glob("0*.md"):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{title}]({path.name})" in page


def _troubleshooting() -> dict[str, list[str]]:
    """The messages that the page on troubleshooting explains, by the classes in the headings above them."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    explained: dict[str, list[str]] = {}
    for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        for name in re.findall(r"`(\w+Error)`", heading):
            explained[name] = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    return explained


def test_troubleshooting_explains_every_class_of_errors_with_messages_that_exist():
    raised: dict[str, set[str]] = {name: set() for name in errors.__all__}
    for path in _reference().PACKAGE.rglob("*.py"):
        for name, text in _reference().messages(path.read_text(encoding="utf-8"), set(errors.__all__)):
            raised[name].add(text)
    explained = _troubleshooting()
    assert sorted(explained) == sorted(set(errors.__all__) - {"CellposeError"})
    parts = {tuple(messages) for messages in explained.values()}
    for messages in parts:
        known = "\n".join(
            text for name, given in explained.items() if tuple(given) == messages for text in raised[name]
        )
        for message in messages:
            pattern = ".*?".join(re.escape(piece.strip()) for piece in message.split("…"))
            assert re.search(pattern, known), message
