"""Training on a folder that is larger than the memory, and how fast its images are read by threads and by processes.

    python benchmarks/training_data.py --images 10000

A folder of synthetic images with masks is made (cells of 12 to 20 pixels, 8-bit PNG), and a small U-Net is trained on
it with ``load_files=False`` for a few epochs of a few hundred crops, in a process of its own whose peak of memory is
reported. Then images are read and prepared as batches are, by 1, 2, ... threads, and by as many processes: what a
second costs in images, by the clock and of all processors. The folder of ``--folder`` is kept and used again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

_READ = 256  # images that a measurement of the readers takes


def make(folder: Path, n_images: int, side: int) -> None:
    """Images that are missing in the folder; every one is another cut, turn or mirror image of one large drawing."""
    import cv2

    rng = np.random.default_rng(0)
    large = 4 * side
    labels = np.zeros((large, large), np.uint16)
    for number, (y, x) in enumerate(np.ndindex(large // 24, large // 24), start=1):
        centre = [int(24 * v + 12 + rng.integers(-2, 3)) for v in (x, y)]
        axes = [int(v) for v in rng.integers(6, 11, 2)]
        cv2.ellipse(labels, centre, axes, float(rng.uniform(0, 180)), 0, 360, number, -1)
    image = cv2.GaussianBlur(40 + 120 * (labels > 0).astype(np.float32), (0, 0), 1.0)
    image = (image + rng.normal(0, 8, labels.shape)).clip(0, 255).astype(np.uint8)
    for i in range(n_images):
        y, x = rng.integers(0, large - side, 2)
        turns = int(rng.integers(4))
        name = folder / f"{i:05d}.png"
        masks = folder / f"{i:05d}_masks.png"
        if masks.exists():
            continue
        for path, array in ((name, image), (masks, labels)):
            cv2.imwrite(str(path), np.ascontiguousarray(np.rot90(array[y : y + side, x : x + side], turns)))


def train(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from cellpose import train as training
    from cellpose.nets import CPnet

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    files = sorted(path for path in folder.glob("?????.png"))[: args.images]
    masks = [path.with_name(f"{path.stem}_masks.png") for path in files]
    times = [time.perf_counter()]

    def on_epoch(facts: dict[str, float]) -> None:
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as out:
        training.train_seg(
            CPnet([2, 16, 32]), train_files=files, train_labels_files=masks, load_files=False, compute_flows=True,
            channels=[0, 0], save_path=out, n_epochs=args.epochs, nimg_per_epoch=args.crops, batch_size=8, bsize=96,
            cache_gb=args.cache_gb, workers=args.workers, min_train_masks=1, on_epoch=on_epoch,
        )  # fmt: skip
    return {"images": len(files), "first_s": times[1] - times[0], "epoch_s": np.median(np.diff(times[1:]))}


def read_one(pair: tuple[str, str]) -> tuple[Any, Any]:
    """Image and targets of a file, prepared: what a worker does."""
    from cellpose import io
    from cellpose.train._channels import SetPreparation
    from cellpose.train._targets import read_targets

    preparation = SetPreparation.of(channels=[0, 0])
    return preparation([io.imread(pair[0])])[0], read_targets(pair[1])


def readers(folder: Path, args: argparse.Namespace) -> None:
    images = sorted(path for path in folder.glob("?????.png"))[:_READ]
    pairs = [(str(path), str(path.with_name(f"{path.stem}_flows.tif"))) for path in images]
    print(f"\n{'readers':>12}{'images/s, threads':>20}{'processes':>12}")
    n, most = 1, args.most_readers or os.cpu_count() or 1
    while n <= most:
        rates = []
        for make_pool in (ThreadPoolExecutor, process_pool):
            with make_pool(n) as pool:
                list(pool.map(read_one, pairs[: 4 * n]))
                seconds = []
                for _ in range(3):
                    began = time.perf_counter()
                    for _ in pool.map(read_one, pairs, chunksize=8):
                        pass
                    seconds.append(time.perf_counter() - began)
            rates.append(len(pairs) / min(seconds))
        print(f"{n:12}{rates[0]:20.0f}{rates[1]:12.0f}")
        n *= 2


def process_pool(n: int) -> Executor:
    return ProcessPoolExecutor(n, mp_context=get_context("spawn"))


def worker(args: argparse.Namespace) -> None:
    import resource

    row = train(args.folder, args)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({**row, "peak_gb": peak_gb}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=160, help="of the images, in pixels")
    parser.add_argument("--folder", type=Path, help="where the images are made, or are already")
    parser.add_argument("--cache_gb", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--crops", type=int, default=160, help="crops of an epoch")
    parser.add_argument("--most_readers", type=int, help="default: one for each core")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        make(folder, args.images, args.side)
        decoded_gb = args.images * args.side**2 * (2 + 4) * 4 / 1e9
        print(f"{args.images} images of {args.side} x {args.side} pixels, {decoded_gb:.1f} GB with their targets")
        command = [sys.executable, "-W", "ignore", __file__, "--worker", "--folder", str(folder)]
        for name in ("images", "cache_gb", "workers", "threads", "epochs", "crops"):
            command += [f"--{name}", str(getattr(args, name))]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        row = json.loads(done.stdout.splitlines()[-1])
        print(f"peak of memory {row['peak_gb']:.2f} GB with a cache of {args.cache_gb:g} GB and {args.workers} threads")
        print(f"flows, check and first epoch {row['first_s']:.0f} s; {args.crops} crops later {row['epoch_s']:.2f} s")
        readers(folder, args)


if __name__ == "__main__":
    main()
