"""How much faster the table of cells is than `skimage.measure.regionprops_table`, with the same values.

    python benchmarks/measure.py [--cells 10000] [--rounds 5]

All columns of shape and two channels of intensity of one plane. Ours is the best of some rounds, after one that
compiles; scikit-image runs once.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from skimage.measure import regionprops_table

from cellpose import measure

PROPERTIES = (
    "label", "area", "bbox", "centroid", "equivalent_diameter_area", "axis_major_length", "axis_minor_length",
    "eccentricity", "orientation", "extent", "perimeter", "perimeter_crofton", "area_convex", "solidity", "area_filled",
    "feret_diameter_max", "euler_number", "intensity_mean", "intensity_std", "intensity_min", "intensity_median",
    "intensity_max",
)  # fmt: skip
PITCH_PX = 26


def cells(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A plane of cells of different shapes, some with holes, some touching, and two channels."""
    rng = np.random.default_rng(0)
    side = math.ceil(math.sqrt(n))
    y, x = np.mgrid[: side * PITCH_PX, : side * PITCH_PX].astype(np.float32)
    row, column = (y // PITCH_PX).astype(int), (x // PITCH_PX).astype(int)
    number = row * side + column
    angle, long, wide = rng.uniform(0, np.pi, side**2), rng.uniform(8, 14, side**2), rng.uniform(5, 10, side**2)
    dy, dx = y % PITCH_PX - PITCH_PX / 2, x % PITCH_PX - PITCH_PX / 2
    c, s = np.cos(angle)[number], np.sin(angle)[number]
    inside = ((c * dx + s * dy) / long[number]) ** 2 + ((c * dy - s * dx) / wide[number]) ** 2 < 1
    inside &= rng.random(y.shape) > 0.002
    labels = np.where(inside & (number < n), number + 1, 0).astype(np.int32)
    image = rng.poisson(200 + 100 * inside[..., np.newaxis], (*y.shape, 2)).astype(np.uint16)
    return labels, image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    labels, image = cells(args.cells)
    measure.table(labels[:100, :100], image[:100, :100], PROPERTIES)  # compiles
    ours = []
    for _ in range(args.rounds):
        start = time.perf_counter()
        found = measure.table(labels, image, PROPERTIES)
        ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    expected = regionprops_table(labels, image, properties=PROPERTIES)
    theirs = time.perf_counter() - start
    for name, column in expected.items():
        if name != "orientation":
            np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-6, err_msg=name)
    print(f"{len(found['label'])} cells in {labels.shape[0]} x {labels.shape[1]} pixels, {len(expected)} columns")
    print(f"cellpose.measure   {min(ours):8.3f} s")
    print(f"scikit-image       {theirs:8.3f} s")
    print(f"ratio              {theirs / min(ours):8.1f}")


if __name__ == "__main__":
    main()
