"""How good the masks of the bundled model are, set by set, beside other ways to get masks.

    python benchmarks/quality.py --data DATA --out quality.json
    python benchmarks/quality.py --data DATA --out quality.json --python-v3 PYTHON --original-model WEIGHTS
    python benchmarks/quality.py --data DATA --python-v3 PYTHON --train-original RUN --steps 11000

``DATA`` holds ``split.csv`` and ``<source>/<id>_img.*``, ``<source>/<id>_masks.*``. Every image of the splits "test"
and "unseen" is segmented at its own size and, a second time, with the median diameter of its true cells. Measured are
the average precision at overlaps of 0.5, 0.75 and 0.9, the aggregated Jaccard index and the F-score of boundaries. What
was measured is kept in the file ``--out``, so that a stopped run goes on.

``--train-original`` trains a network of the original's version 3 by its own recipe, with random weights, on the same
split, as many steps and the same number of crops a step; it goes on from the last part that was done. ``PYTHON`` is an
interpreter that has the original installed; it is run as it is, in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from bundled_data import find_pair, read_split, read_unseen
from bundled_eval import CHANNELS, SCORES, Segment, measure, median_diameter

from cellpose import models, weights

Array = np.ndarray
# Steps between two saved states of the original's training: its schedule of learning rates starts again in each, so
# they are as few as they can be.
PART = 5500
ORIGINAL_BATCH = 8

TRAIN_ORIGINAL = """
import json, logging, sys
import numpy as np, tifffile, cv2
from cellpose import models, train
logging.basicConfig(level=logging.INFO)
job = json.load(sys.stdin)
def read(path):
    image = cv2.imread(path, -1)
    return image if image.ndim == 2 else image[..., :3][..., ::-1].copy()
images = [read(a) for a, _ in job["pairs"]]
labels = [cv2.imread(b, -1).astype(np.int32) for _, b in job["pairs"]]
model = models.CellposeModel(gpu=False, pretrained_model=job["start"] or False, model_type=None)
train.train_seg(
    model.net, train_data=images, train_labels=labels, channels=[0, 0], batch_size=job["batch"],
    learning_rate=0.2, weight_decay=1e-5, SGD=True, n_epochs=job["epochs"],
    nimg_per_epoch=job["per_epoch"], min_train_masks=1, save_path=job["folder"], model_name=job["name"],
)
"""

RUN_ORIGINAL = """
import json, sys
import numpy as np, cv2
from cellpose import models
job = json.load(sys.stdin)
model = models.CellposeModel(gpu=False, pretrained_model=job["model"])
for item in job["items"]:
    image = cv2.imread(item["image"], -1)
    image = image if image.ndim == 2 else image[..., :3][..., ::-1].copy()
    masks = model.eval(image, channels=item["channels"], diameter=item["diameter"])[0]
    np.save(item["out"], np.asarray(masks).astype(np.int32))
