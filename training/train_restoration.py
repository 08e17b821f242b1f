"""Train the bundled restoration model on a CPU; exact to resume.

    python training/train_restoration.py --packed PACKED --out RUN --init WEIGHTS --minutes 90

    python -m torch.distributed.run --standalone --nproc-per-node 2 training/train_restoration.py --threads 1 ...

``PACKED`` is a folder of packed images as ``train_bundled.py`` makes it (images of the split ``train`` and synthetic
ones); ``RUN`` gets ``checkpoint.pt``, ``log.csv`` and ``args.jsonl``. The same command goes on where it was stopped.

The network is the published one, a U-Net of one channel and one output. It begins as a segmentation network whose two
first channels are made to carry the image as it is to the output (see `carry_image`), so that from the first step on it
learns what to change. Statistics of its norms stay as they are after a short calibration: what it does to an image then
does not depend on the others of a batch. The losses are those of `cellpose.denoise`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
from bundled_crops import Crops, prefetch, vary_intensity
from bundled_data import manifest
from optimizers import MuonAndAdamW
from restoration_degrade import degrade
from torch import nn
from train_bundled import (
    State,
    agreed,
    append,
    half,
    place_among_processes,
    share_gradients,
    update_mean,
    wait_for_all,
    write,
)

from cellpose import denoise, nets, weights

# Degraded images are normalized over more than what the network sees, as whole images are.
CONTEXT = 192
# A crop with less contrast than this part of its image is not stretched to the full range.
SMALLEST_RANGE = 0.25
BRIGHTEST = 2.0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True, help="folder of packed images")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--init", type=Path, help="weights of a segmentation or restoration U-Net to start from")
    parser.add_argument("--judge", default="generalist", help="segmentation model of the losses")
    parser.add_argument("--lam", type=float, nargs=3, default=(0.5, 1.5, 0.5), metavar=("PER", "SEG", "REC"))
    parser.add_argument(
        "--judge-from", type=int, default=400, help="first step with the two losses that need the judge"
    )
    parser.add_argument("--minutes", type=float, default=90, help="length of the run")
    parser.add_argument("--cooldown", type=float, default=0.4, help="last part, in which the learning rate falls to 0")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels")
    parser.add_argument("--width", type=int, default=16, help="channels of the first level; doubled at each next")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 in the convolutions")
    parser.add_argument("--save-every", type=int, default=50)
    return parser.parse_args(argv)


class DegradedCrops(Crops):
    """Clean crops, the same degraded, and targets; the same (seed, step) always gives the same batch."""

    def __init__(self, packed: Path, seed: int, size: int, batch: int) -> None:
        super().__init__(packed, seed, CONTEXT, batch, diam_mean=30.0, near_native=0.3, exact=0.15)
        self.inner = slice((CONTEXT - size) // 2, (CONTEXT - size) // 2 + size)

    def sample(self, step: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Degraded and clean crop (2, y, x), and targets (3, y, x): cell or not, flows; float32."""
        drawn = self.draw(step, place)
        images, target = self.cut(drawn)
        look = dataclasses.replace(drawn.looks[0], blur=0.0, noise=0.0, gain=1.0, offset=0.0)
        clean = vary_intensity(look, images[0])
        rng = np.random.default_rng([self.seed, step, place, 1])
        # Pixels of the camera are finer or coarser than those that the network sees.
        fine = 1.0 if rng.random() < 0.5 else float(np.exp(rng.uniform(np.log(0.6), np.log(1.8))))
        side = round(CONTEXT * fine)
        before = clean if side == CONTEXT else cv2.resize(clean, (side, side), interpolation=cv2.INTER_LINEAR)
        degraded = degrade(rng, before, drawn.entry.diameter * drawn.scale * fine)
        if side != CONTEXT:
            degraded = cv2.resize(degraded, (CONTEXT, CONTEXT), interpolation=cv2.INTER_LINEAR)
        gain, offset = rng.uniform(0.85, 1.15), rng.uniform(-0.05, 0.05)
        both = np.stack([normalized(degraded), np.clip(normalized(clean), -0.2, BRIGHTEST)]) * gain + offset
        return both[:, self.inner, self.inner].astype(np.float32), target[:3, self.inner, self.inner]


