"""What earlier runs cut of a stack: training must not take it for slices of the last run.

A file in the folder of the slices lists what was written. What a run does not write again is removed if nobody has
changed it since; all else stays and is named.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cellpose._face.words import listed
from cellpose._machine.reading import fingerprint, read_json
from cellpose._machine.writing import replacing
from cellpose.errors import CellposeError
from cellpose.transforms import PLANE_VIEWS

__all__ = ["clear_earlier"]

logger = logging.getLogger("cellpose.train")

_RECORD = "cellpose_slices.json"
_VIEWS = "|".join(view.name for view in PLANE_VIEWS)


def clear_earlier(folder: Path, name: str, written: Iterable[Path]) -> None:
    """Remove slices of a stack that an earlier run wrote, and list those that were written now.

    Parameters
    ----------
    folder
        Of the slices.
    name
        With which the names of the stack's slices begin.
    written
        The files of this run: images, masks and files of the window.
    """
    record = _read(folder / _RECORD)
    now = {path.name: fingerprint(path) for path in written}
    own = re.compile(rf"({re.escape(name)}(?:_t\d+)?_(?:{_VIEWS})_\d+)(?:\.tif|_masks\.tif|_seg\.npy)")
    recorded = record.pop(name, {})
    of_others = {file for files in record.values() for file in files}
    earlier: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        match = own.fullmatch(path.name)
        if match and f"{match[1]}.tif" not in now and path.name not in of_others:
            earlier.setdefault(match[1], []).append(path)
    stay = []
    for slice_name, files in earlier.items():
        if all(recorded.get(file.name) == fingerprint(file) for file in files):
            for file in files:
                file.unlink()
        elif any(file.stem == slice_name for file in files):  # masks alone are not trained on
            stay.append(slice_name)
    if stay:
        logger.warning(
            f"{folder} holds {len(stay)} other slices of {name}, of an earlier run or changed since "
            f"({listed(sorted(stay))}); they will be trained on, too. Move them elsewhere if they should not be"
        )
    record[name] = now
    with replacing(folder / _RECORD) as out:
        out.write(json.dumps(record, indent=1).encode())


def _read(path: Path) -> dict[str, Any]:
    """What is listed; nothing where there is no list, or it is damaged: then nothing is removed."""
    try:
        found = read_json(path) if path.is_file() else {}
    except CellposeError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}