"""


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


def otsu_watershed(_row: dict[str, str], image: Array, channels: list[int], diameter: float | None) -> Array:
    """Otsu's threshold, then a watershed of the distance to the background, as textbooks teach it.

    What is rarer, bright or dark, counts as cells. Seeds are peaks of the distance, smoothed; they are at least a third
    of a diameter apart, which is estimated from the areas of the pieces where it is not given.
    """
    from scipy import ndimage
    from skimage import feature, filters, measure, morphology, segmentation

    gray = image.astype(np.float32)
    if gray.ndim == 3:
        gray = gray[..., channels[0] - 1] if channels[0] else gray.mean(axis=-1)
    gray = filters.gaussian(gray, 1)
    if gray.max() == gray.min():
        return np.zeros(gray.shape, np.int32)
    cells = gray > filters.threshold_otsu(gray)
    cells = ndimage.binary_fill_holes(~cells if cells.mean() > 0.5 else cells)
    cells = morphology.opening(cells, morphology.disk(1))
    areas = np.bincount(measure.label(cells).ravel())[1:]
    areas = areas[areas > 15]
    if not areas.size:
        return np.zeros(gray.shape, np.int32)
    guess = float(2 * np.sqrt(np.median(areas) / np.pi)) if diameter is None else diameter
    distance = filters.gaussian(ndimage.distance_transform_edt(cells), guess / 15)
    peaks = feature.peak_local_max(distance, min_distance=max(2, round(guess / 3)), labels=measure.label(cells))
    seeds = np.zeros(gray.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-distance, seeds, mask=cells)
    small = np.flatnonzero(np.bincount(labels.ravel()) < 15)
    return np.where(np.isin(labels, small), 0, labels)


def original(python: Path, model: Path, folder: Path, data: Path) -> Segment:
    """The original's version 3 with this weight file; all images of a set are segmented by one process."""

    def run(rows: list[dict[str, str]], *, by_diameter: bool) -> None:
        from bundled_data import read_masks

        items = []
        for row in rows:
            image, masks = find_pair(data, row)
            out = folder / f"{row['source']}_{row['id']}_{by_diameter:d}.npy"
            diameter = median_diameter(read_masks(masks)) if by_diameter else None
            if not out.exists():
                channels = CHANNELS.get(row["source"], [0, 0])
                items.append({"image": str(image), "out": str(out), "channels": channels, "diameter": diameter})
        if items:
            job = json.dumps({"model": str(model), "items": items})
            subprocess.run([python, "-c", RUN_ORIGINAL], input=job, text=True, check=True)

    def segment(row: dict[str, str], _image: Array, _channels: list[int], diameter: float | None) -> Array:
        path = folder / f"{row['source']}_{row['id']}_{diameter is not None:d}.npy"
        if not path.exists():  # an image without cells has no diameter
            path = folder / f"{row['source']}_{row['id']}_1.npy"
        return np.load(path)

    segment.prepare = run  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    return segment


def train_original(python: Path, data: Path, run: Path, steps: int) -> Path:
    """Train a network of the original by its recipe, part by part; the path of the weights."""
    pairs = [[str(path) for path in find_pair(data, row)] for row in read_split(data, "train")]
    per_epoch = len(pairs) // ORIGINAL_BATCH * ORIGINAL_BATCH
    run.mkdir(parents=True, exist_ok=True)
    last: Path | None = None
    for number in range(-(-steps // PART)):
        weights_file = run / "models" / f"part{number:03d}"
        if not weights_file.exists():
            epochs = max(1, round(min(PART, steps - number * PART) * ORIGINAL_BATCH / per_epoch))
            job = {
                "pairs": pairs, "start": str(last) if last else None, "batch": ORIGINAL_BATCH, "epochs": epochs,
                "per_epoch": per_epoch, "folder": str(run), "name": f"part{number:03d}.new",
            }  # fmt: skip
            subprocess.run([python, "-c", TRAIN_ORIGINAL], input=json.dumps(job), text=True, check=True)
            (run / "models" / f"part{number:03d}.new").replace(weights_file)
        last = weights_file
    if last is None:
        message = f"--steps {steps} is not allowed; it must be at least 1"
        raise ValueError(message)
    return last


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
                if part in results.get(method, {}) or (by_diameter and method.endswith("automatic diameter")):
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
    parser.add_argument("--original-model", type=Path, help="weights of the original's recipe")
    parser.add_argument("--train-original", type=Path, help="folder: train with the original's recipe into it first")
    parser.add_argument("--steps", type=int, default=11000, help="steps of that training")
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.train_original is not None:
        args.original_model = train_original(args.python_v3, args.data, args.train_original, args.steps)
    segmenters: dict[str, Callable[[], Segment]] = {
        args.model: lambda: bundled(args.model),
        f"{args.model}, automatic diameter": lambda: with_size_model(args.model),
        "Otsu and watershed": lambda: otsu_watershed,
    }
    if args.original_model is not None:
        folder = args.out.with_suffix(".original")
        segmenters["original's recipe"] = lambda: original(args.python_v3, args.original_model, folder, args.data)
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
