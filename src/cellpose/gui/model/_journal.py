"""A journal of edits, written as they are made: after a crash, only the unfinished stroke is lost.

A journal belongs to one image. It begins with a reference to the ``_seg.npy`` the labels were based on, followed by one
record per edit, undo and redo. Records have a CRC-32; reading ends at the first incomplete record.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import time
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._machine.writing import replacing
from cellpose.errors import FileReadError
from cellpose.gui.model._box import Box
from cellpose.gui.model._labels import CELL, Edit, Patch, Regions, Table
from cellpose.gui.model._packed import Packed

__all__ = ["STATE_KEY", "Base", "Journal", "forget", "journal_path", "new_state", "state_of", "strays"]

STATE_KEY = "journal"  # of a _seg.npy

_HEAD = struct.Struct("<4sII")  # magic, length and CRC-32 of the following data
_MAGIC = b"CPJ1"


@dataclass(frozen=True)
class Base:
    """The labels that the edits of a journal start from.

    Parameters
    ----------
    image
        Path of the image.
    shape
        Shape of its labels, (Z, Y, X).
    ids
        The number in the journal of each label 1..n of the file, in order.
    older
        States of files whose labels, with all edits of their journals, these labels came from.
    """

    image: str
    shape: tuple[int, int, int]
    ids: tuple[int, ...]
    older: tuple[str, ...] = ()


class Journal:
    """The journal of one image.

    Parameters
    ----------
    path
        Its file; see `journal_path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: list[Edit] = []  # edits done and undone after reading this journal
        self._undone: list[Edit] = []

    def begin(self, base: Base) -> None:
        """Start over: earlier records are already saved in a file, or are not wanted."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as file:
            file.write(_framed(json.dumps(asdict(base)).encode()))
        self._done, self._undone = [], []

    def follow(self, done: Iterable[Edit], undone: Iterable[Edit]) -> None:
        """Note that the journal was read and contains these edits."""
        self._done, self._undone = list(done), list(undone)

    def record(self, what: str, edit: Edit) -> None:
        """Write a record that an edit was done, undone or redone.

        An edit from before this journal is unknown to its readers: undoing it is a new edit for them.
        """
        if what == "undo" and self._done[-1:] == [edit]:
            self._undone.append(self._done.pop())
            self._append(what)
            return
        if what == "redo" and self._undone[-1:] == [edit]:
            self._done.append(self._undone.pop())
            self._append(what)
            return
        told = edit.reversed() if what == "undo" else edit
        self._done.append(told)
        self._undone.clear()
        self._append("edit", told)

    def _append(self, what: str, edit: Edit | None = None) -> None:
        with self.path.open("ab") as file:
            file.write(_framed(_packed(what, edit)))

    def remove(self) -> None:
        """Remove the journal, because everything is saved."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def read(self) -> tuple[Base, Iterator[tuple[str, Edit | None]]] | None:
        """The base of the edits, and the edits; None if there is no valid journal."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        records = _records(content)
        try:
            head = json.loads(next(records))
            older = tuple(str(state) for state in head.get("older", ()))
            base = Base(str(head["image"]), tuple(head["shape"]), tuple(head["ids"]), older)
        except (StopIteration, ValueError, KeyError, TypeError, RecursionError):
            return None
        return base, (_unpacked(record, self.path) for record in records)


def journal_path(image: Path, state: str) -> Path:
    """Path of the journal of an image: in the home folder, since the folder of the image may be read-only.

    Parameters
    ----------
    image
        The image.
    state
        `state_of` the ``_seg.npy`` that the journal starts from. Another state means other labels.
    """
    return _folder() / f"{_name(image)}-{state}.journal"


def forget(image: Path, states: Iterable[str]) -> None:
    """Remove the journals of an image that start from these states."""
    for state in states:
        Journal(journal_path(image, state)).remove()


def states_after(image: Path, state: str) -> set[str]:
    """States of files that were begun to be written after one in this state, whether or not they were finished."""
    paths = sorted(_folder().glob(f"{_name(image)}-*.journal"))
    begun = {path.stem.removeprefix(f"{_name(image)}-"): Journal(path).read() for path in paths}
    return {later for later, read in begun.items() if read is not None and state in read[0].older}


def strays(image: Path, states: Collection[str], state: str) -> list[Journal]:
    """Journals of an image with edits that are not in its file.

    Parameters
    ----------
    image
        The image.
    states
        The states that the labels of its file came from, and that of the file: their journals are no strays.
    state
        The state of the file. Journals that were begun for files after it have the same edits as its own.
    """
    found = []
    for path in sorted(_folder().glob(f"{_name(image)}-*.journal")):
        journal = Journal(path)
        read = None if path in [journal_path(image, each) for each in states] else journal.read()
        if read is not None and state not in read[0].older:
            found.append(journal)
    return found


def state_of(seg: Path, content: Mapping[str, Any] | None = None) -> str:
    """Identifier of a version of a ``_seg.npy``: the key written by the window, else its size and time."""
    if content is not None and isinstance(content.get(STATE_KEY), str):
        return "".join(letter for letter in content[STATE_KEY] if letter.isalnum())[:64]
    try:
        status = seg.stat()
    except OSError:
        return "none"
    return f"{status.st_size}x{status.st_mtime_ns}"


def new_state() -> str:
    """A new state, for a file about to be written."""
    return uuid.uuid4().hex


def _folder() -> Path:
    return Path.home() / ".cellpose" / "autosave"


def _name(image: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.abspath(image))).hexdigest()[:16]


def _framed(payload: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def _records(content: bytes) -> Iterator[bytes]:
    place = 0
    while place + _HEAD.size <= len(content):
        magic, length, crc = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        payload = content[place : place + length]
        if magic != _MAGIC or len(payload) != length or zlib.crc32(payload) != crc:
            return
        place += length
        yield payload


def _packed(what: str, edit: Edit | None) -> bytes:
    arrays: dict[str, Any] = {"what": np.array(what)}
    if edit is not None:
        arrays |= {"name": np.array(edit.name), "note": np.array(edit.note), "ids": edit.ids}
        arrays |= {"when": np.array(edit.when), "rows_before": edit.rows_before, "rows_after": edit.rows_after}
        arrays["boxes"] = np.array([patch.box for patch in edit.patches], np.int64).reshape(-1, 6)
        if edit.regions is not None:
            arrays["regions"] = np.array(json.dumps(edit.regions))
        for number, patch in enumerate(edit.patches):
            for side, labels in (("before", patch.before), ("after", patch.after)):
                content = labels.content
                raw = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
                arrays[f"{side}{number}"] = raw
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _unpacked(record: bytes, path: Path) -> tuple[str, Edit | None]:
    try:
        with np.load(io.BytesIO(record), allow_pickle=False) as arrays:
            what = str(arrays["what"])
            if "ids" not in arrays:
                return what, None
            patches = [
                Patch(Box(*(int(end) for end in box)), *(_labels(arrays[f"{side}{number}"], box) for side in _SIDES))
                for number, box in enumerate(arrays["boxes"])
            ]
            before, after = (_rows(arrays[f"rows_{side}"]) for side in _SIDES)
            regions = _regions(str(arrays["regions"])) if "regions" in arrays else None
            name, note = str(arrays["name"]), str(arrays["note"])
            when = float(arrays["when"]) if "when" in arrays else time.time()
            return what, Edit(name, tuple(patches), arrays["ids"], before, after, note, regions=regions, when=when)
    except (ValueError, KeyError, OSError) as error:
        message = f"{path} holds an edit that cannot be read ({error}); move the file away to open the image without it"
        raise FileReadError(message) from error


def _rows(written: Any) -> Table:
    """Rows of the table; fields unknown to the writer are 0."""
    rows = np.zeros(len(written), CELL)
    for name in CELL.names or ():
        if name in (written.dtype.names or ()):
            rows[name] = written[name]
    return rows


def _regions(text: str) -> tuple[Regions, Regions]:
    before, after = (
        tuple(tuple((float(z), float(y), float(x)) for z, y, x in region) for region in regions)
        for regions in json.loads(text)
    )
    return before, after


_SIDES = ("before", "after")


def _labels(raw: Any, box: Any) -> Packed:
    shape = tuple(int(length) for length in box[1::2] - box[::2])
    return Packed(raw.tobytes() if raw.dtype == np.uint8 else raw, shape)
