"""Converting the path of a pen to pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import EditRefusedError
from cellpose.gui._texts import tr
from cellpose.gui.model._box import Box, Mask, hull

__all__ = ["FEWEST_POINTS", "disk", "outlined", "painted", "painted_through"]

FEWEST_POINTS = 9  # minimum for a stroke that outlines a cell

Points = npt.NDArray[Any]


def outlined(points: Points, shape: tuple[int, ...], plane: int = 0) -> tuple[Box, Mask]:
    """The pixels enclosed by a closed stroke, including those under the stroke.

    Parameters
    ----------
    points
        Path (n, 2), y and x in pixels; the last point is connected to the first.
    shape
        Shape of the planes, (Z, Y, X).
    plane
        The plane of the stroke.

    Raises
    ------
    EditRefusedError
        If the stroke has fewer than ``FEWEST_POINTS`` points, or lies outside the image.
    """
    if len(points) < FEWEST_POINTS:
        message = tr("the stroke has {n} points, too few for a cell; it was not drawn", n=len(points))
        raise EditRefusedError(message)
    corners, box = _inside(points, shape, plane, margin=2)
    mask = np.zeros(box.shape[1:], np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    return box, (mask > 0)[None]


def painted(points: Points, diameter: float | Points, shape: tuple[int, ...], plane: int = 0) -> tuple[Box, Mask]:
    """The pixels covered by a round brush along a path.

    Parameters
    ----------
    points
        Path (n, 2), y and x in pixels, at least one point.
    diameter
        Diameter of the brush in pixels; 1 is a single pixel. An array (n,): one per point.
    shape, plane
        As in `outlined`.

    Raises
    ------
    EditRefusedError
        If the path lies outside of the image.
    """
    sizes = np.broadcast_to(np.asarray(diameter, np.float64), len(points))
    corners, box = _inside(points, shape, plane, margin=int(sizes.max()) + 2)
    corners = corners[[0, *range(len(corners))]]  # at least two points
    mask = np.zeros(box.shape[1:], bool)
    reaches = (sizes / 2).astype(np.int64)
    for reach in np.unique(reaches):
        path = np.zeros(box.shape[1:], np.uint8)
        here = reaches == reach
        parts = [corners[place : place + 2] for place in np.flatnonzero(here)]
        cv2.polylines(path, parts, isClosed=False, color=1)
        mask |= cv2.dilate(path, disk(sizes[here].max()), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return box, mask[None]


def painted_through(
    points: Points, diameter: float | Points, shape: tuple[int, ...], plane: int, spacing: float
) -> tuple[Box, Mask]:
    """The voxels covered by a ball along a path on a plane, on this plane and others.

    Parameters
    ----------
    points, diameter, shape, plane
        As in `painted`.
    spacing
        Distance between planes in pixels.

    Raises
    ------
    EditRefusedError
        If the path lies outside of the image.
    """
    sizes = np.broadcast_to(np.asarray(diameter, np.float64), len(points))
    reach = int(sizes.max() / 2 / spacing)
    layers = []
    for other in range(max(0, plane - reach), min(shape[0], plane + reach + 1)):
        across = sizes**2 - (2 * spacing * (other - plane)) ** 2  # squared diameters of the ball in that plane
        if (across > 0).any():
            layers.append(painted(points[across > 0], np.sqrt(across[across > 0]), shape, other))
    around = hull(box for box, _ in layers)
    whole = np.zeros(around.shape, bool)
    for box, mask in layers:
        whole[box.within(around)] |= mask
    return around, whole


def disk(diameter: float) -> npt.NDArray[np.uint8]:
    """The pixels of a round brush, uint8, with odd side length; a diameter of 1 is one pixel."""
    reach = max(0, int(diameter / 2))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return np.array(y**2 + x**2 <= max(diameter, 1) ** 2 / 4, np.uint8)


def _inside(points: Points, shape: tuple[int, ...], plane: int, margin: int) -> tuple[npt.NDArray[np.int32], Box]:
    """The path in OpenCV layout, (n, 1, 2), x and y from the corner of its bounding box, and that box."""
    path = np.rint(np.asarray(points, np.float64).reshape(-1, 2)).astype(np.int64)
    _, height, width = shape
    (y0, x0), (y1, x1) = path.min(0) - margin, path.max(0) + margin + 1
    box = Box(plane, plane + 1, max(0, int(y0)), min(height, int(y1)), max(0, int(x0)), min(width, int(x1)))
    if box.y0 >= box.y1 or box.x0 >= box.x1:
        message = tr("the stroke lies outside of the image; it was not drawn")
        raise EditRefusedError(message)
    return (path - (box.y0, box.x0)).astype(np.int32)[:, None, ::-1].copy(), box
