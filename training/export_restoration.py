"""Turn a run of train_restoration.py into the bundled restoration model and its card.

    python training/export_restoration.py --run RUN --started-from "oneclick before, 3,427 steps of 4 crops"
    python training/export_restoration.py --run RUN --started-from "..." --scores restoration.json

writes ``oneclick.safetensors``, reference outputs and the card ``oneclick.json``. ``--scores`` puts into the card what
`benchmarks/restoration.py` measured: AP at an overlap of 0.5 of direct segmentation and after restoring, by setting.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from export_bundled import data_of, dtype_of, last_row, n_parameters, write_weights

NAME = "oneclick"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--mean-with", type=Path, help="other weights: the model becomes the mean of both")
    folder = Path(__file__).parents[1] / "src/cellpose/weights/bundled/restoration"
    parser.add_argument("--out", type=Path, default=folder)
    parser.add_argument("--started-from", required=True, help="what the run began with, in words")
    parser.add_argument("--hardware", default="2 CPU cores", help="what it was trained on, in words")
    parser.add_argument("--scores", type=Path, help="what benchmarks/restoration.py measured")
    return parser.parse_args()


def card(args: argparse.Namespace, weights: Path, state: dict[str, Any]) -> dict[str, Any]:
    started = json.loads((args.run / "args.jsonl").read_text().splitlines()[-1])
    options, last = started["args"], last_row(args.run)
    losses = zip(("perceptual", "segmentation", "reconstruction"), options["lam"], strict=True)
    return {
        "name": NAME,
        "family": "cpnet",
        "task": "restoration",
        "summary": "removes noise, blur and undersampling in one step: more cells are found in degraded images",
        "parameters": n_parameters(state),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": "one channel at a time; percentiles 1-99 to 0-1; a diameter brings cells to 30 pixels",
        "diam_mean": 30.0,
        "licence": "BSD-3-Clause",
        "data": data_of(started["data"]),
        "training": {
            "script": "training/train_restoration.py",
            "seed": options["seed"],
            "started_from": args.started_from,
            "mean_with_other_weights": args.mean_with is not None,
            "steps": int(last["step"]),
            "crops": int(last["step"]) * options["batch"],
            "crop_size": options["size"],
            "learning_rate": options["learning_rate"],
            "losses": ", ".join(f"{name} {weight:g}" for name, weight in losses) + f", judged by {options['judge']}",
            "degradations": "photon and read noise, anisotropic and defocus blur, undersampling by 1 to 4, stripes, "
            "hot pixels, uneven light",
            "wall_hours": round(float(last["wall_s"]) / 3600, 2),
            "cpu_hours": round(float(last["cpu_s"]) * started.get("processes", 1) / 3600, 2),
            "hardware": args.hardware,
            "dtype": dtype_of(options),
        },
        "intended_use": "a first try on images that are too noisy, blurred or coarse to be segmented as they are",
        "limits": [
            "clean and slightly blurred images: segment them directly",
            "intensities change: measure on the raw image",
            "not for diagnosis",
        ],
    }


def scores(file: Path) -> dict[str, dict[str, float]]:
    """Mean AP of the setting, directly and after the model."""
    measured = json.loads(file.read_text())
    names = {"direct": "direct", "restored": "model"}
    return {
        setting: {name: round(float(np.mean(measured[key][setting], axis=0)[0]), 3) for name, key in names.items()}
        for setting in measured["model"]
    }


def main() -> None:
    args = parse()
    weights = args.out / f"{NAME}.safetensors"
    state = write_weights(args.run, "final.pt", args.mean_with, weights)
    content = card(args, weights, state)
    if args.scores:
        content["scores"] = {"AP@0.5": scores(args.scores)}
    weights.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
