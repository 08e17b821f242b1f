"""How long a whole `eval` takes, and how much memory, here and in version 3 of the original.

    python benchmarks/eval.py --python-v3 /path/to/python
    python benchmarks/eval.py --python-v3 /path/to/python --bsize 0 --examples nuclei_dense

The interpreter must have version 3 of the original installed; it is run as it is, in a process of its own, with the
same number of threads (version 4 has no U-Net any more). The image is a mosaic of the example images, 2048 x 2048
pixels of 8 bits. The network has the size of the published U-Nets and gives real cells: it is ``nuclei-cells``, every
channel of which is there twice with a share of the weight, so that it computes what that model does with four times
the work. Reported are seconds of the second of two runs, the most memory that the process ever held (imports and the
network included), and how well the masks agree with the true ones and with those of the original.

Tiles are those of the original, unless ``--bsize 0`` asks for few large ones, as bundled models have them. Each tile
has one style, so a mosaic of images of all kinds is then unfair; ``--examples`` makes one of a single kind.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

MODEL_SIDE = 30.0
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.png") if not path.stem.endswith("_masks"))


def mosaic(side: int) -> np.ndarray:
    """Example images beside each other, some of them flipped, in gray."""
    return labelled_mosaic(side)[0]


def labelled_mosaic(side: int, names: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """A mosaic of all examples, or of those with these names, and its true labels."""
    from cellpose import io

    tiles = []
    for name in names or NAMES:
        image, labels = (np.asarray(io.imread(str(EXAMPLES / f"{name}{end}.png"))) for end in ("", "_masks"))
        gray = image if image.ndim == 2 else image[..., :3].mean(axis=-1)
        tiles.append(np.stack([gray, labels]).astype(np.int32))
    rng = np.random.default_rng(0)
    out = np.zeros((2, side, side), np.int32)
    y, n_cells = 0, 0
    while y < side:
        x, height = 0, side
        while x < side:
            tile = tiles[rng.integers(len(tiles))][:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
            part = out[:, y : y + tile.shape[1], x : x + tile.shape[2]]
            part[...] = tile[:, : part.shape[1], : part.shape[2]]
            part[1] += n_cells * (part[1] > 0)
            n_cells += int(tile[1].max())
            x += tile.shape[2]
            height = min(height, tile.shape[1])
        y += height
    return out[0].astype(np.uint8), np.unique(out[1], return_inverse=True)[1].reshape(side, side)


def make(folder: Path, side: int, examples: Sequence[str] = ()) -> None:
    import torch

    from cellpose import weights

    sys.path.insert(0, str(EXAMPLES.parent / "training"))
    from train_bundled import widen

    state = weights.load_state_dict(weights.resolve("nuclei-cells").path)
    torch.save(widen(state, seed=0), folder / "weights.pth")
    image, labels = labelled_mosaic(side, examples)
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)


def peak_mib() -> float:
    """The most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def worker(folder: Path, engine: str, bsize: int | None) -> dict[str, Any]:
    """Two runs in this process."""
    started = time.perf_counter()
    only_load, engine = engine.startswith("only load "), engine.removeprefix("only load ")
    from cellpose import models

    options = {"engine": engine} if engine else {}
    tiles = {"bsize": bsize} if engine and bsize is not None else {}
    model = models.CellposeModel(gpu=False, pretrained_model=str(folder / "weights.pth"), **options)
    image = np.load(folder / "image.npy")
    loaded = time.perf_counter() - started, peak_mib()
    if only_load:
        return {"loaded": loaded}
    times = []
    for _ in range(2):
        began = time.perf_counter(), time.process_time()
        masks, flows, _ = model.eval(image, diameter=MODEL_SIDE, channels=[0, 0], batch_size=8, **tiles)[:3]
        times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    peak = peak_mib()
    np.savez(folder / f"{engine or 'original'}.npz", masks=masks, dP=flows[1], cellprob=flows[2])
    return {"loaded": loaded, "times": times, "peak": peak, "cells": int(masks.max())}


def in_process(python: str, engine: str, folder: Path, threads: int, bsize: int | None = None) -> dict[str, Any]:
    of_threads = {f"{library}_NUM_THREADS": threads for library in ("OMP", "NUMBA", "MKL")}
    env = environment(CELLPOSE_LOCAL_MODELS_PATH=folder, **of_threads)
    command = [python, "-W", "ignore", __file__, "--worker", engine, "--folder", str(folder)]
    command += [] if bsize is None else ["--bsize", str(bsize)]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{python} {engine}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--side", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", default=["native", "openvino", "onnx", "torch"])
    parser.add_argument("--bsize", type=int, help="side of the tiles here; 0: few large ones")
    parser.add_argument("--examples", nargs="+", default=[], choices=NAMES, help="what the mosaic is made of")
    parser.add_argument("--json", type=Path, help="write the seconds (clock, processor) as JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        print(json.dumps(worker(args.folder, args.worker, args.bsize)))
        return
    from dynamics import agreement, processor

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, args.side, args.examples)
        for engine in args.engines:  # graphs are made once for each weight file
            in_process(sys.executable, f"only load {engine}", folder, args.threads)
        rows = {engine: in_process(sys.executable, engine, folder, args.threads, args.bsize) for engine in args.engines}
        if args.python_v3:
            rows["3.1.1.3"] = in_process(args.python_v3, "", folder, args.threads)
        truth = np.load(folder / "labels.npy").astype(np.int32)
        print(f"{truth.max()} true cells; agreement is the AP at 0.5")
        print(
            "| | clock s | processor s | peak MiB | cells | agreement with the truth "
            "| 3.1.1.3 / here: clock, processor, memory | agreement with 3.1.1.3 |"
        )
        print("|---|---|---|---|---|---|---|---|")
        theirs = rows.get("3.1.1.3")
        for label, row in rows.items():
            wall, cpu = row["times"][-1]
            masks = np.load(folder / f"{'original' if row is theirs else label}.npz")["masks"].astype(np.int32)
            line = f"| {label} | {wall:.2f} | {cpu:.2f} | {row['peak']:.0f} | {row['cells']} "
            line += f"| {agreement(truth, masks):.4f} |"
            if theirs and row is not theirs:
                ratios = [
                    a / b for a, b in zip((*theirs["times"][-1], theirs["peak"]), (wall, cpu, row["peak"]), strict=True)
                ]
                other = np.load(folder / "original.npz")["masks"].astype(np.int32)
                line += f" {ratios[0]:.1f}, {ratios[1]:.1f}, {ratios[2]:.1f} | {agreement(masks, other):.4f} |"
            print(line, flush=True)
        if args.json:
            args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
