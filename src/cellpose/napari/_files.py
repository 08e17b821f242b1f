"""``_seg.npy`` as layers, and labels as ``_seg.npy``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from cellpose import io
from cellpose._machine.reading import fingerprint
from cellpose.errors import CellposeError, InputError
from cellpose.napari._results import KEY, Found, LayerData, checksum, layer_tuples
from cellpose.napari._settings import SegmentSettings

__all__ = ["get_reader", "read", "write_labels"]

PathLike = str | os.PathLike[str]
_ENDING = "_seg.npy"

# What a person puts into a file with the window: for each cell, and for the image.
_OF_CELLS = ("ismanual", "checked", "classes", "links")
_OF_IMAGE = ("class_names", "manual_changes", "planes", io.IGNORED_KEY)
_SAME = 0.5  # overlap (IoU) from which a cell is still the one with this number in the file

# Files as they were when they were last read or written here, and for which result: others may have put work into them
# since.
_seen: dict[Path, tuple[dict[str, int] | None, ReferenceType[Found]]] = {}


def get_reader(path: PathLike | Sequence[PathLike]) -> Callable[[Any], list[LayerData]] | None:
    """The function that reads these files; None if they are not ``_seg.npy``."""
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    return read if paths and all(os.fspath(one).lower().endswith(_ENDING) for one in paths) else None


def read(path: PathLike | Sequence[PathLike]) -> list[LayerData]:
    """Layers of one or more ``_seg.npy``: the image, if it is found, and the cells with their flows.

    Raises
    ------
    FileReadError
        If a file holds no segmentation.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    return [layer for one in paths for layer in _read(Path(one))]


def _read(path: Path) -> list[LayerData]:
    state, seg = _state(path), io.read_seg(path)
    name = path.name[: -len(_ENDING)]
    dP, cellprob = seg.dP, seg.cellprob
    if dP is None or cellprob is None or not np.any(dP) or dP.shape[1:] != seg.masks.shape:
        dP = cellprob = None
    mode = "plane" if seg.masks.ndim == 2 else "volume" if dP is not None and len(dP) == 3 else "stitch"
    settings = SegmentSettings(mode=mode, diameter=seg.diameter or 0.0)
    found = Found(seg.masks, seg.flows_rgb, dP, cellprob, seg.model or "", settings, name)
    _seen[path.resolve()] = state, ref(found)
    wanted = ["flows", "probability"] if dP is not None else []
    layers = layer_tuples(found, {}, wanted)
    for _, keywords, kind in layers:
        keywords["visible"] = kind == "labels"
        if kind == "labels":
            known = {key: seg.content[key] for key in (*_OF_CELLS, *_OF_IMAGE) if key in seg.content}
            if seg.image is not None and not any(place.is_file() for place in io.image_places(path, seg.filename)):
                known["img"] = seg.image  # there is no other file of the image
            keywords["metadata"][KEY] |= {"filename": seg.filename, "file": path.resolve(), "by_hand": known}
    return [*_image_of(path, seg, name), *layers]


