"""Plain English: phrases that this project does not use, in documents, docstrings and messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cellpose"

# What to write instead.
BANNED = {
    r"\b(is|are) told\b(?! apart)": "the log says, the file contains",
    r"\b(tells|told) (of|which|what|whether|how|where|that|if)\b": "says, shows, contains",
    r"\btold apart\b": "distinguished",
    r"\b(be|is|was|are|were) aimed at\b": "a goal",
    r"\bone an? (image|cell|plane|file|channel)\b": "one per",
    r"\bwhereof\b|\bthereof\b|\bwherein\b": "of which",
    r"\bby itself alone\b|\bof one's own\b|\bof its own accord\b": "your own",
    r"\b(is|are) (mended|made anew|done again)\b": "is fixed, is computed again",
    r"\bseconds? of the processor\b|\bby the clock\b": "CPU seconds, wall time",
    r"\bgoes? on where\b": "continues",
}
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("examples/*/README.md")]
)


def _found(text: str) -> Iterator[str]:
    flat = re.sub(r"\s+", " ", text)
    for pattern, better in BANNED.items():
        for match in re.finditer(pattern, flat):
            yield f"{flat[max(0, match.start() - 40) : match.end() + 40]!r}: {better}"


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings and other texts of a module with more than one word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_are_in_plain_english(document):
    assert list(_found(document.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "room", sorted(path for path in PACKAGE.iterdir() if path.is_dir()), ids=lambda path: path.name
)
def test_docstrings_and_messages_are_in_plain_english(room):
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {words}"
        for path in sorted(room.rglob("*.py"))
        for line, text in _texts(path.read_text(encoding="utf-8"))
        for words in _found(text)
    ]
    assert found == []


def test_phrases_are_found_across_lines():
    assert len(list(_found("The log tells\nwhich model ran; one an image."))) == 2
