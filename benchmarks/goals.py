"""All benchmarks in one run, and the table of goals that stands at the top of docs/benchmarks.md.

    make benchmarks PYTHON_V3=/path/to/python PYTHON_V4=/path/to/python

Each interpreter must have the original package of that generation installed. Every script of the list is run after the
other, each in processes of its own; what they print goes to the error stream, the table to the standard output. It
gives seconds by the clock, or of the processor with ``--processor`` (on a machine that does other work), how many times
faster that is than the originals, the goal, and how many times longer it takes than the limit of the machine that
`limits.py` finds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    label
        The work.
    script
        The script (and what it is given) whose results it is taken from.
    ours, v3, v4
        Names of the rows of the script; empty where there is none. ``task`` is the entry in them.
    task
        The entry of `limits.WORK` as well; empty where there is no limit by formula.
    goals
        Times faster than version 3 and version 4 it is to be.
    """

    label: str
    script: str
    ours: tuple[str, ...]
    v3: str
    v4: str
    task: str
    goals: tuple[float | None, float | None]


DYNAMICS, LABELS = "dynamics.py", "outlines_metrics.py"
NETWORK, SAM, EVAL, BATCH = "network.py", "network.py --network cpsam", "eval.py", "batch.py"
FLOAT32, INT8 = ("native", "openvino", "onnx", "torch"), ("openvino int8", "onnx int8")
ROWS = (
    Row("`compute_masks` with the flow check", DYNAMICS, ("ours",), "v3", "v4", "compute_masks", (20, 50)),
    Row("`labels_to_flows`", DYNAMICS, ("ours",), "v3", "v4", "labels_to_flows", (10, 30)),
    Row("`outlines_list`", LABELS, ("here",), "v3", "v4", "outlines_list", (50, 50)),
    Row("`average_precision`", LABELS, ("here",), "v3", "v4", "average_precision", (5, 5)),
    Row("`mask_ious`", LABELS, ("here",), "v3", "v4", "mask_ious", (5, 5)),
    Row("`aggregated_jaccard_index`", LABELS, ("here",), "v3", "v4", "aggregated_jaccard_index", (5, 5)),
    Row("`boundary_scores`", LABELS, ("here",), "v3", "v4", "boundary_scores", (None, None)),
    Row("`masks_to_outlines`", LABELS, ("here",), "v3", "v4", "masks_to_outlines", (None, None)),
    Row("`fill_holes_and_remove_small_masks`", DYNAMICS, ("ours",), "v3", "v4", "fill_holes", (10, 10)),
    Row("U-Net of the published size, 1024²", NETWORK, FLOAT32, "v3", "", "cpnet", (2.5, None)),
    Row("the same in 8 bits", NETWORK, INT8, "v3", "", "cpnet", (5, None)),
    Row("Cellpose-SAM, 1024²", SAM, FLOAT32, "", "v4", "cpsam", (None, 2)),
    Row("the same in 8 bits", SAM, INT8, "", "v4", "cpsam", (None, 3)),
    Row("whole `eval`, 2048², U-Net", EVAL, FLOAT32, "3.1.1.3", "", "eval", (5, None)),
    Row("its peak memory, MiB", EVAL, FLOAT32, "3.1.1.3", "", "", (2, None)),
    Row("200 small images", BATCH, ("several at once",), "3.1.1.3", "", "", (None, None)),
)


def seconds(found: dict[str, Any], row: Row, name: str, column: int) -> float:
    """What a script found for a line, of the interpreter ``name``; NaN where it has nothing."""
    own = found.get(name)
    if not own or "error" in own:
        return math.nan
    if row.label.startswith("its peak"):
        return float(own["peak"])
    if row.script == BATCH:
        return float(own["cpu" if column else "wall"])
    if row.script == EVAL:
        return float(own["times"][-1][column])
    return float((own["seconds"] if row.script.startswith("network") else own[row.task])[column])


def run(script: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    name, *words = script.split()
    target = folder / f"{len(list(folder.iterdir()))}.json"
    command = [sys.executable, str(HERE / name), *words, "--json", str(target)]
    if name != LABELS:
        command += ["--threads", str(args.threads)]
    given = {"--python-v3": args.python_v3, "--python-v4": args.python_v4}
    if name in (EVAL, BATCH):
        given.pop("--python-v4")
    for option, python in given.items():
        command += [option, python] if python else []
    if name == BATCH:
        command += ["--images", str(args.images)]
    print(f"\n## {' '.join(command[1:])}\n", file=sys.stderr, flush=True)
    done = subprocess.run(command, check=False, stdout=sys.stderr)
    if done.returncode or not target.is_file():
        print(f"{script} failed", file=sys.stderr)
        return {}
    return json.loads(target.read_text())


def line(row: Row, found: dict[str, Any], least: dict[str, tuple[float, str]], column: int) -> str | None:
    known = [(seconds(found, row, name, column), name) for name in row.ours]
    ours, name = min(((s, n) for s, n in known if not math.isnan(s)), default=(math.nan, ""))
    if math.isnan(ours):
        return None
    cells = [row.label + (f" ({name})" if len(row.ours) > 1 else ""), f"{ours:.0f}" if ours >= 100 else f"{ours:.3g}"]
    for version, goal in zip((row.v3, row.v4), row.goals, strict=True):
        ratio = seconds(found, row, version, column) / ours if version else math.nan
        wanted = "" if goal is None else f"{goal:g}"
        mark = "" if goal is None or math.isnan(ratio) else " ✓" if ratio >= goal else " ✗"
        cells += ["–" if math.isnan(ratio) else f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}", wanted + mark]
    bound = least.get(row.task)
    cells.append(f"{ours / bound[0]:.1f} ({bound[1]})" if bound else "–")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-v3", help="interpreter with version 3 of the original")
    parser.add_argument("--python-v4", help="interpreter with version 4 of the original")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=200, help="small images of batch.py")
    parser.add_argument("--processor", action="store_true", help="seconds of the processor instead of the clock")
    parser.add_argument("--only", nargs="+", help="names of scripts; all if not given")
    args = parser.parse_args()
    import limits
    import numpy as np
    from dynamics import make_labels, processor

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    column = 1 if args.processor else 0
    # Of the processor's seconds there are as many as threads work; what labels need runs on one.
    rates = {n: limits.measure(n) for n in (1, args.threads)}
    image = limits.Image.of(make_labels(2048, 34, np.random.default_rng(0)))
    scripts = [s for s in dict.fromkeys(row.script for row in ROWS) if not args.only or s.split()[0] in args.only]
    with tempfile.TemporaryDirectory() as name:
        found = {script: run(script, args, Path(name)) for script in scripts}
    print(
        f"{processor()}, {os.cpu_count()} cores, load {load:.1f} before; {args.threads} threads; products of matrices "
        f"{rates[1]['gemm']:.0f} GFLOP/s with one thread and {rates[args.threads]['gemm']:.0f} with {args.threads}, "
        f"copies {rates[1]['memory']:.0f} and {rates[args.threads]['memory']:.0f} GB/s. Seconds "
        f"{'of the processor' if column else 'by the clock'}.\n"
    )
    print(
        "| work | here | 3.1.1.3 / here | goal | 4.2.1.1 / here | goal | here / limit |\n|---|---|---|---|---|---|---|"
    )
    for row in ROWS:
        if row.script not in found:
            continue
        threads = 1 if column or row.script == LABELS else args.threads
        least = {task: limits.limit(task, image, rates[threads]) for task in limits.WORK}
        text = line(row, found[row.script], least, column)
        if text:
            print(text)


if __name__ == "__main__":
    main()
