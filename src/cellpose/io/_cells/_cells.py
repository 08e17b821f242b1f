"""Cells as they travel between files: labels, and the data of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.check import check_labels
from cellpose.errors import InputError

__all__ = ["PLANE_COLUMNS", "Cells", "Key", "axes_of", "color_of", "columns_of", "keys_of", "names_of"]

# What tables say of the place of a cell in a stack, and in a movie, by `Cells.letter`.
PLANE_COLUMNS = {"z": "plane", "t": "frame"}

Color = tuple[int, int, int]
#: Of a cell: its label; where it is said of one frame of a movie, its label and the frame.
Key = int | tuple[int, int]

_LABEL, _FRAME = "label", PLANE_COLUMNS["t"]
_CLASS_COLUMNS = ("class_name", "class")


@dataclass(frozen=True, eq=False)
class Cells:
    """A label image, and names, classes and measurements of its cells.

    Parameters
    ----------
    labels
        (Y, X), (Z, Y, X) or (T, Y, X), 0 is background; kept as int32 with their numbers.
    classes
        For a label the name of its class, or the name and a color (red, green, blue); labels that are not in it have
        none. Of a movie also for (label, frame): the cells of different frames are different objects.
    table
        Measurements: columns by their names, one of them ``"label"``. Of a movie each row is of one frame if there is
        a column ``"frame"``, counted from 0. A column of texts that is called ``"class_name"`` or ``"class"`` gives
        the classes, where ``classes`` is None.
    names
        For a label, or (label, frame), its name; others are called ``cell <label>``.
    pixel_size_um
        Size of a pixel along (z, y, x) in micrometers, None if unknown.
    axes
        ``"YX"``, ``"ZYX"`` or, for the frames of a movie, ``"TYX"``; empty: planes are those of a stack.

    Raises
    ------
    InputError
        If these are no labels, or volumes at several times, or the table has no column ``"label"`` or columns of
        different lengths, or frames that are no whole numbers, or the axes do not fit.

    Examples
    --------
    >>> cells = Cells(np.array([[0, 3, 3]]), {3: "round"}, {"label": [3], "area": [2.0]})
    >>> cells.class_of(3), cells.measured(3), cells.numbers.tolist()
    (('round', None), {'area': 2.0}, [3])
    """

    labels: npt.NDArray[Any]
    classes: Mapping[Any, Any] | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[Any, str] = field(default_factory=dict)
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    axes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", check_labels(self.labels, ndim=()))
        if self.labels.ndim not in (2, 3):
            message = (
                f"labels of shape {self.labels.shape} are not those of a plane, a stack or a movie of planes; give "
                "(Y, X), (Z, Y, X) or (T, Y, X): of volumes at several times one time, or one plane of each"
            )
            raise InputError(message)
        object.__setattr__(self, "axes", self.axes or "ZYX"[-self.labels.ndim :])
        if self.axes not in ("YX", "ZYX", "TYX") or len(self.axes) != self.labels.ndim:
            message = f"axes={self.axes!r} does not fit labels of shape {self.labels.shape}; give YX, ZYX or TYX"
            raise InputError(message)
        columns = {str(name): np.asarray(column) for name, column in dict(self.table or {}).items()}
        if columns and _LABEL not in columns:
            message = (
                f"the table has the columns {', '.join(columns)}; the column {_LABEL!r} with the cell numbers must be "
                "there"
            )
            raise InputError(message)
        lengths = {name: column.shape for name, column in columns.items()}
        if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
            message = f"the columns of the table have the shapes {lengths}; give one value for each cell in each"
            raise InputError(message)
        frames = columns.get(_FRAME, np.zeros(0)) if self.letter == "t" else np.zeros(0)
        if frames.dtype.kind not in "biuf" or not (np.isfinite(frames) & (np.rint(frames) == frames)).all():
            message = f"the column {_FRAME!r} of the table must hold whole numbers: the frame of each cell, from 0"
            raise InputError(message)
        object.__setattr__(self, "table", columns)
        if self.classes is None:
            object.__setattr__(self, "classes", self._classes_of_table())

    def _classes_of_table(self) -> dict[Key, str]:
        for name in _CLASS_COLUMNS:
            column = self.table.get(name)
            if column is not None and column.dtype.kind in "UO":
                pairs = zip(self._of_rows, column.tolist(), strict=True)
                return {key: kind for key, kind in pairs if isinstance(kind, str) and kind}  # missing ones are NaN
        return {}

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The labels present, int64 (n,), ascending."""
        found = np.unique(self.labels)
        return found[found > 0].astype(np.int64)

    @cached_property
    def present(self) -> list[tuple[int, int | None]]:
        """Label and frame of each cell; the frame is None unless this is a movie."""
        if self.letter != "t":
            return [(label, None) for label in self.numbers.tolist()]
        return [(label, t) for t, frame in enumerate(self.labels) for label in np.unique(frame[frame > 0]).tolist()]

    @cached_property
    def _frames(self) -> dict[int, list[int]]:
        """In which frames of a movie each label is; empty unless this is one."""
        frames: dict[int, list[int]] = {}
        for label, t in self.present:
            if t is not None:
                frames.setdefault(label, []).append(t)
        return frames

    @cached_property
    def _of_rows(self) -> Sequence[Key]:
        """The cell of each row of the table."""
        labels = [int(label) for label in self.table.get(_LABEL, ())]
        if self.letter != "t" or _FRAME not in self.table:
            return labels
        return keys_of(labels, [int(frame) for frame in self.table[_FRAME]], movie=True)

    @cached_property
    def _rows(self) -> dict[Key, int]:
        return {key: row for row, key in enumerate(self._of_rows)}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        """Of numbers, as Python holds them."""
        own = (_LABEL, _FRAME) if self.letter == "t" else (_LABEL,)
        return {
            name: column.astype(np.float64).tolist()
            for name, column in self.table.items()
            if name not in own and column.dtype.kind in "biuf"
        }

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes of cells that are present, each once, in the order of the cells."""
        kinds = (self.class_of(*cell) for cell in self.present)
        return list(dict.fromkeys(kind[0] for kind in kinds if kind is not None))

    @property
    def letter(self) -> str:
        """What the planes are, as files name it: ``"z"``, or ``"t"`` for the frames of a movie."""
        return self.axes[0].lower()

    def name_of(self, label: int, plane: int | None = None) -> str:
        """The name of a cell; of a movie in the frame ``plane``, without it what all frames of the label say."""
        return self._said(self.names.get, label, plane) or f"cell {label}"

    def class_of(self, label: int, plane: int | None = None) -> tuple[str, Color | None] | None:
        """Name and color of the class of a cell, None: it has none; ``plane`` as in `name_of`."""
        kind = self._said((self.classes or {}).get, label, plane)
        if kind is None or isinstance(kind, str):
            return (kind, None) if kind else None
        name, color = kind
        return str(name), None if color is None else _checked_color(color)

    def measured(self, label: int, plane: int | None = None) -> dict[str, float]:
        """The finite numbers that the table holds of a cell; ``plane`` as in `name_of`."""
        return dict(self._said(self._numbers_of, label, plane) or {})

    def _numbers_of(self, cell: Key) -> dict[str, float] | None:
        row = self._rows.get(cell)
        if row is None:
            return None
        values = ((name, column[row]) for name, column in self._columns.items())
        return {name: value for name, value in values if abs(value) < np.inf}

    def _said(self, of: Callable[[Key], Any], label: int, plane: int | None) -> Any:
        """What is said of a cell in its frame, else of its label; None: nothing."""
        if plane is None:
            first, *others = [self._said(of, label, t) for t in self._frames.get(label, ())] or [of(label)]
            return first if all(other == first for other in others) else None
        in_frame = of((label, plane))
        return of(label) if in_frame is None else in_frame


def _checked_color(color: Sequence[Any]) -> Color:
    red, green, blue = (int(part) for part in color[:3])
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        message = f"{tuple(color)} is not a color; give red, green and blue from 0 to 255"
        raise InputError(message)
    return red, green, blue


def color_of(number: int) -> Color:
    """A color for a number, unlike those of the numbers around it.

    Examples
    --------
    >>> color_of(1), color_of(2)
    ((69, 116, 230), (163, 230, 69))
    """
    from colorsys import hsv_to_rgb

    # steps of the golden ratio around the hue circle never come close to earlier hues
    red, green, blue = hsv_to_rgb(number * 0.6180339887498949 % 1, 0.7, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def axes_of(labels: npt.NDArray[Any], *, movie: bool) -> str:
    """The axes of labels whose planes, if there are any, are the frames of a movie or those of a stack."""
    return "TYX" if movie and labels.ndim == 3 else ""


def keys_of(labels: Sequence[int], planes: Sequence[int | None], *, movie: bool) -> list[Key]:
    """What `Cells` know each cell by: its label, of a movie its label and frame."""
    return [(label, plane or 0) for label, plane in zip(labels, planes, strict=True)] if movie else list(labels)


def names_of(keys: Sequence[Key], labels: Sequence[int], names: Sequence[object]) -> dict[Key, str]:
    """The names in a file, but those that `Cells` give anyway."""
    told = zip(keys, labels, names, strict=True)
    return {key: str(name) for key, label, name in told if name and name != f"cell {label}"}


def columns_of(rows: Mapping[Any, Mapping[Any, Any]]) -> dict[str, npt.NDArray[Any]]:
    """A table of the measurements of each label, or each label and frame; NaN where one lacks a measurement.

    Examples
    --------
    >>> columns_of({3: {"area": 2}, 5: {"area": 1.5, "kind": "x"}})
    {'label': array([3, 5]), 'area': array([2. , 1.5])}
    >>> columns_of({(3, 0): {"area": 2}, (3, 1): {"area": 1}})
    {'label': array([3, 3]), 'frame': array([0, 1]), 'area': array([2., 1.])}
    """
    keys = np.array(list(rows), np.int64)
    own = {_LABEL: keys} if keys.ndim == 1 else dict(zip((_LABEL, _FRAME), keys.T, strict=True))
    numbers = [
        {str(name): value for name, value in row.items() if isinstance(value, (int, float)) and name not in own}
        for row in rows.values()
    ]
    names = list(dict.fromkeys(name for row in numbers for name in row))
    columns = {name: np.array([row.get(name, np.nan) for row in numbers], np.float64) for name in names}
    return own | columns if names else {}
