"""The models trained on contributions: which one is published, and how to roll back.

The records say which version is published; the file ``models/current`` follows them. It is replaced atomically, so
programs that load it find either the old or the new model. If a process was killed between record and file, the next
one that opens the store updates the file.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cellpose._machine.writing import replacing, replacing_by_name
from cellpose.contributions._record import Contribution
from cellpose.contributions._store import Store, now
from cellpose.errors import FileReadError, InputError

__all__ = ["CURRENT", "FAILED", "PUBLISHED", "REFUSED", "TRAINING", "WITHDRAWN", "Version", "Versions"]

TRAINING, PUBLISHED, REFUSED, WITHDRAWN, FAILED = "training", "published", "refused", "withdrawn", "failed"
#: File name of the published model, in the folder ``models`` of the store.
CURRENT = "current"
_CREDITS = "_credits.txt"

logger = logging.getLogger("cellpose.contributions")


@dataclass(frozen=True)
class Version:
    """A model trained on contributions.

    Attributes
    ----------
    number, name
        Counted from 1; ``"contributions-0001"``, the name of its file in ``models``.
    state
        ``"training"``, ``"published"``, ``"refused"`` (worse on a source), ``"withdrawn"`` (rolled back) or
        ``"failed"``.
    started, decided
        ISO 8601, UTC.
    base
        The model that training started from.
    images
        Names of the contributions used for training.
    epochs
        Passes over the images.
    sha256
        Hash of its file, once trained.
    report
        The comparison; for a failed version the ``"error"``.
    """

    number: int
    name: str
    state: str
    started: str
    base: str
    images: tuple[str, ...]
    epochs: int
    decided: str = ""
    sha256: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)


class Versions:
    """The versions in a store.

    Parameters
    ----------
    store
        The store; its file ``current`` is updated.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.folder = store.folder / "models"
        try:
            self._settle()
        except FileReadError as error:  # rolling back must still be possible
            logger.warning(str(error))

    def all(self) -> list[Version]:
        """Every version, oldest first."""
        with self._store.transaction() as db:
            return [_of_row(row) for row in db.execute("SELECT * FROM versions ORDER BY number").fetchall()]

    def published(self) -> Version | None:
        """The currently published version."""
        return next((version for version in reversed(self.all()) if version.state == PUBLISHED), None)

    def path(self, version: Version) -> Path:
        """Path of the version's file."""
        return self.folder / version.name

    def current(self) -> Path | None:
        """The file of the published model, whose name is the same for every version."""
        return self.folder / CURRENT if self.published() is not None else None

    def begin(self, base: str, images: tuple[str, ...], epochs: int) -> Version:
        """Record a new version that is being trained."""
        with self._store.transaction() as db:
            (last,) = db.execute("SELECT coalesce(max(number), 0) FROM versions").fetchone()
            number = last + 1
            db.execute(
                "INSERT INTO versions (number, name, state, started, base, images, epochs) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, f"contributions-{number:04d}", TRAINING, now(), base, json.dumps(images), epochs),
            )
        return self._number(number)

    def unfinished(self) -> Version | None:
        """The version whose training or comparison was interrupted."""
        return next((version for version in self.all() if version.state == TRAINING), None)

    def decide(self, version: Version, state: str, report: dict[str, Any], sha256: str = "") -> Version:
        """Publish, refuse or abandon a version."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE versions SET state = ?, report = ?, sha256 = ?, decided = ? WHERE number = ?",
                (state, json.dumps(report), sha256, now(), version.number),
            )
        self._settle()
        return self._number(version.number)

    def rollback(self) -> tuple[Version, Version | None]:
        """Withdraw the published version, so that the previous one is published again.

        Returns
        -------
        withdrawn, published
            ``published`` is None if there was no previous version: then only the base model is left.

        Raises
        ------
        InputError
            If no version is published.
        """
        current = self.published()
        if current is None:
            message = "no model is published, so there is nothing to roll back"
            raise InputError(message)
        with self._store.transaction() as db:
            db.execute(
                "UPDATE versions SET state = ?, decided = ? WHERE number = ?", (WITHDRAWN, now(), current.number)
            )
        self._settle()
        return self._number(current.number), self.published()

    def write_credits(self, version: Version, contributions: list[Contribution]) -> None:
        """Name the contributors beside the model, as CC-BY requires."""
        lines: dict[str, int] = {}
        for each in contributions:
            line = f"{each.provenance.contributor}; {each.source}; {each.provenance.licence}"
            lines[line] = lines.get(line, 0) + 1
        text = "".join(f"{line}; images: {n}\n" for line, n in sorted(lines.items()))
        with replacing(self.folder / f"{version.name}{_CREDITS}") as file:
            file.write(f"{version.name} was trained on images and segmentations of\n\n{text}".encode())

    def _number(self, number: int) -> Version:
        with self._store.transaction() as db:
            return _of_row(db.execute("SELECT * FROM versions WHERE number = ?", (number,)).fetchone())

    def _settle(self) -> None:
        """Update the file ``current`` to match the records."""
        published, current = self.published(), self.folder / CURRENT
        if published is None:
            for file in (current, current.with_name(f"{CURRENT}{_CREDITS}")):
                file.unlink(missing_ok=True)
            return
        source = self.path(published)
        if not source.is_file():
            message = f"the published model {source} is missing; restore it from a copy, or roll back"
            raise FileReadError(message)
        for file, target in (
            (source.with_name(f"{source.name}{_CREDITS}"), current.with_name(f"{CURRENT}{_CREDITS}")),
            (source, current),
        ):
            if file.is_file() and not (target.is_file() and target.samefile(file)):
                with replacing_by_name(target) as temporary:
                    _link_or_copy(file, temporary)


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link to a file, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _of_row(row: sqlite3.Row) -> Version:
    fields = dict(row)
    return Version(**{**fields, "images": tuple(json.loads(row["images"])), "report": json.loads(row["report"])})
