"""Train the bundled model from nothing, on a CPU; exact to resume.

    python training/train_bundled.py --data DATA --out RUN --steps 12000 --cooldown 3000

``DATA`` holds ``<source>/<id>_img.*``, ``<source>/<id>_masks.*`` and ``split.csv``; ``RUN`` gets the packed images,
``checkpoint.pt``, ``log.csv``, ``val.csv`` and ``args.jsonl``. The same command goes on where it was stopped; what a
step does depends on the seed and the number of the step alone. The learning rate is constant until the last
``--cooldown`` steps, so a run may also be resumed with other ``--steps`` to end it sooner or later.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundled_data import Crops, manifest, pack, prefetch

from cellpose import nets
from cellpose.train._loss import segmentation_terms


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sources and split.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--steps", type=int, default=12000, help="number of optimiser steps in all")
    parser.add_argument("--cooldown", type=int, default=3000, help="last steps, in which the learning rate falls to 0")
    parser.add_argument("--warmup", type=int, default=200, help="first steps, in which the learning rate rises")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=160, help="side of the training crops in pixels")
    parser.add_argument("--width", type=int, default=16, help="channels of the first level; doubled at each next")
    parser.add_argument("--diam-mean", type=float, default=30.0)
    parser.add_argument("--ema", type=float, default=0.999, help="decay of the running mean of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 in the convolutions")
    parser.add_argument("--nice", type=int, default=0, help="raise the niceness by this much")
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--validate-every", type=int, default=500, help="0: never")
    return parser.parse_args(argv)


@dataclasses.dataclass
class State:
    """All that a checkpoint holds."""

    net: torch.nn.Module
    mean: torch.nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    best: float = -1.0

    def save(self, path: Path) -> None:
        """Write a checkpoint in one go: an interrupted write leaves the old one."""
        content = {
            "net": self.net.state_dict(), "mean": self.mean.state_dict(), "optimiser": self.optimiser.state_dict(),
            "step": self.step, "cpu_s": self.cpu_s, "wall_s": self.wall_s, "best": self.best,
        }  # fmt: skip
        write(content, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name in ("net", "mean", "optimiser"):
            getattr(self, name).load_state_dict(content[name])
        for name in ("step", "cpu_s", "wall_s", "best"):
            setattr(self, name, content[name])


def write(content: Any, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, constant, then a fall to 0 as 1 - sqrt(progress) over the last ``--cooldown`` steps."""
    rise = min(1.0, (step + 1) / args.warmup)
    progress = max(0.0, step - (args.steps - args.cooldown)) / max(1, args.cooldown)
    return float(args.learning_rate * rise * (1 - min(1.0, progress) ** 0.5))


def build(args: argparse.Namespace) -> State:
    torch.manual_seed(args.seed)
    nbase = [2, *(args.width * 2**level for level in range(4))]
    net, mean = (
        nets.CPnet(nbase, nout=3, diam_mean=args.diam_mean).to(args.device, memory_format=torch.channels_last)
        for _ in range(2)
    )
    mean.load_state_dict(net.state_dict())
    mean.eval()
    learnt = [p for p in net.parameters() if p.requires_grad]
    # Scales and biases are not pulled towards 0: that would only fight the batch normalisation.
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": args.weight_decay},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return State(net, mean, torch.optim.AdamW(groups, lr=args.learning_rate))


@torch.no_grad()
def update_mean(state: State, decay: float) -> None:
    """Running mean of weights and statistics; short memory at first, while the weights still move fast."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    for kept, new in zip(state.mean.state_dict().values(), state.net.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def train_step(state: State, images: np.ndarray, targets: np.ndarray, args: argparse.Namespace) -> tuple[float, float]:
    x = torch.from_numpy(images).to(args.device, memory_format=torch.channels_last)
    target = torch.from_numpy(targets).to(args.device)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, args)
    with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=not args.float32):
        y = state.net(x)[0]
    flow_term, cell_term = segmentation_terms(y, target[:, 0], target[:, 1:])
    state.optimiser.zero_grad(set_to_none=True)
    (flow_term + cell_term).backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
    state.optimiser.step()
    update_mean(state, args.ema)
    return float(flow_term.detach()), float(cell_term.detach())


def append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def validate(state: State, args: argparse.Namespace) -> None:
    """Average precision of the mean weights on a part of ``val``; the best are kept."""
    from bundled_eval import quick_validation

    scores = quick_validation(state.mean, args.data)
    append(args.out / "val.csv", {"step": state.step, **scores})
    print(f"step {state.step} val {scores}", flush=True)
    if scores["score"] > state.best:
        state.best = scores["score"]
        write(state.mean.state_dict(), args.out / "best.pt")


def run(state: State, args: argparse.Namespace) -> None:
    """Train until ``--steps``, or until told to stop, which leaves a checkpoint."""
    stop: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda number, _: stop.append(number))
    crops = Crops(args.out / "packed", args.seed, args.size, args.batch, args.diam_mean)
    cpu0, wall0, cpu_before, wall_before = time.process_time(), time.monotonic(), state.cpu_s, state.wall_s
    sums, count = np.zeros(2), 0
    state.net.train()
    for _step, images, targets in prefetch(crops, state.step, args.steps):
        sums += train_step(state, images, targets, args)
        count += 1
        state.step += 1
        state.cpu_s = cpu_before + time.process_time() - cpu0
        state.wall_s = wall_before + time.monotonic() - wall0
        last = state.step == args.steps or bool(stop)
        if state.step % 50 == 0 or last:
            flow, cell = sums / count
            row = {
                "step": state.step, "learning_rate": f"{learning_rate(state.step - 1, args):.6f}",
                "loss": f"{flow + cell:.4f}", "flow_loss": f"{flow:.4f}", "cell_loss": f"{cell:.4f}",
                "cpu_s": f"{state.cpu_s:.0f}", "wall_s": f"{state.wall_s:.0f}",
            }  # fmt: skip
            append(args.out / "log.csv", row)
            print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)
            sums, count = np.zeros(2), 0
        if args.validate_every and state.step % args.validate_every == 0:
            validate(state, args)
        if state.step % args.save_every == 0 or last:
            state.save(args.out / "checkpoint.pt")
        if stop:
            print(f"stopped at step {state.step}", flush=True)
            return
    write(state.mean.state_dict(), args.out / "final.pt")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    os.nice(args.nice)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    packed = args.out / "packed"
    if not (packed / "index.json").exists():
        pack(args.data, packed, args.seed)
    state = build(args)
    if (args.out / "checkpoint.pt").exists():
        state.load(args.out / "checkpoint.pt")
    started = {
        "from_step": state.step, "torch": torch.__version__, "argv": sys.argv[1:], "data": manifest(packed),
        "args": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
    }  # fmt: skip
    with (args.out / "args.jsonl").open("a") as file:
        file.write(json.dumps(started) + "\n")
    run(state, args)


if __name__ == "__main__":
    main()
