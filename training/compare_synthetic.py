"""Compare synthetic images with real ones of the same kind, by figures and by a classifier.

    python training/compare_synthetic.py --data DATA

Prints a table of medians (10th to 90th percentile over images) after the normalisation of ``eval``: the 1st and 99th
percentiles become 0 and 1. A second table says how often a random forest tells synthetic images from real ones it has
not seen (half the time if it cannot), and by what; for comparison, how often it tells two sorts of real images apart.
Only images of the split "train" are read.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from bundled_data import find_pair, normalise, read_image, read_masks, read_split
from contact_sheet import REAL
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from cellpose import synthetic

Array = np.ndarray

COLUMNS = ("noise outside", "noise inside", "mean outside", "mean inside", "deviation outside", "deviation inside",
           "deviation of cells", "slope at edges")  # fmt: skip
# The classifier also sees gray values and the spectrum: power in octaves of the wavelength in pixels.
LEVELS = (5, 25, 50, 75, 95)
WAVELENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
FEATURES = (*COLUMNS, *(f"level {p} %" for p in LEVELS), *(f"waves of {w} pixels" for w in WAVELENGTHS[:-1]))
SIDE = 192
FOLDS, TREES = 5, 300
SECOND_DIFFERENCE = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32) / 6  # keeps the deviation of white noise
SQUARE = np.ones((3, 3), np.uint8)


def noise_level(image: Array, where: Array) -> float:
    """Robust deviation of what no smooth image has: second differences along both axes."""
    values = np.abs(cv2.filter2D(image, -1, SECOND_DIFFERENCE)[where])
    return float(np.median(values) / 0.6745) if len(values) > 50 else np.nan


def figures(plane: Array, masks: Array) -> list[float]:
    """One number for each of ``COLUMNS``; ``plane`` is normalised."""
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


def spectrum(plane: Array) -> Array:
    """Logarithm of the power between neighbouring ``WAVELENGTHS``, relative to all of it."""
    window = np.outer(np.hanning(plane.shape[0]), np.hanning(plane.shape[1]))
    power = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2
    y, x = (np.fft.fftfreq(side) for side in plane.shape)
    rate = np.hypot(y[:, None], x[None])
    bands = [power[(rate <= 1 / short) & (rate > 1 / long)].sum() for short, long in itertools.pairwise(WAVELENGTHS)]
    return np.log10(np.array(bands) / power.sum() + 1e-9)


def features(plane: Array, masks: Array) -> list[float]:
    """One number for each of ``FEATURES``; those that an image has no pixels for are 0."""
    found = [*figures(plane, masks), *np.percentile(plane, LEVELS), *spectrum(plane)]
    return [0.0 if np.isnan(value) else float(value) for value in found]


def real_images(data: Path, sorts: tuple[str, ...], most: int) -> Iterator[tuple[Array, Array]]:
    """Normalised planes of real images of these sorts, as ``REAL`` has them, and their masks."""
    rows = [row for row in read_split(data, "train") if f"{row['source']} {row['group']}".startswith(sorts)]
    for row in rows[:: max(1, len(rows) // most)]:
        image_file, masks_file = find_pair(data, row)
        image, masks = read_image(image_file), read_masks(masks_file)
        gray = image.mean(axis=-1) if image.ndim == 3 else image
        if masks.any():
            yield normalise(gray[:512, :512]).astype(np.float32), masks[:512, :512]


def synthetic_images(kind: str, count: int) -> Iterator[tuple[Array, Array]]:
    """The same of synthetic images."""
    for index in range(count):
        made = synthetic.sample(np.random.default_rng([9000, index]), kind=kind, channels=1)
        if made.masks.any():
            yield normalise(made.image[0]).astype(np.float32), made.masks


def crops(images: list[tuple[Array, Array]], count: int, seed: int) -> tuple[Array, Array]:
    """Features (n, f) of random crops with cells, and the number of the image of each (n,)."""
    rng = np.random.default_rng(seed)
    found, owners = [], []
    for number in np.resize(np.arange(len(images)), count):
        plane, masks = images[number]
        y, x = (int(rng.integers(0, max(1, side - SIDE + 1))) for side in plane.shape)
        part = np.s_[y : y + SIDE, x : x + SIDE]
        if masks[part].any():
            found.append(features(plane[part], masks[part]))
            owners.append(number)
    return np.array(found, np.float32), np.array(owners)


def tell_apart(one: list[tuple[Array, Array]], other: list[tuple[Array, Array]], count: int) -> tuple[str, str]:
    """Percentage of unseen crops that a forest takes for what they are (both sorts count alike), and its best features.

    ``count`` crops of each sort of images take part.
    """
    if min(len(one), len(other)) < 2:
        return "–", "–"
    real, made = crops(one, count, 0), crops(other, count, 1)
    values, owners = (np.concatenate(pair) for pair in zip(real, made, strict=True))
    truth = np.repeat([0, 1], [len(real[0]), len(made[0])])
    forest = RandomForestClassifier(TREES, class_weight="balanced", min_samples_leaf=2, random_state=0)
    # images are numbered alike in both sorts; those of a number are all learnt from or all judged
    told = cross_val_predict(forest, values, truth, groups=owners, cv=GroupKFold(min(FOLDS, len(set(owners)))))
    best = np.argsort(-forest.fit(values, truth).feature_importances_)[:3]
    return f"{balanced_accuracy_score(truth, told):.0%}", ", ".join(FEATURES[i] for i in best)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60)
    args = parser.parse_args(arguments)
    told = []
    print("| kind | | " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * (2 + len(COLUMNS)))
    for kind in REAL:
        both = {
            "real": list(real_images(args.data, REAL[kind], args.images)),
            "synthetic": list(synthetic_images(kind, args.images)),
        }
        for name, images in both.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # images without background
                values = np.array([figures(*image) for image in images])
                low, middle, high = np.nanpercentile(values, (10, 50, 90), axis=0)
            cells = [f"{m:.3f} ({a:.3f}–{b:.3f})" for a, m, b in zip(low, middle, high, strict=True)]
            print(f"| {kind} | {name} | " + " | ".join(cells) + " |")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            right, best = tell_apart(*both.values(), 4 * args.images)
            first, rest = (
                list(real_images(args.data, sorts, args.images)) if sorts else []
                for sorts in (REAL[kind][:1], REAL[kind][1:])
            )
            told.append(f"| {kind} | {right} | {best} | {tell_apart(first, rest, 4 * args.images)[0]} |")
    print("\n| kind | recognized | by | two sorts of real images |\n|---|---|---|---|", *told, sep="\n")


if __name__ == "__main__":
    main()
