"""All that is to be done when a GPU is at hand for some minutes: check results, measure, train, by one clock.

    python training/gpu_session.py --data data.zip --out OUT --minutes 13

Packs the data in the background, meanwhile runs ``benchmarks/gpu.py`` (results against those of the CPU, then speed),
and trains from the bundled model in the time that is left. ``OUT`` gets ``gpu.txt``, ``final.safetensors`` (every
minute), ``log.csv``, ``args.jsonl`` and ``summary.json``; the packed data and the checkpoint stay in ``--work``.

    python training/gpu_session.py --data data.zip --out OUT --minutes 0.5 --device cpu --small

tries all of it without a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from cellpose import nets

ROOT = Path(__file__).parents[1]
START = ROOT / "src/cellpose/weights/bundled/generalist.safetensors"
BENCHMARK_S = 150
# Seconds before the end in which files are written and copied.
RESERVE_S = 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="bundle of bundled_data.py, or folder of the sources")
    parser.add_argument("--out", type=Path, required=True, help="folder of what is to be kept")
    parser.add_argument("--work", type=Path, default=Path("training/runs/gpu"), help="folder of the run")
    parser.add_argument("--minutes", type=float, required=True, help="for everything")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--peak-tflops", type=float, default=989, help="of the device in bfloat16, as its maker states")
    parser.add_argument("--small", action="store_true", help="a tiny network and few images, for a trial")
    return parser.parse_args()


def python(script: str, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / script), *words]


def training(args: argparse.Namespace, minutes: float) -> list[str]:
    """The command that trains for so long."""
    shape = ["--width", str(args.width), "--size", str(args.size), "--batch", str(args.batch)]
    start = [] if args.small else ["--init", str(START), "--compile"]
    rates = ["--learning-rate", "3e-3", "--warmup", "300", "--ema", "0.9995", "--near-native", "0.8", "--exact", "0.45"]
    clock = ["--minutes", f"{minutes:.3f}", "--steps", "10", "--cooldown", "6"]
    saving = ["--ship-every", "1", "--save-every", "2000", "--validate-every", "0"]
    run = ["--data", str(args.data), "--out", str(args.work), "--device", args.device, "--threads", "4"]
    return python("training/train_bundled.py", *run, *shape, *start, *rates, *clock, *saving)


def benchmark(args: argparse.Namespace, seconds: float) -> None:
    """Results against the CPU and speed, into gpu.txt; what is there when the time is up stays."""
    words = ["--device", args.device if args.device == "cpu" else f"{args.device}:0", *["--small"] * args.small]
    with (args.out / "gpu.txt").open("w") as file:
        try:
            subprocess.run(
                python("benchmarks/gpu.py", *words), stdout=file, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            file.write(f"ended after {seconds:.0f} s\n")


def step_tflop(args: argparse.Namespace) -> float:
    """Operations of a training step in units of 10^12: forwards, and twice that backwards."""
    net = nets.CPnet([2, *(args.width * 2**level for level in range(4))], nout=3).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 2, args.size, args.size))
    return 3 * args.batch * counter.get_total_flops() / 1e12


def summary(args: argparse.Namespace) -> dict[str, Any]:
    """Crops, their rate once the network is warm, and the share of the peak."""
    with (args.work / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    first, last = rows[len(rows) // 4], rows[-1]
    steps, seconds = (int(last[key]) - int(first[key]) for key in ("step", "wall_s"))
    rate = steps / max(1, seconds)
    tflops = rate * step_tflop(args)
    return {
        "crops": int(last["step"]) * args.batch, "crops_per_s": round(rate * args.batch, 1), "tflops": round(tflops, 2),
        "share_of_peak": round(tflops / args.peak_tflops, 4), "loss": float(last["loss"]),
    }  # fmt: skip


def main() -> None:
    began, args = time.monotonic(), parse()
    if args.small:
        args.batch, args.size, args.width = 2, 64, 4
    args.out.mkdir(parents=True, exist_ok=True)

    def left() -> float:
        return args.minutes * 60 - RESERVE_S * (not args.small) - (time.monotonic() - began)

    pack = ["--data", str(args.data), "--pack", str(args.work / "packed"), "--processes", str(os.cpu_count())]
    packing = subprocess.Popen(python("training/bundled_data.py", *pack, *["--every", "90"] * args.small))
    benchmark(args, min(BENCHMARK_S, left() / 3))
    packing.wait()
    if left() > 0:
        subprocess.run(training(args, left() / 60), check=False)
    for name in ("final.safetensors", "log.csv", "args.jsonl"):
        if (args.work / name).exists():
            shutil.copy2(args.work / name, args.out)
    found = summary(args)
    (args.out / "summary.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
