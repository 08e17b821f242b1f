"""How fast networks and masks are on a GPU, here and in the original versions, and that results are those of the CPU.

    python benchmarks/gpu.py --python-v3 /path/to/python --python-v4 /path/to/python
    python benchmarks/gpu.py --device cpu --small

Each interpreter must have the original package of that generation installed, with a torch for this GPU; without one
only this implementation is run. Weights of the networks are random; those of the whole ``eval`` are the bundled model
at the published size (see eval.py), of a mosaic of 2048 x 2048 pixels. Tiles go from memory to the device and outputs
back, as in a run. Reported is the best of several runs. ``--small`` takes small networks and images, for a trial of
this script.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

NBASE = [2, 32, 64, 128, 256]
SMALL_SAM = {"bsize": 64, "embed_dim": 64, "num_heads": 2, "offsets": (27, 27)}
ROWS = ("cpsam bfloat16", "cpsam float32", "cpnet float32", "cpnet bfloat16")


def fastest(call: Callable[[], Any], repeats: int) -> float:
    """Seconds by the clock: the best of several runs after two that warm up. Each must wait for its results."""
    call(), call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def tiles_of(name: str, args: argparse.Namespace) -> np.ndarray:
    side = (64 if args.small else 256) if name == "cpsam" else (64 if args.small else 224)
    shape = (2 if args.small else args.tiles, 3 if name == "cpsam" else 2, side, side)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def batches(tiles: np.ndarray, size: int) -> list[np.ndarray]:
    return [tiles[start : start + size] for start in range(0, len(tiles), size)]


def network_ours(row: str, engine: str, args: argparse.Namespace) -> dict[str, float]:
    """Tiles per second, by the size of batches."""
    import torch

    from cellpose import engines, nets

    name, precision = row.split()
    torch.manual_seed(0)
    if name == "cpsam":
        net: Any = nets.CPSAM(**(SMALL_SAM if args.small else {}))
    else:
        net = nets.CPnet(NBASE, nout=3).to(memory_format=torch.channels_last)
    net = net.eval().to(args.device)
    net.dtype = getattr(torch, precision)
    tiles, found = tiles_of(name, args), {}
    for size in args.batches:
        run = engines.TorchEngine(net, compiled=engine == "compile")
        seconds = fastest(lambda run=run, size=size: [run(batch) for batch in batches(tiles, size)], args.repeats)
        found[str(size)] = len(tiles) / seconds
    return found


def network_original(row: str, args: argparse.Namespace) -> dict[str, float]:
    import torch

    name, precision = row.split()
    device, dtype = torch.device(args.device), getattr(torch, precision)
    if name == "cpsam":
        from cellpose.vit import CPSAM

        net = CPSAM().to(device)
        if precision != "float32":
            net.dtype = dtype
    else:
        from cellpose.resnet_torch import CPnet

        net = CPnet(NBASE, 3, 3).to(device).to(dtype)
    net.eval()
    tiles, found = tiles_of(name, args), {}

    def run(size: int) -> None:
        with torch.no_grad():
            for batch in batches(tiles, size):
                net(torch.from_numpy(batch).to(device).to(dtype))[0].float().cpu().numpy()

    for size in args.batches:
        found[str(size)] = len(tiles) / fastest(lambda size=size: run(size), args.repeats)
    return found


def whole_eval(folder: Path, args: argparse.Namespace, device: str) -> dict[str, Any]:
    """Seconds of ``eval`` with masks, with the same weights in every implementation."""
    import torch

    from cellpose import models

    model = models.CellposeModel(
        gpu=device != "cpu", pretrained_model=str(folder / "weights.pth"), device=torch.device(device)
    )
    image = np.load(folder / "image.npy")
    found: list[Any] = []

    def run() -> None:
        found[:] = model.eval(image, diameter=30.0, channels=[0, 0], batch_size=args.batches[-1])[:3]

    seconds = fastest(run, args.repeats)
    name = f"{args.label}-{device.partition(':')[0]}.npz"
    np.savez(folder / name, masks=found[0], dP=found[1][1], cellprob=found[1][2])
    return {"seconds": seconds, "cells": int(found[0].max())}


def kernels(args: argparse.Namespace) -> dict[str, Any]:
    """Every computation of masks on the device: seconds, and how far the results are from those of the CPU."""
    import torch

    from cellpose import dynamics, metrics

    side = 96 if args.small else 2048
    y, x = np.mgrid[:side, :side]
    step = 34
    cell = (y // step) * (side // step + 1) + x // step + 1
    inside = (y % step - step / 2) ** 2 + (x % step - step / 2) ** 2 < (step / 2 - 2) ** 2
    labels = np.where(inside, cell, 0).astype(np.int32)
    flows = dynamics.labels_to_flows([labels])[0]
    dP, cellprob = 5 * flows[2:4].astype(np.float32), np.where(labels > 0, 6, -6).astype(np.float32)
    cellprob[step // 2 :: step, step // 2 :: step] = -6  # a hole in every cell
    moved = np.roll(labels, 3, axis=1)
    calls: dict[str, Callable[[Any], Any]] = {
        "masks_to_flows": lambda device: dynamics.labels_to_flows([labels], device=device)[0][2:4],
        "follow_flows": lambda device: dynamics.follow_flows(dP, np.nonzero(labels), niter=200, device=device),
        "compute_masks": lambda device: dynamics.compute_masks(dP, cellprob, device=device),
        "compute_masks, holes filled": lambda device: dynamics.compute_masks(dP, cellprob, min_size=15, device=device),
        "flow_error": lambda device: dynamics.flow_error(labels, dP, device=device)[0],
        "average_precision": lambda device: metrics.average_precision(labels, moved, device=device)[0],
        "boundary_scores": lambda device: metrics.boundary_scores([labels], [moved], [0.1], device=device),
    }
    device, rows = torch.device(args.device), {}
    for name, call in calls.items():
        expected, found = (
            np.asarray(r.cpu() if isinstance(r, torch.Tensor) else r, np.float64)
            for r in (call(torch.device("cpu")), call(device))
        )
        rows[name] = {
            "cpu": fastest(lambda call=call: call(torch.device("cpu")), args.repeats),
            "device": fastest(lambda call=call: call(device), args.repeats),
            "differs": float(np.abs(found - expected).max()),
        }
    return rows


def in_process(python: str, work: str, label: str, folder: Path, args: argparse.Namespace) -> Any:
    command = [python, "-W", "ignore", __file__, "--worker", work, "--label", label, "--folder", str(folder)]
    for name in ("device", "tiles", "repeats"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--batches", *map(str, args.batches)] + ["--small"] * args.small
    env = environment(ours=label == "ours", CELLPOSE_LOCAL_MODELS_PATH=folder)
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def work(args: argparse.Namespace) -> Any:
    """What a worker process does."""
    kind, _, rest = args.worker.partition(":")
    if kind == "eval":
        return whole_eval(args.folder, args, rest)
    if kind == "kernels":
        return kernels(args)
    if args.label == "ours":
        row, _, engine = rest.partition("/")
        return network_ours(row, engine, args)
    return network_original(rest, args)


def device_facts(device: str) -> str:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    n = 8192 if device.startswith("cuda") else 1024
    a = torch.randn(n, n, device=device, dtype=dtype)

    def product() -> float:
        return float((a @ a)[0, 0])

    return f"{name}, torch {torch.__version__}, {2 * n**3 / fastest(product, 5) / 1e12:.1f} TFLOP/s in {dtype}"


def agreement(folder: Path, one: str, other: str) -> str:
    """Of two runs: mean average precision at IoU 0.5 and 0.9, and the largest difference of flows."""
    from cellpose.metrics import average_precision

    a, b = (np.load(folder / f"{name}.npz") for name in (one, other))
    ap = average_precision([a["masks"]], [b["masks"]], threshold=[0.5, 0.9])[0][0]
    difference = np.abs(a["dP"] - b["dP"]).max() if a["dP"].shape == b["dP"].shape else float("nan")
    return f"average precision {ap[0]:.4f} at 0.5, {ap[1]:.4f} at 0.9; flows differ by at most {difference:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    parser.add_argument("--small", action="store_true", help="small networks and images")
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--label", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(work(args)))
        return
    print(device_facts(args.device))
    engines = ["torch", "compile"] if args.compile else ["torch"]
    originals = {"cpsam": ("v4", args.python_v4), "cpnet": ("v3", args.python_v3)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print("\ntiles per second by the size of batches")
        for row in ROWS:
            for engine in engines:
                print(f"{row:16}{engine:10}", in_process(sys.executable, f"net:{row}/{engine}", "ours", folder, args))
            version, python = originals[row.split()[0]]
            if python and not args.small:
                print(f"{row:16}{version:10}", in_process(python, f"net:{row}", version, folder, args))
        print("\ncomputations of masks: seconds on the CPU and on the device, largest difference")
        found = in_process(sys.executable, "kernels:", "ours", folder, args)
        for name, row in found.items():
            print(f"{name:28}", row)
        print("\nwhole eval with masks")
        from eval import make

        make(folder, 256 if args.small else 2048)
        for device in dict.fromkeys((args.device, "cpu")):
            print(f"ours {device:10}", in_process(sys.executable, f"eval:{device}", "ours", folder, args))
        if args.python_v3:
            print(f"v3   {args.device:10}", in_process(args.python_v3, f"eval:{args.device}", "v3", folder, args))
        kind = args.device.partition(":")[0]
        print("device against CPU:", agreement(folder, f"ours-{kind}", "ours-cpu"))
        if (folder / f"v3-{kind}.npz").exists():
            print("ours against v3:   ", agreement(folder, f"ours-{kind}", f"v3-{kind}"))


if __name__ == "__main__":
    main()
