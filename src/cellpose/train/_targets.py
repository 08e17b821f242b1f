"""Labels to training targets: label numbers, cell or not, flows; kept in files with a hash of the labels.

A negative label marks a region to ignore: its content is unknown. In the targets it is -1 in the cell mask.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics, io
from cellpose._labels.arrays import renumber
from cellpose._labels.kinds import holds_targets, label_plane
from cellpose._machine.reading import reading
from cellpose._machine.writing import replacing
from cellpose.errors import FileReadError, FileWriteError, InputError

__all__ = ["IGNORED", "flow_file", "ignored_pixels", "read_targets", "targets_of"]

logger = logging.getLogger("cellpose.train")

Floats = npt.NDArray[np.floating[Any]]

#: Value of the cell mask at pixels that the loss ignores.
IGNORED = -1.0

# Increased whenever flows of the same labels change: older files are then made again.
_FLOWS_VERSION = 1


def flow_file(image_file: Any) -> Path:
    """Where the targets of an image are kept: ``<image>_flows.tif`` beside it."""
    path = Path(image_file)
    return path.with_name(f"{path.stem}_flows.tif")


def targets_of(labels: Any, device: Any = None, image_file: Any = None) -> Floats:
    """Targets of a label image, float32 ``(4, Ly, Lx)``: labels, cell mask, dY, dX.

    Parameters
    ----------
    labels
        ``(Ly, Lx)`` or ``(1, Ly, Lx)``, 0 background, negative: region to ignore; or targets ``(4 or more, Ly, Lx)``,
        which are taken as they are; see `cellpose._labels.kinds.label_plane`.
    device
        Where flows are computed; None: the CPU.
    image_file
        Image beside which the targets are kept, and from where they are read if the labels are still the same.

    Raises
    ------
    InputError
        If the labels are something else, or no whole numbers.
    """
    array = label_plane(labels)
    if array.ndim == 3:
        return array.astype(np.float32)
    key = None if image_file is None else _key(array)
    if image_file is not None and key is not None:
        kept = _kept(flow_file(image_file), key)
        if kept is not None:
            return kept
    targets: Floats = dynamics.labels_to_flows([array], device=device)[0]
    if image_file is not None and key is not None:
        _keep(flow_file(image_file), targets, key)
    return targets


def ignored_pixels(targets: Any) -> npt.NDArray[np.bool_]:
    """Where targets ``(3 or more, Ly, Lx)`` are to be ignored, bool ``(Ly, Lx)``."""
    return np.asarray(targets[-3] < 0)


def read_targets(path: Any) -> Floats:
    """Targets from a file of this or of a published version.

    Raises
    ------
    InputError
        If the file holds something else.
    """
    targets: Floats = np.asarray(io.imread(path), dtype=np.float32)
    if not holds_targets(targets):
        message = (
            f"{path} holds an array of shape {targets.shape}, but label numbers, cell mask and flows (4, Ly, Lx) are "
            "needed; give files written by labels_to_flows, or masks with compute_flows=True"
        )
        raise InputError(message)
    return targets


def _key(labels: npt.NDArray[Any]) -> str:
    """A hash of the shapes and pixels of these cells, independent of their numbers."""
    ignored = labels < 0
    cells = np.where(ignored, -1, renumber(np.where(ignored, 0, labels))[0]).astype(np.int32)
    return hashlib.sha256(repr(cells.shape).encode() + cells.tobytes()).hexdigest()


def _kept(path: Path, key: str) -> Floats | None:
    """The targets in a file, if it was made from the labels with this key by the present version of the flows."""
    import tifffile

    if not path.is_file():
        return None
    try:
        with reading(path), tifffile.TiffFile(path) as file:
            facts = json.loads(file.pages[0].tags["ImageDescription"].value)
            known = facts.get(io.LABELS_HASH) == key and facts.get("flows_version") == _FLOWS_VERSION
        if known:
            return read_targets(path)
    except (FileReadError, InputError) as error:
        logger.debug("%s is computed again: %s", path, error)
    return None


def _keep(path: Path, targets: Floats, key: str) -> None:
    """Write targets atomically; if that fails, training goes on without the file."""
    import tifffile

    facts = {io.LABELS_HASH: key, "flows_version": _FLOWS_VERSION}
    try:
        with replacing(path) as file:
            tifffile.imwrite(file, targets, photometric="minisblack", metadata=facts)
    except FileWriteError as error:
        logger.warning(f"flows cannot be saved ({error}); every run computes them again")
