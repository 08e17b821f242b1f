"""Sections: stained tissue in color, and cells in the electron microscope."""

from __future__ import annotations

import numpy as np

from cellpose.synthetic._noise import Field, blur, filaments, fractal, grains, smooth_noise
from cellpose.synthetic._scene import Scene, outlines, soft

__all__ = ["electron", "stained_tissue"]


def stained_tissue(rng: np.random.Generator, scene: Scene) -> Field:
    """Tissue stained as with haematoxylin and eosin, (3, Y, X) red, green, blue; the labels are of the nuclei.

    Stains absorb after Beer and Lambert: light is ``exp(-sum of concentration times absorbance)``.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells that are shown as nuclei.

    Returns
    -------
    ndarray
        float32 (3, Y, X): light, about 0.95 where there is no tissue.
    """
    shape, d = scene.shape, scene.diameter
    dose = np.exp(rng.normal(0, rng.uniform(0.15, 0.6), scene.n))
    pale = (rng.random(scene.n) < rng.uniform(0.1, 0.7)) & (rng.random() < 0.5)
    own = scene.per_cell(np.where(pale, rng.uniform(0.2, 0.55) * dose, dose))
    chromatin = np.clip(1 + rng.uniform(0.2, 0.8) * fractal(rng, shape, max(2.0, 0.25 * d), 4, 0.75), 0.1, None)
    edge = np.exp(-(((scene.depth - 1) / max(0.8, 0.06 * d)) ** 2)) * scene.inside
    blue = own * scene.inside * (chromatin + rng.uniform(0, 1.0) * edge) * rng.uniform(0.4, 1.2)
    if pale.any():  # their chromatin lies at the rim and in nucleoli
        clear = scene.per_cell(pale)
        nucleoli = grains(rng, (clear > 0) & (scene.depth > 0.2 * d), 2.5 / d**2, max(0.7, 0.06 * d), 0.2)
        blue = blue + clear * rng.uniform(0.1, 0.6) * edge + rng.uniform(0.2, 0.7) * nucleoli
    blue = blur(blue, rng.uniform(0.7, max(1.1, min(3.0, 0.1 * d))))  # a section is thick, edges lie slanted in it
    fibres = fractal(rng, shape, max(4.0, 0.8 * d), 4, 0.75) + 1.2 * (filaments(rng, shape, max(6.0, d)) - 0.3)
    ground = rng.uniform(0.1, 0.5) * np.clip(1 + rng.uniform(0.2, 0.6) * fibres, 0.05, None)
    if rng.random() < 0.6:  # gaps in the tissue, away from nuclei
        gaps = smooth_noise(rng, shape, rng.uniform(1.5, 5) * d) > rng.uniform(-0.2, 1.2)
        ground = ground * (1 - 0.95 * soft(gaps & (scene.outside > 0.2 * d), 0.1 * d))
    if rng.random() < 0.6:  # nuclei cut at their tops or out of focus
        ghost = blur(np.ascontiguousarray(blue[::-1, ::-1]), max(1.5, 0.2 * d)) * (scene.labels == 0)
        blue = blue + rng.uniform(0.1, 0.4) * ghost
    red = ground + rng.uniform(0.1, 0.6) * blur(scene.inside, rng.uniform(0.3, 0.7) * d) * np.clip(
        1 + 0.3 * fibres, 0.1, None
    )
    # absorbance of the two stains in red, green, blue, varied as between laboratories
    first = np.array([0.65, 0.75, 0.25]) * np.exp(rng.normal(0, 0.15, 3)) * (1, 1, rng.uniform(0.5, 1.5))
    second = np.array([0.12, 0.7, 0.25]) * np.exp(rng.normal(0, 0.2, 3))
    if rng.random() < 0.3:  # one stain only
        second = first * rng.uniform(0.3, 0.8)
    light = np.exp(-(first[:, None, None] * 1.8 * blue + second[:, None, None] * 0.9 * red))
    lamp = np.array([0.95, 0.93, 0.96]) * np.exp(rng.normal(0, 0.03, 3))
    return np.asarray(light * lamp[:, None, None], np.float32)


