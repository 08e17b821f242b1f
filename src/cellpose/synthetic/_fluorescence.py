"""Fluorescence: cytoplasm, nuclei and membranes, as light in units of a bright cell."""

from __future__ import annotations

import numpy as np

from cellpose.synthetic._noise import Field, blur, filaments, fractal, grains, smooth_noise
from cellpose.synthetic._scene import Labels, Scene, dome, edge_distance, relative_depth, soft

__all__ = ["cytoplasm", "membrane", "nuclei"]


def _lognormal(rng: np.random.Generator, n: int, deviation: float) -> np.ndarray:
    return np.asarray(np.exp(rng.normal(0, deviation, n)))


def _haze(rng: np.random.Generator, light: Field, diameter: float) -> Field:
    """Light from above and below the focus: a wide blur of the cells, and an uneven background."""
    wide = blur(light, diameter * rng.uniform(0.3, 1.0)) * np.float32(rng.uniform(0.02, 0.2))
    level = rng.uniform(0.003, 0.04)
    uneven = 1 + 0.3 * smooth_noise(rng, (light.shape[0], light.shape[1]), max(20.0, 2 * diameter))
    return np.asarray(light + wide + np.float32(level) * np.clip(uneven, 0, None), np.float32)


def debris(rng: np.random.Generator, shape: tuple[int, int], diameter: float) -> Field:
    """Specks and dirt, mostly none."""
    if rng.random() < 0.6:
        return np.zeros(shape, np.float32)
    everywhere = np.ones(shape, bool)
    count = rng.uniform(0.5, 6) / (shape[0] * shape[1])
    specks = grains(rng, everywhere, count, rng.uniform(0.6, 1.5), 0.8)
    if rng.random() < 0.4:
        specks = specks + 0.3 * grains(rng, everywhere, count / 3, diameter * rng.uniform(0.05, 0.15), 0.6)
    return np.asarray(specks * np.float32(rng.uniform(0.1, 0.9)), np.float32)


def out_of_focus(rng: np.random.Generator, scene: Scene, light: Field) -> Field:
    """Cells of another plane: the scene turned and shifted, and blurred until nobody would outline it."""
    if rng.random() < 0.7:
        return light
    other = np.rot90(light, 2) if rng.random() < 0.5 else light[:, ::-1]
    keep = smooth_noise(rng, scene.shape, 2 * scene.diameter) > rng.uniform(0.3, 1.2)
    ghost = blur(np.ascontiguousarray(other) * keep, max(2.5, scene.diameter * rng.uniform(0.15, 0.35)))
    return np.asarray(light + np.float32(rng.uniform(0.08, 0.3)) * ghost * (scene.labels == 0), np.float32)


def cytoplasm(rng: np.random.Generator, scene: Scene) -> Field:
    """Cells full of a dye: thick middles, mesh and grains, nuclei darker or brighter, organelles left out.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.

    Returns
    -------
    ndarray
        float32 (Y, X): light, about 0.5 in cells.
    """
    shape, d = scene.shape, scene.diameter
    own = scene.per_cell(_lognormal(rng, scene.n, rng.uniform(0.1, 0.65)))
    flat = rng.uniform(0.1, 1.0)
    body = scene.inside * ((1 - flat) + flat * scene.dome ** np.float32(rng.uniform(0.5, 1.6)))
    texture = rng.uniform(0.05, 0.3) * fractal(rng, shape, max(2.0, d * rng.uniform(0.08, 0.4)), 4, 0.7)
    if rng.random() < 0.4:
        texture = texture + rng.uniform(0.2, 0.8) * (filaments(rng, shape, max(4.0, d * 0.12)) - 0.3)
    light = body * np.clip(1 + texture, 0.15, None)
    if scene.nuclei.any():
        core = soft(scene.nuclei > 0, max(0.7, 0.03 * d))
        near = blur(core, 0.2 * d)
        light = light * (1 + rng.uniform(0, 1.2) * near)  # more around the nucleus, where the cell is thick
        light = light * (1 + rng.choice([-0.75, -0.5, -0.3, 0.0, 0.3]) * core)
    if rng.random() < 0.5:
        where = scene.depth > 0.08 * d
        light = light + rng.uniform(0.2, 1.0) * grains(rng, where, rng.uniform(2, 25) / d**2, max(0.6, 0.025 * d))
    if rng.random() < 0.25:
        holes = grains(rng, scene.depth > 0.12 * d, rng.uniform(1, 6) / d**2, max(0.8, rng.uniform(0.04, 0.1) * d), 0.2)
        light = light * np.clip(1 - rng.uniform(0.3, 0.9) * holes, 0.05, 1)
    edge = np.exp(-(((scene.depth - 0.5) / max(1.0, rng.uniform(0.03, 0.07) * d)) ** 2)) * scene.inside
    # most cells are thin where they end or touch, some dyes also mark the membrane
    light = light * (1 + (rng.uniform(0.4, 1.5) if rng.random() < 0.3 else -rng.uniform(0.3, 0.8)) * edge)
    light = np.asarray(light * own * rng.uniform(0.35, 0.8), np.float32)
    light = out_of_focus(rng, scene, light)
    return _haze(rng, light + debris(rng, shape, d), d)


