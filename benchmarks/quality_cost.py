"""What the quality of masks costs: average precision against seconds of one core, for models and ways to run them.

    python benchmarks/quality_cost.py --data DATA --out cost.json
    python benchmarks/quality_cost.py --data DATA --out cost.json --python-v3 /path/to/python

All images of one source of the split "test" are segmented at their own size, each way in a process of its own with one
thread. With ``--python-v3`` version 3 of the original runs the same weights. Reported are the mean AP and
the seconds of processor time per megapixel, which do not count reading, loading, compiling and the first image. Other
programs that run at the same time lengthen them, all by about the same factor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from original import environment

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

MODELS = ("generalist", "nuclei-cells")
# Arguments of the model, and of its `eval`.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "": ({}, {}),
    "8 bits": ({"precision": "int8"}, {}),
    "automatic diameter": ({"automatic": True}, {"diameter": None}),
    "tiles of 224 pixels": ({}, {"bsize": 224}),
    "averaged over flipped tiles": ({}, {"augment": True}),
}
BASELINE = "Otsu and watershed"
ORIGINAL = "in 3.1.1.3"
COST = "seconds per megapixel"


def prepare(data: Path, source: str, folder: Path) -> list[np.ndarray]:
    """Write the images and the weights as every worker can read them; the true labels."""
    import torch
    from bundled_data import find_pair, read_image, read_masks, read_split

    from cellpose import weights

    pairs = [find_pair(data, row) for row in read_split(data, "test") if row["source"] == source]
    np.savez(folder / "images.npz", *(read_image(image) for image, _ in pairs))
    for name in MODELS:
        torch.save(weights.load_state_dict(weights.resolve(name).path), folder / f"{name}.pth")
    return [read_masks(masks) for _, masks in pairs]


def worker(folder: Path, model: str, way: str) -> dict[str, Any]:
    """Write labels of all images; seconds and megapixels, without a first run on one of them."""
    with np.load(folder / "images.npz") as file:
        images = [file[name] for name in file.files]
    if model == BASELINE:
        from quality_others import otsu_watershed

        def segment(image: np.ndarray) -> np.ndarray:
            return otsu_watershed({}, image, [0, 0], None)
    else:
        from cellpose import models

        if way == ORIGINAL:
            net = models.CellposeModel(gpu=False, pretrained_model=str(folder / f"{model}.pth"))
            # images at their own size, as the bundled models run them
            options = {"diameter": float(net.diam_mean)}
        else:
            arguments, options = WAYS[way]
            automatic = arguments.pop("automatic", False)
            kind, name = (models.Cellpose, "model_type") if automatic else (models.CellposeModel, "pretrained_model")
            net = kind(gpu=False, **{name: model}, **arguments)

        def segment(image: np.ndarray) -> np.ndarray:
            return np.asarray(net.eval(image, channels=[0, 0], **options)[0])

    segment(images[0])
    began = time.process_time()
    found = [segment(image) for image in images]
    seconds = time.process_time() - began
    np.savez(folder / "found.npz", *found)
    return {"seconds": seconds, "megapixels": sum(m.size for m in found) / 1e6}


def run(python: str, model: str, way: str, folder: Path, truth: list[np.ndarray]) -> dict[str, float]:
    """Scores and cost of one way."""
    from cellpose import metrics

    env = environment(
        ours=way != ORIGINAL, OMP_NUM_THREADS=1, MKL_NUM_THREADS=1, NUMBA_NUM_THREADS=1,
        CELLPOSE_IMAGES_AT_ONCE=1, CELLPOSE_LOCAL_MODELS_PATH=folder,
    )  # fmt: skip
    command = [python, "-W", "ignore", __file__, "--worker", model, way, "--folder", str(folder)]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{model} {way}: {done.stderr.strip()[-2000:]}")
    cost = json.loads(done.stdout.strip().splitlines()[-1])
    with np.load(folder / "found.npz") as file:
        found = [file[name].astype(np.int32) for name in file.files]
    scores = metrics.average_precision([t.astype(np.int32) for t in truth], found, threshold=[0.5, 0.75])[0]
    return {
        "AP@0.5": float(scores[:, 0].mean()),
        "AP@0.75": float(scores[:, 1].mean()),
        COST: cost["seconds"] / cost["megapixels"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the sources and split.csv")
    parser.add_argument("--source", default="dsb2018", help="source whose test images are segmented")
    parser.add_argument("--out", type=Path, default=Path("cost.json"), help="what it holds is not measured again")
    parser.add_argument("--python-v3", help="interpreter that has version 3 of the original installed")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(worker(args.folder, *args.worker)))
        return
    if args.data is None:
        parser.error("--data is needed: the folder of the sources and split.csv")
    ways = [(model, way) for model in MODELS for way in WAYS] + [(BASELINE, "")]
    ways += [(model, ORIGINAL) for model in MODELS] if args.python_v3 else []
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"load {load:.1f} before\n\n| | AP@0.5 | AP@0.75 | seconds of one core per megapixel |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        truth = prepare(args.data, args.source, Path(name))
        for model, way in ways:
            label = f"{model}, {way}" if way else model
            if label not in results:
                python = args.python_v3 if way == ORIGINAL else sys.executable
                results[label] = run(python, model, way, Path(name), truth)
                args.out.write_text(json.dumps(results, indent=1) + "\n")
            row = results[label]
            print(f"| {label} | {row['AP@0.5']:.3f} | {row['AP@0.75']:.3f} | {row[COST]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
