"""The cells of a volume as a rotating 3D body: a small color volume with shading, for display."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["shaded"]

_LONGEST = 200  # voxels drawn along a side
_LIGHT = np.array([-0.8, -0.45, -0.4])  # direction toward the light: z, y, x
_AMBIENT = 0.45


def shaded(planes: npt.NDArray[np.int32], colors: npt.NDArray[np.uint8], aspect: float) -> npt.NDArray[np.uint8]:
    """Shade the surfaces of cells, with light from one side.

    Parameters
    ----------
    planes
        Labels, int32 (Z, Y, X).
    colors
        Color of each label, uint8 (labels, 3).
    aspect
        Distance between planes in pixels.

    Returns
    -------
    uint8 (Z, Y, X, 4)
        Red, green, blue and opacity of cubic voxels, at most ``_LONGEST`` along a side. Opaque at the surface of cells,
        else transparent.

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
    # transparent voxels also get the color of the adjacent cell: else interpolated colors would be dark
    out[..., :3] = colors[near] * brightness[..., None]
    out[_surface(small), 3] = 255
    return out


def _sampled(planes: npt.NDArray[np.int32], aspect: float) -> npt.NDArray[np.int32]:
    """Sample voxels at regular steps, so that they are cubes."""
    sides = np.array(planes.shape) * (aspect, 1, 1)
    wanted = np.maximum(1, np.rint(sides * min(1.0, _LONGEST / sides.max()))).astype(int)
    index = [np.arange(n) * side // n for n, side in zip(wanted, planes.shape, strict=True)]
    return np.ascontiguousarray(planes[np.ix_(*index)])


def _surface(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Voxels of cells adjacent to another label."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1, 1:-1]
    found = np.zeros(labels.shape, bool)
    for axis in range(3):
        for step in (-1, 1):
            found |= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] != inner
    return np.asarray(found & (inner > 0))
