"""How good the masks of the bundled model are, set by set, beside other ways to get masks.

    python benchmarks/quality.py --data DATA --out quality.json
    python benchmarks/quality.py --data DATA --out quality.json --train-original RUN --steps 5600 --width 16
    python benchmarks/quality.py --data DATA --out quality.json --python-stardist PYTHON --train-stardist RUN

``DATA`` holds ``split.csv`` and ``<source>/<id>_img.*``, ``<source>/<id>_masks.*``. Every image of the splits "test"
and "unseen" is segmented at its own size and, a second time, with the median diameter of its true cells. Measured are
the average precision at overlaps of 0.5, 0.75 and 0.9, the aggregated Jaccard index and the F-score of boundaries. What
was measured is kept in the file ``--out``, so that a stopped run goes on.

``--train-original`` trains a network by the recipe of the original's version 3 on the same split, with random weights:
stochastic gradient descent at a rate of 0.2 with its 500 epochs, 8 crops of 224 pixels per step, cells brought to 30
pixels. Epochs are as short as so many steps make them. It is trained and run by this package, whose losses and masks
are those of the original (benchmarks/training.py, benchmarks/eval.py) in less time, or, with ``--python-v3``, by the
original that is installed for that interpreter. ``--train-stardist`` trains StarDist on the nuclei of the split, with
an interpreter that has it. What is in these folders already is used as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from bundled_data import read_split, read_unseen
from bundled_eval import SCORES, Segment, measure
from quality_others import RUN_ORIGINAL, RUN_STARDIST, Elsewhere, otsu_watershed, train_original, train_stardist

from cellpose import models, weights

Array = np.ndarray
# A diameter is of no use to these.
WITHOUT_DIAMETER = ("automatic diameter", "StarDist")


def bundled(name: str) -> Segment:
    """The model itself, by its name or path."""
    model = models.CellposeModel(pretrained_model=name)

    def segment(_row: dict[str, str], image: Array, channels: list[int], diameter: float | None) -> Array:
        return np.asarray(model.eval(image, channels=channels, diameter=diameter)[0])

    return segment


def with_size_model(name: str) -> Segment:
    """The model with the diameter that its size model finds."""
    model = models.Cellpose(model_type=name)

    def segment(_row: dict[str, str], image: Array, channels: list[int], diameter: float | None) -> Array:
        return np.asarray(model.eval(image, channels=channels, diameter=diameter)[0])

    return segment


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def one_method(result: dict[str, Any]) -> str:
    """A row for each set of images, all scores of one method."""
    rows = [
        [name, str(row["images"]), str(row["objects"]), *(f"{row[score]:.3f}" for score in SCORES)]
        for name, row in result.items()
    ]
    return markdown(["", "images", "objects", *SCORES], rows)


def beside(results: dict[str, Any], part: str) -> str:
    """A row for each set of images, AP@0.5 and AP@0.75 of every method."""
    methods = [method for method in results if part in results[method]]
    names = dict.fromkeys(name for method in methods for name in results[method][part])
    rows = []
    for name in names:
        found = [results[method][part].get(name) for method in methods]
        rows.append([name, *("–" if f is None else f"{f['AP@0.5']:.3f} / {f['AP@0.75']:.3f}" for f in found)])
    return markdown([part, *methods], rows)


def run_all(segmenters: dict[str, Callable[[], Segment]], data: Path, out: Path) -> dict[str, Any]:
    """Measure all that the file does not hold yet."""
    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    sets = {"test": read_split(data, "test"), "unseen": read_unseen(data)}
    for method, make in segmenters.items():
        segment: Segment | None = None
        for split, rows in sets.items():
            for by_diameter in (False, True):
                part = f"{split}, {'with the median diameter' if by_diameter else 'without a diameter'}"
                if part in results.get(method, {}) or (by_diameter and method.endswith(WITHOUT_DIAMETER)):
                    continue
                segment = segment or make()
                if hasattr(segment, "prepare"):
                    segment.prepare(rows, by_diameter=by_diameter)
                results.setdefault(method, {})[part] = measure(segment, data, rows, by_diameter=by_diameter)
                out.write_text(json.dumps(results, indent=1) + "\n")
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("quality.json"))
    parser.add_argument("--model", default=weights.BUNDLED, help="name or path of the model that is measured")
    parser.add_argument("--methods", nargs="+", help="measure only these of the methods, by their names")
    parser.add_argument("--python-v3", type=Path, help="interpreter that has version 3 of the original installed")
    parser.add_argument("--train-original", type=Path, help="folder of a network trained by the original's recipe")
    parser.add_argument("--steps", type=int, default=5600, help="steps of that training")
    parser.add_argument("--width", type=int, default=32, help="channels of the first level of that network")
    parser.add_argument("--python-stardist", type=Path, help="interpreter that has StarDist and TensorFlow installed")
    parser.add_argument("--train-stardist", type=Path, help="folder of StarDist, trained on the nuclei")
    parser.add_argument("--stardist-steps", type=int, default=40000, help="steps of that training, 4 crops each")
    parser.add_argument("--threads", type=int, default=2, help="threads of that training")
    return parser.parse_args()


def main() -> None:
    args = parse()
    segmenters: dict[str, Callable[[], Segment]] = {
        args.model: lambda: bundled(args.model),
        f"{args.model}, automatic diameter": lambda: with_size_model(args.model),
        "Otsu and watershed": lambda: otsu_watershed,
    }
    if args.train_original is not None:
        python = args.python_v3 or Path(sys.executable)
        trained = train_original(python, args.data, args.train_original, args.steps, args.width)
        segmenters["original's recipe"] = lambda: (
            bundled(str(trained))
            if args.python_v3 is None
            else Elsewhere(python, RUN_ORIGINAL, trained, args.out.with_suffix(".original"), args.data)
        )
    if args.train_stardist is not None:
        stardist = train_stardist(
            args.python_stardist, args.data, args.train_stardist, args.stardist_steps, args.threads
        )
        segmenters["StarDist"] = lambda: Elsewhere(
            args.python_stardist, RUN_STARDIST, stardist, args.out.with_suffix(".stardist"), args.data
        )
    try:
        weights.size_model_path(args.model)
    except FileNotFoundError:
        del segmenters[f"{args.model}, automatic diameter"]
    if args.methods:
        segmenters = {name: make for name, make in segmenters.items() if name in args.methods}
    results = run_all(segmenters, args.data, args.out)
    parts = dict.fromkeys(part for method in results.values() for part in method)
    blocks = [
        f"**{name}**, {part}\n\n{one_method(result[part])}" for name, result in results.items() for part in result
    ]
    sys.stdout.write("\n\n".join([*blocks, *(beside(results, part) for part in parts)]) + "\n")


if __name__ == "__main__":
    main()
