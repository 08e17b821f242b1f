"""The cells of a volume as a body that can be turned, for the eye: a small volume of colours with light and shade."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["shaded"]

_LONGEST = 200  # voxels along a side that are drawn
_LIGHT = np.array([-0.8, -0.45, -0.4])  # towards it: z, y, x
_AMBIENT = 0.45


def shaded(planes: npt.NDArray[np.int32], colors: npt.NDArray[np.uint8], aspect: float) -> npt.NDArray[np.uint8]:
    """Surfaces of cells with light from one side.

    Parameters
    ----------
    planes
        Labels, int32 (Z, Y, X).
    colors
        Of each label, uint8 (labels, 3).
    aspect
        Distance of planes in pixels.

    Returns
    -------
    uint8 (Z, Y, X, 4)
        Red, green, blue and opacity, of cubic voxels, at most ``_LONGEST`` along a side. Opaque where cells end, else
        clear.

    Examples
    --------
    >>> cells = np.zeros((8, 20, 20), np.int32); cells[2:6, 5:15, 5:15] = 1
    >>> seen = shaded(cells, np.array([[0, 0, 0], [200, 100, 0]], np.uint8), 2.0)
    >>> seen.shape, int(seen[4, 10, 10, 3]), int(seen[8, 10, 10, 3])
    ((16, 20, 20, 4), 255, 0)
    """
    from scipy import ndimage

    small = _sampled(planes, aspect)
    filled: npt.NDArray[np.float32] = ndimage.gaussian_filter((small > 0).astype(np.float32), 2, mode="constant")
    normals = -np.stack([np.gradient(filled, axis=axis) for axis in range(3)])
    normals /= np.sqrt((normals**2).sum(axis=0)) + 1e-6
    light = _LIGHT / np.linalg.norm(_LIGHT)
    brightness = _AMBIENT + (1 - _AMBIENT) * np.clip(np.tensordot(light, normals, 1), 0, 1)
    out = np.zeros((*small.shape, 4), np.uint8)
    near = np.where(small > 0, small, ndimage.maximum_filter(small, 3))
    # clear voxels have the colour of the cell beside them, too: what is mixed of both would be dark else
    out[..., :3] = colors[near] * brightness[..., None]
    out[_surface(small), 3] = 255
    return out


def _sampled(planes: npt.NDArray[np.int32], aspect: float) -> npt.NDArray[np.int32]:
    """Every n-th voxel, so that voxels are cubes."""
    sides = np.array(planes.shape) * (aspect, 1, 1)
    wanted = np.maximum(1, np.rint(sides * min(1.0, _LONGEST / sides.max()))).astype(int)
    index = [np.arange(n) * side // n for n, side in zip(wanted, planes.shape, strict=True)]
    return np.ascontiguousarray(planes[np.ix_(*index)])


def _surface(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Voxels of cells with another label beside them."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1, 1:-1]
    found = np.zeros(labels.shape, bool)
    for axis in range(3):
        for step in (-1, 1):
            found |= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] != inner
    return np.asarray(found & (inner > 0))
