"""The range of the inputs of a U-Net's convolutions, measured on tiles that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellpose.engines._sessions import Session

__all__ = ["calibration_tiles", "largest_inputs"]

FloatArray = NDArray[np.float32]

_FILE = Path(__file__).with_name("calibration.npz")
_STEP = 17  # only every n-th number of a convolution is looked at
_CLIPS = np.linspace(0.3, 1, 29)


def calibration_tiles(channels: int) -> FloatArray:
    """Tiles (n, channels, 224, 224) of cells in many contrasts, in the public domain; float32, mostly 0 to 1."""
    with np.load(_FILE, allow_pickle=False) as found:
        low, high = float(found["low"]), float(found["high"])
        tiles = found["tiles"].astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    # An empty channel was stored as the nearest number to 0.
    tiles[np.abs(tiles) < (high - low) / 255] = 0
    return np.ascontiguousarray(np.resize(tiles.swapaxes(0, 1), (channels, *tiles[:, 0].shape)).swapaxes(0, 1))


def largest_inputs(run: Session, channels: int) -> list[float]:
    """The number at which inputs of each convolution are cut when they are rounded to 256 steps from 0.

    The one with the least mean square error of rounding and clipping: smaller numbers are rounded better where
    the rare large ones are cut.

    Parameters
    ----------
    run
        Runs a graph of the network that outputs these inputs beside its results.
    channels
        Channels of the network.
    """
    seen: list[list[FloatArray]] = []
    for tile in calibration_tiles(channels):
        # Results are outputs and styles first.
        parts = [np.append(values.ravel()[::_STEP], values.max()) for values in run(tile[None])[2:]]
        seen.append(parts)
    return [_best_cut(np.concatenate(values)) for values in zip(*seen, strict=True)]


def _best_cut(values: FloatArray) -> float:
    cuts = float(values.max()) * _CLIPS
    return float(min(cuts, key=lambda cut: _change(values, cut)))


def _change(values: FloatArray, cut: float) -> float:
    if cut <= 0:
        return 0.0
    step = cut / 255
    return float(np.square(np.minimum(np.rint(values / step), 255) * step - values).mean())
