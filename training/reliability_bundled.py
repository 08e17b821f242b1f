"""Measure the reliability curve of a bundled model and put it into its card.

    python training/reliability_bundled.py --data DATA

segments the images of the split ``val`` with no threshold of the flow error, and writes into ``<name>.json`` the share
of correct cells (overlap with a true one above one half) against the plain score of `dynamics.cell_scores`. ``--check``
names a split on which the curve is judged; nothing is written for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from bundled_data import find_pair, read_image, read_masks, read_split
from quality_curves import correct_cells

from cellpose import dynamics, models, weights

Array = np.ndarray
BINS = 16


def found_cells(model: Any, data: Path, split: str) -> tuple[Array, Array]:
    """Plain scores (n,) of all found cells, and whether each is correct (n,)."""
    scores, correct = [], []
    for row in read_split(data, split):
        image, truth = (read(path) for read, path in zip((read_image, read_masks), find_pair(data, row), strict=True))
        masks, flows, _ = model.eval(image, channels=[0, 0], flow_threshold=0)
        masks = np.asarray(masks).astype(np.int32)
        scores.append(dynamics.cell_scores(masks, flows[1], flows[2]).plain)
        correct.append(correct_cells(truth, masks))
    return np.concatenate(scores), np.concatenate(correct)


def curve(scores: Array, correct: Array, bins: int = BINS) -> dict[str, list[float]]:
    """Mean score and share of correct cells of bins with equally many cells; neighbours that would fall are joined.

    One right and one wrong cell more in each bin keep shares from 0 and 1, of which no number of cells can be sure.
    """
    pooled: list[tuple[float, float, int]] = []  # sum of scores, correct cells, cells
    order = np.argsort(scores, kind="stable")
    for part in np.array_split(order, bins):
        pooled.append((float(scores[part].sum()), float(correct[part].sum()), len(part)))
        while len(pooled) > 1 and share(pooled[-1]) <= share(pooled[-2]):
            last = pooled.pop()
            pooled[-1] = tuple(a + b for a, b in zip(pooled[-1], last, strict=True))  # type: ignore[assignment]
    return {
        "score": [round(total / n, 4) for total, _, n in pooled],
        "correct": [round(share(each), 4) for each in pooled],
    }


def share(pool: tuple[float, float, int]) -> float:
    _, right, n = pool
    return (right + 1) / (n + 2)


def judge(predicted: Array, correct: Array) -> str:
    """How far predicted shares are from the true ones."""
    edges = np.array([0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.01])
    place = np.digitize(predicted, edges) - 1
    rows = [(predicted[place == k], correct[place == k]) for k in range(len(edges) - 1)]
    off = sum(abs(float(said.sum() - right.sum())) for said, right in rows) / len(correct)
    listed = ", ".join(f"{said.mean():.2f}: {right.mean():.2f} of {len(said)}" for said, right in rows if len(said))
    return f"mean distance {off:.3f}; said: right {listed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", choices=sorted(weights.bundled_models()))
    parser.add_argument("--check", metavar="SPLIT")
    args = parser.parse_args()
    for name in args.model or sorted(weights.bundled_models()):
        file = weights.bundled_models()[name].with_suffix(".json")
        model = models.CellposeModel(pretrained_model=name)
        scores, correct = found_cells(model, args.data, args.check or "val")
        if args.check:
            known = weights.reliability(name)
            if known is not None:
                print(f"{name} on {args.check}, {len(scores)} cells: {judge(known(scores), correct)}")
            continue
        card = json.loads(file.read_text())
        card["reliability"] = {**curve(scores, correct), "split": "val", "cells": len(scores), "overlap": 0.5}
        file.write_text(json.dumps(card, indent=2) + "\n")
        print(name, card["reliability"])


if __name__ == "__main__":
    main()
