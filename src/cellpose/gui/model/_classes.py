"""Names and colors of the cell classes assigned by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal, SignalGroupDescriptor

from cellpose.gui._texts import tr
from cellpose.gui.model._marks import MOST_CLASSES
from cellpose.gui.model._palettes import rgb_of

__all__ = ["CLASSES_KEY", "CellClass", "Classes"]

CLASSES_KEY = "class_names"  # of a _seg.npy

# Colors that most color-blind people can tell apart (Okabe and Ito 2008, without black), and two more.
_COLORS = ("0072b2", "e69f00", "009e73", "cc79a7", "56b4e9", "d55e00", "f0e442", "882255", "aaaaaa")
_LONGEST = 60


@dataclass
class CellClass:
    """One class.

    Parameters
    ----------
    number
        1 to ``MOST_CLASSES``, also the digit key that assigns it.
    name
        Name given by the user.
    color
        ``"#rrggbb"``.
    """

    events = SignalGroupDescriptor()

    number: int
    name: str
    color: str

    def rename(self, name: str) -> None:
        """Rename the class, on one line; an empty name restores the default."""
        self.name = " ".join(name.split())[:_LONGEST] or tr("class {number}", number=self.number)


class Classes(Sequence[CellClass]):
    """The classes 1 to ``MOST_CLASSES``, in their order.

    Attributes
    ----------
    changed : Signal()
        A name or a color changed.

    Examples
    --------
    >>> classes = Classes()
    >>> classes[1].rename("immune")
    >>> classes.name(2), classes.name(0), classes.names[0]
    ('immune', '', 'class 1')
    """

    changed = Signal()

    def __init__(self) -> None:
        self._all = [CellClass(n, tr("class {number}", number=n), f"#{color}") for n, color in enumerate(_COLORS, 1)]
        for each in self._all:
            each.events.connect(lambda _: self.changed.emit())

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    @property
    def names(self) -> list[str]:
        """Names of the classes."""
        return [each.name for each in self._all]

    @property
    def colors(self) -> npt.NDArray[np.uint8]:
        """Colors of the classes, uint8 (classes, 3)."""
        return np.array([rgb_of(each.color) for each in self._all], np.uint8)

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """Names and colors, to compare them with those of a file."""
        return tuple((each.name, each.color) for each in self._all)

    def name(self, kind: int) -> str:
        """Name of a class; empty for 0, no class."""
        return self._all[kind - 1].name if 0 < kind <= MOST_CLASSES else ""

    def content(self) -> dict[str, Any]:
        """The classes as content of a ``_seg.npy``."""
        return {"names": self.names, "colors": self.colors}

    def read(self, content: Any) -> None:
        """Load the names and colors from a ``_seg.npy``, if it has any."""
        if not isinstance(content, Mapping):
            return
        names, colors = content.get("names"), content.get("colors")
        if isinstance(names, (list, tuple)) and len(names) == MOST_CLASSES and all(isinstance(n, str) for n in names):
            for each, name in zip(self._all, names, strict=True):
                each.rename(name)
        if isinstance(colors, np.ndarray) and colors.shape == (MOST_CLASSES, 3) and colors.dtype == np.uint8:
            for each, color in zip(self._all, colors, strict=True):
                each.color = f"#{bytes(color).hex()}"
