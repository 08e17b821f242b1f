"""From light to pixels: blur, uneven illumination, noise of photons and camera, saturation, 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellpose.synthetic._noise import Field, blur, smooth_noise
from cellpose.synthetic._population import check_limits

__all__ = ["Optics", "expose"]

_LIMITS = {
    "blur": (0.0, 50.0), "shading": (0.0, 1.0), "photons": (1.0, 1e9), "read_noise": (0.0, 1.0),
    "offset": (0.0, 0.9), "gain": (0.01, 100.0), "grain": (0.0, 10.0), "bits": (2, 16),
}  # fmt: skip


@dataclass(frozen=True)
class Optics:
    """Microscope and camera.

    Attributes
    ----------
    blur
        Standard deviation of the point spread in pixels.
    shading
        Relative change of the illumination over the field of view.
    photons
        Photons that make a pixel of brightness 1; fewer are noisier.
    read_noise
        Standard deviation of the camera's own noise.
    offset
        Brightness of a pixel without light.
    gain
        Brightness is multiplied by this; what exceeds 1 is saturated.
    grain
        Width in pixels of the noise where it is not of single pixels (compression, interpolation); 0 for none.
    bits
        Depth of the pixels.
    """

    blur: float = 0.8
    shading: float = 0.1
    photons: float = 1000.0
    read_noise: float = 0.005
    offset: float = 0.02
    gain: float = 1.0
    grain: float = 0.0
    bits: int = 8

    def __post_init__(self) -> None:
        check_limits(self, _LIMITS)


def expose(rng: np.random.Generator, light: Field, optics: Optics) -> Field:
    """Pixels of the light that reaches the objective.

    Poisson noise is drawn as Gaussian noise of the same variance, which differs below ten photons only.

    Parameters
    ----------
    rng
        Source of all chance.
    light
        float32 (C, Y, X), 1 for the brightest that the camera takes at gain 1. A channel of zeros stays one.
    optics
        Microscope and camera.

    Returns
    -------
    ndarray
        float32 (C, Y, X), 0..1.
    """
    shape = (light.shape[1], light.shape[2])
    shade = np.ones(shape, np.float32)
    if optics.shading > 0.01:
        shade = shade + np.float32(optics.shading) * illumination(rng, shape)
    out = np.empty_like(light, dtype=np.float32)
    levels = np.float32(2**optics.bits - 1)
    for channel, plane in enumerate(light):
        if not plane.any():
            out[channel] = 0
            continue
        pixels = blur(plane, optics.blur) * shade
        pixels *= np.float32(optics.gain)
        np.clip(pixels, 0, None, out=pixels)
        noise = rng.standard_normal(shape, np.float32)
        if optics.grain > 0.3:
            # blurred noise of the same deviation
            noise = blur(noise, optics.grain) * np.float32(2 * np.sqrt(np.pi) * optics.grain)
        deviation = np.sqrt(pixels * np.float32(1 / optics.photons) + np.float32(optics.read_noise**2))
        pixels += deviation * noise + np.float32(optics.offset)
        np.clip(pixels, 0, 1, out=pixels)
        out[channel] = np.rint(pixels * levels) / levels
    return out


def illumination(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Smooth change of the illumination over the plane, about -1..1: a slope, a vignette, wide waves."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    a, b, c = rng.normal(0, 0.5, 3)
    field = np.float32(a) * y + np.float32(b) * x - np.float32(abs(c)) * (y * y + x * x)
    waves = smooth_noise(rng, shape, max(shape) / 2)
    return np.asarray(np.clip(field + 0.4 * waves, -1.5, 1.5), np.float32)
