"""Padding images with zeros to a size that the networks take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, OptionError

__all__ = ["get_pad_yx", "pad_image_ND"]


def get_pad_yx(
    Ly: int, Lx: int, div: int = 16, extra: int = 1, min_size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Pixels to add around an image so that its sides become multiples of ``div``.

    Parameters
    ----------
    Ly, Lx
        Size of the image in pixels.
    div
        The padded sides are multiples of this, plus ``extra * div``.
    extra
        Every side gets ``extra * div / 2`` pixels more at both ends.
    min_size
        ``(rows, columns)``: a side that is shorter is padded to at least this, and not to a multiple of ``div``.

    Returns
    -------
    tuple of int
        Pixels before and after along y, before and after along x.

    Raises
    ------
    OptionError
        A size or divisor below 1.

    Examples
    --------
    >>> get_pad_yx(100, 120)
    (14, 14, 12, 12)
    >>> get_pad_yx(100, 120, min_size=(256, 256))
    (78, 78, 68, 68)
    """
    if min(Ly, Lx) < 1 or div < 1 or extra < 0:
        message = f"Ly={Ly}, Lx={Lx}, div={div}, extra={extra} are not allowed; sizes and div must be at least 1"
        raise OptionError(message)
    least = (None, None) if min_size is None else min_size
    (y0, y1), (x0, x1) = (_pad_one(n, div, extra, m) for n, m in zip((Ly, Lx), least, strict=True))
    return y0, y1, x0, x1


def _pad_one(n: int, div: int, extra: int, least: int | None) -> tuple[int, int]:
    room = div * math.ceil(n / div) - n
    if least is not None and n < least:
        room = max(0, int(least) - n - extra * div)
    border = extra * div // 2
    return border + room // 2, border + room - room // 2


def pad_image_ND(
    img0: npt.ArrayLike,
    div: int = 16,
    extra: int = 1,
    min_size: tuple[int, int] | None = None,
    zpad: bool = False,
) -> tuple[Any, ...]:
    """Pad an image with zeros, evenly on both sides, so that the network can take it.

    Parameters
    ----------
    img0
        ``(..., Ly, Lx)`` with at least one axis before y and x, such as ``(C, Ly, Lx)`` or ``(Lz, C, Ly, Lx)``.
    div, extra, min_size
        As in `get_pad_yx`.
    zpad
        Pad the third axis from the end too, for arrays of four axes or more.

    Returns
    -------
    padded
        New array of the same dtype.
    ysub, xsub
        Indices of the rows and columns of the padded array that hold the image.
    zsub
        With ``zpad``, the same of the third axis from the end.

    Raises
    ------
    AxesError
        Too few axes.

    Examples
    --------
    >>> import numpy as np
    >>> padded, ysub, xsub = pad_image_ND(np.ones((2, 30, 40), np.float32))
    >>> padded.shape, bool((padded[:, ysub][:, :, xsub] == 1).all())
    ((2, 48, 64), True)
    """
    image = np.asarray(img0)
    if image.ndim < (4 if zpad else 3):
        allowed = "(Lz, C, Ly, Lx) or more" if zpad else "(C, Ly, Lx) or more"
        message = f"an image of shape {image.shape} cannot be padded with zpad={zpad}; give axes {allowed}"
        raise AxesError(message)
    y0, y1, x0, x1 = get_pad_yx(image.shape[-2], image.shape[-1], div, extra, min_size)
    pads = [(0, 0)] * (image.ndim - 2) + [(y0, y1), (x0, x1)]
    if zpad:
        pads[-3] = _pad_one(image.shape[-3], div, extra, None)
    padded = np.pad(image, pads)
    inside = tuple(np.arange(before, before + n) for (before, _), n in zip(pads, image.shape, strict=True))
    return (padded, inside[-2], inside[-1], inside[-3]) if zpad else (padded, inside[-2], inside[-1])
