"""Preferences kept between sessions, as JSON in the home folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from cellpose._machine.writing import replacing
from cellpose.errors import FileWriteError

__all__ = ["Preferences", "take"]

logger = logging.getLogger("cellpose.gui")


class Preferences:
    """Sections of values, such as ``"keys"``, in one file. A file that cannot be read or written is ignored.

    Parameters
    ----------
    path
        The file; None: ``~/.cellpose/window.json``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def section(self, name: str) -> dict[str, Any]:
        """The values of a section; empty if there are none."""
        found = self._read().get(name)
        return dict(found) if isinstance(found, dict) else {}

    def put(self, name: str, values: Mapping[str, Any]) -> None:
        """Save the values of a section; other sections stay as other windows have left them."""
        kept, path = self._read(), self._file()
        if path is None or (not values and name not in kept):
            return
        content = {**kept, name: dict(values)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(json.dumps(content, indent=1).encode())
        except (OSError, FileWriteError) as error:
            logger.warning("the settings of the window were not kept: %s", error)

    def _read(self) -> dict[str, Any]:
        path = self._file()
        try:
            content = json.loads(path.read_text("utf-8")) if path is not None else {}
        except (OSError, ValueError, RecursionError):  # no file yet, or not one written here
            return {}
        return content if isinstance(content, dict) else {}

    def _file(self) -> Path | None:
        if self._path is None:
            with suppress(RuntimeError):  # no home folder
                self._path = Path.home() / ".cellpose" / "window.json"
        return self._path


def take(state: Any, values: Mapping[str, Any]) -> None:
    """Set the fields of a dataclass for which there is a value of the right type; lists become tuples if needed.

    Examples
    --------
    >>> from cellpose.gui.model import ViewState
    >>> view = ViewState()
    >>> take(view, {"brush": 7, "dark": "no", "unknown": 1})
    >>> view.brush, view.dark
    (7, True)
    """
    for field in fields(state):
        value, now = values.get(field.name), getattr(state, field.name)
        if isinstance(now, tuple) and isinstance(value, list) and len(value) == len(now):
            value = tuple(value)
        if isinstance(now, float) and type(value) is int:
            value = float(value)
        if _kind(value) == _kind(now):
            setattr(state, field.name, value)


def _kind(value: Any) -> Any:
    return tuple(type(each) for each in value) if isinstance(value, tuple) else type(value)
