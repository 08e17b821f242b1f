"""How fast the networks are, by each engine and in the original versions, on the same tiles with the same weights.

    python benchmarks/network.py --python-v3 /path/to/python
    python benchmarks/network.py --network cpsam --python-v4 /path/to/python

Each given interpreter must have the original package of that generation installed; it is run as it is, in a process of
its own, with the same number of threads. ``cpnet`` is a U-Net of the published size on the 36 tiles of an image of
1024 x 1024 pixels (224 x 224 each, in batches of 8), which version 4 does not have any more; ``cpsam`` is Cellpose-SAM
on the 25 tiles of 256 x 256 of such an image, and version 3 has none. Weights are random. Outputs of networks in
float32 must agree within 1e-3 of the largest. Reported is the best of several runs. Other programs that run at the same
time change the seconds by the clock, but hardly those of the processor.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from original import environment


@dataclass(frozen=True)
class Network:
    """What is run: channels and side of a tile, tiles of an image of 1024 x 1024, products and sums of a tile."""

    channels: int
    side: int
    n_tiles: int
    batch: int
    gflop: float
    precisions: tuple[str, ...]


NBASE = [2, 32, 64, 128, 256]
NETWORKS = {
    "cpnet": Network(2, 224, 36, 8, 27.5, ("float32",)),
    # 24 blocks of 1024 tokens of width 1024: 12 x 1024^3 products of linear layers, 2 x 1024^3 of attention; the neck.
    "cpsam": Network(3, 256, 25, 1, 24 * 14 * 2 * 1.024**3 + 1.9, ("float32", "bfloat16")),
}
OURS = {
    "torch": ("torch", "float32"),
    "native": ("native", "float32"),
    "onnx": ("onnx", "float32"),
    "openvino": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
    "onnx int8": ("onnx", "int8"),
    "openvino int8": ("openvino", "int8"),
}


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


def make(folder: Path, name: str = "cpnet", n_tiles: int = 36) -> None:
    """Random weights with batch norms as after training, and the tiles."""
    import torch

    from cellpose.nets import CPSAM, CPnet

    torch.manual_seed(0)
    net: Any = CPnet(NBASE, nout=3) if name == "cpnet" else CPSAM()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.5)
    if name == "cpsam":
        for key, parameter in net.named_parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                torch.nn.init.normal_(parameter, 0, 0.1 if "rel_pos" in key else 0.02)
    net.save_model(folder / "weights")
    kind = NETWORKS[name]
    tiles = np.random.default_rng(0).random((n_tiles, kind.channels, kind.side, kind.side), dtype=np.float32)
    np.save(folder / "tiles.npy", tiles)


def original(name: str, precision: str, folder: Path, repeats: int) -> dict[str, Any]:
    """The network of an original version, as its own code runs it: a batch at a time, without gradients."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if name == "cpnet":
        from cellpose.resnet_torch import CPnet

        net = CPnet(NBASE, 3, 3)
    else:
        from cellpose.vit import CPSAM

        net = CPSAM()
    net.load_model(str(folder / "weights"), device=torch.device("cpu"))
    dtype = getattr(torch, precision)
    if precision != "float32":
        net.dtype = dtype
    net.eval()
    tiles = np.load(folder / "tiles.npy")

    def run() -> np.ndarray:
        with torch.no_grad():
            parts = [net(torch.from_numpy(batch).to(dtype))[0].float().numpy() for batch in batches(tiles, name)]
        return np.concatenate(parts)

    np.save(folder / f"original {precision}.npy", run())
    return {"seconds": best(run, repeats)}


def batches(tiles: np.ndarray, name: str) -> list[np.ndarray]:
    # As many tiles at once as the pipeline gives to a network; those of transformers have no part in common.
    size = NETWORKS[name].batch
    return [tiles[start : start + size] for start in range(0, len(tiles), size)]


