"""Regions of an image that training ignores, as a ``_seg.npy`` keeps them beside its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IGNORED_KEY", "ignored_pixels", "regions_of", "with_ignored"]

IGNORED_KEY = "ignored_regions"  # of a _seg.npy: a list of corners (n, 3), each z, y, x in pixels


def regions_of(content: Mapping[str, Any]) -> list[npt.NDArray[np.float64]]:
    """The regions in the content of a file; invalid entries are left out."""
    kept = content.get(IGNORED_KEY)
    regions = [np.asarray(region) for region in kept] if isinstance(kept, (list, tuple)) else []
    return [
        region.astype(np.float64)
        for region in regions
        if region.ndim == 2 and region.shape[1] == 3 and len(region) > 2 and region.dtype.kind in "iuf"
        and np.isfinite(region).all() and np.abs(region).max() < 2**30
    ]  # fmt: skip


def ignored_pixels(regions: Sequence[npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels of planes (Z, Y, X) or (Y, X) lie in a region, bool of that shape."""
    import cv2

    planes = np.zeros((1, *shape) if len(shape) == 2 else shape, np.uint8)
    for region in regions:
        z = int(region[0, 0])
        if 0 <= z < len(planes):
            cv2.fillPoly(planes[z], [np.rint(region[:, :0:-1]).astype(np.int32)], 1)
    return np.asarray(planes.reshape(shape) > 0)


def with_ignored(labels: npt.NDArray[Any], regions: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Labels with -1 where training ignores them; the same array where there is no region."""
    if not regions:
        return labels
    return np.where(ignored_pixels(regions, labels.shape), np.int32(-1), labels.astype(np.int32))
