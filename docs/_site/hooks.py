"""What the site adds to the documents: pages that the code writes, and files of the repository that pages link to."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

# A link of Markdown, and of HTML, to a file; the anchor stays outside.
_LINK = re.compile(r"(?P<before>\]\(|href=\")(?P<path>[^)\"#\s:]+)(?P<anchor>#[^)\"\s]*)?")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that stand in docs but in no section go to the end of the section that fits."""
    listed = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    adr = [f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("0*.md"))]
    new = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in listed]
    for section in config.nav:
        if "Tasks" in section:
            section["Tasks"] += new
        if "Develop" in section:
            section["Develop"][-1] = {"Decisions": ["adr/README.md", *adr]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages made from the code, and what pages link to outside docs."""
    with tempfile.TemporaryDirectory() as folder:
        _run_reference(folder)
        for path in sorted(Path(folder).iterdir()):
            uri = f"reference/{path.name}"
            stub = files.get_file_from_path(uri)  # what stands there for readers of the repository
            if stub is not None:
                files.remove(stub)
            files.append(File.generated(config, uri, content=path.read_text(encoding="utf-8")))
    named = set(re.findall(r"repository/([\w./]+)", str(config.nav)))
    waiting = {*named, *_linked(files)}
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        done.add(name)
        path = ROOT / name
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            files.append(File.generated(config, f"repository/{name}", content=text))
            waiting |= {link for link in _outside(text, posixpath.dirname(name)) if link not in done}
        else:
            files.append(File.generated(config, f"repository/{name}", abs_src_path=str(path)))
    return files


def _run_reference(folder: str) -> None:
    """Lets the package write its pages, with the Python where it is installed."""
    python = os.environ.get("CELLPOSE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    command = [python, str(ROOT / "docs" / "_site" / "reference.py"), folder]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}
    )
    if run.returncode:
        message = f"{' '.join(command)} failed; CELLPOSE_PYTHON names a Python with this package: {run.stderr}"
        raise PluginError(message)


def _linked(files: Files) -> set[str]:
    found: set[str] = set()
    for file in files.documentation_pages():
        found |= _outside(file.content_string, posixpath.join("docs", posixpath.dirname(file.src_uri)))
    return found


def _outside(text: str, folder: str) -> set[str]:
    """Files of the repository, outside docs, to which a text in ``folder`` links."""
    names = (posixpath.normpath(posixpath.join(folder, link["path"])) for link in _LINK.finditer(text))
    return {name for name in names if not name.startswith(("docs/", "..")) and (ROOT / name).is_file()}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository lead to their copies in the site."""
    uri = page.file.src_uri
    if uri.startswith("reference/"):
        return markdown
    inside = uri.startswith("repository/")
    here = posixpath.dirname(uri.removeprefix("repository/") if inside else f"docs/{uri}")

    def lead(link: re.Match[str]) -> str:
        name = posixpath.normpath(posixpath.join(here, link["path"]))
        if name.startswith("..") or not (ROOT / name).exists() or (ROOT / name).is_dir():
            return link[0]
        target = name.removeprefix("docs/") if name.startswith("docs/") else f"repository/{name}"
        return f"{link['before']}{posixpath.relpath(target, posixpath.dirname(uri) or '.')}{link['anchor'] or ''}"

    return _LINK.sub(lead, markdown)
