"""Colors between RGB and HSV."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose.errors import InputError

__all__ = ["hsv_to_rgb", "rgb_to_hsv"]


def _three_channels(arr: ArrayLike, space: str) -> NDArray[Any]:
    array = np.asarray(arr)
    if array.ndim == 0 or array.shape[-1] != 3:
        message = f"arr has shape {array.shape}; the last axis must hold the three channels of {space}"
        raise InputError(message)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def rgb_to_hsv(arr: ArrayLike) -> NDArray[Any]:
    """Hue, saturation and value of RGB colors.

    Parameters
    ----------
    arr
        Colors (..., 3), red, green, blue in [0, 1].

    Returns
    -------
    ndarray
        Same shape, float; hue, saturation and value in [0, 1] (Smith 1978, the hexcone model).

    Raises
    ------
    InputError
        If the last axis is not of length 3.

    Examples
    --------
    >>> rgb_to_hsv([0.0, 1.0, 0.0]).round(4).tolist()
    [0.3333, 1.0, 1.0]
    """
    rgb = _three_channels(arr, "RGB")
    high, low = rgb.max(axis=-1), rgb.min(axis=-1)
    spread = high - low
    colored = spread > 0
    safe = np.where(colored, spread, 1)
    r, g, b = ((high - rgb[..., k]) / safe for k in range(3))
    sector = np.where(rgb[..., 0] == high, b - g, np.where(rgb[..., 1] == high, 2 + r - b, 4 + g - r))
    hue = np.where(colored, (sector / 6) % 1, 0)
    saturation = np.where(colored, spread / np.where(colored, high, 1), 0)
    return np.stack([hue, saturation, high], axis=-1).astype(rgb.dtype, copy=False)


def hsv_to_rgb(arr: ArrayLike) -> NDArray[Any]:
    """RGB of colors given by hue, saturation and value.

    Parameters
    ----------
    arr
        Colors (..., 3), hue, saturation and value in [0, 1].

    Returns
    -------
    ndarray
        Same shape, float; red, green, blue in [0, 1] (Smith 1978, the hexcone model).

    Raises
    ------
    InputError
        If the last axis is not of length 3.

    Examples
    --------
    >>> hsv_to_rgb([0.5, 1.0, 0.25]).tolist()
    [0.0, 0.25, 0.25]
    """
    hsv = _three_channels(arr, "HSV")
    h, s, v = (hsv[..., k] for k in range(3))
    sector = np.trunc(h * 6)
    f = h * 6 - sector
    p, q, t = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    choice = sector.astype(np.int64) % 6
    r = np.choose(choice, [v, q, p, p, t, v])
    g = np.choose(choice, [t, v, v, q, p, p])
    b = np.choose(choice, [p, p, t, v, v, q])
    return np.stack([r, g, b], axis=-1).astype(hsv.dtype, copy=False)
