"""Texture of labels: Haralick's measures of neighboring gray levels, as scikit-image computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.measure._regions import Regions
from cellpose.transforms import fill_nonfinite

__all__ = ["TEXTURES", "texture_columns"]

Array = npt.NDArray[Any]

TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_LEVELS = 32  # gray levels between the darkest and the brightest pixel of the image
_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)


def texture_columns(regions: Regions, channels: Array) -> dict[str, Array]:
    """Columns ``texture_contrast`` and so on, (n, channels): means over four directions, one pixel apart.

    Gray levels are 32 steps between the 0.1 and 99.9 percentiles of a channel; a pair of pixels counts if both are in
    the label. NaN if a label has no such pairs.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """
    feature = optional("skimage.feature", "measure", "measure texture")
    n_channels = channels.shape[-1]
    out = {f"texture_{name}": np.full((regions.n, n_channels), np.nan) for name in TEXTURES}
    for channel in range(n_channels):
        levels = _levels(channels[..., channel]).reshape(regions.labels.shape)
        for k in range(regions.n):
            pairs = _pairs(feature, regions, levels, k)
            totals = pairs.sum(axis=(0, 1))
            if not totals.any():
                continue
            pairs = pairs[..., totals[0] > 0] / totals[:, totals[0] > 0]
            for name in TEXTURES:
                out[f"texture_{name}"][k, channel] = feature.graycoprops(pairs, name).mean()
    return out


def _pairs(feature: Any, regions: Regions, levels: Array, k: int) -> npt.NDArray[np.float64]:
    """Counts of neighboring gray levels in a label, (levels, levels, 1, directions), over all its planes."""
    z0, z1, y0, y1, x0, x1 = regions.boxes[k]
    own = regions.labels[z0:z1, y0:y1, x0:x1] == regions.numbers[k]
    seen = np.where(own, levels[z0:z1, y0:y1, x0:x1] + 1, 0).astype(np.uint8)
    pairs = sum(feature.graycomatrix(plane, [1], _ANGLES, _LEVELS + 1, symmetric=True) for plane in seen)
    return np.asarray(pairs, np.float64)[1:, 1:]  # level 0 is the surroundings of the label


def _levels(plane: Array) -> Array:
    values = plane.astype(np.float64)
    fill_nonfinite(values[..., np.newaxis])
    low, high = np.percentile(values, (0.1, 99.9))
    scaled = (values - low) / (high - low if high > low else 1.0)
    return np.asarray(np.clip(scaled * _LEVELS, 0, _LEVELS - 1), np.uint8)
