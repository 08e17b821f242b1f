"""Utilities and metrics against the numbers of the original versions, one test a row of the manifest."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cellpose import metrics, plot, utils
from conftest import Parity, parity_rows

# Rows on which this implementation differs on purpose (docs/differences.md): what it does instead.
DIFFERENT = {
    "both/get_mask_compactness/tiny_edge": "numbers with gaps work: one value for each number up to the largest",
    "both/get_mask_compactness/skipped_disconnected": "numbers with gaps work",
    "both/get_mask_stats/tiny_edge": "numbers with gaps work",
    "both/get_mask_stats/skipped_disconnected": "numbers with gaps work",
    "both/size_distribution/empty": "NaN without labels",
    "both/dilate_masks/vol_ellipsoids": "volumes are dilated plane by plane",
    "both/dilate_masks/stack_unstitched": "volumes are dilated plane by plane",
}
# One rule where the versions disagree: small labels are removed by their number, labels present are counted.
V4_RULE = re.compile(r"v3/(fill_holes_and_remove_small_masks/tiny_edge_|average_precision/(pair[678]|list)/)")
# A cell in the hole of another stays a cell; the original gives its pixels to the outer one.
ENCLOSED = re.compile(r"both/fill_holes_and_remove_small_masks/(cshape_ring|nested)_")
# Without scikit-image the original raises; here it is not needed. test_plot.py in this folder has the results with it.
NEEDED_SKIMAGE = re.compile(r"both/(plot/outline_view_|get_mask_stats/)")


class Calls:
    """The call behind a key of the topic."""

    def __init__(self, parity: Parity) -> None:
        self.inputs = parity.load("inputs")
        self.topic = parity.load("utils_metrics")

    def labels(self, name: str, dtype: type = np.int32) -> np.ndarray:
        key = f"lab/{name}" if f"lab/{name}" in self.inputs else f"lab3/{name}"
        return self.inputs[key].astype(dtype)

    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        lab = self.labels
        gaps, tiny = lab("skipped_disconnected"), lab("tiny_edge")
        predicted = [(lab(n), lab(f"pred_{n}")) for n in ("ellipses", "touching", "many", "cshape_ring")]
        blank, nothing = np.zeros((40, 40), np.int32), np.zeros((80, 90), np.int32)
        identical = (lab("ellipses"), lab("ellipses"))
        return [*predicted, identical, (blank, blank), (nothing, gaps), (gaps, nothing), (tiny, np.roll(tiny, 1, 1))]

    def of(self, key: str) -> Any:
        """The result whose parts (``/median``, ``/points``) the key may name."""
        function, *rest = key.split("/")[1:]
        return getattr(self, function, None) or (lambda *r: self.by_labels(function, *r)), rest

    def by_labels(self, function: str, name: str, *part: str) -> Any:
        name, *option = re.split(r"_(?=[-\dTF][\w.]*$)", name)
        f = getattr(utils, function)
        if function in ("radius_distribution",):
            return f(self.labels(name), bins=np.arange(0, 30, 2))
        if not option:
            return f(self.labels(name))
        value = {"True": True, "False": False}.get(option[0])
        return f(self.labels(name), float(option[0]) if value is None else value)

    def fill_holes_and_remove_small_masks(self, name: str) -> Any:
        name, size = name.rsplit("_", 1)
        return utils.fill_holes_and_remove_small_masks(self.labels(name), min_size=int(size))

    def dilate_masks(self, name: str) -> Any:
        name, n = (name.rsplit("_", 1)) if name[-1].isdigit() else (name, "5")
        return utils.dilate_masks(self.labels(name), n_iter=int(n))

    def outlines_list(self, name: str, part: str) -> Any:
        found = utils.outlines_list(self.labels(name), multiprocessing=False)
        # where the original has no outline, for labels of few pixels, ours is the border of these
        empty = self.topic[f"both/outlines_list/{name}/lengths"] == 0
        assert all(len(points) >= 4 for points in found)
        found = [np.zeros((0, 2)) if none else points for points, none in zip(found, empty, strict=True)]
        lengths = np.array([len(points) for points in found], np.int64)
        return {"lengths": lengths, "points": np.concatenate(found) if found else np.zeros((0, 2))}

    def circleMask(self, part: str) -> Any:
        return utils.circleMask([4, 6])

    def get_perimeter(self, few: str = "") -> Any:
        points = self.topic["in/per/points"]
        return utils.get_perimeter(points[:4] if few else points)

    def rgb_to_hsv(self) -> Any:
        return utils.rgb_to_hsv(self.topic["in/rgb"])

    def hsv_to_rgb(self) -> Any:
        return utils.hsv_to_rgb(self.topic["in/rgb"])

    def get_masks_unet(self) -> Any:
        scores = np.moveaxis(self.inputs["noise/touching"].astype(np.float32), 0, -1)
        return utils.get_masks_unet(scores, cell_threshold=0, boundary_threshold=0)

    def average_precision(self, which: str, part: str = "") -> Any:
        if which == "length_mismatch":
            one = self.labels("touching")
            return metrics.average_precision([one, one], [one])
        if which == "list":
            trues, preds = map(list, zip(*self.pairs(), strict=True))
            return metrics.average_precision(trues, preds)
        if which == "scalar_threshold":
            return metrics.average_precision(*self.pairs()[1], threshold=0.5)
        return metrics.average_precision(*self.pairs()[int(which[4:])], threshold=[0.5, 0.6, 0.75, 0.9, 0.95])

    def mask_ious(self, which: str, part: str) -> Any:
        return metrics.mask_ious(*self.pairs()[int(which[4:])])

    def _lists(self, which: str, n: int | None = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = self.pairs()[:n] if which == "list" else [self.pairs()[int(which[4:])]]
        return [t for t, _ in pairs], [p for _, p in pairs]

    def aggregated_jaccard_index(self, which: str) -> Any:
        return metrics.aggregated_jaccard_index(*self._lists(which))

    def boundary_scores(self, which: str, part: str) -> Any:
        return metrics.boundary_scores(*self._lists(which, 4), scales=[0.025, 0.1, 0.5])

    def _label_overlap(self, which: str) -> Any:
        return metrics._label_overlap(*self.pairs()[int(which[4:])]).toarray()

    def _intersection_over_union(self, which: str) -> Any:
        return metrics._intersection_over_union(*self.pairs()[int(which[4:])])

    def _true_positive(self, which: str) -> Any:
        return metrics._true_positive(self._intersection_over_union(which)[1:, 1:], 0.5)

    def plot(self, name: str, index: str = "") -> Any:
        masks, colors = self.topic["in/plot/lab"].astype(np.int32), self.topic["in/plot/colors"]
        image = self.inputs["real/1" if "real1" in name else "real/0"][:60, :64]
        image = image.astype(np.float32) if "float32" in name else image
        if "seed" in name:
            np.random.seed(0)
            colors = None
        if name.startswith("image_to_rgb"):
            return plot.image_to_rgb(image, channels=[int(c) for c in name[-2:]])
        if name.startswith("mask_overlay"):
            return plot.mask_overlay(image, masks, colors=colors)
        if name.startswith("mask_rgb"):
            return plot.mask_rgb(masks, colors=colors)
        if name.startswith("outline_view"):
            image = self.inputs["real/1"][:60, :64] if name.endswith("color") else image
            how = {"color": [0, 255, 0]} if name.endswith("color") else {"mode": name.rsplit("_", 1)[1]}
            return plot.outline_view(image, masks, **how)
        if name.startswith("dx_to_circ"):
            inside = self.labels("touching") > 0 if name.endswith("zeros") else 1
            flows = self.inputs["noise/touching"][:2].astype(np.float32)
            return plot.dx_to_circ(np.zeros((2, 8, 9)) if name.endswith("allzero") else flows * inside)
        if name.startswith("interesting_patch"):
            big = name.endswith("big")
            return plot.interesting_patch(self.labels("touching" if big else "ellipses"), bsize=130 if big else 50)
        return plot.disk((5, 7), 4.5, 12, 10)


ORDER = {
    "diameters": ("median", "each"),
    "radius_distribution": ("nb", "md", "radii"),
    "get_mask_stats": ("convexity", "solidity", "compactness"),
    "circleMask": ("rs", "dx", "dy"),
    "average_precision": ("ap", "tp", "fp", "fn"),
    "mask_ious": ("iout", "preds"),
    "boundary_scores": ("precision", "recall", "fscore"),
    "interesting_patch": ("0", "1"),
    "interesting_patch_big": ("0", "1"),
    "disk": ("0", "1"),
}


def result_of(calls: Calls, key: str) -> Any:
    """What this implementation gives for a key."""
    call, rest = calls.of(key)
    result = call(*rest)
    part = rest[-1] if rest else ""
    if isinstance(result, dict):
        return result[part]
    for word in key.split("/"):
        if word in ORDER and part in ORDER[word]:
            return result[ORDER[word].index(part)]
    return result


def compare(result: Any, expected: np.ndarray, row: dict[str, Any]) -> None:
    """As the row demands: equal, or within its relative or absolute tolerance; of the same dtype where it counts."""
    assert np.shape(result) == expected.shape
    tolerance = row["tol"].split()
    if tolerance[0] == "exact":
        np.testing.assert_array_equal(result, expected)
    elif tolerance[0] == "rtol":
        # stored as float16 or float32, a value has that relative error beside the tolerance of the row
        stored = {"float16": 1e-3, "float32": 1e-7}.get(row.get("stored", ""), 0)
        np.testing.assert_allclose(result, expected, rtol=float(tolerance[1]) + stored, atol=1e-12)
    else:
        assert np.abs(np.asarray(result, float) - expected.astype(float)).max(initial=0) <= float(tolerance[1])
    if row["dtype"] and expected.ndim and not row["dtype"].startswith("uint64"):
        assert np.asarray(result).dtype == np.dtype(row["dtype"])


def compare_enclosed(result: np.ndarray, expected: np.ndarray) -> None:
    """The same pixels are covered, and no label here reaches into two of the original."""
    np.testing.assert_array_equal(result > 0, expected > 0)
    for label in np.unique(result[result > 0]):
        assert np.unique(expected[result == label]).size == 1


@pytest.mark.parametrize("row", parity_rows("utils_metrics"))
def test_row(parity: Parity, row: dict[str, Any]) -> None:
    """The row of the manifest, or what is named above instead."""
    key = row["key"]
    calls = Calls(parity)
    if key.startswith("in/"):
        assert key in calls.topic
    elif row["tol"] == "raises":
        if key in DIFFERENT or NEEDED_SKIMAGE.match(key):
            assert result_of(calls, key) is not None
        else:
            with pytest.raises(ValueError, match="one prediction for each image"):
                result_of(calls, key)
    elif V4_RULE.match(key):
        newer = "v4" + key[2:]
        rows = {r["key"]: r for r in parity.rows("utils_metrics")}
        compare(result_of(calls, key), calls.topic[newer], rows[newer])
    elif ENCLOSED.match(key):
        compare_enclosed(result_of(calls, key), calls.topic[key])
    else:
        compare(result_of(calls, key), calls.topic[key], row)
