"""Whether tiles of several images in one batch would be faster than one tile a thread: OpenVINO on the CPU.

    python benchmarks/batch_size.py --threads 2

Small images have few tiles, so batches would have to be filled with those of several. Compared are batches of 1, 2 and
8 tiles with one thread; and with several threads a batch of 8 on which all work, and 8 tiles of which each thread takes
one at a time, as engines here do. Ways take turns, and the least of all turns counts. Networks are the bundled model
and one of the size of the published U-Nets.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

TILES = 8


def requests(graph: Any, threads: int, streams: int) -> list[Callable[[np.ndarray], Any]]:
    """One call for each stream, all of which may run at the same time; together they have so many threads."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    model = core.compile_model(core.read_model(graph), "CPU", settings)
    made = [model.create_infer_request() for _ in range(streams)]
    return [lambda x, r=request: r.infer({"tiles": x}, share_inputs=True, share_outputs=True) for request in made]


def ways(graph: Any, threads: int, tiles: np.ndarray) -> dict[str, Callable[[], Any]]:
    """What to time, by name."""

    def in_batches(call: Callable[[np.ndarray], Any], size: int) -> Callable[[], Any]:
        return lambda: [call(tiles[i : i + size]) for i in range(0, TILES, size)]

    def each() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda k: [own[k](tiles[i : i + 1]) for i in range(k, TILES, threads)], range(threads)))

    (one,) = requests(graph, 1, 1)
    found = {f"1 thread, batches of {size}": in_batches(one, size) for size in (1, 2, TILES)}
    if threads > 1:
        (shared,) = requests(graph, threads, 1)
        own = requests(graph, threads, threads)
        found[f"{threads} threads, all on a batch of {TILES}"] = in_batches(shared, TILES)
        found[f"{threads} threads, a tile each"] = each
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=6)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import eval as whole
    from dynamics import processor

    from cellpose import weights
    from cellpose.engines import ENGINES
    from cellpose.engines._source import source_of

    tiles = np.random.default_rng(0).random((TILES, 2, 224, 224), dtype=np.float32)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; milliseconds per tile\n")
    print("| network | way | clock | processor |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        whole.make(Path(name), 256)
        for label, file in (("nuclei-cells", "nuclei-cells"), ("published size", Path(name) / "weights.pth")):
            graph = source_of(weights.resolve(file), ENGINES["openvino"]).graph
            calls = ways(graph, args.threads, tiles)
            times: dict[str, list[tuple[float, float]]] = {way: [] for way in calls}
            for _ in range(args.repeats + 1):
                for way, call in calls.items():
                    began = time.perf_counter(), time.process_time()
                    call()
                    times[way].append((time.perf_counter() - began[0], time.process_time() - began[1]))
            for way, found in times.items():
                clock, cpu = (min(column) / TILES * 1000 for column in zip(*found[1:], strict=True))
                print(f"| {label} | {way} | {clock:.1f} | {cpu:.1f} |", flush=True)


if __name__ == "__main__":
    main()
