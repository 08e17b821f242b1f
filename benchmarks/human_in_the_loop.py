"""How many corrected cells a fine-tuning needs: average precision on other images against the number of cells.

    python benchmarks/human_in_the_loop.py --data DATA --out RUN --figure docs/images/human-in-the-loop.png

A bundled model meets images of a kind that it was not trained on. 1, 2, 3, 5 and 8 of them are corrected (their true
masks stand in for the person), the model is fine-tuned on these with the package's own fine-tuning recipe, and then
segments images from which nothing was corrected. Large images are cut for correction, so that each part holds about as
many cells as a person corrects in one sitting, and parts with hardly any are passed over; judged are large images as a
whole, of which no part was corrected. Every order begins with other parts.

The recipe was chosen on synthetic images (``--kinds cytoplasm membrane dic``, others by ``--recipe``), nothing on the
images it is judged by.

The folder DATA holds ``<source>/<id>_img.*`` and ``<source>/<id>_masks.*``. Results are one JSON object a line in
``RUN/results.jsonl``; a run that was stopped goes on with what is missing there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = (1, 2, 3, 5, 8)
THRESHOLDS = [0.5, 0.75]
BASE = "nuclei-cells"
FEWEST = 8  # cells in a part that is worth correcting

# That of docs/training.md; at least one batch of eight crops per epoch is drawn. Crops of 128 pixels in place of 224
# hold fewer cells and take a third of the time.
RECIPE: dict[str, Any] = {
    "learning_rate": 0.003, "weight_decay": 1e-4, "n_epochs": 100, "SGD": False, "average_weights": 0.2, "bsize": 128,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of image: which files, into how many parts each is cut along both axes, how many large ones are judged.

    Without a pattern images of this kind are made.
    """

    label: str
    pattern: str = ""
    parts: int = 1
    judged: int = 3
    channel: int | None = None


KINDS = {
    "ecoli": Kind("E. coli, phase contrast", "eval_only_deepcell2016/bact_ecoli*", 6, 1),
    "pebbles": Kind("pebbles, photographs", "imagegrains_pebbles/*", 2, 3),
    "3t3": Kind("3T3 cells, phase contrast", "eval_only_deepcell2016/cyto_3T3*", 2, 1, channel=0),
    "cytoplasm": Kind("synthetic cytoplasm"),
    "membrane": Kind("synthetic membranes"),
    "dic": Kind("synthetic DIC"),
}
REAL = [name for name, kind in KINDS.items() if kind.pattern]


def load(data: Path, kind: Kind) -> list[tuple[Any, Any]]:
    """The large images of a kind and their masks."""
    from cellpose import io

    files = sorted(path for path in data.glob(f"{kind.pattern}_img.*"))
    images = []
    for path in files:
        image = io.imread(str(path))
        if kind.channel is not None:
            image = image[..., kind.channel]
        (name,) = path.parent.glob(path.name.rsplit("_img", 1)[0] + "_masks.*")
        images.append((image, io.imread(str(name)).astype(np.int32)))
    return images


def make(name: str, n: int, side: int, seed: int) -> list[tuple[Any, Any]]:
    """Synthetic images of a kind and their masks."""
    from cellpose import synthetic

    samples = [synthetic.sample(np.random.default_rng([99, seed, i]), (side, side), name) for i in range(n)]
    return [(s.image[0].astype(np.float32), s.masks.astype(np.int32)) for s in samples]


