"""What earlier runs cut of a stack: training must not take it for slices of the last run.

A file in the folder of the slices lists what was written. A run replaces what nobody has changed since; slices that
somebody changed stay as they are, and are named.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellpose._face.words import listed
from cellpose._machine.reading import fingerprint, read_json
from cellpose._machine.writing import replacing
from cellpose.errors import CellposeError
from cellpose.transforms import PLANE_VIEWS

__all__ = ["replacing_earlier"]

logger = logging.getLogger("cellpose.train")

_RECORD = "cellpose_slices.json"
_VIEWS = "|".join(view.name for view in PLANE_VIEWS)


@contextmanager
def replacing_earlier(folder: Path, name: str) -> Iterator[tuple[Collection[str], list[Path]]]:
    """Replace the slices that an earlier run cut of a stack; if the run fails, those that it did not reach stay.

    Parameters
    ----------
    folder
        Of the slices.
    name
        With which the names of the stack's slices begin.

    Yields
    ------
    stay : collection of str
        Names of slices with a file that was changed or added since, and of other stacks' slices: the caller must not
        write them.
    written : list of Path
        Where the caller enters each file, before it writes it: image, masks or file of the window.
    """
    record = _read(folder / _RECORD)
    recorded = record.pop(name, {})
    of_others = {file for files in record.values() for file in files}
    own = re.compile(rf"({re.escape(name)}(?:_t\d+)?_(?:{_VIEWS})_\d+)(?:\.tif|_masks\.tif|_seg\.npy)")
    found: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        match = own.fullmatch(path.name)
        if match and path.name not in of_others:
            found.setdefault(match[1], []).append(path)
    stay = {
        slice_name
        for slice_name, files in found.items()
        if any(recorded.get(file.name) != fingerprint(file) for file in files)
    }
    if stay:
        logger.warning(
            f"{folder} holds {len(stay)} slices of {name} that were changed since they were cut, or that no run has "
            f"listed ({listed(sorted(stay))}); they stay as they are, and will be trained on, too. Move their files "
            "elsewhere if they should be cut again"
        )
    earlier = [file for slice_name in found.keys() - stay for file in found[slice_name]]
    written: list[Path] = []
    try:
        yield stay | {Path(file).stem for file in of_others}, written  # `x_t0` is a name of x, and of another stack
        for file in set(earlier).difference(written):
            file.unlink(missing_ok=True)
    finally:
        now = {file.name: recorded[file.name] for file in earlier if file.exists()}
        now |= {file.name: fingerprint(file) for file in written if file.exists()}
        if now != recorded:
            with replacing(folder / _RECORD) as out:
                out.write(json.dumps(record | {name: now}, indent=1).encode())


def _read(path: Path) -> dict[str, Any]:
    """What is listed; nothing where there is no list, or it is damaged: then nothing is removed."""
    try:
        found = read_json(path) if path.is_file() else {}
    except CellposeError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}
