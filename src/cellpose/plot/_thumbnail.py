"""Small pictures of images with the outlines of their cells, for reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.plot._color import image_to_rgb
from cellpose.utils import hsv_to_rgb

__all__ = ["thumbnail"]

Array = npt.NDArray[Any]

_MOST_ZOOM = 3
_HUE_STEP = 0.618034  # the golden section: neighboring numbers get colors far apart


def thumbnail(image: npt.ArrayLike, masks: npt.ArrayLike, side: int = 520) -> bytes:
    """A small picture with the outlines of the cells, as a JPEG file.

    One channel is gray, two are green and magenta, three or more red, green and blue.

    Parameters
    ----------
    image
        ``([Z,] Y, X, channels)``; of a stack the plane with most cells is taken.
    masks
        Its labels ``([Z,] Y, X)``.
    side
        Pixels along the longer side; small images are enlarged up to three times.

    Returns
    -------
    bytes
        The file.
    """
    import cv2

    labels, channels = np.asarray(masks), np.asarray(image)
    if labels.ndim == 3:
        most = int(np.argmax((labels > 0).sum(axis=(1, 2))))
        labels, channels = labels[most], channels[most]
    scale = min(_MOST_ZOOM, side / max(*labels.shape, 1))
    size = (max(1, round(labels.shape[1] * scale)), max(1, round(labels.shape[0] * scale)))
    step = max(1, int(0.5 / scale))  # for large planes only some pixels are looked at
    labels, channels = labels[::step, ::step], channels[::step, ::step]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(_colored(channels), size, interpolation=way)
    small = cv2.resize(labels.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)  # exact for any label
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # lines of two pixels are visible in small pictures
    marked = (small > 0) & (cv2.dilate(small, cross) != cv2.erode(small, cross))
    picture[marked] = _hues(small[marked].astype(np.int64))
    # full color resolution, for thin lines
    sharp = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88, *sharp])[1])


def _colored(channels: Array) -> npt.NDArray[np.uint8]:
    """One channel gray, two green and magenta, three or more as RGB."""
    n = channels.shape[-1]
    if n == 3 and channels.dtype == np.uint8:
        return np.ascontiguousarray(channels)
    gray = [image_to_rgb(channels[..., k])[..., 0] for k in range(min(n, 3))]
    order = {1: (0, 0, 0), 2: (1, 0, 1)}.get(n, (0, 1, 2))
    return np.stack([gray[k] for k in order], axis=-1)


def _hues(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    hsv = np.empty((labels.size, 3))
    hsv[:, 0], hsv[:, 1], hsv[:, 2] = labels * _HUE_STEP % 1, 0.9, 1.0
    return np.asarray(255 * np.asarray(hsv_to_rgb(hsv)), np.uint8)
