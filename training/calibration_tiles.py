"""Cut the tiles on which ranges of 8-bit networks are found, from training images that are in the public domain.

    python training/calibration_tiles.py --data DATA

writes ``src/cellpose/engines/calibration.npz``: tiles (n, 2, 224, 224), uint8, intensities from -0.5 to 2 after the
percentiles 1 and 99 have become 0 and 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bundled_data import find_pair, network_channels, read_image, read_split

# The number of tiles of each group of images.
GROUPS = {
    ("dsb2018", "256x256 L"): 2,
    ("dsb2018", "320x256 RGB"): 2,
    ("dsb2018", "360x360 L"): 1,
    ("dsb2018", "696x520 L"): 1,
    ("dsb2018", "1024x1024 L"): 1,
    ("bbbc039", "520x696"): 1,
}
SIDE = 224
LOW, HIGH = -0.5, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sources and split.csv")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/cellpose/engines/calibration.npz")
    args = parser.parse_args()
    rows = read_split(args.data, "train")
    planes = []
    for (source, group), count in GROUPS.items():
        chosen = [row for row in rows if (row["source"], row["group"]) == (source, group)]
        for row in chosen[:: max(1, len(chosen) // count)][:count]:
            plane = network_channels(read_image(find_pair(args.data, row)[0]))[0]
            y, x = ((n - SIDE) // 2 for n in plane.shape)
            planes.append(plane[y : y + SIDE, x : x + SIDE])
    # Every other tile has a second channel: networks may have one for nuclei.
    empty = np.zeros((SIDE, SIDE), np.float32)
    tiles = np.stack([[plane, planes[i - 1] if i % 2 else empty] for i, plane in enumerate(planes)])
    numbers = np.rint((np.clip(tiles, LOW, HIGH) - LOW) / (HIGH - LOW) * 255).astype(np.uint8)
    np.savez_compressed(args.out, tiles=numbers, low=LOW, high=HIGH)


if __name__ == "__main__":
    main()
