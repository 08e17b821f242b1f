"""The card of a model, inside its weight file: what it was trained on and from.

A torch file is a zip archive; the card is one more entry, ``cellpose.json``, over which other programs read. In a
safetensors file it stands in the metadata of the head.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError, FileWriteError, WeightsError

__all__ = ["embed_card", "read_card"]

_ENTRY = "cellpose.json"
_KEY = "cellpose"
_LONGEST = 2**20  # bytes; a longer card is not from this package


def embed_card(path: Path, card: Mapping[str, Any]) -> None:
    """Put a card into a weight file that torch wrote.

    Raises
    ------
    FileWriteError
        If the file is no zip archive or cannot be written.
    """
    try:
        with zipfile.ZipFile(path, "a") as archive:
            # torch looks for its records in the folder of the first entry
            root = archive.namelist()[0].split("/", maxsplit=1)[0]
            archive.writestr(f"{root}/{_ENTRY}", json.dumps(card, indent=1))
    except (OSError, zipfile.BadZipFile, IndexError) as error:
        message = f"the model card could not be written into {path}: {error}"
        raise FileWriteError(message) from error


def read_card(path: Path) -> dict[str, Any]:
    """The card in a weight file; empty if there is none or the file is damaged, which loading its weights reports."""
    try:
        with reading(path, WeightsError):
            with path.open("rb") as file:
                start = file.read(4)
            text = _from_zip(path) if start == b"PK\x03\x04" else _from_safetensors(path)
            card = json.loads(text) if text else {}
    except (FileReadError, WeightsError):
        return {}
    return card if isinstance(card, dict) else {}


def _from_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.count("/") == 1 and entry.filename.endswith(f"/{_ENTRY}") and entry.file_size < _LONGEST:
                return archive.read(entry).decode("utf-8")
    return ""


def _from_safetensors(path: Path) -> str:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _LONGEST * 16:
            return ""
        head = json.loads(file.read(length))
    metadata = head.get("__metadata__", {}) if isinstance(head, dict) else {}
    return str(metadata.get(_KEY, "")) if isinstance(metadata, dict) else ""
