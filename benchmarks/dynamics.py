"""How fast flows become masks and labels become flows, here and in the original versions.

    python benchmarks/dynamics.py --python-v3 /path/to/python --python-v4 /path/to/python

Each given interpreter must have the original package of that generation installed; it is run as it is, in a process of
its own, on the same arrays with the same number of threads. The image is synthetic: ellipses on a jittered grid, their
flows times 5 plus smooth noise. Reported is the best of several runs after a small one that warms up (the row
"first call", which compiles or loads from the cache).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

TASKS = ("compute_masks", "labels_to_flows", "fill_holes")


def make_labels(side: int, pitch: int, rng: np.random.Generator) -> np.ndarray:
    """Ellipses of random size, shape and angle, one per cell of a grid, some touching, some with a hole."""
    labels = np.zeros((side, side), np.int32)
    n = 0
    for row in range(pitch // 2, side, pitch):
        for column in range(pitch // 2, side, pitch):
            cy, cx = row + rng.uniform(-3, 3), column + rng.uniform(-3, 3)
            a, b, angle = rng.uniform(0.38, 0.56) * pitch, rng.uniform(0.34, 0.5) * pitch, rng.uniform(0, np.pi)
            y0, x0 = max(int(cy - pitch), 0), max(int(cx - pitch), 0)
            box = labels[y0 : int(cy + pitch) + 1, x0 : int(cx + pitch) + 1]
            y, x = np.mgrid[: box.shape[0], : box.shape[1]]
            dy, dx = y + y0 - cy, x + x0 - cx
            u, v = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
            inside = (u / a) ** 2 + (v / b) ** 2 < 1
            n += 1
            box[inside & (box == 0)] = n
    return labels


def make_data(side: int, pitch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels, flows and cell probability of a synthetic image, and labels with holes."""
    from scipy.ndimage import gaussian_filter

    from cellpose.dynamics import masks_to_flows

    rng = np.random.default_rng(seed)
    labels = make_labels(side, pitch, rng)
    noise = np.stack([gaussian_filter(rng.standard_normal(labels.shape), 2.0) for _ in range(3)])
    noise /= noise.std()
    holes = np.where(noise[2] > 2.5, 0, labels).astype(np.int32)
    return {
        "labels": labels,
        "dP": (5 * masks_to_flows(labels) + 0.75 * noise[:2]).astype(np.float32),
        "cellprob": (np.where(labels > 0, 4.0, -4.0) + 0.5 * noise[2]).astype(np.float32),
        "holes": holes,
    }


def calls(data: Any, ours: bool, threads: int) -> dict[str, Callable[..., np.ndarray]]:
    """The calls to time; the same for the original packages and this one.

    They take labels with holes, of which each call gets a copy of its own: the original versions write to them.
    """
    from cellpose import dynamics, utils

    kwargs: dict[str, Any] = {}
    if not ours:
        import torch

        torch.set_num_threads(threads)
        kwargs["device"] = torch.device("cpu")
    labels, dP, cellprob = data["labels"], data["dP"], data["cellprob"]
    return {
        "compute_masks": lambda _: dynamics.compute_masks(
            dP, cellprob, niter=200, flow_threshold=0.4, min_size=15, **kwargs
        ),
        "labels_to_flows": lambda _: dynamics.labels_to_flows([labels], **kwargs)[0],
        "fill_holes": lambda copy: utils.fill_holes_and_remove_small_masks(copy, min_size=15),
    }


def run(folder: Path, repeats: int, ours: bool, threads: int) -> dict[str, Any]:
    """Time every task on ``data.npz`` of a folder and store the masks beside it."""
    data, small = np.load(folder / "data.npz"), np.load(folder / "small.npz")
    began = time.perf_counter()
    for call in calls(small, ours, threads).values():
        call(small["holes"])
    result: dict[str, Any] = {"first call": (time.perf_counter() - began, time.process_time())}
    for task, call in calls(data, ours, threads).items():
        times = []
        for _ in range(repeats):
            copy = data["holes"].copy()
            began = time.perf_counter(), time.process_time()
            value = call(copy)
            times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        result[task] = tuple(min(column) for column in zip(*times, strict=True))
        np.save(folder / f"{task}.npy", value)
    return result


def run_original(python: str, folder: Path, repeats: int, threads: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`run` in another interpreter."""
    env = environment(OMP_NUM_THREADS=threads, NUMBA_NUM_THREADS=threads)
    command = [python, "-W", "ignore", __file__, "--worker", str(folder), "--repeats", str(repeats)]
    done = subprocess.run([*command, "--threads", str(threads)], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1]), {t: np.load(folder / f"{t}.npy") for t in TASKS}


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Average precision at an overlap of 0.5."""
    from cellpose._labels.arrays import overlap, sizes

    pairs, a, b = overlap(ours, theirs), sizes(ours), sizes(theirs)
    both = (pairs.a > 0) & (pairs.b > 0)
    shared = pairs.counts[both]
    hits = int((shared / (a[pairs.a[both]] + b[pairs.b[both]] - shared) > 0.5).sum())
    return hits / (np.count_nonzero(a[1:]) + np.count_nonzero(b[1:]) - hits)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original")
    parser.add_argument("--side", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--pitch", type=int, default=34, help="distance between cells in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the seconds (clock, processor) as JSON")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(run(args.worker, args.repeats, False, args.threads)))
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", **make_data(args.side, args.pitch))
        np.savez(folder / "small.npz", **make_data(128, args.pitch))
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        results = {"ours": run(folder, max(args.repeats, 5), True, args.threads)}
        masks = {t: np.load(folder / f"{t}.npy") for t in TASKS}
        print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
        print(f"{args.side} x {args.side} pixels, {masks['compute_masks'].max()} masks; seconds, best of several\n")
        for version, python in (("v3", args.python_v3), ("v4", args.python_v4)):
            if not python:
                continue
            results[version], theirs = run_original(python, folder, args.repeats, args.threads)
            ap = agreement(masks["compute_masks"], theirs["compute_masks"])
            print(f"masks equal to those of {version}: average precision {ap:.4f} at overlap 0.5")
            if ap < 0.99:
                sys.exit(f"the masks differ from those of {version}")
    if args.json:
        args.json.write_text(json.dumps(results))
    others = [version for version in results if version != "ours"]
    for column, unit in ((0, "seconds by the clock"), (1, "seconds of all cores (little changed by other programs)")):
        print(
            f"\n{unit}\n{'':18}"
            + "".join(f"{v:>10}" for v in results)
            + "".join(f"{v + ' / ours':>12}" for v in others)
        )
        for row in (*TASKS, "first call"):
            times = [results[v][row][column] for v in results]
            print(
                f"{row:18}" + "".join(f"{t:10.3f}" for t in times) + "".join(f"{t / times[0]:12.1f}" for t in times[1:])
            )


if __name__ == "__main__":
    main()
