"""Reading a ``_seg.npy`` of any version, and writing one from a dict."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose._machine.writing import replacing_by_name
from cellpose.errors import CellposeError, FileReadError, InputError
from cellpose.io._ignored import IGNORED_KEY
from cellpose.io._npy import load_npy, write_npy_object
from cellpose.io._write import PathLike

__all__ = [
    "VIEWS",
    "Segmentation",
    "image_places",
    "keep_work",
    "manual_change",
    "name_to_keep",
    "read_seg",
    "write_seg",
]

Array = npt.NDArray[Any]

VIEWS = "views"
# What only a person puts into a file: cells drawn, edits, cells looked at, kinds of cells, links, ignored regions.
_BY_HAND = ("ismanual", "manual_changes", "checked", "classes", "links", IGNORED_KEY)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmentation as kept in a ``_seg.npy`` of any version.

    Parameters
    ----------
    masks
        Labels, (Y, X) or (Z, Y, X), an unsigned or signed integer dtype; 0 is the background.
    outlines
        Labels on the boundary pixels of the masks and 0 elsewhere, of the same shape; None in very old files.
    filename
        Path of the image; None if the file does not name it.
    flows_rgb
        Flows as colors, uint8, (Y, X, 3) or (Z, Y, X, 3).
    dP
        Flows, float, (2, Y, X), (2, Z, Y, X) or (3, Z, Y, X), at the scale of the network.
    cellprob
        Cell probability (logit), float, (Y, X) or (Z, Y, X), at the scale of the network.
    cellprob_view, dz_view
        Cell probability and flow along z as uint8 pictures.
    diameter
        In pixels; None: unknown.
    ismanual
        bool, (number of masks,): drawn by hand.
    colors
        uint8, (number of masks, 3); None: not kept.
    manual_changes
        ``[date, action, [rows, columns]]`` for each edit.
    zdraw
        For each mask the planes on which it was drawn; None if it was computed.
    strokes
        Outlines in files of the first versions, unchanged.
    image
        The image, if the file contains it.
    model
        Name or path of the model that ran.
    content
        The whole content of the file, by its keys.
    """

    masks: Array
    outlines: Array | None = None
    filename: str | None = None
    flows_rgb: Array | None = None
    dP: Array | None = None
    cellprob: Array | None = None
    cellprob_view: Array | None = None
    dz_view: Array | None = None
    diameter: float | None = None
    ismanual: Array = field(default_factory=lambda: np.zeros(0, bool))
    colors: Array | None = None
    manual_changes: tuple[Any, ...] = ()
    zdraw: tuple[Any, ...] | None = None
    strokes: tuple[Any, ...] | None = None
    image: Array | None = None
    model: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """The highest label."""
        return 0 if _stands_in(self.masks) else int(self.masks.max(initial=0))

    @property
    def by_hand(self) -> bool:
        """Whether a person drew, changed, checked, classified or linked cells in it."""
        values = (self.content.get(key, ()) for key in _BY_HAND)
        return any(value.any() if isinstance(value, np.ndarray) else bool(value) for value in values)


def image_places(path: Path, filename: str | None) -> tuple[Path, ...]:
    r"""Where the image that a ``_seg.npy`` names may be: beside it, as in a copied folder, then at the stated path.

    Examples
    --------
    >>> [place.as_posix() for place in image_places(Path("copy/a_seg.npy"), "old/a.tif")]
    ['copy/a.tif', 'old/a.tif']
    >>> image_places(Path("copy/a_seg.npy"), "C:\\old\\a.tif")[0].as_posix()
    'copy/a.tif'
    """
    if not filename:
        return ()
    names = dict.fromkeys((PureWindowsPath(filename).name, Path(filename).name))
    return (*(path.with_name(name) for name in names if name), Path(filename))


