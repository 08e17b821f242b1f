"""Results from an enlarged image, brought back to the size of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellpose import transforms

__all__ = ["at_image_size"]

Array = NDArray[Any]


def at_image_size(masks: Array, size: Sequence[int], flows: Sequence[Array] = ()) -> tuple[Array, list[Array]]:
    """Masks and flows of an enlarged image at another size, that of the image.

    Parameters
    ----------
    masks
        Labels (..., Y, X); each pixel takes the label that is nearest, so that cells keep their numbers.
    size
        ``(Y, X)`` in pixels.
    flows
        ``[colors, flows, cell probability]`` as ``eval`` gives them, (..., Y, X, 3), (axis, ..., Y, X), (..., Y, X);
        or none.

    Returns
    -------
    masks, flows
        The same at this size; flows are interpolated, and point as before.

    Examples
    --------
    >>> labels = np.repeat(np.repeat([[1, 0], [0, 2]], 3, axis=0), 3, axis=1)
    >>> at_image_size(labels, (2, 2))[0]
    array([[1, 0],
           [0, 2]])
    """
    small = _resized(masks, size, cv2.INTER_NEAREST)
    colors, vectors = [_resized(flow, size, channels=True) for flow in flows[:1]], flows[1:]
    return small, colors + [_resized(flow, size) for flow in vectors]


def _resized(array: Array, size: Sequence[int], how: int = cv2.INTER_LINEAR, *, channels: bool = False) -> Array:
    """An array (..., Y, X) or, with ``channels``, (..., Y, X, channel) with planes of another size."""
    before = array.ndim - 2 - channels
    planes = array.reshape(-1, *array.shape[before:])
    out = np.empty((len(planes), *size, *planes.shape[3:]), array.dtype)
    for to, plane in zip(out, planes, strict=True):
        to[...] = transforms.resize_safe(plane, size[0], size[1], how)
    return out.reshape(*array.shape[:before], *out.shape[1:])
