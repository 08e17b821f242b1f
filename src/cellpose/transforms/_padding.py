"""Padding images with zeros to a size that the networks take."""

from __future__ import annotations

import math

from cellpose.errors import OptionError

__all__ = ["get_pad_yx"]


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
