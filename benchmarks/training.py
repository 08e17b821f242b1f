"""How fast U-Nets are trained, and in how much memory, here and in version 3.1.1.3 of the original.

    python benchmarks/training.py --python-v3 /path/to/python

``--python-v3`` has the original installed; it is run as it is, in processes of its own, with as many threads. Version 4
of the original has no U-Net. Measured are

- one step: 8 crops of 224 x 224 pixels through the published network (2, 32, 64, 128, 256 channels), loss, gradients
  and a step of SGD, as in the loop of each package, from the same random weights on the same crops;
- epochs: from the files of a folder to a saved model, ``io.load_train_test_data`` and ``train_seg``, that is reading,
  flows, normalisation, crops and steps. The folder holds synthetic images that this script draws.

Processes run in turns, one of each package after the other, and the best run of each counts; the ratio of each turn is
told too. Losses must agree: those of the steps within 1 %, those of the epochs within 2 %, as in the fixtures of the
tests. Other programs that run at the same time change the seconds by the clock, but hardly those of the processor.
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
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

NBASE = [2, 32, 64, 128, 256]
CROPS, SIDE = 8, 224
RATE = 0.005


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def convolution_gflop(*, upsampled_first: bool) -> float:
    """Thousand million products and sums of the convolutions of one step: forwards, and twice as many backwards."""
    total = 0.0
    widths = NBASE[1:]
    for level, width in enumerate(widths):
        pixels = (SIDE >> level) ** 2
        below = widths[min(level + 1, len(widths) - 1)]
        late = level < len(widths) - 1 and not upsampled_first
        total += pixels * (9 * NBASE[level] * width + 3 * 9 * width**2 + NBASE[level] * width)  # encoder
        total += pixels * (9 * below * width * (16 / 36 if late else 1) + 3 * 9 * width**2)  # decoder
        total += pixels * below * width / (4 if late else 1)
    return 2 * 3 * CROPS * (total + SIDE**2 * 3 * NBASE[1]) / 1e9


# ---------------------------------------------------------------------------------------------------------- material


def make(folder: Path, n_images: int, side: int) -> None:
    """Random weights, crops with targets, and a folder of images of round cells with their masks."""
    import cv2
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    torch.save(CPnet(NBASE, nout=3).state_dict(), folder / "weights")
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir()
    for i in range(n_images):
        labels = np.zeros((side, side), np.uint16)
        for number, (y, x) in enumerate(np.ndindex(side // 36, side // 36), start=1):
            centre = [int(36 * v + 18 + rng.integers(-4, 5)) for v in (x, y)]
            axes = [int(v) for v in rng.integers(9, 17, 2)]
            cv2.ellipse(labels, centre, axes, float(rng.uniform(0, 180)), 0, 360, number, -1)
        image = cv2.GaussianBlur(40 + 120 * (labels > 0).astype(np.float32), (0, 0), 1.5) + rng.normal(
            0, 8, labels.shape
        )
        cv2.imwrite(str(images / f"{i:03d}_img.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(images / f"{i:03d}_img_masks.png"), labels)
    crops = rng.random((CROPS, NBASE[0], SIDE, SIDE), dtype=np.float32)
    targets = rng.uniform(-1, 1, (CROPS, 3, SIDE, SIDE)).astype(np.float32)
    targets[:, 0] = targets[:, 0] > 0
    np.savez(folder / "batch.npz", crops=crops, targets=targets)


# ---------------------------------------------------------------------------------------------------------- workers


def network(package: str, folder: Path) -> Any:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if package == "ours":
        from cellpose.nets import CPnet
    else:
        from cellpose.resnet_torch import CPnet
    net = CPnet(NBASE, 3, 3)
    net.load_state_dict(torch.load(folder / "weights", weights_only=True))
    if not hasattr(net, "device"):
        net.device = torch.device("cpu")
    return net


def measure_step(package: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Steps of SGD as the loop of this package does them."""
    import torch

    from cellpose.train import _loss_fn_seg

    net, batch, kept = network(package, folder), np.load(folder / "batch.npz"), nullcontext()
    x, targets = torch.from_numpy(batch["crops"]), batch["targets"]
    if package == "ours":
        from cellpose.train._memory import memory_is_kept

        # as train_seg does it
        kept = memory_is_kept()
        net, x = (value.to(memory_format=torch.channels_last) for value in (net, x))
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, weight_decay=1e-5, momentum=0.9)
    net.train()
    losses, times = [], []
    with kept:
        for _ in range(args.steps):
            began = time.perf_counter(), time.process_time()
            loss = _loss_fn_seg(targets, net(x)[0], torch.device("cpu"))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    # the first step makes what later ones use again
    wall, cpu = (min(column) for column in zip(*times[1:], strict=True))
    return {"wall": wall, "cpu": cpu, "losses": losses}


