"""What the bookkeeping of a distributed run costs, without any pixel: Dask's scheduler, and the numbering of cells.

    python benchmarks/distributed_scheduler.py --blocks 1000 10000 100000

Blocks are handed to a real scheduler by the code of the runs, with kernels that do nothing; then cells of a cube of
blocks, a tenth of which lie on edges and are seen by two blocks, are numbered by the code of the runs.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from cellpose.contrib.distributed_segmentation import myLocalCluster
from cellpose.contrib.distributed_segmentation._blocks import later_neighbours
from cellpose.contrib.distributed_segmentation._merge import number_cells
from cellpose.contrib.distributed_segmentation._run import _map


def nothing(index: tuple[int, ...]) -> tuple[int, ...]:
    return index


def schedule(client: object, indices: list[tuple[int, ...]]) -> float:
    started = time.perf_counter()
    done = sum(1 for _ in _map(client, nothing, ((index,) for index in indices)))
    if done != len(indices):
        message = f"{done} of {len(indices)} blocks came back"
        raise RuntimeError(message)
    return time.perf_counter() - started


def number(indices: list[tuple[int, ...]], cells: int) -> tuple[float, int]:
    processed = set(indices)
    shared = max(1, cells // 10)
    present = {index: np.arange(1, cells + 1) for index in indices}

    def matches() -> object:
        for index in indices:
            for axis in range(3):
                other = tuple(n + (k == axis) for k, n in enumerate(index))
                if other in processed:
                    first, last = 1 + axis * shared, cells - axis * shared
                    yield index, other, [(last - k, first + k, 0.9) for k in range(shared)]

    started = time.perf_counter()
    _, n_cells = number_cells(present, matches())
    return time.perf_counter() - started, n_cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--cells", type=int, default=30, help="cells in a block, for the numbering")
    args = parser.parse_args()
    from distributed import Client

    print("| blocks | scheduled in s | blocks / s | neighbours / block | cells numbered | in s | peak GiB |")
    print("|---|---|---|---|---|---|---|")
    with (
        myLocalCluster(1, n_workers=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for wanted in args.blocks:
            side = round(wanted ** (1 / 3))
            indices = list(np.ndindex(side, side, side))
            seconds = schedule(client, indices)
            middle = (side // 2,) * 3
            near = sum(1 for _ in later_neighbours(middle, set(indices)))
            numbering, n_cells = number(indices, args.cells)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"| {len(indices)} | {seconds:.1f} | {len(indices) / seconds:.0f} | {near} | {n_cells} | "
                f"{numbering:.1f} | {peak:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