def _image_of(path: Path, seg: io.Segmentation, name: str) -> list[LayerData]:
    """The segmented image; empty if it is gone."""
    data = seg.image
    for place in io.image_places(path, seg.filename):
        if data is None and place.is_file():
            try:
                data = io.read_image(place).data
            except CellposeError:
                continue
    if data is None:
        return []
    rgb = data.ndim == seg.masks.ndim + 1 and data.shape[-1] in (3, 4)
    return [(data, {"name": name, "rgb": rgb}, "image")]


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as ``<name>_seg.npy``, with the flows kept in it and a person's work on its cells.

    A file with a person's work from elsewhere is kept as ``<name>_seg_kept.npy``.

    Parameters
    ----------
    path
        The file; another suffix is replaced by ``_seg.npy``.
    data
        Labels (Y, X) or (Z, Y, X); leading axes of length 1 are dropped.
    meta
        Layer attributes from napari.

    Returns
    -------
    list of str
        The written file.

    Raises
    ------
    InputError
        If the labels have more axes.
    FileWriteError
        If the file cannot be written.
    """
    labels = np.asarray(data)
    known = dict(meta.get("metadata") or {}).get(KEY, {})
    found = known.get("found")
    shape = labels.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (2, 3):
        message = (
            f"labels of shape {labels.shape} do not fit a _seg.npy; give a plane, a stack, or one frame of a movie"
        )
        raise InputError(message)
    target = Path(path if path.lower().endswith(_ENDING) else os.path.splitext(path)[0] + _ENDING)
    filename = known.get("filename") or str(target)[: -len(_ENDING)]
    flows = _flows_of(found, shape)
    diameter = found.settings.diameter if isinstance(found, Found) and found.settings.diameter else float("nan")
    model = found.model if isinstance(found, Found) else None
    content = io.seg_content(labels.reshape(shape), flows, filename, diameter=diameter, model=model)
    content |= _by_hand(content["masks"], known)
    place = target.resolve()
    state, of = _seen.get(place, (None, None))
    if of is None or of() is not found or state != _state(target):
        io.keep_work(target)
    io.write_seg(target, content)
    if isinstance(found, Found):
        _seen[place] = _state(target), ref(found)
    return [str(target)]


def _state(path: Path) -> dict[str, int] | None:
    """Changes when the file is written; None: there is none."""
    try:
        return fingerprint(path)
    except OSError:
        return None


def _by_hand(labels: npt.NDArray[Any], known: dict[str, Any]) -> dict[str, Any]:
    """What a person put into the file that a layer came from, for the cells as they are now; none for other layers.

    With it, the image if only that file holds it. Cells drawn or changed in napari are a person's, too.
    """
    before, found = known.get("by_hand"), known.get("found")
    if before is None or not isinstance(found, Found) or found.masks.size != labels.size:
        return {}
    old = found.masks.reshape(labels.shape)
    n_old, n_new = int(old.max(initial=0)), int(labels.max(initial=0))
    areas_old, areas, both = (
        np.bincount(pixels.ravel(), minlength=max(n_old, n_new) + 1) for pixels in (old, labels, labels[labels == old])
    )
    union = areas_old + areas - both
    same = (both > 0) & (both >= _SAME * union)
    values: dict[str, npt.NDArray[Any]] = {}
    for key in _OF_CELLS:
        known_values = before.get(key)
        if isinstance(known_values, np.ndarray) and known_values.shape == (n_old,) and known_values.dtype.kind in "biu":
            values[key] = np.zeros(len(same), known_values.dtype)
            values[key][1 : n_old + 1] = known_values
            values[key][~same] = 0
    if "links" in values:  # the numbers of cells in earlier frames
        linked = values["links"]
        linked[~np.isin(linked, np.flatnonzero(same))] = 0
    if checksum(labels.astype(np.int32)) != known.get("sum"):
        values["ismanual"] = values.get("ismanual", np.zeros(len(same), bool)) | ((areas > 0) & (both < union))
    removed = np.flatnonzero((areas_old[1:] > 0) & (areas[1:] == 0)) + 1
    return {
        **{key: before[key] for key in (*_OF_IMAGE, "img") if key in before},
        **({"manual_changes": [*before.get("manual_changes", ()), *_removals(old, removed)]} if removed.size else {}),
        **{key: each[1 : n_new + 1] for key, each in values.items()},
    }


def _removals(labels: npt.NDArray[Any], cells: npt.NDArray[np.intp]) -> list[list[Any]]:
    """Entries of ``manual_changes``: the format knows the places of cells in planes only."""
    now, boxes = datetime.now(), find_objects(labels)

    def place(cell: int) -> list[npt.NDArray[np.intp]]:
        inside = np.nonzero(labels[boxes[cell - 1]] == cell)
        return [pixels + part.start for pixels, part in zip(inside, boxes[cell - 1], strict=True)]

    places = (place(cell) if labels.ndim == 2 else [] for cell in cells.tolist())
    return [io.manual_change("removed mask", each, now) for each in places]


def _flows_of(found: Any, shape: tuple[int, ...]) -> list[Any]:
    if isinstance(found, Found) and found.has_flows and found.masks.size == np.prod(shape):
        kept = found.shaped(shape)
        return [kept.rgb, kept.dP, kept.cellprob]
    return [np.zeros((*shape, 3), np.uint8), np.zeros((2, *shape), np.float32), np.zeros(shape, np.float32)]
