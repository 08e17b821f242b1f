"""The folder of contributions: files named by the hash of their content, and their records in SQLite.

    FOLDER/contributions.sqlite3   records of contributions and of the models trained on them
    FOLDER/files/                  <id>.tif and <id>_masks.tif
    FOLDER/models/                 trained models, and ``current``, the published one

A file is complete before its record is written, and a record is written in one transaction. A process killed at any
moment leaves a whole contribution or none; at most it leaves files without a record, which are written again when
the contribution is sent again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cellpose.contributions._checks import LEAST_DENSE, Pair
from cellpose.contributions._record import ACCEPTED, RECEIVED, REJECTED, STATES, Contribution, Provenance
from cellpose.errors import FileReadError, FileWriteError, InputError, OptionError

__all__ = ["DuplicateError", "Store", "now"]

_DATABASE, _FILES = "contributions.sqlite3", "files"
_LAYOUT = 1
_WAIT_S = 30.0  # for another process that is writing
_TRAINED_ON, _HELD_OUT = "train", "validation"
_HELD_OUT_SHARE = 5  # one image in this many of a source is held out

_TABLES = f"""
CREATE TABLE contributions (
  id TEXT PRIMARY KEY, image_hash TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN {STATES}),
  source TEXT NOT NULL, provenance TEXT NOT NULL, received TEXT NOT NULL, shape TEXT NOT NULL, n_cells INTEGER NOT NULL,
  role TEXT NOT NULL DEFAULT '', decided TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', dense REAL,
  notes TEXT NOT NULL DEFAULT '[]');
CREATE UNIQUE INDEX one_of_an_image ON contributions (image_hash) WHERE state <> '{REJECTED}';
CREATE INDEX by_state ON contributions (state, received);
CREATE TABLE versions (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, started TEXT NOT NULL,
  decided TEXT NOT NULL DEFAULT '', base TEXT NOT NULL, images TEXT NOT NULL, epochs INTEGER NOT NULL,
  sha256 TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '{{}}');
