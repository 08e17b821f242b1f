"""What this machine can do at most, and the least time that each piece of work would take at that rate.

    python benchmarks/limits.py

Measured are products of matrices in float32 and copies of arrays, with one thread and with several: those that fit into
the last cache and those that do not. A piece of work has a least number of operations and of bytes; the formulas stand
in `WORK`. Its limit is the longer of operations at the rate of products, and bytes at the rate of copies from memory
(arrays of the image are read or written once, nothing else is). No program reaches it: operations that are no products
of large matrices are slower, and what is read is rarely all that is to be done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

GFLOP_OF_A_TILE = 27.5  # U-Net of the published size, 224 x 224 pixels
GFLOP_OF_A_SAM_TILE = 24 * 14 * 2 * 1.024**3 + 1.9  # linear layers and attention of 24 blocks, and the neck
STEPS = 64  # of 200, that a pixel takes on average before it is at rest
OPERATIONS_OF_A_STEP = 20  # four corners weighted along y and x, two components, the position moved and bounded
OPERATIONS_OF_HEAT = 10  # the mean of nine pixels, of each pixel in the box of a cell in each step


@dataclass(frozen=True)
class Image:
    """What the least work depends on: pixels, those in cells, and the sum over cells of area x steps of heat."""

    pixels: int
    inside: int
    heat: int

    @classmethod
    def of(cls, labels: np.ndarray) -> Image:
        """That of a label image."""
        from cellpose.dynamics._cpu._heat import find_cells

        extents = find_cells(labels).extents[:, 1:]
        heat = int((extents.prod(axis=1) * 2 * (extents.sum(axis=1) + 4)).sum())
        return cls(labels.size, int(np.count_nonzero(labels)), heat)


#: Least operations and bytes of each piece of work on an image.
WORK: dict[str, Callable[[Image], tuple[float, float]]] = {
    # flows and logits are read, masks of 2 bytes written
    "compute_masks": lambda i: (
        i.inside * STEPS * OPERATIONS_OF_A_STEP + i.heat * OPERATIONS_OF_HEAT,
        i.pixels * (3 * 4 + 2),
    ),
    # labels are read, four float32 written
    "labels_to_flows": lambda i: (i.heat * OPERATIONS_OF_HEAT, i.pixels * (4 + 4 * 4)),
    "fill_holes": lambda i: (0, i.pixels * (4 + 4)),
    "outlines_list": lambda i: (0, i.pixels * 4),
    "masks_to_outlines": lambda i: (0, i.pixels * (4 + 1)),
    "remove_edge_masks": lambda i: (0, i.pixels * (4 + 4)),
    "average_precision": lambda i: (0, i.pixels * (4 + 4)),
    "mask_ious": lambda i: (0, i.pixels * (4 + 4)),
    "aggregated_jaccard_index": lambda i: (0, i.pixels * (4 + 4)),
    "boundary_scores": lambda i: (0, i.pixels * (4 + 4)),
    "cpnet": lambda i: (36 * GFLOP_OF_A_TILE * 1e9, 0),
    "cpsam": lambda i: (25 * GFLOP_OF_A_SAM_TILE * 1e9, 0),
    # 12 x 12 tiles of an image of 2048 x 2048
    "eval": lambda i: (144 * GFLOP_OF_A_TILE * 1e9, 0),
}


def fastest(call: Callable[[], Any], threads: int, repeats: int = 9) -> float:
    """Seconds of the processor for each thread, the least of several runs; other programs hardly change them."""
    call()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times) / threads


def gemm_gflops(threads: int, side: int = 2048) -> float:
    """Rate of one product of matrices in float32; how many threads it has is for the environment to say."""
    a = np.random.default_rng(0).random((side, side), dtype=np.float32)
    out = np.empty_like(a)
    return 2 * side**3 / fastest(lambda: np.matmul(a, a, out=out), threads) / 1e9


def copy_gbytes(size: int, threads: int) -> float:
    """Bytes read and written a second while arrays of so many bytes in all are copied, one by each thread."""
    arrays = [(np.ones(size // 8 // threads), np.zeros(size // 8 // threads)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return (
            2 * size / fastest(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), arrays)), threads) / 1e9
        )


def measure(threads: int) -> dict[str, float]:
    """Rates with so many threads, in a process of its own."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    env = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, __file__, "--worker", str(threads)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def limit(work: str, image: Image, rates: dict[str, float]) -> tuple[float, str]:
    """Least seconds of a piece of work, and what bounds it."""
    operations, size = WORK[work](image)
    by_rate = operations / rates["gemm"] / 1e9, size / rates["memory"] / 1e9
    return max(by_rate), "products" if by_rate[0] >= by_rate[1] else "memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        rates = {
            "gemm": gemm_gflops(args.worker),
            "memory": copy_gbytes(2**28, args.worker),
            "cache": copy_gbytes(2**23, args.worker),
        }
        print(json.dumps(rates))
        return
    from dynamics import make_labels, processor

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before\n")
    image = Image.of(make_labels(2048, 34, np.random.default_rng(0)))
    rates = {n: measure(n) for n in args.threads}
    print("| | " + " | ".join(f"{n} thread{'s' * (n > 1)}" for n in rates) + " |\n|---|" + "---|" * len(rates))
    for key, label in (("gemm", "products, GFLOP/s"), ("memory", "copies, GB/s"), ("cache", "copies in cache, GB/s")):
        print(f"| {label} | " + " | ".join(f"{r[key]:.0f}" for r in rates.values()) + " |")
    print("\n| work on 2048 x 2048 pixels | GFLOP | MB | least seconds, by threads | bound |\n|---|---|---|---|---|")
    for work, formula in WORK.items():
        operations, size = formula(image)
        least = [limit(work, image, r) for r in rates.values()]
        seconds = ", ".join(f"{s:.4f}" for s, _ in least)
        print(f"| {work} | {operations / 1e9:.2f} | {size / 1e6:.0f} | {seconds} | {least[-1][1]} |")


if __name__ == "__main__":
    main()
