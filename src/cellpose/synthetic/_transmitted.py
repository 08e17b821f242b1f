"""Transmitted light: the same phase object seen by phase contrast, by DIC and in brightfield.

All three start from the optical thickness of the scene; what differs is the operator that turns phase into light.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.synthetic._device import wall_thickness
from cellpose.synthetic._noise import Field, blur, fractal, grains, smooth_noise
from cellpose.synthetic._scene import Scene, erode, soft

__all__ = ["brightfield", "dic", "optical_thickness", "phase_contrast", "quantitative_phase"]


def optical_thickness(rng: np.random.Generator, scene: Scene, roughness: float = 1.0) -> Field:
    """Optical path through the cells in units of the mean cell's height.

    A cell is a flat sheet that ends at a step, and a hill that rises over it towards the middle; spread cells are more
    of the first, rounded ones of the second.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells and nuclei.
    roughness
        Strength of grains, vacuoles and folds; 0 for the smooth bodies of bacteria.
    """
    d = scene.diameter
    own = scene.per_cell(np.exp(rng.normal(0, 0.4, scene.n)))
    flat = rng.uniform(0.2, 0.6) if roughness > 0 else rng.uniform(0.0, 0.3)
    hill = blur(scene.rise ** np.float32(1.5), 0.04 * d) if roughness > 0.5 else scene.dome
    # sheets thin out to their edges, also to those at which cells touch
    sheet = np.clip(scene.depth / max(1.5, rng.uniform(0.02, 0.08) * d), 0, 1)
    body = (flat * sheet + (1 - flat) * hill) * own
    if roughness > 0 and rng.random() < 0.5:  # cells that hold on to each other stay thick where they touch
        hold = rng.uniform(0.0, 0.8)
        body = (1 - hold) * body + hold * soft(scene.inside, max(0.6, 0.01 * d)) * scene.inside
    body = blur(body, 0.6)  # labels end at whole pixels, cells do not
    if roughness > 0:
        body = _organelles(rng, scene, body, roughness)
    return body if scene.walls is None else body + wall_thickness(rng, scene.walls, d)


def _organelles(rng: np.random.Generator, scene: Scene, body: Field, roughness: float) -> Field:
    """The thickness with folds, nuclei and nucleoli, and grains that crowd around nuclei of some cells."""
    shape, d = scene.shape, scene.diameter
    body = body * (1 + roughness * rng.uniform(0.05, 0.25) * fractal(rng, shape, max(2.5, 0.2 * d), 4, 0.6))
    deep = scene.depth > max(1.0, 0.05 * d)
    crowd = np.clip(0.6 + 0.8 * fractal(rng, shape, max(3.0, 0.15 * d), 2), 0, None)
    if scene.nuclei.any():
        core = soft(scene.nuclei > 0, max(0.7, 0.015 * d))
        body = body + rng.uniform(-0.1, 0.15) * core
        body = body + roughness * rng.uniform(0, 0.4) * np.abs(core - blur(core, max(1.0, 0.03 * d)))
        nucleoli = grains(rng, erode(scene.nuclei > 0, 0.04 * d), rng.uniform(3, 15) / d**2, max(0.8, 0.03 * d), 0.2)
        body = body + roughness * rng.uniform(0.1, 0.4) * nucleoli
        crowd = crowd * (0.15 + 1.5 * blur(core, 0.15 * d)) * (1 - 0.9 * core)
    crowd = crowd * scene.per_cell(rng.uniform(0, 1.4, scene.n) ** 2)
    dark = grains(rng, deep, rng.uniform(40, 250) / d**2, max(0.6, rng.uniform(0.01, 0.025) * d), 0.5)
    light = grains(rng, deep, rng.uniform(5, 80) / d**2, max(0.6, 0.016 * d), 0.5)
    grain = rng.uniform(0.3, 1.2) * dark - rng.uniform(0.0, 0.8) * light
    return np.asarray(body + roughness * crowd * grain, np.float32)


def dirt(rng: np.random.Generator, scene: Scene, amount: float) -> Field:
    """Optical thickness of specks on the ground, outside of cells."""
    shape, d = scene.shape, scene.diameter
    free = scene.outside > 1.5
    small = grains(rng, free, amount * 4e-4, 0.9, 0.6)
    crumbs = (smooth_noise(rng, shape, 3.0) > 1.2) & (smooth_noise(rng, shape, max(12.0, 0.5 * d)) > 2.2 - amount * 0.5)
    return np.asarray(0.5 * small + 0.5 * soft(crumbs & free, 0.7), np.float32)


def phase_contrast(rng: np.random.Generator, scene: Scene, *, roughness: float = 1.0) -> Field:
    """Zernike phase contrast: thick is dark, a bright halo outside of edges, shade-off within wide cells.

    The ring also shifts light diffracted little, so that the image is of the phase minus its wide blur; the blur's
    width is that of the halo (F. Zernike, Physica 9, 1942, gives the principle).

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.
    roughness
        Strength of grains, vacuoles and folds; 0 for the smooth bodies of bacteria.

    Returns
    -------
    ndarray
        float32 (Y, X): light, 0.4 in the background.
    """
    d = scene.diameter
    phase = optical_thickness(rng, scene, roughness)
    amount = rng.uniform(0, 1.5) if roughness > 0 else rng.uniform(0, 0.4)
    phase = phase + rng.uniform(0.3, 1.0) * dirt(rng, scene, amount)
    shine = np.zeros(scene.shape, np.float32)
    if roughness > 0.5 and rng.random() < 0.6:
        phase, shine = _round_up(rng, scene, phase)
    halo, near = max(1.1, d * rng.uniform(0.02, 0.06)), rng.uniform(0.5, 0.85)
    wide = near * blur(phase, halo) + (rng.uniform(0.9, 1.2) - near) * blur(phase, 4 * halo)
    relief = wide - phase
    relief = _to_contrast(scene, relief + rng.uniform(0.2, 1.5) * np.clip(relief, 0, None), rng.uniform(0.05, 0.22))
    light = 0.4 + relief + shine + rng.uniform(0.0, 0.01) * smooth_noise(rng, scene.shape, max(30.0, d))
    if roughness > 0 and rng.random() < 0.5:
        light = light + _seams(rng, scene)
    if rng.random() < 0.3:
        light = light + _floating(rng, scene)
    return np.asarray(light, np.float32)


def _to_contrast(scene: Scene, relief: npt.NDArray[Any], contrast: float) -> Field:
    """The relief scaled so that its root mean square over cells is ``contrast``, whatever the walls are like."""
    own = relief if scene.walls is None else np.where(scene.outside < 0.2 * scene.diameter, relief, 0)
    power = float((own**2).sum()) / max(1, int(scene.inside.sum()))
    return np.asarray(relief * (contrast / (np.sqrt(power) + 1e-6)), np.float32)


def _seams(rng: np.random.Generator, scene: Scene) -> Field:
    """Lines where cells touch, mostly bright and often broken: their membranes stand upright there."""
    width = max(0.7, scene.diameter * rng.uniform(0.01, 0.03))
    line = np.exp(-((np.maximum(scene.depth - 0.5, 0) / width) ** 2)) * scene.inside * (blur(scene.inside, 1.5) > 0.95)
    broken = np.clip(0.6 + 0.6 * smooth_noise(rng, scene.shape, max(4.0, 0.4 * scene.diameter)), 0, None)
    return np.asarray(rng.uniform(-0.06, 0.2) * line * broken, np.float32)


def _floating(rng: np.random.Generator, scene: Scene) -> Field:
    """Rings of light around cells and debris that float far above the focus; nobody would outline them."""
    height, width = scene.shape
    y, x = np.ogrid[:height, :width]
    rings = np.zeros(scene.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), scene.diameter * rng.uniform(0.15, 0.5)
        distance = np.sqrt((y - cy) ** 2 + (x - cx) ** 2).astype(np.float32) / np.float32(radius)
        rings += rng.uniform(0.02, 0.08) * np.cos(rng.uniform(3, 9) * distance) * np.exp(-(distance**2))
    return np.asarray(rings * (1 - soft(scene.inside, 2.0)), np.float32)


def _round_up(rng: np.random.Generator, scene: Scene, phase: Field) -> tuple[Field, Field]:
    """Some compact cells as bright balls with a dark ring, as before division: their phase, and the light they add.

    They turn the phase by more than half a wave.
    """
    d = scene.diameter
    share = rng.uniform(0.5, 1.0) if rng.random() < 0.2 else rng.uniform(0.05, 0.4)
    compact = (scene.cells.elongation < 2.0) & (rng.random(scene.n) < share)
    which = scene.per_cell(compact)
    ring = which * np.exp(-(((scene.depth - 0.06 * d) / max(1.0, 0.05 * d)) ** 2))
    middle = which * scene.rise**2
    halo = blur(which, 0.06 * d) * (which == 0)
    shine = rng.uniform(0.1, 0.5) * blur(middle, 0.03 * d) + rng.uniform(0.3, 0.9) * halo
    return np.asarray(phase + rng.uniform(0.3, 0.8) * blur(ring, 0.6), np.float32), np.asarray(shine, np.float32)


def dic(rng: np.random.Generator, scene: Scene) -> Field:
    """Differential interference contrast: the slope of the optical thickness along the shear, lit from one side.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.

    Returns
    -------
    ndarray
        float32 (Y, X): light, 0.45 in the background.
    """
    d = scene.diameter
    phase = optical_thickness(rng, scene, rng.uniform(0.3, 0.9))
    phase = blur(phase + 0.3 * dirt(rng, scene, rng.uniform(0, 1)), max(0.7, 0.012 * d))
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.sin(angle) * cv2.Sobel(phase, cv2.CV_32F, 0, 1, scale=0.25)
    slope = slope + np.cos(angle) * cv2.Sobel(phase, cv2.CV_32F, 1, 0, scale=0.25)
    light = 0.45 + rng.uniform(0.1, 0.25) * np.tanh(_to_contrast(scene, slope, 0.5))
    light = light + rng.uniform(-0.02, 0.03) * scene.rise
    return np.asarray(light + rng.uniform(0, 0.015) * smooth_noise(rng, scene.shape, 40.0), np.float32)


def brightfield(rng: np.random.Generator, scene: Scene, *, roughness: float = 1.0) -> Field:
    """Brightfield a little out of focus: light changes with the curvature of the phase, and some is absorbed.

    After the transport-of-intensity equation the change is ``-z`` times the Laplacian of the phase; differences of
    Gaussians stand for Laplacians at two widths of the fringes.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.
    roughness
        Strength of grains, vacuoles and folds; 0 for the smooth bodies of bacteria.

    Returns
    -------
    ndarray
        float32 (Y, X): light, 0.55 in the background.
    """
    d = scene.diameter
    phase = optical_thickness(rng, scene, roughness) + 0.4 * dirt(rng, scene, rng.uniform(0, 1))
    fringe = max(0.8, d * rng.uniform(0.01, 0.06))
    fine = blur(phase, fringe) - blur(phase, 1.6 * fringe)
    # far from the focus a second fringe follows the first, light where that is dark
    coarse = blur(phase, 2 * fringe) - blur(phase, 3.5 * fringe)
    # cells are lenses too: their middles are lighter on one side of the focus, darker on the other
    lens = rng.uniform(-0.1, 0.12) * rng.random() * phase
    relief = fine + rng.uniform(-0.6, 0.6) * coarse - lens
    light = 0.55 + rng.choice([-1.0, 1.0]) * _to_contrast(scene, relief, rng.uniform(0.06, 0.16))
    return np.asarray(light + rng.uniform(0, 0.008) * smooth_noise(rng, scene.shape, 40.0), np.float32)


def quantitative_phase(rng: np.random.Generator, scene: Scene) -> Field:
    """The optical thickness itself, as phase imaging measures it: bright cells, nuclei brighter, speckled ground.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.

    Returns
    -------
    ndarray
        float32 (Y, X): light, 0.05 to 0.35 in the background.
    """
    shape, d = scene.shape, scene.diameter
    phase = optical_thickness(rng, scene, rng.uniform(0.3, 1.0))
    if scene.nuclei.any():
        phase = phase + rng.uniform(0, 0.5) * soft(scene.nuclei > 0, max(0.7, 0.04 * d))
    phase = blur(phase + 0.3 * dirt(rng, scene, rng.uniform(0, 1)), max(0.5, rng.uniform(0.005, 0.03) * d))
    if rng.random() < 0.5:  # partly coherent light loses what is wide, which leaves a dark halo
        phase = phase - rng.uniform(0.1, 0.6) * blur(phase, rng.uniform(0.3, 1.0) * d)
    ground = rng.uniform(0, 0.04) * smooth_noise(rng, shape, rng.uniform(1, 4) * d)
    ground = ground + rng.uniform(0, 0.03) * fractal(rng, shape, rng.uniform(2, 8), 3)
    if rng.random() < 0.25:  # fringes that were not taken out
        y, x = np.ogrid[: shape[0], : shape[1]]
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 60)
        waves = np.sin(2 * np.pi / period * (np.sin(angle) * y + np.cos(angle) * x))
        ground = ground + rng.uniform(0, 0.03) * waves
    high = max(1e-3, float(np.percentile(phase[scene.inside], 98))) if scene.inside.any() else 1.0
    return np.asarray(rng.uniform(0.05, 0.35) + rng.uniform(0.25, 0.6) * phase / high + ground, np.float32)