def normalized(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99))
    return (image - low) / max(high - low, SMALLEST_RANGE)


def carry_image(net: nn.Module) -> None:
    """Make the first two channels of the finest level carry the image and its negative to the output, unchanged.

    What is rectified on the way is what the image has above 0 in one channel and below 0 in the other; the output is
    their difference. All other features add nothing to it at first.
    """
    down, up = net.downsample.down.res_down_0, net.upsample.up.res_up_0
    norm, proj = down.proj
    slope = (norm.weight / (norm.running_var + norm.eps).sqrt()).item()
    shift = (norm.bias - norm.running_mean * slope).item()
    for channel, sign in enumerate((1.0, -1.0)):
        proj.weight[channel], proj.bias[channel] = sign / slope, -sign * shift / slope
        for unit in (down.conv.conv_1, down.conv.conv_3, up.conv.conv_0, up.conv.conv_3.conv, up.proj):
            unit[-1].weight[channel] = 0
            unit[-1].bias[channel] = 0
        for part in (up.conv.conv_1.full.weight, up.conv.conv_1.full.bias):
            part[channel] = 0
        join = up.conv.conv_1.conv
        join[-1].weight[channel], join[-1].bias[channel] = 0, 0
        join[-1].weight[channel, 0, 1, 1], join[-1].weight[channel, 1, 1, 1] = sign, -sign
        for norm in (join[0], net.output[0]):
            norm.weight[channel], norm.bias[channel] = 1, 0
            norm.running_mean[channel], norm.running_var[channel] = 0, 1 - norm.eps
    net.output[-1].weight.mul_(0.02)
    net.output[-1].bias.zero_()
    net.output[-1].weight[0, 0], net.output[-1].weight[0, 1] = 1, -1


@torch.no_grad()
def begin(net: nn.Module, init: Path | None, batches: Iterator[torch.Tensor]) -> None:
    """Take the weights of a segmentation network, carry the image through, and measure the norms on degraded images.

    Those of a restoration network are taken as they are.
    """
    if init is not None:
        state = weights.load_state_dict(init)
        if len(state["output.2.weight"]) == 1:
            net.load_state_dict(state)
            net.eval()
            return
        state = nets.one_channel(state)
        body = {k: v for k, v in state.items() if not k.startswith("output.2")}
        net.load_state_dict(body, strict=False)
    carry_image(net)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of all batches
        norm.reset_running_stats()
    net.train()
    for images in batches:
        net(images)
    for norm in norms:
        norm.momentum = 0.05
    carry_image(net)
    net.eval()


def build(args: argparse.Namespace, crops: DegradedCrops) -> State:
    torch.manual_seed(args.seed)
    nbase = [1, *(args.width * 2**level for level in range(4))]
    net, mean = (nets.CPnet(nbase, nout=1).to(memory_format=torch.channels_last) for _ in range(2))
    if not (args.out / "checkpoint.pt").exists():
        begin(net, args.init, (crops(-step - 1 + 10**6)[0][:, :1] for step in range(12)))
    mean.load_state_dict(net.state_dict())
    return State(net.eval(), mean.eval(), MuonAndAdamW(net, args.learning_rate, args.weight_decay))


def learning_rate(state: State, args: argparse.Namespace) -> float:
    """Linear warm-up, constant, then a fall to 0 as 1 - sqrt(progress) over the cool-down, by the clock."""
    whole, fall = args.minutes * 60, args.minutes * 60 * args.cooldown
    over = min(1.0, max(0.0, (state.wall_s - (whole - fall)) / fall))
    return float(args.learning_rate * min(1.0, (state.step + 1) / args.warmup) * (1 - over**0.5))