def write_seg(path: PathLike, content: Mapping[str, Any]) -> None:
    """Write a dict as a ``_seg.npy``.

    Parameters
    ----------
    path
        The file.
    content
        Arrays, numbers, texts and containers of them, by the keys of the format; ``masks`` and ``outlines`` at least.

    Raises
    ------
    InputError
        If ``masks`` or ``outlines`` are missing.
    FileWriteError
        If the file cannot be written.
    """
    missing = [key for key in ("masks", "outlines") if key not in content]
    if missing:
        message = f"a _seg.npy needs {missing}, given are {sorted(content)}"
        raise InputError(message)
    write_npy_object(path, dict(content))


def manual_change(action: str, place: Sequence[Any], when: datetime) -> list[Any]:
    """An entry of ``manual_changes``: the date, what was done to a cell, and its rows and columns."""
    return [when.strftime("%m/%d/%Y, %H:%M:%S"), action, place]


def name_to_keep(path: Path, ending: str = ".npy") -> Path:
    """A name beside a file that none has: of a ``_seg.npy`` ``_seg_kept.npy``, else ``_seg_kept1.npy`` and so on."""
    names = (f"{path.name.removesuffix(ending)}_kept{number or ''}{ending}" for number in itertools.count())
    return next(kept for kept in map(path.with_name, names) if not kept.exists())


def keep_work(path: Path) -> Path | None:
    """Copy a ``_seg.npy`` that is about to be replaced, with a person's work or an image that is nowhere else.

    Return the copy, None if the file holds neither.
    """
    if not path.is_file():
        return None
    try:
        seg = read_seg(path, without=("masks", "outlines", "flows", "img", "img_restore", "masks_restore"))
    except CellposeError:  # nobody can have work in what cannot be read
        return None
    only_here = seg.image is not None and not any(place.is_file() for place in image_places(path, seg.filename))
    if not (seg.by_hand or only_here):
        return None
    copy = name_to_keep(path)
    with replacing_by_name(copy) as temporary:
        shutil.copyfile(path, temporary)
    return copy


def read_seg(path: PathLike, without: Collection[str] = ()) -> Segmentation:
    """A ``_seg.npy`` of any version.

    Parameters
    ----------
    path
        The file.
    without
        Keys whose arrays are not read, such as ``outlines`` and ``flows``, which take most of the time and the memory;
        arrays of zeros that take no memory stand in their places. ``"views"``: those of the flows that are only
        looked at, of the cell probability and of the flows in z as uint8.

    Raises
    ------
    FileReadError
        If the file is missing, truncated or corrupt, or holds no segmentation.
    UnsafeFileError
        If it holds anything but plain data.
    """
    file = Path(path)
    with reading(file):
        return _read(file, without)


def _read(file: Path, without: Collection[str]) -> Segmentation:
    content = load_npy(file, without, _is_view if VIEWS in without else None)
    if not isinstance(content, dict) or not isinstance(content.get("masks"), np.ndarray):
        message = f"{file} holds no segmentation: it has no 'masks'. Open it with numpy.load to see what it is"
        raise FileReadError(message)
    return _interpret(file, content)


def _interpret(file: Path, content: dict[str, Any]) -> Segmentation:
    masks = _squeezed(content["masks"])
    if masks.ndim not in (2, 3) or masks.dtype.kind not in "biu":
        message = f"{file} holds masks of shape {masks.shape} and dtype {masks.dtype}; they must be labels in 2D or 3D"
        raise FileReadError(message)
    if masks.dtype == bool:
        masks = masks.astype(np.uint16)
    outlines = content.get("outlines")
    strokes = tuple(outlines) if isinstance(outlines, (list, tuple)) else None
    outlines = _squeezed(outlines) if isinstance(outlines, np.ndarray) and outlines.size else None
    if masks.dtype.kind == "i" and masks.size and not _stands_in(masks) and masks.min() < 0:
        # the first version counted from -1
        masks = masks + 1
        outlines = outlines + 1 if outlines is not None else None
    if outlines is not None and outlines.shape != masks.shape:
        outlines = None
    count = 0 if _stands_in(masks) else int(masks.max(initial=0))
    zdraw = content.get("zdraw")
    return Segmentation(
        masks=masks,
        outlines=outlines,
        filename=_text(content.get("filename")),
        diameter=_number(content.get("diameter"), content.get("est_diam")),
        ismanual=_flags(content.get("ismanual"), count),
        colors=_colors(content.get("colors"), count),
        manual_changes=tuple(content.get("manual_changes") or ()),
        zdraw=tuple(zdraw) if isinstance(zdraw, (list, tuple, np.ndarray)) and len(zdraw) == count else None,
        strokes=strokes,
        image=content["img"] if isinstance(content.get("img"), np.ndarray) else None,
        model=_text(content.get("model")) or _text(content.get("model_path")),
        content=MappingProxyType(content),
        **_flows(content.get("flows"), masks.ndim),
    )


