"""How fast outlines, shapes and metrics of thousands of cells are, here and in the original versions.

    python benchmarks/outlines_metrics.py --python-v3 /path/to/python --python-v4 /path/to/python

Each given interpreter must have the original package of that generation installed; it is run as it is, in a process of
its own, on the same arrays. Two synthetic label images are compared: ellipses on a jittered grid, and the same with
some cells moved, split and lost. Reported is the best of several runs after a small one that warms up. Ratios are of
processor time, which other programs on the machine disturb least; all of this runs on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from original import environment


def make_pair(side: int, pitch: int) -> dict[str, np.ndarray]:
    """True and predicted labels: one in ten cells lost, one in ten cut in two, all moved by two pixels."""
    from dynamics import make_labels

    rng = np.random.default_rng(0)
    true = make_labels(side, pitch, rng)
    n = int(true.max())
    lost, split = rng.random(n + 1) < 0.1, rng.random(n + 1) < 0.1
    pred = np.where(lost[true], 0, true)
    upper = (np.arange(side)[:, None] % pitch < pitch // 2) & split[pred] & (pred > 0)
    pred = np.roll(np.where(upper, pred + n, pred), (2, 2), axis=(0, 1))
    values, numbers = np.unique(pred, return_inverse=True)
    del values
    return {"true": true.astype(np.int32), "pred": numbers.reshape(pred.shape).astype(np.int32)}


def calls(data: Any) -> dict[str, Callable[[], Any]]:
    """The calls to time; the same for the original packages and this one."""
    from cellpose import metrics, utils

    true, pred = data["true"], data["pred"]
    return {
        "masks_to_outlines": lambda: utils.masks_to_outlines(true),
        "outlines_list": lambda: utils.outlines_list(true, multiprocessing=False),
        "diameters": lambda: utils.diameters(true),
        "remove_edge_masks": lambda: utils.remove_edge_masks(true.copy()),
        "distance_to_boundary": lambda: utils.distance_to_boundary(true),
        "get_mask_stats": lambda: utils.get_mask_stats(true),
        "stitch3D, 3 planes": lambda: utils.stitch3D(np.stack([true, pred, true])),
        "average_precision": lambda: metrics.average_precision(true, pred),
        "mask_ious": lambda: metrics.mask_ious(true, pred),
        "aggregated_jaccard_index": lambda: metrics.aggregated_jaccard_index([true], [pred]),
        "boundary_scores": lambda: metrics.boundary_scores([true], [pred], [0.1]),
        "dilate_masks, 1 round": lambda: utils.dilate_masks(true, n_iter=1),
    }


def flat(value: Any) -> np.ndarray:
    """All numbers of a result, one after the other."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return np.concatenate([np.asarray(part, float).ravel() for part in parts]) if parts else np.zeros(0)


def run(folder: Path, repeats: int, store: str) -> dict[str, Any]:
    """Time every task on ``data.npz`` of a folder and store the results beside it."""
    for call in calls(np.load(folder / "small.npz")).values():
        call()
    times: dict[str, Any] = {}
    results = {}
    for task, call in calls(dict(np.load(folder / "data.npz"))).items():
        found = []
        for _ in range(repeats):
            began = time.perf_counter(), time.process_time()
            results[task] = call()
            found.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        times[task] = tuple(min(column) for column in zip(*found, strict=True))
    np.savez(folder / f"{store}.npz", **{task: flat(value) for task, value in results.items()})
    return times


def run_original(python: str, folder: Path, repeats: int, store: str) -> dict[str, Any]:
    """`run` in another interpreter."""
    env = environment(OMP_NUM_THREADS=1, NUMBA_NUM_THREADS=1)
    command = [python, "-W", "ignore", __file__, "--worker", str(folder), "--repeats", str(repeats), "--store", store]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    if ours.shape != theirs.shape:
        return f"{ours.size} and {theirs.size} numbers"
    return f"{np.nanmax(np.abs(ours - theirs), initial=0):.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original")
    parser.add_argument("--side", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--pitch", type=int, default=34, help="distance between cells in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the seconds (clock, processor) as JSON")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", default="here", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(run(args.worker, args.repeats, args.store)))
        return
    from dynamics import processor

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_pair(args.side, args.pitch)
        np.savez(folder / "data.npz", **data)
        np.savez(folder / "small.npz", **make_pair(128, args.pitch))
        originals = {"v3": args.python_v3, "v4": args.python_v4}
        times = {"here": run_original(sys.executable, folder, args.repeats, "here")}
        times |= {k: run_original(python, folder, args.repeats, k) for k, python in originals.items() if python}
        results = {k: dict(np.load(folder / f"{k}.npz")) for k in times}
    print(
        f"{processor()}, one core; {args.side} x {args.side} pixels, {data['true'].max()} cells; seconds of processor"
    )
    if args.json:
        args.json.write_text(json.dumps(times))
    others = [k for k in times if k != "here"]
    print("| | here | " + " | ".join(f"{k} | {k} / here | largest difference" for k in others) + " |")
    print("|---|---|" + "---|---|---|" * len(others))
    for task, (_, seconds) in times["here"].items():
        cells = [f"{task} | {seconds:.3f}"]
        for k in others:
            theirs = times[k][task][1]
            cells.append(
                f"{theirs:.2f} | {theirs / seconds:.1f} | {difference(results['here'][task], results[k][task])}"
            )
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
