"""How robust the bundled model is, and whether its scores tell which cells are right.

    python benchmarks/quality_curves.py --data DATA --out docs/images

Draws ``robustness.png``: the average precision of some test images against scale, noise, blur, uneven light, inversion
and order of colors; and ``reliability.png``: the share of correct cells against the flow error and the mean cell
probability, over all test images. The numbers are printed as Markdown. ``--model`` may be given several times; each
gets a curve.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from bundled_data import find_pair, kind_of, network_channels, read_image, read_masks, read_split
from bundled_eval import average_precision

from cellpose import dynamics, metrics, models, weights

Array = np.ndarray
Pair = tuple[Array, Array]
# Parts of at most this many pixels per side: enlarged four times they are still quick.
SIDE = 256
EACH = 3  # images of each kind of image
BINS = 10
FLOW_ERRORS = np.array([0, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.7, 10])


def some_images(data: Path) -> list[Pair]:
    """The first test images of each kind of image: the middle of each, gray, percentiles 1 and 99 at 0 and 1."""
    seen: dict[str, int] = {}
    pairs = []
    for row in read_split(data, "test"):
        kind = kind_of(row["source"], row["group"])
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > EACH:
            continue
        image, truth = (read(path) for read, path in zip((read_image, read_masks), find_pair(data, row), strict=True))
        y, x = (max(0, (n - SIDE) // 2) for n in truth.shape)
        truth = truth[y : y + SIDE, x : x + SIDE]
        if truth.any():
            pairs.append((network_channels(image)[0][y : y + SIDE, x : x + SIDE], truth))
    return pairs


def rescaled(pair: Pair, factor: float) -> Pair:
    image, truth = pair
    side = tuple(max(16, round(n * factor)) for n in truth.shape[::-1])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(truth.astype(np.float32), side, interpolation=cv2.INTER_NEAREST_EXACT)
    return cv2.resize(image, side, interpolation=how), small.astype(np.int32)


def noisy(pair: Pair, deviation: float) -> Pair:
    noise = np.random.default_rng(0).standard_normal(pair[0].shape).astype(np.float32)
    return pair[0] + deviation * noise, pair[1]


def blurred(pair: Pair, sigma: float) -> Pair:
    return (cv2.GaussianBlur(pair[0], (0, 0), sigma) if sigma else pair[0]), pair[1]


def uneven(pair: Pair, strength: float) -> Pair:
    """Light that falls from one side to the other to ``1 - strength`` of itself."""
    ramp = 1 - strength * np.linspace(0, 1, pair[0].shape[1], dtype=np.float32)
    return (pair[0] + 0.2) * ramp, pair[1]


def inverted(pair: Pair, on: float) -> Pair:
    return (1 - pair[0] if on else pair[0]), pair[1]


CHANGES: dict[str, tuple[Callable[[Pair, float], Pair], tuple[float, ...]]] = {
    "scale": (rescaled, (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4)),
    "noise (deviation / contrast)": (noisy, (0, 0.05, 0.1, 0.2, 0.4)),
    "blur (sigma in pixels)": (blurred, (0, 1, 2, 3)),
    "uneven light (loss across the image)": (uneven, (0, 0.3, 0.6, 0.9)),
    "inversion (0 no, 1 yes)": (inverted, (0, 1)),
}


def curves(model: Any, pairs: list[Pair]) -> dict[str, list[float]]:
    """Mean AP@0.5 at each strength of each change."""
    result = {}
    for name, (change, strengths) in CHANGES.items():
        result[name] = []
        for strength in strengths:
            changed = [change(pair, strength) for pair in pairs]
            found = [np.asarray(model.eval(image, channels=[0, 0])[0]) for image, _ in changed]
            scores = [average_precision(truth, masks)[0] for (_, truth), masks in zip(changed, found, strict=True)]
            result[name].append(float(np.mean(scores)))
    return result


def orders(model: Any, data: Path) -> dict[str, float]:
    """Mean AP@0.5 of the color images of the test set: all colors, each alone, and turned about."""
    sums: dict[str, list[float]] = {}
    for row in read_split(data, "test"):
        image, truth = (read(path) for read, path in zip((read_image, read_masks), find_pair(data, row), strict=True))
        if image.ndim == 2 or (image[..., 0] == image[..., 1]).all():
            continue
        ways = {"gray": (image, [0, 0]), "colors reversed, gray": (image[..., ::-1], [0, 0])}
        ways |= {name: (image, [i, 0]) for i, name in enumerate(("red", "green", "blue"), start=1)}
        ways |= {"red, second channel blue": (image, [1, 3])}
        for name, (shown, channels) in ways.items():
            masks = np.asarray(model.eval(shown, channels=channels)[0])
            sums.setdefault(name, []).append(average_precision(truth, masks)[0])
    return {name: float(np.mean(values)) for name, values in sums.items()}


def correct_cells(truth: Array, masks: Array) -> Array:
    """(n,): whether each found cell overlaps the true one it is matched with by more than half."""
    correct = np.zeros(masks.max() + 1, bool)
    if truth.any():
        overlap, partner = metrics.mask_ious(truth, masks)
        correct[partner[overlap > 0.5]] = True
    return correct[1:]


def cell_scores(model: Any, data: Path) -> Array:
    """(n, 3): flow error, mean cell probability, and 1 for correct, of all found cells; none is sorted out."""
    rows = []
    for row in read_split(data, "test"):
        image, truth = (read(path) for read, path in zip((read_image, read_masks), find_pair(data, row), strict=True))
        masks, flows, _ = model.eval(image, channels=[0, 0], flow_threshold=0)
        masks = np.asarray(masks).astype(np.int32)
        if not masks.any():
            continue
        error = dynamics.flow_error(masks, flows[1])[0]
        counts = np.bincount(masks.ravel())
        probability = np.bincount(masks.ravel(), (1 / (1 + np.exp(-flows[2]))).ravel()) / np.maximum(counts, 1)
        rows.append(np.stack([error, probability[1:], correct_cells(truth, masks)], axis=1))
    return np.concatenate(rows)


def reliability(scores: Array, column: int) -> list[tuple[float, float, int]]:
    """Mean score, share of correct cells and number of cells in each bin."""
    values = scores[:, column]
    edges = FLOW_ERRORS if column == 0 else np.quantile(values, np.linspace(0, 1, BINS + 1))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    inside = [place == k for k in range(len(edges) - 1)]
    return [
        (float(values[here].mean()), float(scores[here, 2].mean()), int(here.sum())) for here in inside if here.any()
    ]


def draw_robustness(results: dict[str, dict[str, list[float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    names = [name for name in CHANGES if not name.startswith("inversion")]
    figure = Figure(figsize=(12, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for model, curve in results.items():
            axes.plot(CHANGES[name][1], curve[name], "o-", ms=3, label=model)
        axes.set(xlabel=name, ylim=(0, 1), xscale="log" if name == "scale" else "linear")
        if name == "scale":
            axes.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
            axes.minorticks_off()
            axes.set_ylabel("AP@0.5")
            axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def draw_reliability(scores: Array, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    labels = ("flow error", "mean cell probability")
    for column, (axes, label) in enumerate(zip(figure.subplots(1, 2, sharey=True), labels, strict=True)):
        bins = reliability(scores, column)
        axes.plot([b[0] for b in bins], [b[1] for b in bins], "o-", color="tab:blue")
        axes.set(xlabel=label, ylim=(0, 1.02))
        if column == 0:
            axes.set_ylabel("share of correct cells (IoU > 0.5)")
            axes.axvline(0.4, color="0.6", ls="--", lw=1)
            axes.set_xlim(0, 1)
        else:
            axes.plot([0.5, 1], [0.5, 1], color="0.6", ls="--", lw=1)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--model", action="append", help=f"name or path; default {weights.BUNDLED}")
    parser.add_argument("--only", choices=("robustness", "reliability"))
    args = parser.parse_args()
    names = args.model or [weights.BUNDLED]
    loaded = {Path(name).stem: models.CellposeModel(pretrained_model=name) for name in names}
    if args.only != "reliability":
        pairs = some_images(args.data)
        results = {name: curves(model, pairs) for name, model in loaded.items()}
        draw_robustness(results, args.out / "robustness.png")
        for name, model in loaded.items():
            for change, (_, strengths) in CHANGES.items():
                print(
                    f"{name} | {change} | "
                    + ", ".join(f"{s:g}: {v:.2f}" for s, v in zip(strengths, results[name][change], strict=True))
                )
            print(f"{name} | colors | " + ", ".join(f"{k}: {v:.2f}" for k, v in orders(model, args.data).items()))
    if args.only != "robustness":
        scores = cell_scores(next(iter(loaded.values())), args.data)
        draw_reliability(scores, args.out / "reliability.png")
        for column, name in enumerate(("flow error", "mean cell probability")):
            print(f"{name} | " + ", ".join(f"{s:.3f}: {v:.2f} of {n}" for s, v, n in reliability(scores, column)))


if __name__ == "__main__":
    main()