def electron(rng: np.random.Generator, scene: Scene) -> Field:
    """A thin section in the electron microscope: dark membranes and sheaths, organelles in gray grain.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.

    Returns
    -------
    ndarray
        float32 (Y, X): brightness 0..1.2, in some images inverted.
    """
    shape, d = scene.shape, scene.diameter
    light = rng.uniform(0.55, 0.8) + scene.per_cell(rng.normal(0, 0.08, scene.n))
    light = light + rng.uniform(0.06, 0.25) * fractal(rng, shape, max(2.0, 0.08 * d), 4, 0.9)
    light = light + rng.uniform(0.02, 0.22) * fractal(rng, shape, max(3.0, 0.4 * d), 2)
    # ribosomes and filaments
    light = light - rng.uniform(0, 0.4) * grains(rng, scene.inside, rng.uniform(0.01, 0.06), 0.7)
    if scene.nuclei.any():
        core = soft(scene.nuclei > 0, 1.0)
        rim = np.clip(core - blur(core, max(1.5, 0.02 * d)), 0, 1) * 3
        clumps = fractal(rng, shape, max(3.0, 0.1 * d), 3, 0.7) > 0.7
        light = light - core * 0.12 * soft(clumps, 1.0) - 0.15 * rim + 0.04 * core
    if d > 24 and rng.random() < 0.8:
        light = _mitochondria(rng, scene, light)
    outer = rng.uniform(0.25, 0.75) + rng.uniform(0.08, 0.3) * fractal(rng, shape, max(2.0, 0.3 * d), 4, 0.8)
    light = np.where(scene.inside, light, outer)
    thin = max(0.8, rng.uniform(0.01, 0.03) * d)
    near = np.where(scene.inside, np.maximum(scene.depth - 0.5, 0), scene.outside)
    light = light * (1 - rng.uniform(0.55, 0.9) * np.exp(-((near / thin) ** 2)))
    if rng.random() < 0.6:  # sheaths of myelin around cells, wound in layers
        width = max(1.5, d * rng.uniform(0.06, 0.3))
        sheath = np.clip(1.5 - scene.outside / width, 0, 1) * ~scene.inside
        layers = 0.85 + 0.15 * np.sin(scene.outside * rng.uniform(1.2, 2.4))
        light = light * (1 - 0.9 * sheath * layers)
    if rng.random() < 0.25:
        light = 1 - light  # secondary electrons: sheaths are bright
    return np.asarray(np.clip(light, 0, 1.2), np.float32)


def _mitochondria(rng: np.random.Generator, scene: Scene, light: Field) -> Field:
    """The light with dark-rimmed long bodies with folds in cells, away from nuclei."""
    from cellpose.synthetic._kernels import paint_outlines

    d = scene.diameter
    places = np.argwhere((scene.depth > 0.1 * d) & (scene.nuclei == 0))
    n = min(300, int(rng.poisson(rng.uniform(2, 10) * len(places) / (0.785 * d**2)))) if len(places) else 0
    if n == 0:
        return light
    centres = places[rng.integers(0, len(places), n)].astype(np.float64)
    radii = d * rng.uniform(0.03, 0.08) * np.exp(rng.normal(0, 0.25, n))
    tables = outlines(rng, rng.uniform(0, np.pi, n), rng.uniform(1.0, 3.0, n), 0.1) * radii[:, None]
    bodies, level = np.zeros(scene.shape, np.int32), np.full(scene.shape, np.inf, np.float32)
    warp = np.zeros((2, *scene.shape), np.float32)
    paint_outlines(bodies, level, warp, np.arange(1, n + 1, dtype=np.int32), centres, tables, 1.0)
    inside = (bodies > 0) & (scene.depth > 0.04 * d)
    rim = np.exp(-(((level - 1) / 0.25) ** 2)) * inside
    folds = filaments(rng, scene.shape, max(3.0, 0.04 * d))
    body = inside * (rng.uniform(0.05, 0.2) + 0.12 * folds) + rng.uniform(0.1, 0.3) * rim
    return np.asarray(light - body, np.float32)