def ours(row: str, name: str, folder: Path, repeats: int) -> dict[str, Any]:
    from cellpose import engines, weights

    engine, precision = OURS[row]
    if engine == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        net: Any = engines.TorchEngine(weights.load_network(folder / "weights"))
    else:
        net = engines.open_engine([engine], weights.resolve(folder / "weights"), precision)
    if net is None:
        message = f"{engine} has no {name} in {precision} here"
        raise SystemExit(message)
    tiles = np.load(folder / "tiles.npy")

    def run() -> np.ndarray:
        return np.concatenate([net(batch)[0] for batch in np.array_split(tiles, -(-len(tiles) // 8))])

    np.save(folder / f"{row}.npy", run())
    return {"seconds": best(run, repeats)}


def gemm_rate() -> float:
    """GFLOP/s of one product of matrices in float32, by numpy."""
    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2 * 2048**3 / best(lambda: a @ a, 5)[1] / 1e9


def in_process(python: str, row: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    env = environment(OMP_NUM_THREADS=args.threads, CELLPOSE_LOCAL_MODELS_PATH=folder)
    command = [python, "-W", "ignore", __file__, "--network", args.network, "--worker", row, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--repeats", str(args.repeats)], env=env, check=False, capture_output=True, text=True
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(rows: dict[str, Any], version: str, folder: Path) -> None:
    """How far the outputs are from those of the original: the largest difference, or the mean one with fewer bits."""
    expected = np.load(folder / "original float32.npy")
    for row, result in rows.items():
        if "error" in result:
            continue
        change = np.load(folder / f"{row}.npy") - expected
        if OURS[row][1] == "float32":
            result[f"difference from {version}"] = found = float(np.abs(change).max() / np.abs(expected).max())
            if not found < 1e-3:
                sys.exit(f"the outputs of {row} differ from those of {version}")
        else:
            result[f"difference from {version}"] = float(np.sqrt((change**2).mean() / (expected**2).mean()))


def show(rows: dict[str, Any], others: dict[str, Any], gflop: float) -> None:
    known = [name for name in others if "error" not in others[name]]
    head = "".join(f"{'x ' + name:>22}{'differs':>10}" for name in known)
    print(f"{'':20}{'clock s':>10}{'proc. s':>10}{'GFLOP/s':>9}{head}")
    for label, row in {**rows, **others}.items():
        if "error" in row:
            print(f"{label:20} {row['error']}")
            continue
        wall, cpu = row["seconds"]
        line = f"{label:20}{wall:10.2f}{cpu:10.2f}{gflop / cpu:9.0f}"
        if label in rows:
            for name in known:
                theirs = others[name]["seconds"]
                ratios = f"{theirs[0] / wall:.1f} / {theirs[1] / cpu:.1f}"
                difference = row.get(f"difference from {name.split()[0]}", float("nan"))
                line += f"{ratios:>22}{difference:10.0e}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="cpnet")
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original (cpnet)")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original (cpsam)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiles", type=int, help="number of tiles; those of an image of 1024 x 1024 if not given")
    parser.add_argument("--rows", nargs="*", choices=OURS, default=list(OURS))
    parser.add_argument("--json", type=Path, help="write the seconds (clock, processor) as JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    kind = NETWORKS[args.network]
    if args.worker:
        if args.worker.startswith("original"):
            found = original(args.network, args.worker.split()[1], args.folder, args.repeats)
        else:
            found = ours(args.worker, args.network, args.folder, args.repeats)
        print(json.dumps(found))
        return
    n_tiles = args.tiles or kind.n_tiles
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    print(f"numpy multiplies matrices at {gemm_rate():.0f} GFLOP/s for each second of processor time")
    print(f"{args.network}: {n_tiles} tiles of {kind.side} x {kind.side} pixels, {kind.gflop:.0f} GFLOP each")
    print("ratios: by the clock / of processor time\n")
    python, version = {"cpnet": (args.python_v3, "v3"), "cpsam": (args.python_v4, "v4")}[args.network]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, args.network, n_tiles)
        rows = {row: in_process(sys.executable, row, folder, args) for row in args.rows}
        others = {}
        for precision in kind.precisions if python else ():
            label = version if precision == "float32" else f"{version} {precision}"
            others[label] = in_process(python, f"original {precision}", folder, args)
        if python and "error" not in others[version]:
            compare(rows, version, folder)
    if args.json:
        args.json.write_text(json.dumps({**rows, **others}))
    show(rows, others, kind.gflop * n_tiles)


if __name__ == "__main__":
    main()
