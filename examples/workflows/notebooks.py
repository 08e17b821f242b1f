"""Makes a Jupyter notebook beside each workflow: `python notebooks.py`.

The scripts are what is written by hand. A line `# %%` begins a cell of code, `# %% [markdown]` one of text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def workflows() -> list[Path]:
    """The scripts that are workflows."""
    return [file for file in sorted(FOLDER.glob("*.py")) if file.read_text(encoding="utf-8").startswith("# %%")]


def notebook(script: str) -> str:
    """The notebook of a script, as the text of its file."""
    parts = re.split(r"^# %%( \[markdown\])?\n", script, flags=re.MULTILINE)[1:]
    cells = [_cell(k, bool(text), body.strip("\n")) for k, (text, body) in enumerate(zip(parts[::2], parts[1::2]))]
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, is_text: bool, body: str) -> dict[str, Any]:
    if is_text:
        body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
    cell: dict[str, Any] = {
        "cell_type": "markdown" if is_text else "code",
        "id": f"cell-{number}",
        "metadata": {},
        "source": body.splitlines(keepends=True),
    }
    if not is_text:
        cell |= {"execution_count": None, "outputs": []}
    return cell


if __name__ == "__main__":
    for workflow in workflows():
        text = notebook(workflow.read_text(encoding="utf-8"))
        workflow.with_suffix(".ipynb").write_text(text, encoding="utf-8")
        print(workflow.with_suffix(".ipynb").name)
