"""Comparison of a model's cells with the user's corrections: model quality, and whether more training helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import metrics
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.model._packed import Packed

__all__ = ["FOUND_KEY", "Correction", "ModelCells", "compare", "verdict"]

FOUND_KEY = "found"  # of a _seg.npy

_AP_THRESHOLD = 0.5
_UNCHANGED = 0.999  # intersection over union from which a cell counts as unchanged
_FEW_CHANGES = 0.05
_IN_A_ROW = 3


@dataclass(frozen=True, eq=False)
class ModelCells:
    """The cells of an image as a model found them, before any correction.

    Parameters
    ----------
    labels
        int32 (Z, Y, X).
    model
        Name of the model.
    """

    labels: Packed
    model: str

    @classmethod
    def of(cls, labels: npt.NDArray[Any], model: str) -> ModelCells:
        """Keep labels (Z, Y, X)."""
        return cls(Packed.of(labels.astype(np.int32, copy=False)), model)

    def content(self) -> dict[str, Any]:
        """The cells as content of a ``_seg.npy``."""
        raw = self.labels.content
        kept = np.frombuffer(raw, np.uint8) if isinstance(raw, bytes) else raw
        return {"labels": kept, "shape": tuple(self.labels.shape), "model": self.model}

    @classmethod
    def read(cls, content: Any, shape: tuple[int, ...]) -> ModelCells | None:
        """The cells in a ``_seg.npy``; None if it has none for labels of this shape."""
        if not isinstance(content, Mapping):
            return None
        raw, model = content.get("labels"), content.get("model")
        if not isinstance(raw, np.ndarray) or raw.dtype not in (np.uint8, np.int32) or not isinstance(model, str):
            return None
        if tuple(np.ravel(content.get("shape", ()))) != shape:
            return None
        try:
            packed = Packed(raw.tobytes() if raw.dtype == np.uint8 else raw.reshape(shape), shape)
            packed.unpacked()
        except (ValueError, RuntimeError):  # content not written here; imagecodecs raises RuntimeErrors
            return None
        return cls(packed, model)


@dataclass(frozen=True)
class Correction:
    """One corrected image.

    Parameters
    ----------
    image
        Name of the image.
    model
        The model that segmented it.
    ap
        Average precision of the model at 0.5, compared with the corrected cells.
    changed, cells
        Number of cells added, removed or reshaped, and the number of cells now.
    """

    image: str
    model: str
    ap: float
    changed: int
    cells: int

    @property
    def share(self) -> float:
        """Fraction of the cells that had to be corrected, 0 to 1."""
        return min(1.0, self.changed / max(self.cells, 1))

    def __str__(self) -> str:
        return tr(
            "{model} had AP {ap:.2f} on {image}: {changed}, {cells} ({share:.0%})",
            model=self.model,
            ap=self.ap,
            image=self.image,
            changed=tr_n("{n} correction", "{n} corrections", self.changed),
            cells=tr_n("{n} cell", "{n} cells", self.cells),
            share=self.share,
        )


def compare(found: ModelCells, labels: npt.NDArray[Any], image: str) -> Correction:
    """Evaluate a model against the corrected labels (Z, Y, X).

    Examples
    --------
    >>> labels = np.zeros((1, 20, 20), np.int32)
    >>> labels[0, 2:8, 2:8], labels[0, 12:18, 2:8] = 1, 2
    >>> found = ModelCells.of(labels, "generalist")
    >>> labels[0, 2:8, 12:18] = 3
    >>> str(compare(found, labels, "a.png"))
    'generalist had AP 0.67 on a.png: 1 correction, 3 cells (33%)'
    """
    before = found.labels.unpacked()
    ap, matched, extra, missed = metrics.average_precision(labels, before, [_AP_THRESHOLD, _UNCHANGED])
    n_before, n_now = int(matched[0] + extra[0]), int(matched[0] + missed[0])
    changed = max(n_before, n_now) - int(matched[1])
    return Correction(image, found.model, float(ap[0]) if n_before + n_now else 1.0, changed, n_now)


def verdict(corrections: Sequence[Correction]) -> str:
    """What the last corrections imply for more training, in words; empty if it is too early to tell."""
    last = corrections[-_IN_A_ROW:]
    if len(last) < _IN_A_ROW:
        return ""
    share = sum(each.changed for each in last) / max(sum(each.cells for each in last), 1)
    if share <= _FEW_CHANGES:
        return tr(
            "the last {IN_A_ROW} images needed {share:.0%} corrections: further training changes little",
            IN_A_ROW=_IN_A_ROW,
            share=share,
        )
    return tr(
        "the last {IN_A_ROW} images needed {share:.0%} corrections: train with them (Ctrl+T)",
        IN_A_ROW=_IN_A_ROW,
        share=share,
    )
