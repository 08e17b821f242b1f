"""Transmitted light: the same phase object seen by phase contrast, by DIC and in brightfield.

All three start from the optical thickness of the scene; what differs is the operator that turns phase into light.
"""

from __future__ import annotations

import cv2
import numpy as np

from cellpose.synthetic._noise import Field, blur, fractal, grains, smooth_noise
from cellpose.synthetic._scene import Scene, soft

__all__ = ["brightfield", "dic", "optical_thickness", "phase_contrast"]


def optical_thickness(rng: np.random.Generator, scene: Scene, roughness: float = 1.0) -> Field:
    """Optical path through the cells in units of the mean cell's height.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells and nuclei.
    roughness
        Strength of grains, vacuoles and folds; 0 for the smooth bodies of bacteria.
    """
    shape, d = scene.shape, scene.diameter
    own = scene.per_cell(np.exp(rng.normal(0, 0.2, scene.n)))
    thick = scene.dome ** np.float32(rng.uniform(0.6, 1.2))
    # spread cells are highest around the nucleus
    hill = blur(scene.dome, 0.12 * d)
    body = blur(0.5 * thick + 0.5 * hill * scene.inside, max(0.5, 0.015 * d)) * own
    if roughness > 0:
        folds = fractal(rng, shape, max(2.5, 0.25 * d), 4, 0.75)
        body = body * (1 + roughness * rng.uniform(0.05, 0.25) * folds)
        deep = scene.depth > 0.07 * d
        if scene.nuclei.any():
            core = soft(scene.nuclei > 0, max(0.8, 0.02 * d))
            body = body + rng.uniform(-0.15, 0.2) * core
            rim = np.abs(core - blur(core, max(1.0, 0.03 * d)))
            body = body + roughness * rng.uniform(0, 0.5) * rim
            nucleoli = grains(rng, scene.nuclei > 0, rng.uniform(4, 20) / d**2, max(0.8, 0.035 * d), 0.2)
            body = body + roughness * rng.uniform(0.1, 0.4) * nucleoli
            deep &= blur(core, 0.12 * d) > 0.08  # organelles lie around the nucleus
            deep &= core < 0.5
        dark = grains(rng, deep, rng.uniform(10, 90) / d**2, max(0.6, 0.014 * d), 0.5)
        light = grains(rng, deep, rng.uniform(3, 40) / d**2, max(0.7, 0.02 * d), 0.5)
        body = body + roughness * (rng.uniform(0.1, 0.6) * dark - rng.uniform(0.0, 0.35) * light)
    return np.asarray(body, np.float32)


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
    width is that of the halo.
    """
    d = scene.diameter
    phase = optical_thickness(rng, scene, roughness)
    amount = rng.uniform(0, 1.5) if roughness > 0 else rng.uniform(0, 0.4)
    phase = phase + rng.uniform(0.3, 1.0) * dirt(rng, scene, amount)
    phase, rounded = _round_up(rng, scene, phase, roughness)
    halo = max(1.5, d * rng.uniform(0.08, 0.25))
    wide = 0.6 * blur(phase, halo) + 0.4 * blur(phase, halo / 3)
    strength = rng.uniform(0.25, 0.6)
    light = 0.45 - strength * (phase - rng.uniform(0.85, 1.15) * wide)
    # cells that round up turn phase by more than half a wave: they shine
    light = light + rounded
    if rng.random() < 0.5:
        light = light + rng.uniform(0.01, 0.03) * smooth_noise(rng, scene.shape, max(30.0, d))
    return np.asarray(light, np.float32)


def _round_up(rng: np.random.Generator, scene: Scene, phase: Field, roughness: float) -> tuple[Field, Field]:
    """Some cells as bright balls with a dark ring, as before division: their phase, and the light they add."""
    nothing = np.zeros(scene.shape, np.float32)
    if roughness == 0 or scene.n == 0 or rng.random() < 0.5:
        return phase, nothing
    compact = scene.cells.elongation < 1.6
    which = scene.per_cell(compact & (rng.random(scene.n) < rng.uniform(0.05, 0.5)))
    ball = which * scene.dome
    ring = blur(which * np.exp(-((scene.depth / max(1.0, 0.06 * scene.diameter)) ** 2)), 0.7)
    shine = blur(ball**3, max(0.6, 0.03 * scene.diameter))
    halo = blur(which, 0.07 * scene.diameter) * (which == 0)
    return phase + np.float32(0.5) * ring, np.asarray(
        rng.uniform(0.2, 0.7) * shine + rng.uniform(0.3, 0.8) * halo, np.float32
    )


def dic(rng: np.random.Generator, scene: Scene) -> Field:
    """Differential interference contrast: the slope of the optical thickness along the shear, lit from one side."""
    d = scene.diameter
    phase = optical_thickness(rng, scene, rng.uniform(0.5, 1.5)) * max(1.0, 0.3 * d)
    phase = phase + 0.3 * dirt(rng, scene, rng.uniform(0, 1))
    angle = rng.uniform(0, 2 * np.pi)
    smooth = blur(phase, rng.uniform(0.6, 1.2))
    slope = np.sin(angle) * cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.25) + np.cos(angle) * cv2.Sobel(
        smooth, cv2.CV_32F, 1, 0, scale=0.25
    )
    scale = float(np.abs(slope).mean() / max(1e-3, float((scene.labels > 0).mean()))) + 1e-3
    light = 0.45 + rng.uniform(0.08, 0.2) * np.tanh(slope / scale / 1.5)
    light = light + rng.uniform(0, 0.03) * scene.dome
    return np.asarray(light + rng.uniform(0, 0.02) * smooth_noise(rng, scene.shape, 40.0), np.float32)


def brightfield(rng: np.random.Generator, scene: Scene, *, roughness: float = 1.0) -> Field:
    """Brightfield a little out of focus: light changes with the curvature of the phase, and some is absorbed.

    After the transport-of-intensity equation the change is ``-z`` times the Laplacian of the phase; differences of
    Gaussians stand for Laplacians at two widths of the fringes.
    """
    d = scene.diameter
    phase = optical_thickness(rng, scene, roughness) + 0.4 * dirt(rng, scene, rng.uniform(0, 1))
    fringe = max(0.9, d * rng.uniform(0.015, 0.06))
    fine = blur(phase, fringe) - blur(phase, 1.6 * fringe)
    coarse = blur(phase, 2 * fringe) - blur(phase, 3.5 * fringe)
    defocus = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.8)
    light = 0.6 + defocus * (fine + 0.7 * coarse) - rng.uniform(0.0, 0.12) * phase
    return np.asarray(light + rng.uniform(0, 0.02) * smooth_noise(rng, scene.shape, 40.0), np.float32)
