"""The outcome of a run in one line: how many cells, where the results are, and their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cellpose._face.words import listed

__all__ = ["Summary", "count_of"]

_MOST_NAMES = 8


def count_of(n: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> count_of(1, "cell"), count_of(2000, "cell")
    ('1 cell', '2000 cells')
    """
    return f"{n} {noun}{'s' * (n != 1)}"


class Summary:
    """Adds up the images of a run."""

    def __init__(self) -> None:
        self._images = self._failed = self._cells = 0
        self._folders: dict[Path, None] = {}  # in order of arrival
        self._names: dict[str, None] = {}
        self._last: list[str] = []

    def add(self, image: Path, outputs: Sequence[Path], n_cells: int) -> None:
        """Count an image that has its results."""
        self._images += 1
        self._cells += n_cells
        self._folders |= dict.fromkeys(output.parent for output in outputs)
        self._last = [output.name for output in outputs]
        self._names |= dict.fromkeys(_pattern(output, image) for output in outputs)

    def add_failure(self) -> None:
        """Count an image that failed."""
        self._failed += 1

    def line(self, manifest: Path, already_done: int = 0) -> str:
        """The line.

        Parameters
        ----------
        manifest
            File that describes the run.
        already_done
            Number of images whose results an earlier run has left.
        """
        if already_done and not self._images and not self._failed:
            return f"nothing left to do, {count_of(already_done, 'image')} done before; {_shown(manifest)} lists them"
        found = "no image was segmented"
        if self._images:
            found = f"{count_of(self._cells, 'cell')} in {count_of(self._images, 'image')}"
        if self._failed:
            found += f", {self._failed} failed"
        if already_done:
            found += f", {already_done} done before"
        if not self._folders:
            return f"{found}; {_shown(manifest)} lists them"
        names = self._last if self._images == 1 else list(self._names)
        return f"{found}; results in {self._where()}: {listed(names, _MOST_NAMES)}; {self._short(manifest)}"

    def _short(self, manifest: Path) -> str:
        return manifest.name if list(self._folders) == [manifest.parent] else _shown(manifest)

    def _where(self) -> str:
        folders = list(self._folders)
        if len(folders) == 1:
            return _shown(folders[0])
        above = Path(os.path.commonpath(folders))
        return f"{len(folders)} folders in {_shown(above)}"


def _shown(path: Path) -> str:
    """The path as the user gave it, printable."""
    text = str(path)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _pattern(output: Path, image: Path) -> str:
    """The name of a file of results with a star for the name of its image."""
    stem = image.stem
    return f"*{output.name[len(stem) :]}" if output.name.startswith(stem) else output.name
