"""How fast the network is, by each engine and in the original versions, on the same tiles with the same weights.

    python benchmarks/network.py --python-v3 /path/to/python --python-v4 /path/to/python

Each given interpreter must have the original package of that generation installed; it is run as it is, in a process of
its own, with the same number of threads. The tiles are those of an image of 1024 x 1024 pixels (36 of 224 x 224), in
batches of 8, with random weights of the size of the published U-Nets; version 4 of the original has no U-Net any more
and is left out unless its module for it is there. Outputs must agree within 1e-3 of the largest. Reported is the best
of several runs. Other programs that run at the same time change the seconds by the clock, but hardly those of the
processor.
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

NBASE = [2, 32, 64, 128, 256]
TILES, SIDE, BATCH = 36, 224, 8


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def best(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor, each the best of several runs after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    wall, cpu = (min(column) for column in zip(*times, strict=True))
    return wall, cpu


def make(folder: Path) -> None:
    """Random weights with batch norms as after training, and the tiles."""
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    net = CPnet(NBASE, nout=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.5)
    torch.save(net.state_dict(), folder / "weights")
    np.save(folder / "tiles.npy", np.random.default_rng(0).random((TILES, NBASE[0], SIDE, SIDE), dtype=np.float32))


def original(folder: Path, repeats: int) -> dict[str, Any]:
    """The network of an original version, as its own code runs it: a batch at a time, without gradients."""
    import torch

    from cellpose.resnet_torch import CPnet

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    net = CPnet(NBASE, 3, 3)
    net.load_model(str(folder / "weights"), device=torch.device("cpu"))
    net.eval()
    tiles = np.load(folder / "tiles.npy")

    def run() -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([net(torch.from_numpy(batch))[0].numpy() for batch in batches(tiles)])

    np.save(folder / "original.npy", run())
    return {"seconds": best(run, repeats)}


def batches(tiles: np.ndarray) -> list[np.ndarray]:
    return [tiles[start : start + BATCH] for start in range(0, len(tiles), BATCH)]


def ours(engine: str, folder: Path, repeats: int) -> dict[str, Any]:
    from cellpose import engines, weights

    if engine == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        net: Any = engines.TorchEngine(weights.load_network(folder / "weights"))
    else:
        net = engines.open_engine([engine], weights.resolve(folder / "weights"))
    tiles = np.load(folder / "tiles.npy")

    def run() -> np.ndarray:
        return np.concatenate([net(batch)[0] for batch in batches(tiles)])

    np.save(folder / f"{engine}.npy", run())
    return {"seconds": best(run, repeats)}


def gemm_rate() -> float:
    """GFLOP/s of one product of matrices in float32, by numpy."""
    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2 * 2048**3 / best(lambda: a @ a, 5)[0] / 1e9


def in_process(python: str, name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "CELLPOSE_LOCAL_MODELS_PATH": str(folder)}
    env.pop("PYTHONPATH", None)
    command = [python, "-W", "ignore", __file__, "--worker", name, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--repeats", str(args.repeats)], env=env, check=False, capture_output=True, text=True
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        run = original if args.worker == "original" else lambda *rest: ours(args.worker, *rest)
        print(json.dumps(run(args.folder, args.repeats)))
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    print(f"a product of matrices runs at {gemm_rate():.0f} GFLOP/s")
    print(f"{TILES} tiles of {SIDE} x {SIDE} pixels, batches of {BATCH}, levels {NBASE}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        rows = {e: in_process(sys.executable, e, folder, args) for e in ("torch", "onnx", "openvino")}
        others = {}
        for version, python in (("v3", args.python_v3), ("v4", args.python_v4)):
            if not python:
                continue
            row = others[version] = in_process(python, "original", folder, args)
            if "error" in row:
                continue
            expected = np.load(folder / "original.npy")
            for engine, ours_ in rows.items():
                if "error" not in ours_:
                    found = np.load(folder / f"{engine}.npy")
                    ours_[f"difference from {version}"] = float(np.abs(found - expected).max() / np.abs(expected).max())
                    if not ours_[f"difference from {version}"] < 1e-3:
                        sys.exit(f"the outputs of {engine} differ from those of {version}")
    known = [version for version in others if "error" not in others[version]]
    print(
        f"{'':12}{'clock s':>10}{'proc. s':>10}"
        + "".join(f"{v + ': clock':>12}{'proc.':>8}{'differs':>10}" for v in known)
    )
    for label, row in {**rows, **others}.items():
        if "error" in row:
            print(f"{label:12}{row['error']}")
            continue
        wall, cpu = row["seconds"]
        line = f"{label:12}{wall:10.2f}{cpu:10.2f}"
        if label in rows:
            for version in known:
                theirs = others[version]["seconds"]
                line += f"{theirs[0] / wall:11.1f}x{theirs[1] / cpu:7.1f}x{row[f'difference from {version}']:10.0e}"
        print(line)


if __name__ == "__main__":
    main()
