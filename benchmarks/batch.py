"""How long a folder of many small images takes: the command line here, several at once and one by one, and version 3.

    python benchmarks/batch.py --python-v3 /path/to/python

The interpreter must have version 3 of the original installed; its own command line is run, with the same weights and
the same number of threads, on the same files. These are crops of 256 to 512 pixels of a mosaic of the example images,
and the network is that of `eval.py`: the size of the published U-Nets, with real cells. Each run writes ``_seg.npy``
and TIFF masks, and is a process of its own, imports and start included. Masks must agree with those of version 3
(average precision at an overlap of 0.5), and must be the same whether images are run at once or one by one.
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
from pathlib import Path

import numpy as np
from original import environment


def write_crops(folder: Path, n: int) -> None:
    import tifffile
    from eval import mosaic

    image, rng = mosaic(2048), np.random.default_rng(1)
    for k in range(n):
        height, width = rng.integers(256, 513, 2)
        y, x = rng.integers(0, 2048 - height), rng.integers(0, 2048 - width)
        tifffile.imwrite(folder / f"crop_{k:03d}.tif", image[y : y + height, x : x + width])


def run(python: str, work: Path, out: Path, threads: int, extra: dict[str, str]) -> dict[str, float]:
    """One run of a command line on the folder of images; seconds by the clock and of the processor."""
    variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **extra}
    env = environment(CELLPOSE_LOCAL_MODELS_PATH=work / "models", **variables)
    images = work / "images"
    command = [python, "-W", "ignore", "-m", "cellpose", "--dir", str(images), "--diameter", "30", "--save_tif"]
    command += ["--pretrained_model", str(work / "weights.pth"), "--chan", "0", "--savedir", str(out)]
    out.mkdir()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{python}: {done.stderr.strip()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": seconds, "cpu": cpu, "busy": cpu / seconds / threads}


def masks(out: Path) -> list[np.ndarray]:
    import tifffile

    return [tifffile.imread(path) for path in sorted(out.glob("*_masks.tif"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the seconds (clock, processor) as JSON")
    args = parser.parse_args()
    import eval as whole
    from dynamics import processor

    from cellpose import metrics

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "images").mkdir()
        (work / "models").mkdir()
        whole.make(work, 256)
        write_crops(work / "images", args.images)
        code = f"from cellpose import models; models.CellposeModel(pretrained_model={str(work / 'weights.pth')!r})"
        warm = ["-c", code]
        env = {**os.environ, "CELLPOSE_LOCAL_MODELS_PATH": str(work / "models")}
        subprocess.run([sys.executable, *warm], env=env, check=True, capture_output=True)  # the graph is made once
        rows = {
            "several at once": run(sys.executable, work, work / "at_once", args.threads, {}),
            "one by one": run(
                sys.executable, work, work / "one_by_one", args.threads, {"CELLPOSE_IMAGES_AT_ONCE": "1"}
            ),
        }
        if args.python_v3:
            rows["3.1.1.3"] = run(args.python_v3, work, work / "v3", args.threads, {})
        ours = masks(work / "at_once")
        if not all(np.array_equal(a, b) for a, b in zip(ours, masks(work / "one_by_one"), strict=True)):
            sys.exit("images that are run at once do not give what they give one by one")
        if args.python_v3:
            theirs = masks(work / "v3")
            tp, fp, fn = (
                sum(float(part[0]) for part in column)
                for column in zip(
                    *(metrics.average_precision(a, b, 0.5)[1:] for a, b in zip(theirs, ours, strict=True)), strict=True
                )
            )
            print(f"{tp + fp:.0f} cells; average precision against 3.1.1.3: {tp / (tp + fp + fn):.4f}")
    print("\n| run | clock s | processor s | cores busy | images / s | times longer: clock, processor |")
    print("|---|---|---|---|---|---|")
    if args.json:
        args.json.write_text(json.dumps(rows))
    first = rows["several at once"]
    for label, row in rows.items():
        print(
            f"| {label} | {row['wall']:.1f} | {row['cpu']:.1f} | {100 * row['busy']:.0f} % | "
            f"{args.images / row['wall']:.2f} | {row['wall'] / first['wall']:.1f}, {row['cpu'] / first['cpu']:.1f} |"
        )


if __name__ == "__main__":
    main()
