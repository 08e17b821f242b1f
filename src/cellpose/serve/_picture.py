"""Planes as pictures, and their tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxisRangeError
from cellpose.serve._about import TILE

__all__ = ["colored", "image_tile", "label_tile", "span"]

Array = npt.NDArray[Any]

_SAMPLES = 1_000_000  # pixels sampled to find the span of a channel
# two channels are green and magenta; more are red, green and blue, and those after the third are hidden
_TWO = ((0, 255, 0), (255, 0, 255))
_THREE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def span(channel: Array, n_channels: int) -> tuple[float, float]:
    """The values of a channel (T, Z, Y, X) shown as black and as full brightness."""
    if channel.dtype == np.uint8 and n_channels == 3:  # a color picture stays as it is
        return 0.0, 255.0
    step = max(1, math.isqrt(channel.size // _SAMPLES))
    values = channel[..., ::step, ::step].ravel()
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (0.5, 99.8)) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def colored(plane: Array, spans: Sequence[tuple[float, float]]) -> npt.NDArray[np.uint8]:
    """A plane (Y, X, C) as a picture, uint8 (Y, X, 3)."""
    shown = [_scaled(plane[..., k], *spans[k]) for k in range(min(plane.shape[-1], 3))]
    if len(shown) == 1:
        return np.repeat(shown[0][..., None], 3, axis=-1)
    hues = np.array(_TWO if len(shown) == 2 else _THREE, np.uint16)
    mixed = np.zeros((*plane.shape[:2], 3), np.uint16)
    for channel, hue in zip(shown, hues, strict=True):
        mixed += channel[..., None] * hue // 255
    return np.minimum(mixed, 255).astype(np.uint8)


def _scaled(channel: Array, low: float, high: float) -> npt.NDArray[np.uint8]:
    share = np.nan_to_num((channel.astype(np.float32) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    bright: npt.NDArray[np.uint8] = (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)
    return bright


def _box(shape: tuple[int, ...], level: int, column: int, row: int) -> tuple[int, int, int, int]:
    """First row and column, height and width of a tile in pixels of its level.

    Raises
    ------
    AxisRangeError
        If there is no such tile.
    """
    step = 2**level if 0 <= level < 32 else 0
    height, width = (-(-side // step) if step else 0 for side in shape[:2])
    top, left = row * TILE, column * TILE
    if row < 0 or column < 0 or top >= height or left >= width:
        message = f"there is no tile {level}/{column}/{row} of an image of {shape[1]} x {shape[0]} pixels"
        raise AxisRangeError(message)
    return top, left, min(TILE, height - top), min(TILE, width - left)


def image_tile(plane: Array, spans: Sequence[tuple[float, float]], level: int, column: int, row: int) -> bytes:
    """A tile of a plane (Y, X, C) as a PNG; each pixel of a coarse level is the mean of up to four."""
    import cv2

    top, left, height, width = _box(plane.shape, level, column, row)
    stride = 2 ** max(0, level - 1)
    both = 2 if level else 1
    rows, columns = (
        slice(top * both * stride, (top + height) * both * stride, stride),
        slice(left * both * stride, (left + width) * both * stride, stride),
    )
    picture = colored(plane[rows, columns], spans)
    if level:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    if plane.shape[-1] == 1:
        picture = picture[..., 0]
    coded = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return coded[1].tobytes()


def label_tile(plane: Array, level: int, column: int, row: int) -> Array:
    """A tile of labels (Y, X), uint32, with one extra pixel on each side that repeats the edge at the border."""
    top, left, height, width = _box(plane.shape, level, column, row)
    step = 2**level
    rows = np.clip(np.arange(top - 1, top + height + 1) * step, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(left - 1, left + width + 1) * step, 0, plane.shape[1] - 1)
    part = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return part[np.ix_(rows - rows[0], columns - columns[0])].astype("<u4")