PRAGMA user_version = {_LAYOUT};
"""


class DuplicateError(InputError):
    """The image, or the image with its cells, was contributed before."""


def now() -> str:
    """The current time, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Store:
    """Contributions in a folder. Threads and processes may use it at the same time.

    Parameters
    ----------
    folder
        The folder; not on a network drive, where SQLite cannot lock its file.
    create
        Create the folder if it is missing.

    Raises
    ------
    OptionError
        If there is no store, or a newer version of this package made it.
    FileWriteError
        If the folder cannot be made.
    FileReadError
        If its database is damaged or cannot be written to.
    """

    def __init__(self, folder: str | Path, *, create: bool = False) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self._database = self.folder / _DATABASE
        if create:
            try:
                (self.folder / _FILES).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"contributions cannot be kept in {folder}: {error.strerror}; choose another folder"
                raise FileWriteError(message) from error
        elif not self._database.is_file():
            message = f"{folder} holds no contributions; `cellpose serve --contributions FOLDER` collects them"
            raise OptionError(message)
        try:
            with closing(sqlite3.connect(self._database, timeout=_WAIT_S)) as db:
                # lets readers work beside a writer; the setting is stored in the file
                db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.DatabaseError as error:
            message = f"{self._database} could not be used: {error}"
            raise FileReadError(message) from error
        with self.transaction() as db:
            (layout,) = db.execute("PRAGMA user_version").fetchone()
            if layout > _LAYOUT:
                message = f"{folder} was written by a newer version of cellpose; install that one"
                raise OptionError(message)
            if not layout:
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all kept at the end, or all undone after an error."""
        try:
            with closing(sqlite3.connect(self._database, timeout=_WAIT_S, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            message = f"{self._database} could not be used: {error}"
            raise FileReadError(message) from error

    # --- contributions ---

    def add(self, pair: Pair, provenance: Provenance) -> Contribution:
        """Store a contribution as received.

        Raises
        ------
        DuplicateError
            If it, or another segmentation of the same image, is stored already, or if it was rejected before.
        FileWriteError
            If it cannot be written.
        """
        self._refuse_again(pair)
        given = Contribution(
            pair.id, RECEIVED, provenance.source, provenance, now(), pair.shape, pair.n_cells, notes=pair.notes
        )
        self._write(given, pair)
        row = {
            "id": given.id, "image_hash": pair.image_hash, "state": given.state, "source": given.source,
            "provenance": json.dumps(provenance.as_dict()), "received": given.received, "n_cells": given.n_cells,
            "shape": json.dumps(given.shape), "notes": json.dumps(given.notes),
        }  # fmt: skip
        try:
            with self.transaction() as db:
                names = ", ".join(row)
                db.execute(f"INSERT INTO contributions ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
        except FileReadError:
            self._refuse_again(pair)  # another process was faster
            raise
        return given

    def _refuse_again(self, pair: Pair) -> None:
        with self.transaction() as db:
            found = db.execute(
                "SELECT * FROM contributions WHERE id = ? OR (image_hash = ? AND state <> ?)",
                (pair.id, pair.image_hash, REJECTED),
            ).fetchone()
        if found is None:
            return
        there = _of_row(found)
        what = "this segmentation" if there.id == pair.id else "another segmentation of this image"
        reason = f" ({there.reason})" if there.reason else ""
        message = f"{what} was contributed on {there.received[:10]} as {there.short} and is {there.state}{reason}"
        raise DuplicateError(message)

    def _write(self, contribution: Contribution, pair: Pair) -> None:
        from cellpose import io

        folder = self.folder / _FILES
        axes = "YX" if pair.image.ndim == 2 else "CYX"
        io.write_tiff(folder / contribution.image_name, pair.image, axes=axes)
        io.write_tiff(folder / contribution.masks_name, pair.labels, axes="YX")

    def contributions(self, state: str | None = None) -> list[Contribution]:
        """All contributions, or those in one state, oldest first."""
        if state not in (None, *STATES):
            message = f"state={state!r} is not allowed; choose one of {', '.join(STATES)}"
            raise OptionError(message)
        with self.transaction() as db:
            rows = db.execute(
                "SELECT * FROM contributions WHERE ? IS NULL OR state = ? ORDER BY received, id", (state, state)
            ).fetchall()
        return [_of_row(row) for row in rows]

    def find(self, name: str) -> Contribution:
        """The contribution whose name is this, or is the only one that starts with it.

        Raises
        ------
        InputError
            If there is none, or several.
        """
        wanted = name.lower()
        if len(wanted) < 6 or set(wanted) - set("0123456789abcdef"):
            message = f"{name!r} is no name of a contribution; give at least its first 6 letters"
            raise InputError(message)
        with self.transaction() as db:
            rows = db.execute("SELECT * FROM contributions WHERE id GLOB ? LIMIT 2", (f"{wanted}*",)).fetchall()
        if len(rows) != 1:
            message = f"there is {'no contribution' if not rows else 'more than one contribution'} {name}"
            raise InputError(message)
        return _of_row(rows[0])

    def accept(self, name: str, source: str | None = None) -> Contribution:
        """Accept a contribution for training; ``source`` corrects its origin.

        The first time, this decides for good whether its image is trained on or held out: of each source the second
        image is held out, then one in five. A rejection in between, or another segmentation of the image, changes
        nothing in it. So no model is ever compared on images that an earlier model was trained on.

        Raises
        ------
        InputError
            If there is no such contribution, or another segmentation of its image has been accepted since.
        """
        found = self.find(name)
        source = (source or found.source).strip()
        with self._decision() as db:
            if found.state == ACCEPTED and source == found.source:
                return found
            role = _role_before(db, found.id)
            if role is None:
                counts = dict(
                    db.execute(
                        "SELECT role, count(*) FROM contributions WHERE state = ? AND source = ? GROUP BY role",
                        (ACCEPTED, source),
                    ).fetchall()
                )
                role = _role(sum(counts.values()), counts.get(_HELD_OUT, 0))
            db.execute(
                "UPDATE contributions SET state = ?, role = ?, source = ?, decided = ?, reason = '' WHERE id = ?",
                (ACCEPTED, role, source, now(), found.id),
            )
        return self.find(found.id)

    def reject(self, name: str, reason: str = "") -> Contribution:
        """Exclude a contribution from training from now on; its files stay, so that a resubmission is recognized.

        Raises
        ------
        InputError
            If there is no such contribution.
        """
        found = self.find(name)
        with self._decision() as db:
            db.execute(
                "UPDATE contributions SET state = ?, decided = ?, reason = ? WHERE id = ?",
                (REJECTED, now(), reason.strip(), found.id),
            )
        return self.find(found.id)

    @contextmanager
    def _decision(self) -> Iterator[sqlite3.Connection]:
        try:
            with self.transaction() as db:
                yield db
        except FileReadError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                message = "another segmentation of this image was taken meanwhile; reject that one first"
                raise InputError(message) from error
            raise

    def note_dense(self, name: str, share: float | None) -> None:
        """Store the annotated share of what the bundled model finds; -1 means that it cannot be measured."""
        found = self.find(name)
        notes = [note for note in found.notes if not note.startswith("annotated: ")]
        if share is not None and share < LEAST_DENSE:
            notes.append(f"annotated: {share:.0%} of what the bundled model finds; are cells missing?")
        with self.transaction() as db:
            db.execute(
                "UPDATE contributions SET dense = ?, notes = ? WHERE id = ?",
                (-1.0 if share is None else share, json.dumps(notes), found.id),
            )

    def unmeasured(self) -> list[Contribution]:
        """Contributions whose annotated share has not been measured yet."""
        with self.transaction() as db:
            rows = db.execute(
                "SELECT * FROM contributions WHERE dense IS NULL AND state <> ? ORDER BY received", (REJECTED,)
            ).fetchall()
        return [_of_row(row) for row in rows]

    def files_of(self, contribution: Contribution) -> tuple[Path, Path]:
        """The files of its image and of its cells."""
        folder = self.folder / _FILES
        return folder / contribution.image_name, folder / contribution.masks_name

    def read(self, contribution: Contribution) -> Pair:
        """Read image and cells.

        Raises
        ------
        FileReadError
            If they cannot be read, or differ from those that were contributed.
        """
        from cellpose import io

        image_file, masks_file = self.files_of(contribution)
        pair = Pair(io.imread(image_file), np.asarray(io.imread(masks_file), np.int32), contribution.notes)
        if pair.id != contribution.id:
            message = f"{image_file} or its masks are not what was contributed; restore them from a copy, or reject it"
            raise FileReadError(message)
        return pair


def _role_before(db: sqlite3.Connection, name: str) -> str | None:
    """The role that the image of a contribution was given before, whichever segmentation of it was accepted."""
    row = db.execute(
        "SELECT role FROM contributions WHERE role <> '' AND image_hash = "
        "(SELECT image_hash FROM contributions WHERE id = ?)",
        (name,),
    ).fetchone()
    return None if row is None else row["role"]


def _role(n_accepted: int, n_held_out: int) -> str:
    """The role of the next image of a source.

    Examples
    --------
    >>> held_out = [2, 6, 11, 16]
    >>> [_role(n, sum(place <= n for place in held_out)) for n in range(7)]
    ['train', 'validation', 'train', 'train', 'train', 'validation', 'train']
    """
    wanted = -(-(n_accepted + 1) // _HELD_OUT_SHARE)
    return _HELD_OUT if n_accepted and n_held_out < wanted else _TRAINED_ON


def _of_row(row: sqlite3.Row) -> Contribution:
    fields: dict[str, Any] = {name: row[name] for name in row.keys() if name != "image_hash"}  # noqa: SIM118  (a row has no names as items)
    dense = fields["dense"]
    fields |= {
        "provenance": Provenance(**json.loads(fields["provenance"])),
        "shape": tuple(json.loads(fields["shape"])),
        "notes": tuple(json.loads(fields["notes"])),
        "dense": None if dense is None or dense < 0 else dense,
    }
    return Contribution(**fields)