def _is_view(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return key == "flows" and dtype == np.uint8 and shape[-1:] != (3,)


def _stands_in(array: Array) -> bool:
    """Whether this stands for an array that was not read and need not be checked."""
    return array.size > 1 and not any(array.strides)


def _squeezed(array: Array) -> Array:
    """A single plane without its axis of one plane."""
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else array


def _text(value: Any) -> str | None:
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) and str(value) else None


def _number(*values: Any) -> float | None:
    for value in values:
        if isinstance(value, (int, float, np.number, np.ndarray)) and np.size(value) == 1:
            number = float(np.ravel(value)[0])
            if math.isfinite(number) and number > 0:
                return number
    return None


def _flags(value: Any, count: int) -> Array:
    flags = np.asarray(value, bool).ravel() if isinstance(value, (np.ndarray, list)) else np.zeros(0, bool)
    return flags if len(flags) == count else np.zeros(count, bool)


def _colors(value: Any, count: int) -> Array | None:
    if isinstance(value, (list, tuple)) and len(value) == count:
        try:
            value = np.asarray(value)
        except ValueError:
            return None
    if not isinstance(value, np.ndarray) or value.shape != (count, 3) or value.dtype.kind not in "uif":
        return None
    return np.clip(value, 0, 255).astype(np.uint8)


def _flows(flows: Any, ndim: int) -> dict[str, Array]:
    """The arrays among the flows, by their meaning.

    Their order changed from version to version, so shape and dtype identify them: colors have a last axis of 3 and are
    uint8, pictures are uint8, and floats are flows, cell probability, or both joined along the first axis.
    """
    found: dict[str, Array] = {}
    several: list[Array] = []
    arrays = [item for item in flows if isinstance(item, np.ndarray)] if isinstance(flows, (list, tuple)) else []
    for array in filter(np.size, arrays):
        item = _without_plane(array, ndim)
        if item.dtype == np.uint8:
            _take_picture(found, item, ndim)
        elif item.dtype.kind == "f" and item.ndim == ndim:
            found.setdefault("cellprob", item)
        elif item.dtype.kind == "f" and item.ndim == ndim + 1 and item.shape[0] in (2, 3, 4):
            several.append(item)
    return found | _split_flows(several, ndim, "cellprob" in found)


def _take_picture(found: dict[str, Array], item: Array, ndim: int) -> None:
    if item.ndim == ndim + 1 and item.shape[-1] == 3:
        found.setdefault("flows_rgb", item)
    elif item.ndim == ndim:
        found.setdefault("cellprob_view" if "cellprob_view" not in found else "dz_view", item)


def _split_flows(several: list[Array], ndim: int, has_cellprob: bool) -> dict[str, Array]:
    if has_cellprob:
        return {"dP": several[0]} if several else {}
    # without a separate cell probability, the longest holds it as its last channel; shorter ones are final positions
    joined = max(several, key=len, default=None)
    if joined is None:
        return {}
    return {"dP": joined} if len(joined) == 2 else {"dP": joined[:-1], "cellprob": joined[-1]}


def _without_plane(array: Array, ndim: int) -> Array:
    if ndim == 3:
        return array
    if array.ndim >= 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    return array
