"""Relations of labels: neighbors, the image border, nuclei in cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import overlap
from cellpose._labels.check import check_labels, check_same_shape
from cellpose.measure._regions import Regions, find_regions
from cellpose.measure._shape import Shapes

__all__ = ["border_columns", "neighbor_columns", "nuclei_in_cells", "nucleus_columns"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]


def border_columns(regions: Regions) -> Columns:
    """Pixels between each label and the image border; 0 if it touches the border."""
    sides = np.asarray(regions.labels.shape)
    before, after = regions.boxes[:, 0::2], sides - regions.boxes[:, 1::2]
    distance = np.minimum(before, after)[:, 3 - regions.ndim :].min(axis=1, initial=int(sides.max(initial=0)))
    return {"border_distance": distance, "border_touching": distance == 0}


def neighbor_columns(shapes: Shapes, pixel_size_um: tuple[float, ...] | None) -> Columns:
    """Number of labels that share a pixel edge (in a stack a face), and the label with the nearest centroid.

    Distances are in micrometers if the pixel size is known.
    """
    regions = shapes.regions
    count, shared, border = _touching(regions)
    label, distance, distance_um = _nearest(shapes, pixel_size_um)
    columns = {
        "neighbors_touching": count,
        "neighbors_border_share": np.divide(shared, border, out=np.zeros(regions.n), where=border > 0),
        "neighbor_nearest_label": label,
        "neighbor_nearest_distance": distance,
    }
    return columns if distance_um is None else columns | {"neighbor_nearest_distance_um": distance_um}


def _touching(regions: Regions) -> tuple[Array, Array, Array]:
    """For each label: touching labels, edges shared with them, and edges shared with anything else."""
    labels = regions.image
    top = int(regions.numbers.max(initial=0)) + 1
    shared: Array = np.zeros(top)
    border: Array = np.zeros(top)
    pairs = [np.zeros(0, np.int64)]
    for axis in range(labels.ndim):
        line = np.moveaxis(labels, axis, 0)
        found = overlap(line[:-1], line[1:])
        differ = found.a != found.b
        a, b, n = found.a[differ], found.b[differ], found.counts[differ]
        both = (a > 0) & (b > 0)
        for one in (a, b):
            border = border + np.bincount(one, n, top)
            shared = shared + np.bincount(one[both], n[both], top)
        pairs.append(np.minimum(a, b)[both] * top + np.maximum(a, b)[both])
    unique = np.unique(np.concatenate(pairs))
    count = np.bincount(unique // top, minlength=top) + np.bincount(unique % top, minlength=top)
    return tuple(regions.spread(column) for column in (count, shared, border))  # type: ignore[return-value]


def _nearest(shapes: Shapes, pixel_size_um: tuple[float, ...] | None) -> tuple[Array, Array, Array | None]:
    """The label with the nearest centroid, 0 if there is no other, and its distance; also in micrometers."""
    from scipy.spatial import cKDTree

    regions, places = shapes.regions, shapes.centroid
    scale = np.ones(regions.ndim) if pixel_size_um is None else np.asarray(pixel_size_um)
    if regions.n < 2:
        nowhere = np.full(regions.n, np.nan)
        return np.zeros(regions.n, np.int64), nowhere, None if pixel_size_um is None else nowhere
    distances, found = map(np.asarray, cKDTree(places * scale).query(places * scale, k=2))
    # with equal centroids a label may come second in its own query
    rows = np.arange(regions.n)
    second = np.where(found[:, 1] == rows, 0, 1)
    nearest = found[rows, second]
    pixels = np.linalg.norm(places - places[nearest], axis=1)
    return regions.ids[nearest], pixels, None if pixel_size_um is None else distances[:, 1]


def nuclei_in_cells(cells: npt.ArrayLike, nuclei: npt.ArrayLike) -> Columns:
    """The cell in which each nucleus lies.

    Parameters
    ----------
    cells, nuclei
        Label images of one image, ``(Y, X)`` or ``(Z, Y, X)``.

    Returns
    -------
    dict of arrays (number of nuclei,)
        ``label`` of the nucleus; ``cell``, the label of the cell that holds most of it, 0 where half or more of it lies
        outside any cell; ``overlap``, the share of its pixels in that cell, 0 to 1.

    Raises
    ------
    InputError
        If they are not label images, or differ in shape.

    Examples
    --------
    >>> cells, nuclei = np.zeros((6, 9), int), np.zeros((6, 9), int)
    >>> cells[:, :4] = 7; cells[:, 5:] = 8
    >>> nuclei[1:3, 1:3] = 1; nuclei[4, 4:6] = 2
    >>> found = nuclei_in_cells(cells, nuclei)
    >>> found["cell"].tolist(), found["overlap"].round(2).tolist()
    ([7, 0], [1.0, 0.0])
    """
    outer, inner = check_labels(cells, name="cells"), check_labels(nuclei, name="nuclei")
    check_same_shape(outer, inner, ("cells", "nuclei"))
    return _parents(find_regions(outer, "cells"), find_regions(inner, "nuclei"))


def _parents(cells: Regions, nuclei: Regions) -> Columns:
    pairs = overlap(nuclei.image, cells.image)
    inside = (pairs.a > 0) & (pairs.b > 0)
    a, b, counts = pairs.a[inside], pairs.b[inside], pairs.counts[inside]
    order = np.argsort(counts, kind="stable")  # the largest overlap of each nucleus is written last
    top = int(nuclei.numbers.max(initial=0)) + 1
    parent, most = np.zeros(top, np.int64), np.zeros(top, np.int64)
    parent[a[order]], most[a[order]] = b[order], counts[order]
    parent, most = nuclei.spread(parent), nuclei.spread(most)
    total = np.bincount(pairs.a, np.where(pairs.b > 0, pairs.counts, 0), minlength=top)
    parent[2 * nuclei.spread(total) <= nuclei.counts] = 0
    ids = np.zeros(int(cells.numbers.max(initial=0)) + 1, np.int64)
    ids[cells.numbers] = cells.ids
    return {"label": nuclei.ids, "cell": ids[parent], "overlap": np.where(parent > 0, most / nuclei.counts, 0.0)}


def nucleus_columns(regions: Regions, nuclei: npt.ArrayLike) -> tuple[Columns, npt.NDArray[np.int32]]:
    """Columns of the nuclei in cells; and each cell's number at the pixels of its own nuclei, 0 elsewhere.

    Columns: ``nuclei_count``; ``nucleus_label``, the largest nucleus of a cell, 0 if there is none; ``nuclei_area``,
    pixels of its nuclei within the cell; ``nuclei_area_share``, their share of the area of the cell.
    """
    inner = find_regions(nuclei, "nuclei")
    check_same_shape(regions.image, inner.image, ("labels", "nuclei"))
    found = _parents(regions, inner)
    index = np.searchsorted(regions.ids, found["cell"])
    held = np.flatnonzero(found["cell"] > 0)
    count = np.bincount(index[held], minlength=regions.n)
    largest = np.zeros(regions.n, np.int64)
    order = held[np.argsort(inner.counts[held], kind="stable")]
    largest[index[order]] = inner.ids[order]
    owner = np.zeros(int(inner.numbers.max(initial=0)) + 1, np.int32)
    owner[inner.numbers[held]] = regions.numbers[index[held]]
    own = owner[inner.image]
    own[own != regions.image] = 0
    area = regions.spread(np.bincount(own.ravel(), minlength=int(regions.numbers.max(initial=0)) + 1))
    columns = {
        "nuclei_count": count,
        "nucleus_label": largest,
        "nuclei_area": area,
        "nuclei_area_share": area / regions.counts,
    }
    return columns, own