def nuclei(rng: np.random.Generator, labels: Labels, diameter: float, *, weak: bool = True) -> Field:
    """Nuclei: chromatin of several scales, dark nucleoli or bright spots, cells that divide or die far brighter.

    Parameters
    ----------
    rng
        Source of all chance.
    labels
        int32 (Y, X).
    diameter
        Of a nucleus, in pixels.
    weak
        Also cells out of focus and a background of dye in the cytoplasm.

    Returns
    -------
    ndarray
        float32 (Y, X): light, about 0.5 in nuclei.
    """
    shape = (labels.shape[0], labels.shape[1])
    n = int(labels.max())
    own = _lognormal(rng, n, rng.uniform(0.05, 0.5))
    bright = rng.random(n) < rng.choice([0.0, 0.03, 0.08])
    own[bright] *= rng.uniform(1.8, 3.0)
    depth = edge_distance(labels)
    ball = dome(relative_depth(labels, depth))
    flat = rng.uniform(0.05, 0.8)
    body = (labels > 0) * ((1 - flat) + flat * ball)
    strength = rng.uniform(0.05, 0.35)
    light = body * np.clip(1 + strength * fractal(rng, shape, max(1.5, diameter * 0.25), 4, 0.75), 0.2, None)
    deep = depth > 0.15 * diameter
    if diameter > 12 and rng.random() < 0.6:
        spots = grains(rng, deep, rng.uniform(1.5, 8) / diameter**2, diameter * rng.uniform(0.05, 0.09), 0.3)
        light = light * np.clip(1 - rng.uniform(0.2, 0.7) * spots, 0.25, 1)
    if diameter > 8 and rng.random() < 0.35:
        spots = grains(rng, deep, rng.uniform(3, 20) / diameter**2, max(0.6, diameter * rng.uniform(0.025, 0.06)), 0.5)
        light = light + rng.uniform(0.2, 0.9) * spots
    light = light * np.concatenate([[0], own]).astype(np.float32)[labels] * rng.uniform(0.3, 0.75)
    light = np.asarray(light, np.float32)
    if weak:
        light = _nuclear_background(rng, labels, light, diameter)
    return _haze(rng, light, diameter)


def _nuclear_background(rng: np.random.Generator, labels: Labels, light: Field, diameter: float) -> Field:
    """Dye in the cytoplasm around nuclei, nuclei out of focus, specks."""
    shape = (labels.shape[0], labels.shape[1])
    if rng.random() < 0.35:
        around = blur(labels > 0, diameter * rng.uniform(0.4, 0.9))
        light = light + rng.uniform(0.03, 0.12) * around * np.clip(1 + 0.5 * fractal(rng, shape, diameter / 2), 0, None)
    if rng.random() < 0.3:
        keep = smooth_noise(rng, shape, 3 * diameter) > rng.uniform(0.2, 1.0)
        ghost = blur(np.ascontiguousarray(light[::-1, ::-1]) * keep, max(2.0, diameter * rng.uniform(0.15, 0.4)))
        light = light + rng.uniform(0.1, 0.35) * ghost * (labels == 0)
    return np.asarray(light + debris(rng, shape, diameter), np.float32)


def membrane(rng: np.random.Generator, scene: Scene, width: tuple[float, float] = (0.01, 0.045)) -> Field:
    """Outlines: bright where cells meet, brighter at some sides and corners, a weak inside.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.
    width
        Range of the half width of outlines in units of the cell's diameter; at least 0.6 pixels.

    Returns
    -------
    ndarray
        float32 (Y, X): light, about 0.5 on outlines.
    """
    shape, d = scene.shape, scene.diameter
    thick = max(0.6, d * rng.uniform(*width))
    edge = np.exp(-((np.maximum(scene.depth - 0.5, 0) / thick) ** 2)) * scene.inside
    free = np.exp(-((scene.outside / thick) ** 2)) * ~scene.inside
    line = edge + free * rng.uniform(0.5, 1.0)
    uneven = np.clip(1 + rng.uniform(0.1, 0.5) * fractal(rng, shape, 0.6 * d, 3, 0.8), 0.1, None)
    own = scene.per_cell(_lognormal(rng, scene.n, rng.uniform(0.1, 0.6)))
    sides = np.where(scene.inside, own, 1)
    light = line * uneven * blur(sides, 1.0)
    spotty = rng.random()
    if spotty < 0.35:
        light = light * (0.5 + np.clip(0.6 + 0.7 * smooth_noise(rng, shape, max(1.5, thick * 2)), 0, None))
    inner = rng.uniform(0.02, 0.35) * own * scene.inside
    light = light + inner * np.clip(1 + 0.3 * fractal(rng, shape, max(3.0, 0.2 * d)), 0.1, None)
    if scene.nuclei.any() and rng.random() < 0.6:
        light = light - rng.uniform(0.3, 0.8) * inner * soft(scene.nuclei > 0, max(0.7, 0.04 * d))
    if rng.random() < 0.4:
        spots = grains(rng, scene.depth > 0.1 * d, rng.uniform(1, 12) / d**2, max(0.7, 0.02 * d))
        light = light + rng.uniform(0.1, 0.6) * spots
    light = np.asarray(light * rng.uniform(0.35, 0.8), np.float32)
    return _haze(rng, light + debris(rng, shape, d), d)
