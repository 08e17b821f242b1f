"""One very large plane from file to file: time, peak memory, and every cell compared with the truth.

    python benchmarks/large_plane.py --side 20000 --folder /scratch --out large_plane.json

A tiled, compressed TIFF of synthetic nuclei is written (some 313 600 of them in 20 000 x 20 000 pixels), segmented in
blocks to OME-Zarr by a process of its own, and then compared: number of cells, the overlap of each true nucleus with
the label found there, and random windows that are segmented alone. Nuclei repeat every 500 pixels, which no size of a
block is a multiple of, so seams cut them in all places.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

PERIOD = 500  # pixels after which nuclei repeat
_ACROSS = 14  # nuclei in a period, along each axis
_TILE = 512
_WINDOW = 700
_FROM_ENDS = 30  # pixels from the ends of a window in which cells are not compared


def truth() -> np.ndarray:
    """Labels 1..196 of one period."""
    rng = np.random.default_rng(0)
    labels = np.zeros((PERIOD, PERIOD), np.int32)
    y, x = np.mgrid[:PERIOD, :PERIOD]
    step = PERIOD / _ACROSS
    for n in range(_ACROSS**2):
        # middles are at least 26 pixels apart, and masks end before the period does; some touch
        cy, cx = ((k + 0.5) * step + rng.uniform(-5, 5) for k in divmod(n, _ACROSS))
        labels[(y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(9, 12.5) ** 2] = n + 1
    return labels


def intensities(labels: np.ndarray) -> np.ndarray:
    """One period without noise, as a microscope shows it: edges are not sharper than about a pixel."""
    brightness = np.concatenate([[200.0], np.random.default_rng(1).uniform(800, 1600, labels.max())])
    return gaussian_filter(brightness[labels].astype(np.float32), 1, mode="wrap")


def rows(signal: np.ndarray, start: int, stop: int, side: int) -> np.ndarray:
    """Intensities of some rows, with noise that is the same however the rows are asked for."""
    out = np.empty((stop - start, side), np.uint16)
    for row in range(start, stop):
        noise = np.random.default_rng(row).standard_normal(side, np.float32)
        out[row - start] = (np.resize(signal[row % PERIOD], side) + 40 * noise).clip(0, 65535)
    return out


def write_plane(path: Path, side: int) -> None:
    import tifffile

    signal = intensities(truth())

    def tiles() -> Iterator[np.ndarray]:
        for top in range(0, side, _TILE):
            band = np.zeros((_TILE, -(-side // _TILE) * _TILE), np.uint16)
            stop = min(top + _TILE, side)
            band[: stop - top, :side] = rows(signal, top, stop, side)
            for left in range(0, side, _TILE):
                yield np.ascontiguousarray(band[:, left : left + _TILE])

    settings = {"tile": (_TILE, _TILE), "compression": "zlib", "bigtiff": True, "photometric": "minisblack"}
    tifffile.imwrite(path, tiles(), shape=(side, side), dtype=np.uint16, **settings)


def segment(path: str, target: str, model_name: str) -> dict[str, object]:
    """The run itself, in a process of its own, so that its peak is its own."""
    from cellpose import models

    started, cpu = time.perf_counter(), time.process_time()
    model = models.CellposeModel(pretrained_model=model_name)

    def progress(fraction: float) -> None:
        print(f"{fraction:.3f} {time.perf_counter() - started:.0f} s {_peak():.2f} GiB", file=sys.stderr, flush=True)

    result = models.segment_large(model, path, target, overwrite=True, progress=progress)
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - cpu,
        "peak_gib": _peak(),
        "estimate_gib": models.estimate_memory(model, path).total / 2**30,
        "cells": result.n_cells,
        "engine": model.engine,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def compare(target: Path, side: int) -> dict[str, object]:
    """Labels of the whole plane against the truth: each label counted, each nucleus that lies whole in the plane."""
    from cellpose import io

    array = io.open_ome_zarr(target).array
    labels = truth()
    n = int(labels.max())
    true_size = np.bincount(labels.ravel(), minlength=n + 1)
    periods = side // PERIOD
    size = np.zeros(1, np.int64)
    best: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    for j in range(-(-side // PERIOD)):
        band = np.asarray(array[j * PERIOD : (j + 1) * PERIOD]).astype(np.int64)
        counts = np.bincount(band.ravel())
        size = np.pad(size, (0, max(len(counts) - len(size), 0)))
        size[: len(counts)] += counts
        if j == periods:
            continue
        for i in range(periods):
            part = band[:, i * PERIOD : (i + 1) * PERIOD]
            values, local = np.unique(part, return_inverse=True)
            shared = np.bincount(labels.ravel() * len(values) + local.ravel(), minlength=(n + 1) * len(values))
            shared = shared.reshape(n + 1, len(values))[1:]
            shared[:, values == 0] = 0
            most = shared.argmax(axis=1)
            best.append(shared[np.arange(n), most])
            owner.append(np.where(best[-1] > 0, values[most], 0))
    shared, found = np.concatenate(best), np.concatenate(owner)
    true = np.tile(true_size[1:], periods**2)
    iou = np.where(found > 0, shared / (true + size[found] - shared), 0)
    matched = found[iou >= 0.5]
    return {
        "true": len(true),
        "true_everywhere": int(len(true) * (side / (periods * PERIOD)) ** 2),
        "labels_present": int((size[1:] > 0).sum()),
        "largest_label": len(size) - 1,
        "dtype": str(array.dtype),
        "found_at_iou_0.5": len(matched),
        "found_at_iou_0.75": int((iou >= 0.75).sum()),
        "found_twice": len(matched) - len(np.unique(matched)),
        "mean_iou": float(iou.mean()),
    }


class Alone:
    """Windows of the plane segmented without the rest of it, on the intensity scale of the whole plane."""

    def __init__(self, path: Path, model_name: str) -> None:
        from cellpose import io, models
        from cellpose.models._inputs import Layout
        from cellpose.models._segment import preparation_of
        from cellpose.options import Evaluation

        self.model = models.CellposeModel(pretrained_model=model_name)
        self.plane, self.options = io.open_plane(path), Evaluation()
        self.network = self.model._network()
        self.prepared = preparation_of(self.network, Layout(), self.options).bands(self.plane)

    def as_image(self, y: int, x: int) -> np.ndarray:
        """As any image. Its tiles lie elsewhere than those of the plane, so its flows differ a little."""
        low, width = self.prepared.bounds[0]
        pixels = self.plane.read(y, y + _WINDOW)[:, x : x + _WINDOW, 0]
        return self.model.eval(pixels, normalize={"lowhigh": (float(low), float(low + width))})[0]

    def with_tiles_of_the_plane(self, y: int, x: int) -> np.ndarray:
        """By the tiles that the plane has there, so that flows should be those of the plane."""
        from cellpose.core import padded_grid
        from cellpose.models._large._run import _follow
        from cellpose.models._segment import scale_of
        from cellpose.options import Tiling

        height, width = self.plane.shape[:2]
        scale = scale_of(self.network, self.options)
        if scale != 1:
            raise ValueError("windows can be compared by tiles only where the plane is not resized")
        engine = self.network.engine
        (y0, _, x0, _), grid = padded_grid(engine, (height, width), Tiling(bsize=self.model._bsize))
        rows, columns = grid.tile_shape
        flows = np.zeros((3, _WINDOW, _WINDOW), np.float32)
        for j, top in enumerate(int(n) - y0 for n in grid.ystarts):
            for i, left in enumerate(int(n) - x0 for n in grid.xstarts):
                if top >= y + _WINDOW or top + rows <= y or left >= x + _WINDOW or left + columns <= x:
                    continue
                low, high = max(top, 0), min(top + rows, height)
                first, last = max(left, 0), min(left + columns, width)
                tile = np.zeros((1, self.network.nchan, rows, columns), np.float32)
                pixels = self.prepared(low, high)[:, first:last].transpose(2, 0, 1)
                tile[0, :, low - top : high - top, first - left : last - left] = pixels
                weighted = engine(tile)[0][0, -3:] * np.outer(grid.weights[0][j], grid.weights[1][i])
                a, b = max(top, y), min(top + rows, y + _WINDOW)
                c, d = max(left, x), min(left + columns, x + _WINDOW)
                flows[:, a - y : b - y, c - x : d - x] += weighted[:, a - top : b - top, c - left : d - left]
        follow = _follow(self.network, self.plane.shape[:2], scale, self.options)
        return follow(flows[:2], flows[2], (y, x))


def ious(whole: np.ndarray, alone: np.ndarray) -> list[float]:
    """Of each cell of the plane that lies whole in a window, with what was found there alone."""
    found = []
    border = np.ones(whole.shape, bool)
    border[_FROM_ENDS:-_FROM_ENDS, _FROM_ENDS:-_FROM_ENDS] = False
    for label in np.setdiff1d(whole, [0, *whole[border]]):
        mask = whole == label
        counts = np.bincount(alone[mask], minlength=2)
        same = alone == counts[1:].argmax() + 1
        found.append(float((mask & same).sum() / (mask | same).sum()))
    return found


def windows(path: Path, target: Path, model_name: str, count: int) -> dict[str, object]:
    """Random windows segmented alone, and how their cells differ from those of the plane."""
    from cellpose import io

    alone = Alone(path, model_name)
    array = io.open_ome_zarr(target).array
    rng = np.random.default_rng(2)
    by_tiles: list[float] = []
    as_images: list[float] = []
    for _ in range(count):
        y, x = (int(v) for v in rng.integers(0, np.array(array.shape) - _WINDOW))
        whole = np.asarray(array[y : y + _WINDOW, x : x + _WINDOW])
        by_tiles += ious(whole, alone.with_tiles_of_the_plane(y, x))
        as_images += ious(whole, alone.as_image(y, x))
    return {
        "windows": count,
        "cells": len(by_tiles),
        "identical_by_tiles": float((np.array(by_tiles) == 1).mean()),
        "least_iou_by_tiles": min(by_tiles),
        "least_iou_as_images": min(as_images),
        "mean_iou_as_images": float(np.mean(as_images)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, metavar=("PATH", "TARGET", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=20000, help="side of the plane in pixels")
    parser.add_argument("--windows", type=int, default=20, help="random windows that are segmented alone")
    parser.add_argument("--model", default="nuclei-cells")
    parser.add_argument("--folder", type=Path, help="where image and labels are written and kept; default: nowhere")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(segment(*args.run)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        path, target = folder / f"plane_{args.side}.tif", folder / f"labels_{args.side}.zarr"
        if not path.exists():
            write_plane(path, args.side)
        command = [sys.executable, __file__, "--run", str(path), str(target), args.model]
        found = {"side": args.side, "load_before": os.getloadavg()[0]}
        found |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        found["load_after"] = os.getloadavg()[0]
        found["truth"] = compare(target, args.side)
        found["alone"] = windows(path, target, args.model, args.windows)
        print(json.dumps(found, indent=1))
        if args.out:
            args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