def parts_of(image: Any, masks: Any, n: int) -> list[tuple[Any, Any]]:
    """An image cut into n x n parts, those with enough cells, their masks numbered anew."""
    from cellpose import utils

    rows, columns = (np.array_split(np.arange(length), n) for length in masks.shape)
    parts = []
    for r in rows:
        for c in columns:
            window = np.s_[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            # what is left of cells at the cut, as a person would draw it; slivers are nobody's cell
            part = utils.fill_holes_and_remove_small_masks(masks[window].copy(), min_size=15)
            if part.max() >= FEWEST:
                parts.append((image[window], np.asarray(part, np.int32)))
    return parts


def order_of(data: Path, name: str, seed: int) -> tuple[list[Any], list[Any]]:
    """What a person would correct, in this order, and what is judged."""
    kind = KINDS[name]
    if not kind.pattern:
        return make(name, COUNTS[-1], 192, 2 * seed), make(name, kind.judged, 320, 2 * seed + 1)
    images = load(data, kind)
    rng = np.random.default_rng(seed)
    chosen = np.roll(np.arange(len(images)), -seed)  # every large image is judged in some order
    judged = [images[i] for i in chosen[: kind.judged]]
    pool = [part for i in chosen[kind.judged :] for part in parts_of(*images[i], kind.parts)]
    return [pool[i] for i in rng.permutation(len(pool))], judged


def score(model: Any, judged: list[Any], diameter: float | None) -> list[float]:
    from cellpose import metrics

    found = [model.eval(image, channels=[0, 0], diameter=diameter)[0].astype(np.int32) for image, _ in judged]
    true = [masks for _, masks in judged]
    return [float(v) for v in np.mean(metrics.average_precision(true, found, threshold=THRESHOLDS)[0], axis=0)]


def fine_tuned(base: str, corrected: list[Any], recipe: dict[str, Any], seed: int) -> Any:
    """The base model, fine-tuned on the corrected images."""
    from cellpose import models, train

    model = models.CellposeModel(pretrained_model=base, gpu=False, engine="torch")
    with tempfile.TemporaryDirectory() as folder:
        train.train_seg(
            model.net, train_data=[image for image, _ in corrected], train_labels=[masks for _, masks in corrected],
            channels=[0, 0], min_train_masks=0, nimg_per_epoch=max(8, len(corrected)), save_path=folder,
            model_name="tuned", seed=seed, **recipe,
        )  # fmt: skip
        return models.CellposeModel(pretrained_model=str(Path(folder) / "models" / "tuned"), gpu=False)


def measure(args: argparse.Namespace, name: str, seed: int, done: set[tuple[str, int, int]]) -> None:
    from cellpose import models

    counts = (0, *args.counts)
    if all((name, seed, n) in done for n in counts):
        return
    pool, judged = order_of(args.data, name, seed)
    for n in counts:
        if (name, seed, n) in done:
            continue
        began = time.process_time()
        corrected = pool[:n]
        if n:
            model = fine_tuned(args.base, corrected, args.recipe, seed)
            trained = time.process_time() - began
            ap = score(model, judged, float(model.diam_labels))
        else:
            trained = 0.0
            ap = score(models.CellposeModel(pretrained_model=args.base, gpu=False), judged, None)
        row = {
            "base": args.base, "kind": name, "order": seed, "images": n,
            "cells": sum(int(masks.max()) for _, masks in corrected),
            "ap50": round(ap[0], 4), "ap75": round(ap[1], 4), "judged": sum(int(m.max()) for _, m in judged),
            "training_seconds": round(trained, 1),
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        with (args.out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _counts(rows: list[dict[str, Any]]) -> list[int]:
    return sorted({row["images"] for row in rows})


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    names = [name for name in KINDS if any(row["kind"] == name for row in rows)]
    figure, panels = plt.subplots(1, len(names), figsize=(4 * len(names), 3.6), layout="constrained", squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        for column, label, color in (("ap50", "AP@0.5", "C0"), ("ap75", "AP@0.75", "C1")):
            means = []
            for order in sorted({row["order"] for row in rows}):
                line = sorted((r for r in rows if (r["kind"], r["order"]) == (name, order)), key=lambda r: r["images"])
                axes.plot([r["cells"] for r in line], [r[column] for r in line], color=color, lw=0.8, alpha=0.4)
            for n in _counts(rows):
                points = [r for r in rows if (r["kind"], r["images"]) == (name, n)]
                if points:
                    means.append([np.mean([r[key] for r in points]) for key in ("cells", column)])
            axes.plot(*np.transpose(means), color=color, marker="o", lw=2, label=label)
        axes.axvspan(100, 200, color="0.92", zorder=0)
        axes.set(title=KINDS[name].label, xlabel="corrected cells", ylim=(0, 1))
    panels[0][0].set_ylabel("average precision on other images")
    panels[0][0].legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def table(rows: list[dict[str, Any]]) -> None:
    print(f"{'kind':10}{'images':>7}{'cells':>7}{'AP@0.5':>8}{'AP@0.75':>9}{'range of AP@0.5':>18}{'train s':>9}")
    for name in KINDS:
        for n in _counts(rows):
            points = [r for r in rows if (r["kind"], r["images"]) == (name, n)]
            if points:
                cells, ap50, ap75, seconds = (
                    float(np.mean([r[key] for r in points])) for key in ("cells", "ap50", "ap75", "training_seconds")
                )
                low, high = (f([r["ap50"] for r in points]) for f in (min, max))
                print(f"{name:10}{n:7}{cells:7.0f}{ap50:8.3f}{ap75:9.3f}{f'{low:.3f} to {high:.3f}':>18}{seconds:9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sources")
    parser.add_argument("--out", type=Path, default=Path("human_in_the_loop"), help="folder of the results")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=REAL)
    parser.add_argument("--orders", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--base", default=BASE, help="the bundled model")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of corrected parts")
    parser.add_argument("--figure", type=Path, help="picture to draw")
    parser.add_argument("--recipe", type=json.loads, help="keywords of train_seg, as JSON, in place of the recipe")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    if args.recipe is None:
        args.recipe = RECIPE
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "results.jsonl"

    def rows() -> list[dict[str, Any]]:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [row for row in found if row.get("base", BASE) == args.base]

    for order in args.orders:
        for name in args.kinds:
            measure(args, name, order, {(r["kind"], r["order"], r["images"]) for r in rows()})
    table(rows())
    if args.figure:
        draw(rows(), args.figure)


if __name__ == "__main__":
    main()
