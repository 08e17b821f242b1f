"""Labels from the class scores of a plain U-Net."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose.errors import InputError

__all__ = ["get_masks_unet"]

_BOUNDARY_REACH = 10
_BOUNDARY_SIGMA = 5


def get_masks_unet(output: ArrayLike, cell_threshold: float = 0, boundary_threshold: float = 0) -> NDArray[np.int64]:
    """Labels from the class scores of a plain U-Net.

    Parameters
    ----------
    output
        Scores (Ly, Lx, 2) of background and cell, or (Ly, Lx, 3) of background, cell and boundary.
    cell_threshold
        A pixel belongs to a cell where its cell score exceeds its background score by more than this.
    boundary_threshold
        With three classes: a pixel of no cell whose boundary score exceeds this joins the cell that is nearest and
        largest around it, among those whose boxes are at most 10 pixels away.

    Returns
    -------
    ndarray
        int64 (Ly, Lx), labels 1..n; the cells are the parts whose pixels share edges, in raster order.

    Raises
    ------
    InputError
        If `output` has another shape.
    """
    from scipy import ndimage

    scores = np.asarray(output)
    if scores.ndim != 3 or scores.shape[-1] not in (2, 3):
        message = f"output has shape {scores.shape}; (Ly, Lx, 2) or (Ly, Lx, 3) is allowed, the classes last"
        raise InputError(message)
    cells, _ = ndimage.label(scores[..., 1] - scores[..., 0] > cell_threshold)
    labels = cells.astype(np.int64)
    if scores.shape[-1] == 2:
        return labels
    boundary = (scores[..., 2] > boundary_threshold) & (cells == 0)
    least = np.full(cells.shape, np.inf)
    for k, box in enumerate(ndimage.find_objects(cells)):
        around = tuple(slice(max(0, s.start - _BOUNDARY_REACH), s.stop + _BOUNDARY_REACH) for s in box)
        outside = (cells[around] != k + 1).astype(np.float64)
        farness = ndimage.gaussian_filter(outside, _BOUNDARY_SIGMA)
        closer = boundary[around] & (farness < least[around])
        labels[around][closer] = k + 1
        least[around][closer] = farness[closer]
    return labels
