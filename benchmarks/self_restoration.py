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
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage import restoration

from cellpose import denoise, io, metrics, models, utils

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


def network(name: str, diameter: float | None) -> Callable[[np.ndarray], np.ndarray]:
    model = denoise.DenoiseModel(pretrained_model=name)
    return lambda plane: np.asarray(model.eval(plane, diameter=diameter)).reshape(plane.shape)


def non_local_means(plane: np.ndarray) -> np.ndarray:
    plane = plane.astype(np.float32)
    sigma = float(restoration.estimate_sigma(plane))
    return restoration.denoise_nl_means(plane, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, required=True, help="noisy volume (z, y, x)")
    parser.add_argument("--masks", type=Path, required=True, help="its labels")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--model", type=Path, help="a network that was trained before")
    parser.add_argument("--json", type=Path, help="write the scores as JSON")
    args = parser.parse_args()
    planes, labels = io.imread(str(args.image)), io.imread(str(args.masks)).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        learned = args.model or learn(planes, Path(folder), args.epochs)
        chosen = [z for z in range(len(planes)) if len(np.unique(labels[z])) > FEWEST]
        diameter = float(np.median([utils.diameters(labels[z])[0] for z in chosen]))
        ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "direct": lambda plane: plane,
            "oneclick": network("oneclick", diameter),
            "learned from these images": network(str(learned), None),
            "non-local means": non_local_means,
        }
        segmenter = models.CellposeModel(pretrained_model="generalist")
        truth = [np.unique(labels[z], return_inverse=True)[1].reshape(labels[z].shape).astype(np.int32) for z in chosen]
        print(f"{len(chosen)} planes, median diameter {diameter:.1f} px\n\n| | AP@0.5 | AP@0.75 |\n|---|---|---|")
        scores = {}
        for name, restore in ways.items():
            found = [segmenter.eval(restore(planes[z]), channels=[0, 0], diameter=diameter)[0] for z in chosen]
            found = [masks.astype(np.int32) for masks in found]
            scores[name] = metrics.average_precision(truth, found, threshold=[0.5, 0.75])[0].mean(axis=0).tolist()
            print(f"| {name} | {scores[name][0]:.3f} | {scores[name][1]:.3f} |", flush=True)
        if args.json:
            args.json.write_text(json.dumps(scores) + "\n")


if __name__ == "__main__":
    main()
