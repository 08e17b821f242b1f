"""Time and peak memory over the size of images: planes as a whole and in blocks, volumes.

    python benchmarks/scaling.py --sides 1000 2000 4000 --volumes 48 64 --out scaling.json

Each run is a process of its own, so that its peak is its own. Planes are the synthetic nuclei of large_plane.py in a
tiled, compressed TIFF; volumes are balls of 13 voxels. Writing them is not counted. Processor seconds are those of all
threads: on a machine that has other work to do they tell more than seconds do.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from large_plane import write_plane


def write_volume(path: Path, side: int) -> None:
    rng = np.random.default_rng(0)
    volume = np.full((side,) * 3, 200.0, np.float32)
    z, y, x = np.mgrid[-8:9, -8:9, -8:9]
    for _ in range(max(1, side**3 // 9000)):
        at = tuple(slice(c - 8, c + 9) for c in rng.integers(9, side - 9, 3))
        volume[at][z**2 + y**2 + x**2 < rng.uniform(5, 8) ** 2] = rng.uniform(800, 1600)
    np.save(path, (volume + rng.normal(0, 40, volume.shape)).clip(0, 65535).astype(np.uint16))


def run(kind: str, path: str, model_name: str) -> dict[str, float]:
    """One measurement, in this process."""
    from cellpose import io, models

    model = models.CellposeModel(pretrained_model=model_name)
    started, processor = time.perf_counter(), time.process_time()
    if kind == "blocks":
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
            cells = models.segment_large(model, path, Path(folder) / "labels.tif").n_cells
            estimate = models.estimate_memory(model, path).total
    else:
        image = io.imread(path)
        masks, _, _ = model.eval(image, **({"do_3D": True, "z_axis": 0} if kind == "volume" else {}))
        cells = int(masks.max())
        estimate = models.estimate_memory(model, path).whole if kind == "whole" else 0
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "estimate_gib": estimate / 2**30,
        "cells": cells,
        "engine": model.engine,
    }


def measure(kind: str, path: Path, model_name: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--run", kind, str(path), model_name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, metavar=("KIND", "PATH", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("--sides", type=int, nargs="*", default=[1000, 2000, 4000], help="sides of planes in pixels")
    parser.add_argument("--largest_whole", type=int, default=4000, help="longest side of planes run as a whole, too")
    parser.add_argument("--volumes", type=int, nargs="*", default=[48, 64], help="sides of volumes in pixels")
    parser.add_argument("--model", default="nuclei-cells")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(*args.run)))
        return
    rows = []
    print("| image | run | cells | seconds | processor s | µs / pixel | peak GiB | estimate GiB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(write_plane, side, "blocks", 2) for side in args.sides]
        jobs += [(write_plane, side, "whole", 2) for side in args.sides if side <= args.largest_whole]
        jobs += [(write_volume, side, "volume", 3) for side in args.volumes]
        for write, side, kind, ndim in jobs:
            path = Path(folder) / ("plane.tif" if ndim == 2 else "volume.npy")
            write(path, side)
            row = {"side": side, "kind": kind, **measure(kind, path, args.model)}
            rows.append(row)
            power = "²" if ndim == 2 else "³"
            per_pixel = 1e6 * row["processor_seconds"] / side**ndim
            print(
                f"| {side}{power} | {kind} | {row['cells']} | {row['seconds']:.1f} | {row['processor_seconds']:.1f} | "
                f"{per_pixel:.2f} | {row['peak_gib']:.2f} | {row['estimate_gib']:.2f} |",
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
