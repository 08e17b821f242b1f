"""Compare noise, contrast and edges of synthetic images with those of real ones of the same kind.

    python training/compare_synthetic.py --data DATA

Prints a table of medians (10th to 90th percentile over images) after the normalisation of ``eval``: the 1st and 99th
percentiles become 0 and 1. Only images of the split "train" are read.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import cv2
import numpy as np
from bundled_data import find_pair, normalise, read_image, read_masks, read_split
from contact_sheet import REAL

from cellpose import synthetic

COLUMNS = ("noise outside", "noise inside", "mean outside", "mean inside", "deviation outside", "deviation inside",
           "deviation of cells", "slope at edges")  # fmt: skip
SECOND_DIFFERENCE = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32) / 6  # keeps the deviation of white noise
SQUARE = np.ones((3, 3), np.uint8)


def noise_level(image: np.ndarray, where: np.ndarray) -> float:
    """Robust deviation of what no smooth image has: second differences along both axes."""
    values = np.abs(cv2.filter2D(image, -1, SECOND_DIFFERENCE)[where])
    return float(np.median(values) / 0.6745) if len(values) > 50 else np.nan


def figures(image: np.ndarray, masks: np.ndarray) -> list[float]:
    """One number for each of ``COLUMNS``."""
    plane = normalise(image).astype(np.float32)
    cells = (masks > 0).astype(np.uint8)
    outside = cv2.distanceTransform(1 - cells, cv2.DIST_L2, 3) > 3
    inside = cv2.erode(cells, np.ones((5, 5), np.uint8)) > 0
    smooth = cv2.GaussianBlur(plane, (0, 0), 1)
    slope = np.hypot(*(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, scale=0.25) for dx in (0, 1)))
    edge = cv2.dilate(cells, SQUARE) != cv2.erode(cells, SQUARE)
    means = np.bincount(masks.ravel(), plane.ravel()) / np.maximum(1, np.bincount(masks.ravel()))
    return [
        noise_level(plane, outside), noise_level(plane, inside), plane[outside].mean(), plane[inside].mean(),
        plane[outside].std(), plane[inside].std(), means[np.unique(masks)[1:]].std(), slope[edge].mean(),
    ]  # fmt: skip


def real_figures(data: Path, kind: str, most: int) -> np.ndarray:
    rows = [row for row in read_split(data, "train") if f"{row['source']} {row['group']}".startswith(REAL[kind])]
    found = []
    for row in rows[:: max(1, len(rows) // most)]:
        image_file, masks_file = find_pair(data, row)
        image, masks = read_image(image_file), read_masks(masks_file)
        gray = image.mean(axis=-1) if image.ndim == 3 else image
        if masks.any():
            found.append(figures(gray[:512, :512], masks[:512, :512]))
    return np.array(found)


def synthetic_figures(kind: str, count: int) -> np.ndarray:
    made = (synthetic.sample(np.random.default_rng([9000, i]), kind=kind, channels=1) for i in range(count))
    return np.array([figures(one.image[0], one.masks) for one in made])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60)
    args = parser.parse_args(arguments)
    print("| kind | | " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * (2 + len(COLUMNS)))
    for kind in REAL:
        both = {
            "real": real_figures(args.data, kind, args.images),
            "synthetic": synthetic_figures(kind, args.images),
        }
        for name, values in both.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # images without background
                low, middle, high = np.nanpercentile(values, (10, 50, 90), axis=0)
            cells = [f"{m:.3f} ({a:.3f}–{b:.3f})" for a, m, b in zip(low, middle, high, strict=True)]
            print(f"| {kind} | {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
