"""Scores of the bundled model: a quick one while it trains, and the full one of the model card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundled_data import find_pair, kind_of, network_channels, read_image, read_masks, read_split

from cellpose import core, dynamics, metrics

Array = np.ndarray

THRESHOLDS = (0.5, 0.75, 0.9)
# Boundaries may be this part of a diameter away from each other.
BOUNDARY = 0.1
SCORES = (*(f"AP@{t}" for t in THRESHOLDS), "AJI", "boundary F")
Segment = Callable[[dict[str, str], Array, list[int], float | None], Array]
# Of each source every n-th validation image is enough to follow the training.
QUICK_STEP = {"dsb2018": 3, "bbbc039": 4, "usiigaci": 1}
QUICK_SHARE = {"dsb2018": 0.6, "bbbc039": 0.1, "usiigaci": 0.3}
QUICK_SIDE = 640
# What is segmented: the gray mean, but for the source whose colours are phase contrast and nucleus.
CHANNELS = {"eval_only_deepcell2016": [1, 2]}


def _centre_cut(array: Array, side: int) -> Array:
    y, x = (max(0, (n - side) // 2) for n in array.shape[:2])
    return array[y : y + side, x : x + side]


def segment_native(net: torch.nn.Module, image: Array) -> Array:
    """Labels of a gray or RGB image at its own size, as ``eval`` without a diameter gives them."""
    gray = network_channels(image)[0]
    planes = np.stack([gray, np.zeros_like(gray)], axis=-1)[None]
    y = core.run_net(net, planes, bsize=224)[0][0]
    return dynamics.compute_masks(np.moveaxis(y[..., :2], -1, 0), y[..., 2], niter=200, min_size=15)


def quick_validation(net: torch.nn.Module, data: Path) -> dict[str, float]:
    """Mean AP@0.5 of a part of ``val`` by source, and ``score``, their weighted mean."""
    aps = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for row in read_split(data, "val"):
        source = row["source"]
        seen[source] += 1
        if (seen[source] - 1) % QUICK_STEP[source]:
            continue
        image_file, masks_file = find_pair(data, row)
        image, truth = (_centre_cut(a, QUICK_SIDE) for a in (read_image(image_file), read_masks(masks_file)))
        aps[source].append(average_precision(truth, segment_native(net, image))[0])
    means = {source: round(float(np.mean(values)), 4) for source, values in aps.items()}
    score = sum(QUICK_SHARE[source] * value for source, value in means.items())
    return {"score": round(score, 4), **means}


def average_precision(truth: Array, found: Array) -> Array:
    """AP at ``THRESHOLDS``; 1 where there is nothing to find and nothing was found."""
    if not truth.any() and not found.any():
        return np.ones(len(THRESHOLDS))
    _, truth = np.unique(truth, return_inverse=True)
    truth = truth.reshape(found.shape).astype(np.int32)
    return np.asarray(metrics.average_precision([truth], [found.astype(np.int32)], threshold=list(THRESHOLDS))[0][0])


def scores(truth: Array, found: Array) -> Array:
    """AP at ``THRESHOLDS``, aggregated Jaccard index, F-score of the boundaries within a tenth of a diameter."""
    if not truth.any():
        rest = [float(not found.any())] * 2
    else:
        rest = [
            metrics.aggregated_jaccard_index([truth], [found])[0],
            np.nan_to_num(metrics.boundary_scores([truth], [found], [BOUNDARY])[2][0, 0]),
        ]
    return np.array([*average_precision(truth, found), *rest])


def median_diameter(truth: Array) -> float | None:
    """Median diameter of the true cells in pixels; None where there are none."""
    sizes = np.bincount(truth.ravel())[1:]
    return float(np.median(2 * np.sqrt(sizes[sizes > 0] / np.pi))) if sizes.any() else None


def measure(
    segment: Segment, data: Path, rows: Iterable[dict[str, str]], *, by_diameter: bool = False
) -> dict[str, Any]:
    """Mean scores by source and by kind of image in it; ``by_diameter``: the median diameter of true cells is told.

    ``segment(row, image, channels, diameter)`` gives labels.
    """
    rows = list(rows)
    modalities = defaultdict(set)
    for row in rows:
        modalities[row["source"]].add(row["modality"])
    results: dict[str, list[Array]] = defaultdict(list)
    objects: dict[str, int] = defaultdict(int)
    for row in rows:
        image_file, masks_file = find_pair(data, row)
        image, truth = read_image(image_file), read_masks(masks_file)
        diameter = median_diameter(truth) if by_diameter else None
        found = np.asarray(segment(row, image, CHANNELS.get(row["source"], [0, 0]), diameter)).astype(np.int32)
        values = scores(truth, found)
        source = row["source"]
        names = {source, kind_of(source, row["group"])}
        if len(modalities[source]) > 1:
            names.add(f"{source}, {row['modality']}")
        for name in names:
            results[name].append(values)
            objects[name] += int(np.count_nonzero(np.bincount(truth.ravel())[1:]))
    return {
        name: {
            "images": len(values),
            "objects": objects[name],
            **{key: round(float(v), 3) for key, v in zip(SCORES, np.mean(values, axis=0), strict=True)},
        }
        for name, values in sorted(results.items())
    }


def full_scores(model: Any, data: Path, rows: Iterable[dict[str, str]], *, by_diameter: bool = False) -> dict[str, Any]:
    """Mean scores of ``model.eval`` with its default options."""

    def segment(_row: dict[str, str], image: Array, channels: list[int], diameter: float | None) -> Array:
        return np.asarray(model.eval(image, channels=channels, diameter=diameter)[0])

    return measure(segment, data, rows, by_diameter=by_diameter)
