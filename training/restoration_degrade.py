"""How clean images become the degraded ones from which the restoration model learns: optics, sampling, camera."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray

#: Share of the crops that get each kind of degradation.
KINDS: dict[str, float] = {"none": 0.12, "noise": 0.23, "blur": 0.14, "undersampled": 0.18, "all": 0.33}
# Part of the crops whose light is uneven, that have stripes, and hot pixels, beside their kind.
UNEVEN, STRIPES, HOT = 0.12, 0.08, 0.08
# Width of the blur in pixels where cells have a diameter of 30.
WIDTHS = (0.5, 4.5)
FACTORS = (2, 3, 4)
# Photons at intensity 1: the published gamma distributions reach from about 2 to 130.
PHOTONS = (1.5, 120.0)


def gaussian(image: Array, sigma_y: float, sigma_x: float) -> Array:
    """Gaussian blur with its own width along each axis."""
    return cv2.GaussianBlur(image, (0, 0), sigmaX=max(sigma_x, 0.05), sigmaY=max(sigma_y, 0.05))


def defocus(image: Array, radius: float) -> Array:
    """Blur by an even disc, as out of focus."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1).astype(np.float32)
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)


def undersample(image: Array, factor: int, *, binned: bool) -> Array:
    """Every factor-th pixel, or means of factor x factor pixels."""
    if not binned:
        return np.ascontiguousarray(image[factor // 2 :: factor, factor // 2 :: factor])
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def enlarged(image: Array, shape: tuple[int, int]) -> Array:
    """The image at another size, linear."""
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)


def uneven_light(rng: np.random.Generator, image: Array) -> Array:
    """Light that falls off to a side or a corner, and a background that rises to another."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape)
    (a, b, c), (d, e) = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 2)
    light = 1 - rng.uniform(0.1, 0.35) * (1 + a * y[:, None] + b * x[None] + c * y[:, None] * x[None])
    return image * np.clip(light, 0.15, None) + rng.uniform(0, 0.15) * (2 + d * y[:, None] + e * x[None])


def camera(rng: np.random.Generator, image: Array, photons: float) -> Array:
    """Photon noise, and the noise of reading out."""
    photons_seen = rng.poisson(np.maximum(image + rng.uniform(0, 0.25), 0) * photons)
    noisy = photons_seen.astype(np.float32) / np.float32(photons)
    if rng.random() < 0.4:
        noisy = noisy + rng.normal(0, rng.uniform(0.01, 0.25), noisy.shape)
    return noisy.astype(np.float32)


def stripes(rng: np.random.Generator, image: Array) -> Array:
    """Lines of the image, along one axis, that are brighter or darker than others."""
    axis = int(rng.integers(2))
    lines = rng.normal(0, rng.uniform(0.02, 0.15), image.shape[axis]).astype(np.float32)
    return image + (lines[:, None] if axis == 0 else lines[None])


def hot_pixels(rng: np.random.Generator, image: Array) -> Array:
    """Single pixels that are always bright, or dead."""
    places = rng.random(image.shape)
    part = rng.uniform(0.0005, 0.01)
    image = np.where(places < part, rng.uniform(0.8, 3.0, image.shape), image)
    return np.where(places > 1 - part / 4, 0, image).astype(np.float32)


def degrade(rng: np.random.Generator, clean: Array, diameter: float) -> Array:
    """A clean plane (y, x), about 0 to 1, as bad optics and cameras would show it; float32 of the same size.

    Parameters
    ----------
    rng
        Source of all that is random.
    clean
        float32 (y, x).
    diameter
        Of its cells, in pixels: blur is drawn in proportion.
    """
    kind = list(KINDS)[rng.choice(len(KINDS), p=list(KINDS.values()))]
    image = np.maximum(clean, 0)
    if rng.random() < UNEVEN and kind != "none":
        image = uneven_light(rng, image)
    if kind in ("blur", "all", "undersampled"):
        top = WIDTHS[1] * (1.0 if kind == "blur" else 0.6)
        width = np.exp(rng.uniform(np.log(WIDTHS[0]), np.log(top))) * np.clip(diameter / 30, 0.4, 2.0)
        shape = rng.random()
        if shape < 0.55:
            image = gaussian(image, width, width)
        elif shape < 0.8:
            image = defocus(image, 2 * width)
        else:
            image = gaussian(image, width, width * rng.uniform(0.1, 0.6))
    small = image
    if kind == "undersampled" or (kind == "all" and rng.random() < 0.75):
        small = undersample(image, int(rng.choice(FACTORS)), binned=bool(rng.random() < 0.6))
    if kind in ("noise", "all") or (kind in ("blur", "undersampled") and rng.random() < 0.5):
        low = PHOTONS[0] if kind == "noise" else 2 * PHOTONS[0]
        small = camera(rng, small, float(np.exp(rng.uniform(np.log(low), np.log(PHOTONS[1])))))
    if kind != "none" and rng.random() < STRIPES:
        small = stripes(rng, small)
    if kind != "none" and rng.random() < HOT:
        small = hot_pixels(rng, small)
    return enlarged(small, clean.shape) if small.shape != clean.shape else small
