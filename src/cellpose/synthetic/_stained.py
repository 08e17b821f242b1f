"""Sections: stained tissue in colour, and cells in the electron microscope."""

from __future__ import annotations

import numpy as np

from cellpose.synthetic._noise import Field, blur, filaments, fractal, grains, smooth_noise
from cellpose.synthetic._scene import Scene, soft

__all__ = ["electron", "stained_tissue"]


def stained_tissue(rng: np.random.Generator, scene: Scene) -> Field:
    """Tissue stained as with haematoxylin and eosin, (3, Y, X) red, green, blue; the labels are of the nuclei.

    Stains absorb after Beer and Lambert: light is ``exp(-sum of concentration times absorbance)``.
    """
    shape, d = scene.shape, scene.diameter
    own = scene.per_cell(np.exp(rng.normal(0, rng.uniform(0.15, 0.4), scene.n)))
    chromatin = np.clip(1 + rng.uniform(0.1, 0.4) * fractal(rng, shape, max(1.5, 0.3 * d), 4, 0.8), 0.2, None)
    edge = np.exp(-(((scene.depth - 1) / max(0.8, 0.06 * d)) ** 2)) * scene.inside
    blue = own * scene.inside * (chromatin + rng.uniform(0, 0.5) * edge) * rng.uniform(0.5, 1.2)
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
    """A thin section in the electron microscope: dark membranes and sheaths, organelles in grey grain."""
    shape, d = scene.shape, scene.diameter
    grey = rng.uniform(0.55, 0.8)
    own = scene.per_cell(rng.normal(0, 0.05, scene.n))
    inner = grey + own + rng.uniform(0.04, 0.1) * fractal(rng, shape, max(2.0, 0.08 * d), 4, 1.0)
    inner = inner - rng.uniform(0, 0.4) * grains(
        rng, scene.inside, rng.uniform(0.01, 0.06), 0.7
    )  # ribosomes, filaments
    outer = rng.uniform(0.25, 0.75) + 0.06 * fractal(rng, shape, max(2.0, 0.3 * d), 4, 0.8)
    light = np.where(scene.inside, inner, outer)
    thin = max(0.7, 0.012 * d)
    wall = np.exp(-((np.maximum(scene.depth - 0.5, 0) / thin) ** 2)) * scene.inside
    wall = wall + np.exp(-((scene.outside / thin) ** 2)) * ~scene.inside
    light = light * (1 - rng.uniform(0.4, 0.8) * np.clip(wall, 0, 1))
    organelles = grains(
        rng, scene.depth > 0.1 * d, rng.uniform(2, 20) / d**2, max(1.2, rng.uniform(0.03, 0.07) * d), 0.2
    )
    spots = np.clip(organelles, 0, 1)
    light = light - rng.uniform(0.15, 0.35) * spots
    light = light + rng.uniform(0, 0.2) * np.clip(spots - blur(spots, 1.5), 0, 1)
    if scene.nuclei.any():
        core = soft(scene.nuclei > 0, 1.0)
        rim = np.clip(core - blur(core, max(1.5, 0.02 * d)), 0, 1) * 3
        clumps = fractal(rng, shape, max(3.0, 0.1 * d), 3, 0.7) > 0.7
        light = light - core * 0.12 * soft(clumps, 1.0) - 0.15 * rim + 0.04 * core
    if rng.random() < 0.6:  # sheaths of myelin around cells
        width = max(1.5, d * rng.uniform(0.06, 0.3))
        sheath = np.clip(1.5 - scene.outside / width, 0, 1) * ~scene.inside
        rings = 1 + 0.15 * np.sin(scene.outside * 2.2)
        light = light * (1 - 0.85 * sheath * rings)
    if rng.random() < 0.25:
        light = 1 - light  # secondary electrons: sheaths are bright
    return np.asarray(np.clip(light, 0, 1.2), np.float32)
