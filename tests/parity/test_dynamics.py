"""The dynamics against the originals, row by row of the manifest."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import find_objects

from cellpose import dynamics, metrics, utils
from cellpose._labels.arrays import overlap, renumber, sizes
from conftest import Parity, parity_rows

# Rows that we differ from on purpose (patterns of whole keys), with the reason: one rule serves all (heat spreads in
# its own label only, from the mask pixel nearest to the mean; flows are sampled at the exact position), labels may
# have gaps, holes are filled around enclosed cells. They are compared by what matters: see `compare_differing`.
OWN_HEAT = "heat spreads in its own label only, from the mask pixel nearest to the mean"
EXACT = "flows are sampled at the exact position, not up to half a pixel beside it"
ENCLOSED = "cells in the hole of another keep their pixels"
GAPS = "label numbers may have gaps"
SLICES = "the second result is that of version 4"
DIFFERENT = {
    r"both/masks_to_flows_gpu/touching/mu": OWN_HEAT,
    r"v4/masks_to_flows_gpu/(ellipses|touching_niter\d+|cshape_ring.*|many)/mu": OWN_HEAT,
    r"v4/dtype_\w+/mu": OWN_HEAT,
    r"v4/labels_to_flows/(touching|tiny_edge|skipped_disconnected)": OWN_HEAT,
    r"both/masks_to_flows_gpu_3d/\w+/mu": OWN_HEAT,
    r"v4/flow_error/\w+/(errors|dP_masks)": OWN_HEAT,
    r"v4/get_centers/cshape_ring/0": OWN_HEAT,
    r"v4/center_of_mass/cshape_ring": OWN_HEAT,
    r"v4/compute_masks/touching_(flow0_1|cp3)": OWN_HEAT,
    r"v4/(resize_and_)?compute_masks/cshape_ring_.*": OWN_HEAT,
    r"v4/compute_masks/(ellipses_(flow0_1|flow0_2|cp3)|many_flow0_2)": OWN_HEAT,
    r"v4/compute_masks/(touching_niter5|ellipses_(niter5|cpm3))": EXACT,
    r"v4/follow_flows/\w+": EXACT,
    r"v3/compute_masks/cshape_ring_min\d+": ENCLOSED,
    r"v3/resize_and_compute_masks/cshape_ring_.*": ENCLOSED,
    r"v3/masks_to_flows_gpu/\w+/r1": SLICES,
    r"v3/(labels_to_flows/given4_redo)|v4/labels_to_flows/given4_redo": "flows are made anew from the first channel",
    r"both/dtype_float32": "whole numbers stored as floats are labels, too",
    r"v4/masks_to_flows_gpu/(tiny_edge|skipped_disconnected)": GAPS,
    r"v4/get_centers/tiny_edge": GAPS,
    r"v4/flow_error/(skipped|empty)": GAPS,
    r"v3/remove_bad_flow_masks/\w+_0.4": "masks are numbered anew after every removal, as in version 4",
}


def reason_to_differ(key: str) -> str | None:
    return next((reason for pattern, reason in DIFFERENT.items() if re.fullmatch(pattern, key)), None)


def labels_in(row: dict[str, Any], parity: Parity) -> np.ndarray:
    """The label image that a row names, in the type that it names."""
    found = re.search(r"(lab3?/\w+)( as (\w+))?", row["args"])
    return parity.load("inputs")[found[1]].astype(found[3] or np.int32)


def network_output(name: str, parity: Parity) -> tuple[np.ndarray, np.ndarray]:
    z = parity.load("dynamics")
    return z[f"in/dyn/{name}/dP"].astype(np.float32), z[f"in/dyn/{name}/cellprob"].astype(np.float32)


def image_of(key: str) -> str:
    names = ("vol_ellipsoids", "touching", "cshape_ring", "ellipses", "many")
    return next((n for n in names if n in key), "vol_ellipsoids" if "3d" in key else "touching")


def slices_as_rows(slices: list[Any]) -> np.ndarray:
    return np.array([[s.start, s.stop, t.start, t.stop] for s, t in slices])


def step_arguments(text: str) -> dict[str, Any]:
    found = re.search(r"niter=(\d+)", text)
    return {"niter": int(found[1])} if found else {}


def flows_row(row: dict[str, Any], parity: Parity) -> Any:
    """Result of the functions that make flows, as stored."""
    key, function = row["key"], row["fn"].split()[0].removeprefix("dynamics.")
    if key.startswith("v4/dtype"):
        function = "masks_to_flows_gpu"
    result = getattr(dynamics, function)(labels_in(row, parity), **step_arguments(row["args"]))
    if key.endswith(("/slices", "/r1", "/r1_empty")):
        second = result[1]
        if second is None:
            return np.array(str(second))
        return slices_as_rows(second) if function == "masks_to_flows_gpu" else second
    flows = result[0] if isinstance(result, tuple) else result
    return flows[:, :, ::2, ::2] if "::2" in row["args"] else flows


def targets_row(row: dict[str, Any], parity: Parity) -> Any:
    version, _, name = row["key"].split("/")
    if name.startswith("given4"):
        given = parity.load("dynamics")[f"{version}/labels_to_flows/touching"]
        return dynamics.labels_to_flows([given], redo_flows=name.endswith("redo"))[0]
    targets = dynamics.labels_to_flows([labels_in(row, parity)], device="cpu")[0]
    targets[0] = renumber(targets[0])[0]  # the numbers that were given, where the originals number anew
    return targets


def centres_row(row: dict[str, Any], parity: Parity) -> Any:
    masks = labels_in(row, parity)
    if "center_of_mass" in row["key"]:
        return np.array([dynamics.center_of_mass(masks == k) for k in np.unique(masks)[1:]], float)
    boxes = find_objects(masks)
    if row["key"].startswith("v3"):
        boxes = [[i, b[0].start, b[0].stop, b[1].start, b[1].stop] for i, b in enumerate(boxes) if b is not None]
    return dynamics.get_centers(masks, boxes)[row["key"].endswith("1")]


def follow_row(row: dict[str, Any], parity: Parity) -> Any:
    dP, cellprob = network_output(image_of(row["key"]), parity)
    inside = cellprob > 0
    steps = step_arguments(row["args"])
    return dynamics.follow_flows(dP * inside / 5, np.nonzero(inside), **steps, interp="nointerp" not in row["key"])


def gather_row(row: dict[str, Any], parity: Parity) -> Any:
    key = row["key"]
    version, name = key.split("/")[0].replace("both", "v3"), image_of(key)
    cellprob = network_output(name, parity)[1]
    inside = np.nonzero(cellprob > 0)
    kind = "nointerp" if "nointerp" in key else "interp"
    ends = parity.load("dynamics")[f"{version}/follow_flows/{name}_{kind}_200"]
    if "get_masks_orig" in key:
        grid = np.array(np.meshgrid(*map(np.arange, cellprob.shape), indexing="ij"), np.float32)
        grid[:, inside[0], inside[1]] = ends
        return dynamics.get_masks_orig(grid, iscell=cellprob > 0 if key.endswith("cp") else None)
    rpad, largest = re.search(r"rpad(\d+)_max([\d.]+)", key).groups()
    shape = cellprob.shape
    return dynamics.get_masks_torch(ends.astype(np.int32), inside, shape, int(rpad), max_size_fraction=float(largest))


def masks_row(row: dict[str, Any], parity: Parity) -> Any:
    key, text = row["key"], row["args"]
    if key.endswith("zero_flow"):
        return dynamics.compute_masks(np.zeros((2, 40, 40)), np.ones((40, 40)))
    if key.endswith("no_pixels"):
        return dynamics.compute_masks(np.ones((2, 40, 40)), -np.ones((40, 40)))
    if key.endswith("no_pixels_3d"):
        return dynamics.compute_masks(np.ones((3, 8, 20, 20)), -np.ones((8, 20, 20)), do_3D=True)
    dP, cellprob = network_output(image_of(key), parity)
    if "resize=" in text:
        return dynamics.resize_and_compute_masks(dP, cellprob, resize=ast.literal_eval(text.split("resize=")[1]))
    options = ast.literal_eval(text[text.rindex("{") :]) if "{" in text else {"p": np.zeros(3)}
    return dynamics.compute_masks(dP, cellprob, **options, do_3D="3d" in key)


def error_row(row: dict[str, Any], parity: Parity) -> Any:
    key = row["key"]
    if "/badshape" in key:
        return dynamics.flow_error(np.zeros((30, 30), int), np.zeros((2, 30, 31)))
    if "/empty" in key:
        return dynamics.flow_error(np.zeros((30, 30), int), np.ones((2, 30, 30)))[0]
    masks = labels_in(row, parity)
    if "/skipped" in key:
        return dynamics.flow_error(masks, np.ones((2, *masks.shape)))[0]
    dP, _ = network_output(image_of(key), parity)
    if "remove_bad" in key:
        return dynamics.remove_bad_flow_masks(masks, dP, threshold=float(key.rsplit("_", 1)[1]))
    errors, flows = metrics.flow_error(masks, dP) if key.startswith("v3") else dynamics.flow_error(masks, dP)
    return flows[:, ::2, ::2] if key.endswith("dP_masks") else errors


def other_row(row: dict[str, Any], parity: Parity) -> Any:
    if "stitch3D" in row["key"]:
        masks = parity.load("inputs")["lab3/" + row["key"].split("/")[-1].rsplit("_", 1)[0]]
        return utils.stitch3D(masks.copy(), stitch_threshold=float(row["key"].rsplit("_", 1)[1]))
    h = parity.load("dynamics")["in/pool/h3" if row["key"].endswith("3d") else "in/pool/h"].astype(np.float32)
    return dynamics.max_pool_nd(h if row["key"].endswith("3d") else h[0], kernel_size=5)


CALLS = {
    r"\w+/masks_to_flows.*|\w+/dtype_.*": flows_row,
    r"\w+/labels_to_flows/.*": targets_row,
    r"\w+/(get_centers|center_of_mass)/.*": centres_row,
    r"\w+/follow_flows.*": follow_row,
    r"\w+/get_masks_(torch|orig)/.*": gather_row,
    r"\w+/(resize_and_)?compute_masks.*": masks_row,
    r"\w+/(flow_error|remove_bad_flow_masks)/.*": error_row,
    r"both/(stitch3D|max_pool_nd)/.*": other_row,
}


def average_precision(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of objects that are the same at an overlap (IoU) of 0.5; 1 where neither has any."""
    pairs, a, b = overlap(ours, theirs), sizes(ours), sizes(theirs)
    both = (pairs.a > 0) & (pairs.b > 0)
    shared = pairs.counts[both]
    hits = np.count_nonzero(shared / (a[pairs.a[both]] + b[pairs.b[both]] - shared) > 0.5)
    objects = np.count_nonzero(a[1:]) + np.count_nonzero(b[1:])
    return hits / (objects - hits) if objects else 1.0


def disagreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of pixels that are not in the same object or background of both."""
    pairs, a, b = overlap(ours, theirs), sizes(ours), sizes(theirs)
    iou = pairs.counts / (a[pairs.a] + b[pairs.b] - pairs.counts)
    same = ((pairs.a == 0) & (pairs.b == 0)) | ((pairs.a > 0) & (pairs.b > 0) & (iou > 0.5))
    return 1 - pairs.counts[same].sum() / ours.size


def compare(got: Any, want: np.ndarray, row: dict[str, Any]) -> None:
    """As the manifest says."""
    tolerance = row["tol"]
    if tolerance == "is None":
        assert got is None
        return
    got = np.asarray(got)
    assert got.shape == want.shape
    if row["dtype"] is not None and not row["dtype"].startswith("<U") and row["fn"] != "dynamics.get_centers":
        assert got.dtype == row["dtype"]  # centres are int32 as in version 3
    if tolerance.startswith("atol 1e-3"):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)
    elif tolerance.startswith("atol 1e-2 for 99 %"):
        assert (np.abs(got - want) < 1e-2).all(axis=0).mean() > 0.99
    elif tolerance.startswith("rtol"):
        # Stored as float32; near zero (a flow component along an axis) only the absolute difference counts.
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-6)
    elif tolerance.startswith("AP@0.5 = 1"):
        assert average_precision(got, want) == 1
        assert disagreement(got, want) < 1e-3
        if row["key"].startswith("v3"):
            # The same rule as version 3 on a CPU: the very same masks (the original leaves gaps in the numbers).
            np.testing.assert_array_equal(renumber(got)[0], renumber(want)[0])
    else:
        assert tolerance == "exact"
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("row", parity_rows("dynamics"))
def test_parity(row: dict[str, Any], parity: Parity) -> None:
    key = row["key"]
    if row["fn"] == "input":
        pytest.skip("an input of other rows")
    call = next(call for pattern, call in CALLS.items() if re.fullmatch(pattern, key))
    stored = parity.load("dynamics")
    if reason_to_differ(key):
        compare_differing(call, row, parity)
        return
    if row["key"] not in stored and "stored there" in row.get("note", ""):
        key = re.search(r"identical to (\S+)", row["note"])[1]
    compare(call(row, parity), stored[key] if key in stored else np.zeros(0), row)


def compare_differing(call: Any, row: dict[str, Any], parity: Parity) -> None:
    """What matters of a row that we differ from on purpose."""
    key = row["key"]
    got = call(row, parity)
    if row["tol"] == "raises":
        assert got is not None  # the original fails, we give a result
        return
    want = parity.load("dynamics")[key]
    if "compute_masks" in key:
        compare_masks(got, want, key)
    elif key.endswith("/mu") or "labels_to_flows" in key:
        compare_flows(
            got,
            want,
            labels_in(row, parity) if "lab/" in row["args"] else None,
            step_arguments(row["args"]).get("niter"),
        )
    elif "follow_flows" in key:
        # Half a pixel beside, and what lies on the border between two cells may go to the other.
        assert np.median(np.abs(got - want)) < 0.5
    elif "remove_bad" in key:
        np.testing.assert_array_equal(got > 0, want > 0)
    elif key.endswith("/errors"):
        # Which masks are kept; in the ring, whose centre lies elsewhere, one is not.
        assert np.count_nonzero((got > 0.4) != (want > 0.4)) <= ("cshape_ring" in key)
    elif "dP_masks" not in key:
        assert got.shape[:1] == want.shape[:1]  # centres and slices: one each


def compare_masks(got: np.ndarray, want: np.ndarray, key: str) -> None:
    """Masks that the original has are there; the flow check, whose flows differ, may keep more of them."""
    assert got.shape == want.shape
    pairs, a, b = overlap(got, want), sizes(got), sizes(want)
    both = (pairs.a > 0) & (pairs.b > 0)
    shared = pairs.counts[both]
    found = pairs.b[both][shared / (a[pairs.a[both]] + b[pairs.b[both]] - shared) > 0.5]
    assert set(found) == set(np.flatnonzero(b[1:]) + 1)
    if reason_to_differ(key) == EXACT:
        assert average_precision(got, want) == 1


def compare_flows(got: np.ndarray, want: np.ndarray, labels: np.ndarray | None, steps: int | None) -> None:
    """Flows lead to nearly the same masks."""
    if labels is None:
        assert got.shape[-2:] == want.shape[-2:]
        return
    got, want = got[-2:], want[-2:]
    if steps == 5:  # heat has not filled the cells, so flows lead nowhere; how far it has come is the same
        assert abs((got != 0).any(axis=0).mean() - (want != 0).any(axis=0).mean()) < 0.05
        return
    logits = np.where(labels > 0, 4.0, -4.0)
    ours = dynamics.compute_masks(5 * got, logits, flow_threshold=0)
    theirs = dynamics.compute_masks(5 * want.astype(np.float32), logits, flow_threshold=0)
    assert average_precision(ours, theirs) > 0.9


def test_every_difference_is_met(parity: Parity) -> None:
    keys = [row["key"] for row in parity.rows("dynamics")]
    for pattern in DIFFERENT:
        assert any(re.fullmatch(pattern, key) for key in keys), pattern
