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


def windows(path: Path, target: Path, model_name: str, count: int) -> dict[str, object]:
    """Random windows segmented alone, on the scale of the whole plane, and compared with it.

    Tiles lie elsewhere in a window, so that its flows are not those of the plane to the last bit.
    """
    from cellpose import io, models
    from cellpose.models._large._prepare import chosen_channels, prepare
    from cellpose.options import Normalization

    model = models.CellposeModel(pretrained_model=model_name)
    plane = io.open_plane(path)
    array = io.open_ome_zarr(target).array
    chosen = chosen_channels(1, None, model._network().nchan, transformer=False)
    low, width = prepare(plane, chosen, Normalization(), zero_constant=False).bounds[0]
    rng = np.random.default_rng(2)
    ious: list[float] = []
    for _ in range(count):
        y, x = (int(v) for v in rng.integers(0, np.array(plane.shape[:2]) - _WINDOW))
        alone = model.eval(
            plane.read(y, y + _WINDOW)[:, x : x + _WINDOW, 0],
            normalize={"lowhigh": (float(low), float(low + width))},
        )[0]
        whole = np.asarray(array[y : y + _WINDOW, x : x + _WINDOW])
        for label in np.unique(whole[60:-60, 60:-60]):
            if label:
                mask = whole == label
                other = np.bincount(alone[mask])
                other[0] = 0
                if not other.any():
                    ious.append(0.0)
                    continue
                same = alone == other.argmax()
                ious.append(float((mask & same).sum() / (mask | same).sum()))
    values = np.array(ious)
    return {
        "windows": count,
        "cells": len(values),
        "identical": float((values == 1).mean()),
        "iou_over_0.9": float((values > 0.9).mean()),
        "least_iou": float(values.min()),
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
