"""Training from random weights, here and in version 3.1.1.3 of the original: average precision on held-out images.

    python benchmarks/train_from_scratch.py --data DATA --python-v3 /path/to/python

Both sides get the same images and masks (the ``train`` split of one source), the same random weights to start from, the
same number of steps, crops, learning rates and seeds of drawing; each uses its own loader, targets, augmentation and
loop. Here the weights are averaged over the last part of the run (``average_weights``), the only option that is not the
original's; ``--without`` adds runs without it. All weights are then judged by one evaluation, here, on one split, with
the median diameter of the true cells of each image given; with ``--judge-v3`` by the original's ``eval`` too.

The folder DATA holds ``split.csv`` (source,id,split,...) and ``<source>/<id>_img.*``, ``<source>/<id>_masks.*``.
Results are one JSON object a line in ``OUT/results.jsonl``; a run that was stopped goes on with what is missing there.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

RECIPE = {"batch_size": 8, "learning_rate": 0.005, "weight_decay": 1e-5, "channels": [0, 0]}
THRESHOLDS = [0.5, 0.75, 0.9]


def load_split(data: Path, source: str, split: str) -> tuple[list[Any], list[Any]]:
    """Images and masks of one split of one source, in the order of the table."""
    from cellpose import io

    images, masks = [], []
    with (data / "split.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if (row["source"], row["split"]) == (source, split)]
    for row in rows:
        for kind, target in (("img", images), ("masks", masks)):
            (path,) = (data / source).glob(f"{row['id']}_{kind}.*")
            target.append(io.imread(str(path)))
    return images, [mask.astype(np.int32) for mask in masks]


def network(args: argparse.Namespace, seed: int) -> Any:
    """A network with the random weights of this seed, equal on both sides."""
    import torch

    from cellpose.resnet_torch import CPnet

    torch.set_num_threads(args.threads)
    net = CPnet([2, *args.widths], nout=3, sz=3, diam_mean=args.diam_mean)
    start = args.out / f"start_{seed}"
    if start.exists():
        net.load_state_dict(torch.load(start, weights_only=True))
    else:
        torch.save(net.state_dict(), start)
    return net


def train_one(args: argparse.Namespace, seed: int, name: str, extra: dict[str, Any]) -> None:
    """Train in this interpreter, with whichever package it has."""
    import torch

    from cellpose import train

    images, masks = load_split(args.data, args.source, "train")
    torch.manual_seed(seed)
    net = network(args, seed)
    began = time.process_time()
    (args.out / "models").mkdir(exist_ok=True)
    train.train_seg(
        net, train_data=images, train_labels=masks, n_epochs=args.epochs, nimg_per_epoch=args.images, bsize=args.bsize,
        save_path=str(args.out), model_name=name, **RECIPE, **extra,
    )  # fmt: skip
    seconds = {"name": name, "train_cpu_seconds": round(time.process_time() - began, 1)}
    (args.out / f"{name}.seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


def judge(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Average precisions of one weight file, by ``eval`` of the package of this interpreter."""
    import torch

    from cellpose import metrics, models, utils

    images, masks = load_split(args.data, args.source, args.split)
    net = network(args, 0)
    net.load_state_dict(torch.load(args.out / "models" / name, weights_only=True))
    if args.v3:
        model = models.CellposeModel(gpu=False, pretrained_model=False, diam_mean=args.diam_mean)
        model.net, model.diam_mean = net.eval(), args.diam_mean
    else:
        model = models.CellposeModel(gpu=False, pretrained_model=str(args.out / "models" / name))
    found = []
    for image, true in zip(images, masks, strict=True):
        diameter = max(5.0, float(utils.diameters(true)[0]))
        found.append(model.eval(image, channels=[0, 0], diameter=diameter)[0].astype(np.int32))
    ap = np.mean(metrics.average_precision(masks, found, threshold=THRESHOLDS)[0], axis=0)
    return {"ap": [round(float(value), 4) for value in ap], "images": len(images)}


def in_process(python: str, args: argparse.Namespace, *words: str) -> None:
    env = environment(ours=python == sys.executable, OMP_NUM_THREADS=args.threads)
    given = [word for word in sys.argv[1:] if word]
    subprocess.run([python, "-W", "ignore", __file__, *given, *words], env=env, check=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with split.csv and the images")
    parser.add_argument("--python-v3", help="interpreter with version 3.1.1.3 of the original")
    parser.add_argument("--out", type=Path, default=Path("train_from_scratch"), help="folder of weights and results")
    parser.add_argument("--source", default="dsb2018")
    parser.add_argument("--split", default="test", help="split to judge on; choices are made on val")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--diam-mean", type=float, default=17.0, help="pixels; that of the published model of nuclei")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--images", type=int, default=8, help="crops per epoch")
    parser.add_argument("--bsize", type=int, default=128)
    parser.add_argument("--average", type=float, default=0.2, help="average_weights of the runs here")
    parser.add_argument("--without", action="store_true", help="also train here without averaging")
    parser.add_argument("--judge-v3", action="store_true", help="judge all weights by the original's eval too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--v3", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--judge", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.data = args.data.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def worker(args: argparse.Namespace) -> None:
    if args.train is not None:
        average = args.average if args.name.startswith("here_") else 0.0
        train_one(args, args.train, args.name, {"average_weights": average} if average else {})
    if args.judge:
        result = {
            "name": args.name,
            "by": "3.1.1.3" if args.v3 else "here",
            "split": args.split,
            **judge(args, args.name),
        }
        with (args.out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


def results(args: argparse.Namespace) -> dict[tuple[str, str], list[float]]:
    path = args.out / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return {(row["name"], row["by"]): row["ap"] for row in rows if row["split"] == args.split}


def main() -> None:
    args = parse()
    if args.name:
        worker(args)
        return
    sides = {"here": sys.executable}
    if args.python_v3:
        sides["v3"] = args.python_v3
    if args.without:
        sides["plain"] = sys.executable
    judges = ["here", *(["3.1.1.3"] if args.judge_v3 and args.python_v3 else [])]
    for seed in args.seeds:
        network(args, seed) if (args.out / f"start_{seed}").exists() else seeded(args, seed)
        for side, python in sides.items():
            name = f"{side}_{seed}"
            v3 = ["--v3"] if side == "v3" else []
            if not (args.out / f"{name}.seconds.json").exists():
                in_process(python, args, "--train", str(seed), "--name", name, *v3)
            for by in judges:
                if (name, by) not in results(args):
                    python_of_judge = args.python_v3 if by == "3.1.1.3" else sys.executable
                    in_process(python_of_judge, args, "--judge", "--name", name, *(["--v3"] if by == "3.1.1.3" else []))
    known = results(args)
    steps = args.epochs * -(-args.images // RECIPE["batch_size"])
    print(f"{args.source} {args.split}, {steps} steps; AP@0.5, 0.75, 0.9")
    for by in judges:
        for side in sides:
            rows = [known[f"{side}_{seed}", by] for seed in args.seeds]
            mean = np.mean(rows, axis=0)
            each = ", ".join(f"{row[0]:.3f}" for row in rows)
            print(f"judged {by:8} trained {side:6} " + " ".join(f"{value:.3f}" for value in mean) + f"   seeds: {each}")


def seeded(args: argparse.Namespace, seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    network(args, seed)


if __name__ == "__main__":
    main()
