"""What the bookkeeping of a distributed run costs, without any pixel: Dask's scheduler, and the numbering of cells.

    python benchmarks/distributed_scheduler.py --blocks 1000 10000 100000

A cube of blocks goes through the three steps of a run, by the code of the runs and a real scheduler. The kernels do
nothing; they return what real ones would: labels of each block, those that it shares with each of its neighbours (a
tenth of the cells across each face), and the boxes of the cells. Then cells are numbered and boxes joined.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cellpose.contrib.distributed_segmentation import myLocalCluster
from cellpose.contrib.distributed_segmentation._blocks import later_neighbours
from cellpose.contrib.distributed_segmentation._merge import merged_boxes, number_cells
from cellpose.contrib.distributed_segmentation._run import _TOGETHER, _around, _map

Index = tuple[int, ...]


def segment(index: Index) -> Index:
    return index


def match(index: Index, later: list[Index], cells: int) -> tuple[Index, np.ndarray, list[tuple[Index, np.ndarray]]]:
    shared = max(1, cells // 10)
    found = []
    for other in later:
        steps = [b - a for a, b in zip(index, other, strict=True)]
        if sum(map(abs, steps)) == 1:  # cells over edges and corners are seldom
            axis = steps.index(1)
            ours, theirs = cells - axis * shared - np.arange(shared), 1 + axis * shared + np.arange(shared)
            found.append((other, np.stack([ours, theirs, np.full(shared, 0.9)], axis=1)))
    return index, np.arange(1, cells + 1), found


def write(index: Index, around: set[Index], cells: int) -> tuple[np.ndarray, np.ndarray]:
    number = np.ravel_multi_index(index, (1000, 1000, 1000)) * cells
    ids = np.arange(number + 1, number + cells + 1, dtype=np.int64)
    return ids, np.zeros((cells, 3, 2), np.int64)


def timed(results: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    out = results()
    return time.perf_counter() - started, out


def simulate(client: Any, indices: list[Index], cells: int) -> list[float]:
    """Seconds of: segmenting, matching, numbering, writing, joining boxes; and the number of cells."""
    import distributed_scheduler as kernels  # by this name workers find them, too

    processed = set(indices)
    present: dict[Index, np.ndarray] = {}
    matches: list[tuple[Index, Index, np.ndarray]] = []
    ids, boxes = [], []

    def matching() -> None:
        calls = ((index, list(later_neighbours(index, processed)), cells) for index in indices)
        for index, labels, found in _map(client, kernels.match, calls, _TOGETHER):
            present[index] = labels
            matches.extend((index, other, pairs) for other, pairs in found)

    def writing() -> None:
        calls: Iterator[tuple[Any, ...]] = ((index, _around(index, processed), cells) for index in indices)
        for some, theirs in _map(client, kernels.write, calls, _TOGETHER):
            ids.append(some)
            boxes.append(theirs)

    segmented, count = timed(lambda: sum(1 for _ in _map(client, kernels.segment, ((index,) for index in indices))))
    matched, _ = timed(matching)
    numbered, (_, n_cells) = timed(lambda: number_cells(present, matches))
    written, _ = timed(writing)
    joined, _ = timed(lambda: merged_boxes(np.concatenate(ids), np.concatenate(boxes)))
    if count != len(indices) or len(ids) != count or len(present) != count:
        message = f"{count}, {len(present)} and {len(ids)} of {len(indices)} blocks came back"
        raise RuntimeError(message)
    return [segmented, matched, numbered, written, joined, n_cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--cells", type=int, default=30, help="cells in a block")
    parser.add_argument("--workers", type=int, default=100, help="blocks that are run at the same time")
    args = parser.parse_args()
    from distributed import Client

    print("| blocks | segment in s | compare | number | write | boxes | blocks / s | cells | peak GiB | processor s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with (
        # in processes of their own, as in a real run: what is measured here is the scheduler and the calling program
        myLocalCluster(1, n_workers=2, threads_per_worker=args.workers // 2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for wanted in args.blocks:
            side = round(wanted ** (1 / 3))
            indices = list(np.ndindex(side, side, max(1, round(wanted / side**2))))
            cpu = time.process_time()
            *seconds, n_cells = simulate(client, indices, args.cells)
            blocks = len(indices) / (seconds[0] + seconds[1] + seconds[3])
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            parts = " | ".join(f"{n:.1f}" for n in seconds)
            print(
                f"| {len(indices)} | {parts} | {blocks:.0f} | {n_cells:.0f} | {peak:.2f} | "
                f"{time.process_time() - cpu:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
