"""Segmenting a volume that does not fit in memory: plane by plane, each stitched to the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.gui.controllers._source import Source

__all__ = ["segment_by_planes"]


def segment_by_planes(
    model: Any, source: Source, options: Mapping[str, Any], report: Callable[[float], None]
) -> npt.NDArray[np.int32]:
    """Labels 1..n of a volume, int32 (Z, Y, X), as ``eval`` makes them with ``stitch_threshold``; no flows are kept.

    Parameters
    ----------
    model
        A ``CellposeModel``.
    source
        The volume.
    options
        Keywords of ``eval``, including ``stitch_threshold`` and ``min_size``.
    report
        Called with the fraction done.
    """
    asked = {name: value for name, value in options.items() if name not in ("stitch_threshold", "min_size")}
    labels = io.roomy_zeros((len(source.stack), *source.stack.shape[2:]), np.int32)
    top = 0
    for z, target in enumerate(labels):
        given, normalize = source.plane(z)
        found, *_ = model.eval(given, channel_axis=-1, min_size=-1, progress=False, **{**asked, "normalize": normalize})
        target[...], top = _joined(labels[z - 1] if z else None, np.asarray(found), options["stitch_threshold"], top)
        report((z + 1) / len(labels))
    _remove_small(labels, top, options["min_size"])
    return labels


def _joined(
    above: npt.NDArray[np.int32] | None, found: npt.NDArray[Any], threshold: float, top: int
) -> tuple[npt.NDArray[np.int32], int]:
    """Labels of a plane, numbered as in the volume, and the highest number so far."""
    from cellpose import utils

    plane = found.astype(np.int32)
    if above is None:
        return plane, int(plane.max(initial=0))
    highest = int(above.max(initial=0))
    _, plane = utils.stitch3D(np.stack([above, plane]), stitch_threshold=threshold).astype(np.int32)
    plane[plane > highest] += top - highest  # new cells: numbered above all existing ones
    return plane, max(top, int(plane.max(initial=0)))


def _remove_small(labels: npt.NDArray[np.int32], top: int, min_size: int) -> None:
    """Remove cells of few voxels, and number the others 1..n, in place."""
    counts = np.zeros(top + 1, np.int64)
    for plane in labels:
        counts += np.bincount(plane.ravel(), minlength=top + 1)
    kept = counts >= max(min_size, 1)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    for plane in labels:
        plane[...] = numbers[plane]
