"""The documentation pages shown in the window, and a search in them."""

from __future__ import annotations

import html
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import cellpose

__all__ = ["PAGES", "Found", "find", "page", "titles"]

# In list order; pyproject.toml includes the same pages in the wheel.
PAGES = (
    *("window", "first_steps", "models", "training", "contributing_data", "preparing", "restoration", "volumes"),
    *("movies", "scaling", "measure", "track", "styles", "formats", "command_line", "install", "migration"),
    *("troubleshooting", "glossary"),
)
_EXTENSIONS = ("tables", "toc", "sane_lists", "fenced_code", "admonition", "attr_list", "def_list")
_HEADING = re.compile(r"<h[1-6] id=\"(?P<anchor>[^\"]+)\">(?P<title>.*?)</h[1-6]>")
_TAG, _SPACE = re.compile(r"<!--.*?-->|<[^>]+>", re.DOTALL), re.compile(r"\s+")


class Found(NamedTuple):
    """A section of a page.

    Parameters
    ----------
    page, anchor
        Its page and its anchor there.
    title
        Its heading.
    text
        Its text without the heading.
    """

    page: str
    anchor: str
    title: str
    text: str


@cache
def page(name: str) -> str:
    """The HTML of a page; its headings have anchors, its links lead to other pages of ``PAGES`` or to the web."""
    import markdown
    from markdown.treeprocessors import Treeprocessor

    class Links(Treeprocessor):  # type: ignore[misc]
        def run(self, root: Any) -> None:
            for link in root.iter("a"):
                link.set("href", _target(link.get("href", "")))
                if not link.get("href"):
                    link.tag = "span"
            for above in list(root.iter()):
                for picture in [each for each in above if each.tag == "img"]:
                    above.remove(picture)  # the package does not include pictures

    converter = markdown.Markdown(extensions=list(_EXTENSIONS))
    converter.treeprocessors.register(Links(converter), "links", 1)
    return str(converter.convert(_source(name)))


@cache
def titles() -> dict[str, str]:
    """The title of each page."""
    return {name: sections(name)[0].title for name in PAGES}


@cache
def sections(name: str) -> tuple[Found, ...]:
    """The sections of a page."""
    text = page(name)
    heads = list(_HEADING.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return tuple(
        Found(name, head["anchor"], _plain(head["title"]), _plain(text[head.end() : end]))
        for head, end in zip(heads, ends, strict=True)
    )


def find(query: str) -> list[Found]:
    """The sections that contain all words of a query; those with a word in the heading come first.

    Examples
    --------
    >>> [found.page for found in find("words that stand nowhere together")]
    []
    """
    words = query.casefold().split()
    if not words:
        return []
    ranked = []
    for name in PAGES:
        for section in sections(name):
            head, text = section.title.casefold(), section.text.casefold()
            if all(word in head or word in text for word in words):
                ranked.append((-sum(word in head for word in words), section))
    return [section for _, section in sorted(ranked, key=lambda each: each[0])]


def _source(name: str) -> str:
    """The Markdown of a page: from the package or, in a clone, from its docs folder."""
    inside = resources.files("cellpose.gui").joinpath("help").joinpath(f"{name}.md")
    if inside.is_file():
        return inside.read_text("utf-8")
    return (Path(cellpose.__file__).parents[2] / "docs" / f"{name}.md").read_text("utf-8")


def _target(link: str) -> str:
    """The target of a link in the window; empty if it has none."""
    if link.startswith(("http:", "https:", "#")):
        return link
    file, _, anchor = link.partition("#")
    name = file.removesuffix(".md")
    if name not in PAGES:
        return ""
    return f"{name}.html#{anchor}" if anchor else f"{name}.html"


def _plain(text: str) -> str:
    return _SPACE.sub(" ", html.unescape(_TAG.sub("", text))).strip()
