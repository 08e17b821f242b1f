"""How long restoring takes, and how much memory, here and in version 3 of the original.

    python benchmarks/restore.py --python-v3 /path/to/python

The interpreter must have version 3 of the original installed; it is run as it is, in processes of its own, with the
same number of threads (version 4 does not restore). The network is one of the published form, of 32 to 256 channels,
whose weights are random numbers: the published ones are not here, and numbers do not change how long it takes. Both
sides read the same file. The images are example images beside each other: a plane of 1024 x 1024 pixels of 8 bits, and
a stack of 16 planes of 512 x 512 pixels of 16 bits. Every engine and the original take turns, and the best of a few
runs counts. Reported are seconds by the clock and of the processor, the most memory that the process ever held, and the
largest difference from the original as part of its largest number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from eval import mosaic, peak_mib
from original import environment

CASES = ("plane", "stack")
ORIGINAL = "3.1.1.3"


def make(folder: Path, side: int, planes: int) -> None:
    """Weights, a plane and a stack."""
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    CPnet([1, 32, 64, 128, 256], 1).save_model(folder / "denoise_random")
    image = mosaic(2 * side)
    np.save(folder / "plane.npy", image[:side, :side])
    half = side // 2
    starts = np.random.default_rng(0).integers(0, 2 * side - half, (planes, 2))
    stack = np.stack([image[y : y + half, x : x + half] for y, x in starts])
    np.save(folder / "stack.npy", stack.astype(np.uint16) * 100)


def worker(folder: Path, case: str, engine: str, precision: str) -> dict[str, Any]:
    """Restore once in this process, after a small image for which everything is loaded and compiled."""
    from cellpose import denoise

    options = {name: value for name, value in (("engine", engine), ("precision", precision)) if value}
    model = denoise.DenoiseModel(gpu=False, pretrained_model=str(folder / "denoise_random"), **options)
    image = np.load(folder / f"{case}.npy")
    how = {"channels": [0, 0], "diameter": 30.0, "batch_size": 8}
    model.eval((image if case == "plane" else image[0])[:256, :256], **how)
    began = time.perf_counter(), time.process_time()
    restored = model.eval(image, **how, **({"z_axis": 0} if case == "stack" else {}))
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    np.save(folder / f"{case} {engine or ORIGINAL} {precision}.npy", restored)
    return {"seconds": seconds, "peak": peak_mib()}


def in_process(python: str, folder: Path, threads: int, *what: str) -> dict[str, Any]:
    """What :func:`worker` returns in a process of its own."""
    of_threads = {f"{library}_NUM_THREADS": threads for library in ("OMP", "NUMBA", "MKL")}
    env = environment(ours=python == sys.executable, CELLPOSE_LOCAL_MODELS_PATH=folder, **of_threads)
    command = [python, "-W", "ignore", __file__, "--folder", str(folder), "--worker", *what]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{python} {what}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def best(rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Least seconds by the clock and of the processor, and least memory."""
    clock, processor = zip(*(row["seconds"] for row in rows), strict=True)
    return min(clock), min(processor), min(row["peak"] for row in rows)


def difference(folder: Path, case: str, name: str, precision: str) -> float:
    ours, theirs = (np.load(folder / f"{case} {n}.npy") for n in (f"{name} {precision}", f"{ORIGINAL} "))
    return float(np.abs(ours.reshape(theirs.shape) - theirs).max() / np.abs(theirs).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--side", type=int, default=1024, help="side of the plane in pixels")
    parser.add_argument("--planes", type=int, default=16, help="planes of the stack")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=2, help="how many times each is run")
    parser.add_argument("--engines", nargs="+", default=["native", "openvino", "openvino:int8", "torch"])
    parser.add_argument("--json", type=Path, help="write seconds and memory as JSON")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        print(json.dumps(worker(args.folder, *args.worker)))
        return
    from dynamics import processor

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    pairs = [(sys.executable, *(one + ":").split(":")[:2]) for one in args.engines]
    if args.python_v3:
        pairs.append((args.python_v3, "", ""))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, args.side, args.planes)
        print("| | | clock s | processor s | MiB | 3.1.1.3 / here: clock, processor, memory | difference |")
        print("|---|---|---|---|---|---|---|")
        for case in CASES:
            rows: dict[tuple[str, ...], list[dict[str, Any]]] = {pair: [] for pair in pairs}
            for _ in range(args.runs):
                for pair in pairs:
                    rows[pair].append(in_process(pair[0], folder, args.threads, case, *pair[1:]))
            theirs = best(rows[pairs[-1]]) if args.python_v3 else None
            for pair in pairs:
                own = best(rows[pair])
                label = " ".join(pair[1:]).strip() or ORIGINAL
                found[f"{case} {label}"] = own
                line = f"| {case} | {label} | {own[0]:.2f} | {own[1]:.2f} | {own[2]:.0f} |"
                if theirs and pair[1]:
                    ratios = ", ".join(f"{a / max(b, 1e-9):.1f}" for a, b in zip(theirs, own, strict=True))
                    line += f" {ratios} | {difference(folder, case, *pair[1:]):.0e} |"
                print(line, flush=True)
    if args.json:
        args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
