"""Restoration learned from noisy images alone, beside the bundled model, on real noisy images.

    python benchmarks/self_restoration.py --image VOLUME_img.tif --masks VOLUME_masks.tif

The planes of a noisy volume (z, y, x) are the images: a network learns from them without any labels, by the command of
the manual (`python -m cellpose.denoise --self`). All planes with cells are then segmented by the bundled model with
their median diameter: as they are, and after each way of restoring them. Reported is the mean average precision over
planes at overlaps of 0.5 and 0.75.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from restoration import Setting, average_precision, direct, network, non_local_means

from cellpose import io, models, utils

FEWEST = 3  # cells of a plane that counts


def learn(planes: np.ndarray, folder: Path, epochs: int) -> Path:
    """A network trained on the planes."""
    images = folder / "planes"
    images.mkdir()
    for z, plane in enumerate(planes):
        io.imsave(str(images / f"plane_{z:04d}.tif"), plane)
    command = ["-m", "cellpose.denoise", "--self", "--dir", str(images), "--n_epochs", str(epochs)]
    subprocess.run([sys.executable, *command, "--model_name_out", "learned"], check=True)
    return folder / "models" / "learned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, required=True, help="noisy volume (z, y, x)")
    parser.add_argument("--masks", type=Path, required=True, help="its labels")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--model", type=Path, help="a network that was trained before")
    parser.add_argument("--json", type=Path, help="write the scores as JSON")
    args = parser.parse_args()
    planes, labels = io.imread(str(args.image)).astype(np.float32), io.imread(str(args.masks)).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        learned = args.model or learn(planes, Path(folder), args.epochs)
        chosen = [z for z in range(len(planes)) if len(np.unique(labels[z])) > FEWEST]
        diameter = float(np.median([utils.diameters(labels[z])[0] for z in chosen]))
        ways = {
            "direct": direct,
            "oneclick": network("oneclick"),
            "learned from these images": network(str(learned)),
            "non-local means": non_local_means,
        }
        segmenter = models.CellposeModel(pretrained_model="generalist")
        print(f"{len(chosen)} planes, median diameter {diameter:.1f} px\n\n| | AP@0.5 | AP@0.75 |\n|---|---|---|")
        scores = {}
        for name, restore in ways.items():
            found = []
            for z in chosen:
                image = restore(planes[z], labels[z].shape, Setting("real", ""), diameter)
                masks = segmenter.eval(image, channels=[0, 0], diameter=diameter)[0]
                found.append(average_precision(labels[z], masks)[:2])
            scores[name] = np.mean(found, axis=0).tolist()
            print(f"| {name} | {scores[name][0]:.3f} | {scores[name][1]:.3f} |", flush=True)
        if args.json:
            args.json.write_text(json.dumps(scores) + "\n")


if __name__ == "__main__":
    main()
