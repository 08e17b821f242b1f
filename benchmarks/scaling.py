"""Time and peak memory over the size of images: planes as a whole and in blocks, volumes.

    python benchmarks/scaling.py --sides 1000 2000 4000 --volumes 48 64 --out scaling.json

Each run is a process of its own, so that its peak is its own. Images are synthetic nuclei of 16 pixels, written
to a memory map first and not counted.
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


def write_plane(path: Path, side: int) -> None:
    """Discs of random size and place, 16-bit, as a ``.npy`` memory map."""
    rng = np.random.default_rng(0)
    tile = np.full((512, 512), 200.0, np.float32)
    y, x = np.mgrid[-12:13, -12:13]
    for _ in range(190):  # of 20 000 x 20 000 pixels about 300 000
        cy, cx, r = rng.integers(13, 499), rng.integers(13, 499), rng.uniform(6, 10)
        tile[cy - 12 : cy + 13, cx - 12 : cx + 13][y**2 + x**2 < r * r] = rng.uniform(800, 1600)
    image = np.lib.format.open_memmap(path, "w+", np.uint16, (side, side))
    for top in range(0, side, 512):
        rows = np.tile(tile, (1, -(-side // 512)))[: side - top, :side]
        image[top : top + 512] = (rows + rng.normal(0, 40, rows.shape)).clip(0, 65535)
    image.flush()


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
    from cellpose import models

    model = models.CellposeModel(pretrained_model=model_name)
    started = time.perf_counter()
    if kind == "blocks":
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
            cells = models.segment_large(model, path, Path(folder) / "labels.tif").n_cells
            estimate = models.estimate_memory(model, path).total
    else:
        image = np.load(path)
        masks, _, _ = model.eval(image, **({"do_3D": True, "z_axis": 0} if kind == "volume" else {}))
        cells = int(masks.max())
        estimate = models.estimate_memory(model, path).whole if kind == "whole" else 0
    return {
        "seconds": time.perf_counter() - started,
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
    print("| image | run | cells | seconds | µs / pixel | peak GiB | estimate GiB |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        jobs = [(write_plane, side, "blocks", 2) for side in args.sides]
        jobs += [(write_plane, side, "whole", 2) for side in args.sides if side <= args.largest_whole]
        jobs += [(write_volume, side, "volume", 3) for side in args.volumes]
        for write, side, kind, ndim in jobs:
            write(path, side)
            row = {"side": side, "kind": kind, **measure(kind, path, args.model)}
            rows.append(row)
            power = "²" if ndim == 2 else "³"
            print(
                f"| {side}{power} | {kind} | {row['cells']} | {row['seconds']:.1f} | "
                f"{1e6 * row['seconds'] / side**ndim:.2f} | {row['peak_gib']:.2f} | {row['estimate_gib']:.2f} |",
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
