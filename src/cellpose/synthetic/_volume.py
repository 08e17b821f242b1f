"""Small volumes with exact labels: nuclei, cells full of dye, tissue with stained membranes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.synthetic._camera import Optics, expose
from cellpose.synthetic._population import check_number, check_size
from cellpose.synthetic._sample import MIN_SIDE, Sample, generator
from cellpose.synthetic._scene import Labels

__all__ = ["VOLUME_KINDS", "sample_volume"]

Floats = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
Size = tuple[int, int, int]

VOLUME_KINDS = ("nuclei", "cytoplasm", "membrane")
MAX_CELLS = 3000


def sample_volume(
    seed: int | np.random.Generator,
    size: tuple[int, int, int] = (24, 128, 128),
    kind: str | None = None,
    channels: int = 2,
    *,
    diameter: float | None = None,
    anisotropy: float = 1.0,
) -> Sample:
    """A synthetic fluorescence volume of cells with its true masks.

    Parameters
    ----------
    seed
        Whole number, or a generator that is drawn from. The same seed and options give the same voxels.
    size
        Planes, height and width; at least 4 planes of 16 by 16 pixels.
    kind
        One of ``VOLUME_KINDS``; None draws one.
    channels
        1: the stain. 2: also the nuclear stain, zeros for the kind "nuclei".
    diameter
        Of the ball that has the mean cell's volume, in pixels of a plane, 2 to 2000; None draws 12 to 40.
    anisotropy
        Distance of planes in pixels of a plane, 0.2 to 20.

    Returns
    -------
    Sample
        Image (C, Z, Y, X) and masks (Z, Y, X).

    Raises
    ------
    OptionError
        If the kind is unknown, or the size, the number of channels, the diameter or the anisotropy is not allowed.

    Examples
    --------
    >>> one = sample_volume(3, (8, 48, 64), "membrane", channels=1, diameter=16, anisotropy=2)
    >>> one.image.shape, one.masks.shape
    ((1, 8, 48, 64), (8, 48, 64))
    """
    planes, height, width = check_size(size, (4, MIN_SIDE, MIN_SIDE), "planes, height and width")
    _check(kind, channels, diameter, anisotropy)
    rng = generator(seed)
    shape = (planes, height, width)
    name = kind if kind is not None else VOLUME_KINDS[int(rng.integers(len(VOLUME_KINDS)))]
    d = float(diameter) if diameter is not None else float(np.exp(rng.uniform(np.log(12), np.log(40))))
    labels, nuclei, level = _cells(rng, shape, name, d, anisotropy)
    light = np.zeros((channels, *shape), np.float32)
    if name == "nuclei":
        light[0] = _chromatin(rng, labels, d, anisotropy)
    else:
        render = _dye if name == "cytoplasm" else _membranes
        light[0] = render(rng, labels, nuclei, level, d, anisotropy)
        if channels > 1:
            light[1] = _chromatin(rng, nuclei, 0.5 * d, anisotropy)
    return Sample(_photograph(rng, light, d, anisotropy), labels, name, d)


def _check(kind: str | None, channels: int, diameter: float | None, anisotropy: float) -> None:
    if kind is not None and kind not in VOLUME_KINDS:
        message = f"kind is {kind!r}; allowed for volumes: {', '.join(VOLUME_KINDS)}, or None for any"
        raise OptionError(message)
    if channels not in {1, 2}:
        message = f"channels is {channels!r}; allowed for volumes: 1, 2"
        raise OptionError(message)
    if diameter is not None:
        check_number("diameter", diameter, 2, 2000)
    check_number("anisotropy", anisotropy, 0.2, 20)


# ---- cells -----------------------------------------------------------------------------------------------------


def _cells(
    rng: np.random.Generator, shape: Size, kind: str, d: float, anisotropy: float
) -> tuple[Labels, Labels, Volume]:
    """Labels, the labels at nuclei, and the distance from the middle of each cell in units of its radius."""
    from cellpose._labels.kernels import largest_pieces
    from cellpose.synthetic._kernels import paint_ellipsoids

    coverage = {"nuclei": rng.uniform(0.05, 0.3), "cytoplasm": rng.uniform(0.1, 0.5), "membrane": 0.85}[kind]
    reach = {"nuclei": 1.0, "cytoplasm": rng.uniform(1.0, 1.15), "membrane": rng.choice([1.25, 4.0])}[kind]
    extent = np.array([shape[0] * anisotropy, shape[1], shape[2]], float)
    volume = float(np.prod(extent + d))
    n = int(min(max(1, round(coverage * volume / (np.pi / 6 * d**3))), MAX_CELLS))
    radii = d / 2 * np.exp(rng.normal(0, rng.uniform(0.05, 0.2), n))
    centres = rng.uniform(0, 1, (n, 3)) * (extent + d) - d / 2
    centres[0] = rng.uniform(0.2, 0.8, 3) * extent
    if kind != "membrane" and rng.random() < 0.5:  # a clump
        centres = extent / 2 + (centres - extent / 2) * 0.75
    _spread_out(centres, radii, rng.uniform(0.9, 1.05))
    frames = _frames(rng, radii, rng.uniform(1.0, 1.7), anisotropy)
    centres[:, 0] /= anisotropy
    warp = rng.uniform(0.02, 0.12) * noise(rng, shape, 0.6 * d, anisotropy)
    labels, level = np.zeros(shape, np.int32), np.full(shape, np.inf, np.float32)
    paint_ellipsoids(labels, level, warp, centres, frames, reach)
    inner, inner_level = np.zeros(shape, np.int32), np.full(shape, np.inf, np.float32)
    if kind != "nuclei":
        shrunk = frames * (1 / rng.uniform(0.4, 0.6))
        paint_ellipsoids(inner, inner_level, warp, centres, shrunk, 1.0)
    whole, old = largest_pieces(labels, n, max(8, int(0.1 * np.pi / 6 * d**3 / anisotropy)))
    new = np.zeros(n + 1, np.int32)
    new[old] = np.arange(len(old))
    nuclei = np.where((inner == labels) & (whole > 0), new[inner], 0).astype(np.int32)
    return whole, nuclei, level


def _spread_out(centres: Floats, radii: Floats, gap: float) -> None:
    """Push balls apart until they touch, in place."""
    from scipy.spatial import cKDTree

    if len(radii) < 2:
        return
    for _ in range(20):
        pairs = cKDTree(centres).query_pairs(2 * gap * float(radii.max()), output_type="ndarray")
        apart = centres[pairs[:, 0]] - centres[pairs[:, 1]]
        distance = np.linalg.norm(apart, axis=1) + 1e-6
        missing = np.maximum(0, gap * (radii[pairs[:, 0]] + radii[pairs[:, 1]]) - distance)
        push = 0.25 * (missing / distance)[:, None] * apart
        np.add.at(centres, pairs[:, 0], push)
        np.add.at(centres, pairs[:, 1], -push)


def _frames(rng: np.random.Generator, radii: Floats, elongation: float, anisotropy: float) -> Floats:
    """(n, 3, 3): each maps an offset in voxels to the unit ball."""
    frames = np.empty((len(radii), 3, 3))
    for i, radius in enumerate(radii):
        turn, _ = np.linalg.qr(rng.normal(0, 1, (3, 3)))
        axes = np.exp(rng.uniform(-0.5, 0.5, 3) * np.log(elongation))
        axes *= radius / np.cbrt(np.prod(axes))
        frames[i] = turn / axes[:, None]
    frames[:, :, 0] *= anisotropy
    return frames


# ---- light -----------------------------------------------------------------------------------------------------


def noise(rng: np.random.Generator, shape: Size, scale: float, anisotropy: float) -> Volume:
    """Gaussian random field of deviation 1 whose grains are about ``scale`` pixels of a plane wide."""
    from scipy.ndimage import gaussian_filter

    steps = (max(1.0, scale / 2 / anisotropy), max(1.0, scale / 2), max(1.0, scale / 2))
    grid_shape = tuple(int(np.ceil(side / step)) + 2 for side, step in zip(shape, steps, strict=True))
    grid: Volume = gaussian_filter(rng.standard_normal(grid_shape, np.float32), 0.8)
    for axis, (side, step) in enumerate(zip(shape, steps, strict=True)):
        grid = _interpolate(grid, side, step, axis)
    return np.asarray(grid / (grid.std() + 1e-6), np.float32)


def _interpolate(grid: Volume, side: int, step: float, axis: int) -> Volume:
    """Linear interpolation along an axis at ``0, 1 / step, 2 / step …``."""
    place = np.arange(side) / step
    low = place.astype(int)
    part = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    first, second = np.take(grid, low, axis), np.take(grid, low + 1, axis)
    return np.asarray(first + part * (second - first), np.float32)


def _blur(volume: npt.NDArray[Any], sigma: float, anisotropy: float) -> Volume:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(volume.astype(np.float32), (sigma / anisotropy, sigma, sigma)), np.float32)


def _own(rng: np.random.Generator, labels: Labels, deviation: float) -> Volume:
    """Brightness of each cell, 0 outside."""
    n = int(labels.max())
    return np.concatenate([[0], np.exp(rng.normal(0, deviation, n))]).astype(np.float32)[labels]


def _chromatin(rng: np.random.Generator, labels: Labels, d: float, anisotropy: float) -> Volume:
    texture = 0.6 * noise(rng, labels.shape, 0.25 * d, anisotropy) + 0.4 * noise(rng, labels.shape, 0.1 * d, anisotropy)
    light = _own(rng, labels, rng.uniform(0.1, 0.35)) * np.clip(1 + rng.uniform(0.1, 0.3) * texture, 0.2, None)
    nucleoli = noise(rng, labels.shape, 0.3 * d, anisotropy) > 1.6
    light = light * np.where(nucleoli, rng.uniform(0.4, 0.9), 1)
    return np.asarray(0.6 * light + rng.uniform(0.02, 0.1) * _blur(light, 0.5 * d, anisotropy) + 0.01, np.float32)


def _dye(
    rng: np.random.Generator, labels: Labels, nuclei: Labels, level: Volume, d: float, anisotropy: float
) -> Volume:
    texture = noise(rng, labels.shape, 0.2 * d, anisotropy)
    light = _own(rng, labels, rng.uniform(0.15, 0.4)) * np.clip(1 + rng.uniform(0.1, 0.3) * texture, 0.2, None)
    light = light * (1 - rng.uniform(0.2, 0.7) * np.clip(level, 0, 1) ** 6)  # thin where cells touch
    light = light * np.where(nuclei > 0, rng.uniform(0.3, 1.1), 1)
    return np.asarray(0.55 * light + rng.uniform(0.02, 0.1) * _blur(light, 0.4 * d, anisotropy) + 0.01, np.float32)


def _membranes(
    rng: np.random.Generator, labels: Labels, nuclei: Labels, level: Volume, d: float, anisotropy: float
) -> Volume:
    edge = np.zeros(labels.shape, bool)
    for axis in range(3):
        here = [slice(None)] * 3
        there = [slice(None)] * 3
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        differ = labels[tuple(here)] != labels[tuple(there)]
        edge[tuple(here)] |= differ
        if axis or anisotropy < 1.5:  # one thick plane is membrane enough
            edge[tuple(there)] |= differ
    uneven = np.clip(1 + rng.uniform(0.1, 0.4) * noise(rng, labels.shape, 0.6 * d, anisotropy), 0.1, None)
    light = _blur(edge * uneven, max(0.6, rng.uniform(0.01, 0.04) * d), anisotropy)
    inner = rng.uniform(0.02, 0.2) * _own(rng, labels, 0.3) * np.where(nuclei > 0, 0.5, 1)
    return np.asarray(0.7 * light + inner + 0.01, np.float32)


def _photograph(rng: np.random.Generator, light: Volume, d: float, anisotropy: float) -> Volume:
    """Blur that is wider along z, light lost with depth, camera."""
    from scipy.ndimage import gaussian_filter1d

    channels, planes, height, width = light.shape
    lateral = rng.uniform(0.4, min(1.5, 0.4 + 0.04 * d))
    axial = lateral * rng.uniform(1.2, 2.5) / anisotropy
    light = gaussian_filter1d(light, axial, axis=1, mode="nearest")
    light = light * np.exp(-rng.uniform(0, 0.7) * np.linspace(0, 1, planes, dtype=np.float32))[:, None, None]
    optics = Optics(
        blur=lateral, shading=rng.uniform(0, 0.2), photons=float(np.exp(rng.uniform(np.log(12), 7))),
        read_noise=rng.uniform(0, 0.02), offset=rng.uniform(0, 0.05), gain=float(np.exp(rng.normal(0, 0.25))),
    )  # fmt: skip
    pixels = expose(rng, light.reshape(channels * planes, height, width), optics)
    return pixels.reshape(light.shape)
