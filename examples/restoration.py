"""A noisy image restored by the bundled model and segmented: before and after, as one picture.

    python examples/restoration.py --out restoration

Writes ``restoration.png`` into the folder: the clean image, what a camera would see with few photons, and the restored
one, each with the outlines of the cells that are found in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from cellpose import denoise, io, models, utils

HERE = Path(__file__).parent
PHOTONS = 5.0
IMAGES = {"nuclei_dense.png": 17.0, "phase_cells_1.png": 40.0}  # and the diameters of their cells


def seen(clean: np.ndarray) -> np.ndarray:
    """The image with so many photons where it is brightest, over a background of a tenth."""
    rng = np.random.default_rng(0)
    return rng.poisson((clean / clean.max() + 0.1) * PHOTONS).astype(np.float32)


def tile(image: np.ndarray, masks: np.ndarray, what: str, side: int = 360) -> np.ndarray:
    """The image in gray with outlines and a title, uint8 (side + 30, side, 3)."""
    low, high = np.percentile(image, (1, 99.5))
    gray = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    color = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    color[utils.masks_to_outlines(masks)] = (60, 200, 255)
    color = cv2.resize(color, (side, side), interpolation=cv2.INTER_AREA)
    title = np.full((30, side, 3), 255, np.uint8)
    cv2.putText(
        title, f"{what}: {masks.max()} cells", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA
    )
    return np.vstack([title, color])


def main() -> None:
    """Restore and segment the examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("restoration"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    segmenter, restorer = (
        models.CellposeModel(pretrained_model="generalist"),
        denoise.DenoiseModel(model_type="oneclick"),
    )
    rows = []
    for name, diameter in IMAGES.items():
        clean = io.imread(HERE / name)
        clean = (clean if clean.ndim == 2 else clean[..., :3].mean(axis=-1)).astype(np.float32)
        side = min(clean.shape)
        clean = clean[:side, :side]
        noisy = seen(clean)
        restored = np.asarray(restorer.eval(noisy, diameter=diameter)).reshape(noisy.shape)
        row = []
        for what, image in (("clean", clean), ("few photons", noisy), ("restored", restored)):
            masks = segmenter.eval(image, diameter=diameter, channels=[0, 0])[0]
            row.append(tile(image, masks, what))
        rows.append(np.hstack(row))
    path = folder / "restoration.png"
    cv2.imwrite(str(path), np.vstack(rows))
    print(path)


if __name__ == "__main__":
    main()