def measure_epochs(package: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """From a folder to a trained model."""
    import torch

    from cellpose import io, train

    net = network(package, folder)
    torch.optim.SGD(net.parameters(), lr=RATE)  # the first optimiser of a process loads modules for seconds
    began = time.perf_counter(), time.process_time()
    images, labels, *_ = io.load_train_test_data(str(folder / "images"), mask_filter="_masks")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        _, losses, _ = train.train_seg(
            net, train_data=images, train_labels=labels, channels=[0, 0], save_path=out, batch_size=CROPS,
            n_epochs=args.epochs, learning_rate=RATE, weight_decay=1e-5, SGD=True, min_train_masks=1,
        )  # fmt: skip
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    return {"wall": wall, "cpu": cpu, "losses": [float(loss) for loss in losses]}


def worker(args: argparse.Namespace) -> None:
    import resource

    # The package before torch, as scripts do: what it says of waiting threads is read when torch is loaded.
    import cellpose  # noqa: F401

    package, what = args.worker.split(":")
    measure = measure_step if what == "step" else measure_epochs
    row = measure(package, args.folder, args)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**row, "peak_gb": peak_kb * 1024 / 1e9}))


def in_process(python: str, package: str, what: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    env = environment(OMP_NUM_THREADS=args.threads)
    command = [python, "-W", "ignore", __file__, "--worker", f"{package}:{what}", "--folder", str(folder)]
    command += ["--steps", str(args.steps), "--epochs", str(args.epochs)]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{package} {what}: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# ---------------------------------------------------------------------------------------------------------- report


def best_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {name: min(row[name] for row in rows) for name in ("wall", "cpu", "peak_gb")}


def check_losses(what: str, ours: list[float], theirs: list[float]) -> float:
    difference = max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True))
    allowed = 0.01 if what == "step" else 0.02
    if not difference < allowed:
        sys.exit(f"{what}: losses differ by {difference:.1%}: {ours} here, {theirs} in version 3")
    return difference


def report(what: str, rows: dict[str, list[dict[str, Any]]], unit: str) -> None:
    ours, theirs = best_of(rows["ours"]), best_of(rows["v3"])
    difference = max(
        check_losses(what, a["losses"], b["losses"]) for a, b in zip(rows["ours"], rows["v3"], strict=True)
    )
    turns = sorted(b["cpu"] / a["cpu"] for a, b in zip(rows["ours"], rows["v3"], strict=True))
    print(f"\n{unit}\n{'':16}{'here':>10}{'3.1.1.3':>10}{'ratio':>8}")
    for name, label in (("wall", "clock s"), ("cpu", "processor s"), ("peak_gb", "peak GB")):
        print(f"{label:16}{ours[name]:10.2f}{theirs[name]:10.2f}{theirs[name] / ours[name]:8.2f}")
    print(f"processor, ratio of each turn: {', '.join(f'{turn:.2f}' for turn in turns)}")
    print(f"largest difference of losses: {difference:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=512, help="of the images of the epochs, in pixels")
    parser.add_argument("--only", choices=["step", "epochs"])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    if not args.python_v3:
        parser.error("--python-v3 is needed: what would be measured is a comparison")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    plain, late = (convolution_gflop(upsampled_first=first) for first in (True, False))
    print(f"convolutions of a step: {plain:.0f} GFLOP, {late:.0f} where they come before upsampling")
    units = {
        "step": f"one step, {CROPS} crops of {SIDE} x {SIDE} pixels",
        "epochs": f"{args.epochs} epochs of {args.images} images of {args.side} x {args.side} pixels, from files on",
    }
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), args.images, args.side)
        for what in [args.only] if args.only else ["step", "epochs"]:
            rows: dict[str, list[dict[str, Any]]] = {"ours": [], "v3": []}
            for _ in range(args.turns):
                rows["ours"].append(in_process(sys.executable, "ours", what, Path(name), args))
                rows["v3"].append(in_process(args.python_v3, "v3", what, Path(name), args))
            report(what, rows, units[what])


if __name__ == "__main__":
    main()
