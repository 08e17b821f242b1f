"""Compiled loops of the colors."""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled

_HALF, _ROOT = 0.5, 3**0.5 / 2  # cosine of a third of a turn with its sign changed, and its sine


@compiled
def lengths(start, stop, flows, out):
    """Lengths of a slice of the vectors ``(component, pixel)``."""
    for i in range(start, stop):
        total = flows[0, i] * flows[0, i]
        for c in range(1, flows.shape[0]):
            total += flows[c, i] * flows[c, i]
        out[i] = np.sqrt(total)


@compiled
def colors(start, stop, flows, length, low, scale, out):
    """Colors of a slice of the vectors: brightness ``(length - low) / scale``, the direction of the first two as hue.

    The three colors are the cosines of the angle and of those a third of a turn on, plus 1. The angle itself is not
    needed: cosine and sine of half a turn and the angle are the components over the length, with the sign changed.
    """
    for i in range(start, stop):
        value = (length[i] - low) / scale
        if not value > 0:  # nor for what is no number
            out[i, 0] = out[i, 1] = out[i, 2] = 0
            continue
        brightness = 127.5 * min(value, np.float32(1))
        first, second = float(flows[0, i]), float(flows[1, i])
        norm = np.sqrt(first * first + second * second)
        if norm > 0:
            cosine, sine = -first / norm, -second / norm
        else:
            cosine, sine = -np.copysign(1.0, first), 0.0
        out[i, 0] = np.uint8(brightness * (cosine + 1))
        out[i, 1] = np.uint8(brightness * (1 - _HALF * cosine - _ROOT * sine))
        out[i, 2] = np.uint8(brightness * (1 - _HALF * cosine + _ROOT * sine))
