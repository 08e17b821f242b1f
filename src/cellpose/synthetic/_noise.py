"""Random fields: smooth noise of any scale, sums of scales, filaments, scattered grains."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Field", "blur", "filaments", "fractal", "grains", "smooth_noise"]

Field = npt.NDArray[np.float32]


def blur(image: npt.NDArray[Any], sigma: float) -> Field:
    """Gaussian blur of a plane or of planes as the last axis; ``sigma`` in pixels, below 0.1 nothing is done."""
    plane = np.ascontiguousarray(image, np.float32)
    if sigma < 0.1:
        return plane
    if sigma > 6:  # wide blurs hold no detail: computed on a smaller plane
        factor = sigma / 3
        height, width = plane.shape[:2]
        side = (max(4, round(width / factor)), max(4, round(height / factor)))
        small = cv2.resize(plane, side, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma * side[0] / width)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Gaussian random field of mean 0 and deviation 1 whose grains are about ``scale`` pixels wide."""
    height, width = shape
    if scale < 2.5:
        field = rng.standard_normal(shape, np.float32)
        if scale > 0.7:
            field = cv2.GaussianBlur(field, (0, 0), scale / 2)
    else:
        step = scale / 2
        grid = rng.standard_normal((int(height / step) + 4, int(width / step) + 4), np.float32)
        grid = cv2.GaussianBlur(grid, (0, 0), 1.0)
        y, x = rng.uniform(0, 1, 2)
        move = np.array([[1 / step, 0, 1 + x], [0, 1 / step, 1 + y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        field = cv2.warpAffine(grid, move, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    mean, deviation = cv2.meanStdDev(field)
    return np.asarray((field - float(mean[0, 0])) * (1 / (float(deviation[0, 0]) + 1e-6)), np.float32)


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, octaves: int = 3, gain: float = 0.6
) -> Field:
    """Sum of noise of ``scale``, half of it and so on, each ``gain`` times weaker; deviation about 1."""
    total = smooth_noise(rng, shape, scale)
    weight, power = 1.0, 1.0
    for octave in range(1, octaves):
        if scale / 2**octave < 0.5:
            break
        weight *= gain
        power += weight**2
        total += weight * smooth_noise(rng, shape, scale / 2**octave)
    return np.asarray(total * (1 / np.sqrt(power)), np.float32)


def filaments(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """A mesh of thin bright lines 0..1, ``scale`` pixels apart: where smooth noise changes its sign."""
    lines = 1 - np.abs(smooth_noise(rng, shape, scale)) * 2.5
    more = 1 - np.abs(smooth_noise(rng, shape, scale * 0.6)) * 2.5
    return np.asarray(np.clip(np.maximum(lines, more), 0, 1) ** 2, np.float32)


def grains(
    rng: np.random.Generator, where: npt.NDArray[np.bool_], density: float, radius: float, spread: float = 0.5
) -> Field:
    """Small round spots of height about 1 at random pixels of ``where``, ``density`` per pixel, ``radius`` in pixels.

    Their heights differ by a factor ``exp(spread)``.
    """
    spots = np.zeros(where.shape, np.float32)
    inside = np.flatnonzero(where)
    count = int(rng.poisson(min(density, 0.5) * len(inside))) if len(inside) else 0
    if count == 0:
        return spots
    places = inside[rng.integers(0, len(inside), count)]
    spots.ravel()[places] = np.exp(rng.normal(0, spread, count))
    sigma = max(0.4, radius * 0.7)
    # the blurred peak of one pixel is 1 / (2 pi sigma^2)
    return np.asarray(blur(spots, sigma) * np.float32(2 * np.pi * sigma**2), np.float32)
