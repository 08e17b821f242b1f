"""Cells as they travel between files: labels, and the data of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.check import check_labels
from cellpose.errors import InputError

__all__ = ["PLANE_COLUMNS", "Cells", "axes_of", "color_of", "columns_of"]

# What tables say of the place of a cell in a stack, and in a movie, by `Cells.letter`.
PLANE_COLUMNS = {"z": "plane", "t": "frame"}

Color = tuple[int, int, int]
_LABEL = "label"
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
        none.
    table
        Measurements: columns by their names, one of them ``"label"``. A column of texts that is called
        ``"class_name"`` or ``"class"`` gives the classes, where ``classes`` is None.
    names
        For a label its name; others are called ``cell <label>``.
    pixel_size_um
        Size of a pixel along (z, y, x) in micrometers, None if unknown.
    axes
        ``"YX"``, ``"ZYX"`` or, for the frames of a movie, ``"TYX"``; empty: planes are those of a stack.

    Raises
    ------
    InputError
        If these are no labels, or the table has no column ``"label"`` or columns of different lengths, or the axes do
        not fit.

    Examples
    --------
    >>> cells = Cells(np.array([[0, 3, 3]]), {3: "round"}, {"label": [3], "area": [2.0]})
    >>> cells.class_of(3), cells.measured(3), cells.numbers.tolist()
    (('round', None), {'area': 2.0}, [3])
    """

    labels: npt.NDArray[Any]
    classes: Mapping[int, Any] | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    pixel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    axes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", check_labels(self.labels))
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
        object.__setattr__(self, "table", columns)
        if self.classes is None:
            object.__setattr__(self, "classes", self._classes_of_table())

    def _classes_of_table(self) -> dict[int, str]:
        for name in _CLASS_COLUMNS:
            column = self.table.get(name)
            if column is not None and column.dtype.kind in "UO":
                pairs = zip(self._of_rows, column.tolist(), strict=True)
                return {label: kind for label, kind in pairs if isinstance(kind, str) and kind}  # missing ones are NaN
        return {}

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The labels present, int64 (n,), ascending."""
        found = np.unique(self.labels)
        return found[found > 0].astype(np.int64)

    @cached_property
    def _of_rows(self) -> list[int]:
        """The label of each row of the table."""
        return [int(label) for label in self.table.get(_LABEL, np.zeros(0, int))]

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {label: row for row, label in enumerate(self._of_rows)}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        """Of numbers, as Python holds them."""
        return {
            name: column.astype(np.float64).tolist()
            for name, column in self.table.items()
            if name != _LABEL and column.dtype.kind in "biuf"
        }

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes of labels that are present, each once, in the order of the labels."""
        kinds = (self.class_of(int(label)) for label in self.numbers)
        return list(dict.fromkeys(kind[0] for kind in kinds if kind is not None))

    @property
    def letter(self) -> str:
        """What the planes are, as files name it: ``"z"``, or ``"t"`` for the frames of a movie."""
        return self.axes[0].lower()

    def name_of(self, label: int) -> str:
        """The name of a cell."""
        return self.names.get(label) or f"cell {label}"

    def class_of(self, label: int) -> tuple[str, Color | None] | None:
        """Name and color of the class of a cell; None: it has none."""
        kind = (self.classes or {}).get(label)
        if kind is None or isinstance(kind, str):
            return (kind, None) if kind else None
        name, color = kind
        return str(name), None if color is None else _checked_color(color)

    def measured(self, label: int) -> dict[str, float]:
        """The numbers that the table holds of a cell, but those that are not finite."""
        row = self._rows.get(label)
        if row is None:
            return {}
        values = ((name, column[row]) for name, column in self._columns.items())
        return {name: value for name, value in values if abs(value) < np.inf}


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


def columns_of(rows: Mapping[int, Mapping[Any, Any]]) -> dict[str, npt.NDArray[Any]]:
    """A table of the measurements of each label, NaN where a label lacks one.

    Examples
    --------
    >>> columns_of({3: {"area": 2}, 5: {"area": 1.5, "kind": "x"}})
    {'label': array([3, 5]), 'area': array([2. , 1.5])}
    """
    numbers = {
        label: {str(name): value for name, value in row.items() if isinstance(value, (int, float)) and name != _LABEL}
        for label, row in rows.items()
    }
    names = list(dict.fromkeys(name for row in numbers.values() for name in row))
    if not names:
        return {}
    columns = {name: np.array([row.get(name, np.nan) for row in numbers.values()], np.float64) for name in names}
    return {_LABEL: np.array(list(rows), np.int64), **columns}