def losses(state: State, judge: nn.Module, batch: Any, args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """The published losses, each with its weight."""
    images, target = batch
    degraded, clean = (images[:, i : i + 1].to(memory_format=torch.channels_last) for i in (0, 1))
    per, seg, rec = args.lam
    with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
        restored = state.net(degraded)[0].float()
        terms = {"rec": rec * denoise.loss_fn_rec(clean, restored)}
        if state.step >= args.judge_from:
            output, _, features = judge(restored)
            terms["seg"] = seg * denoise.loss_fn_seg(target, output.float())
            if per:
                with torch.autocast("cpu", enabled=False):
                    terms["per"] = per * perceptual(clean, judge, [f.float() for f in features], args)
    return terms


def perceptual(clean: torch.Tensor, judge: nn.Module, features: list[torch.Tensor], args: Any) -> torch.Tensor:
    """`denoise.loss_fn_per`, with only the encoder run for clean images, in bfloat16."""

    def encoder(images: torch.Tensor) -> tuple[None, None, list[torch.Tensor]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            return None, None, [f.float() for f in judge.downsample(images)]

    return denoise.loss_fn_per(clean, encoder, features)


def train_step(state: State, judge: nn.Module, batch: Any, args: argparse.Namespace) -> dict[str, float]:
    """One step of the optimizer; the terms of the loss."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state, args)
    terms = losses(state, judge, batch, args)
    state.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    share_gradients(state.net)
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    state.optimizer.step()
    update_mean(state, args.ema)
    return {name: float(term.detach()) for name, term in terms.items()}


def run(state: State, args: argparse.Namespace, crops: DegradedCrops) -> None:
    """Train until the time is over, or until told to stop, which leaves a checkpoint."""
    stop: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda number, _: stop.append(number))
    judge = denoise.one_chan_cellpose("cpu", pretrained_model=args.judge).to(memory_format=torch.channels_last)
    cpu0, wall0, cpu_before, wall_before = time.process_time(), time.monotonic(), state.cpu_s, state.wall_s
    sums: dict[str, list[float]] = {}
    first = place_among_processes()[0] == 0
    for _step, batch in prefetch(crops, state.step, sys.maxsize):
        for name, value in train_step(state, judge, batch, args).items():
            sums.setdefault(name, []).append(value)
        state.step += 1
        state.cpu_s = cpu_before + time.process_time() - cpu0
        state.wall_s, told = agreed(wall_before + time.monotonic() - wall0, bool(stop))
        over = state.wall_s >= args.minutes * 60 or bool(told)
        if not first:
            if over:
                return
            continue
        if state.step % 25 == 0 or over:
            row = {"step": state.step, "learning_rate": f"{state.optimizer.param_groups[0]['lr']:.6f}"}
            row |= {name: f"{np.mean(sums.get(name, [np.nan])):.4f}" for name in ("rec", "seg", "per")}
            row |= {"cpu_s": f"{state.cpu_s:.0f}", "wall_s": f"{state.wall_s:.0f}"}
            append(args.out / "log.csv", row)
            print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)
            sums = {}
        if state.step % args.save_every == 0 or over:
            state.save(args.out / "checkpoint.pt")
        if over:
            break
    write(state.mean.state_dict(), args.out / "final.pt")
    nets.write_state_dict(half(state.mean.state_dict()), args.out / "final.safetensors")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    rank, processes = place_among_processes()
    crops = [
        DegradedCrops(args.packed, args.seed + 1000 * place, args.size, args.batch // processes) for place in (0, rank)
    ]
    state = build(args, crops[0])  # the same in all processes
    if (args.out / "checkpoint.pt").exists():
        state.load(args.out / "checkpoint.pt")
    words = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    started = {
        "from_step": state.step, "torch": torch.__version__, "args": words, "processes": processes,
        "data": manifest(args.packed),
    }  # fmt: skip
    if rank == 0:
        with (args.out / "args.jsonl").open("a") as file:
            file.write(json.dumps(started) + "\n")
    run(state, args, crops[1])
    wait_for_all()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # a thread still makes crops
