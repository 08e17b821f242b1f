"""Train the bundled model from nothing, on a CPU; exact to resume.

    python training/train_bundled.py --data DATA --out RUN --steps 12000 --cooldown 3000

``DATA`` holds ``<source>/<id>_img.*``, ``<source>/<id>_masks.*`` and ``split.csv``; ``RUN`` gets the packed images,
``checkpoint.pt``, ``log.csv``, ``val.csv`` and ``args.jsonl``. The same command goes on where it was stopped; what a
step does depends on the seed and the number of the step alone. The learning rate is constant until the last
``--cooldown`` steps, so a run may also be resumed with other ``--steps`` to end it sooner or later.

    python -m torch.distributed.run --nproc-per-node 2 training/train_bundled.py --float32 --threads 1 ...

shares every batch out among processes, which on a CPU use its cores better than threads of one process do.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from bundled_crops import Crops, DeviceCrops, prefetch
from bundled_data import manifest, pack
from optimizers import MuonAndAdamW

from cellpose import nets, weights

# The network learns flows of this length; unit vectors would weigh little beside the cell probability.
FLOW_SCALE = 5.0
# Pixels of cells of this diameter weigh 1, those of others as 1 / diameter within a range.
WEIGHT_DIAMETER = 18.0
WEIGHT_RANGE = (0.8, 2.5)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sources and split.csv, or a bundle")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--steps", type=int, default=12000, help="number of optimizer steps in all")
    parser.add_argument("--cooldown", type=int, default=3000, help="last steps, in which the learning rate falls to 0")
    parser.add_argument("--warmup", type=int, default=200, help="first steps, in which the learning rate rises")
    parser.add_argument("--minutes", type=float, help="length of the run in minutes instead of --steps")
    parser.add_argument("--init", type=Path, help="weights to start from, of the same width or half of it")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=8, help="crops per step, of all processes together")
    parser.add_argument("--size", type=int, default=160, help="side of the training crops in pixels")
    parser.add_argument("--width", type=int, default=16, help="channels of the first level; doubled at each next")
    parser.add_argument("--diam-mean", type=float, default=30.0)
    parser.add_argument("--near-native", type=float, default=0.55, help="share of crops near the size of the image")
    parser.add_argument("--exact", type=float, default=0.0, help="share of crops that show the pixels as they are")
    parser.add_argument("--ema", type=float, default=0.999, help="decay of the running mean of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--crops", choices=("host", "device"), help="where crops are cut; default: the device of the network"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1, help="that pack the data")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 in the convolutions")
    parser.add_argument("--nice", type=int, default=0, help="raise the niceness by this much")
    parser.add_argument("--compile", action="store_true", help="train a compiled network, where that is possible")
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--ship-every", type=float, help="write final.safetensors every so many minutes, too")
    parser.add_argument("--validate-every", type=int, default=500, help="0: never")
    return parser.parse_args(argv)


@dataclasses.dataclass
class State:
    """All that a checkpoint holds."""

    net: torch.nn.Module
    mean: torch.nn.Module
    optimizer: MuonAndAdamW
    step: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    best: float = -1.0
    compiled: Callable[[torch.Tensor], Any] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Flows and cell logits (n, 3, y, x)."""
        network = self.net if self.compiled is None else self.compiled
        outputs: torch.Tensor = network(x)[0]
        return outputs

    def save(self, path: Path) -> None:
        """Write a checkpoint in one go: an interrupted write leaves the old one."""
        content = {
            "net": self.net.state_dict(), "mean": self.mean.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": self.step, "cpu_s": self.cpu_s, "wall_s": self.wall_s, "best": self.best,
        }  # fmt: skip
        write(content, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name in ("net", "mean", "optimizer"):
            getattr(self, name).load_state_dict(content[name])
        for name in ("step", "cpu_s", "wall_s", "best"):
            setattr(self, name, content[name])


def write(content: Any, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def compile_network(state: State, args: argparse.Namespace) -> None:
    """Compile forwards and backwards for the crops of this run; keep the network as it is if that fails."""
    began, before = time.monotonic(), {k: v.clone() for k, v in state.net.state_dict().items()}
    x = torch.rand(args.batch, 2, args.size, args.size, device=args.device).to(memory_format=torch.channels_last)
    state.compiled = torch.compile(state.net.train())
    try:
        with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=not args.float32):
            y = state.forward(x)
        y.float().square().mean().backward()
    except Exception as error:  # whatever a compiler may raise
        print(f"not compiled: {type(error).__name__}: {error}", flush=True)
        state.compiled = None
    state.net.load_state_dict(before)
    state.optimizer.zero_grad(set_to_none=True)
    print(
        f"compiled in {time.monotonic() - began:.0f} s" if state.compiled is not None else "trained without", flush=True
    )


def progress(state: State, args: argparse.Namespace) -> float:
    """Share of the cool-down that is over, 0 to 1: by the clock if the run is so many minutes long, else by steps."""
    if args.minutes:
        start = args.minutes * 60 * (1 - args.cooldown / args.steps)
        return min(1.0, max(0.0, state.wall_s - start) / (args.minutes * 60 - start))
    return min(1.0, max(0, state.step - (args.steps - args.cooldown)) / max(1, args.cooldown))


def learning_rate(state: State, args: argparse.Namespace) -> float:
    """Linear warm-up, constant, then a fall to 0 as 1 - sqrt(progress) over the cool-down."""
    rise = min(1.0, (state.step + 1) / args.warmup)
    return float(args.learning_rate * rise * (1 - progress(state, args) ** 0.5))


def loss_terms(y: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow and cell terms of the segmentation loss, in which pixels of small cells weigh more.

    With equal weights a nucleus of 8 pixels counts a fortieth of one of 50, though both are one object. Flows far from
    any cell, which nothing follows, count half.
    """
    y, cell, inverse = y.float(), target[:, 0], target[:, 3]
    weight = torch.where(inverse > 0, (WEIGHT_DIAMETER * inverse).clamp(*WEIGHT_RANGE), 1.0)
    errors = (y[:, :2] - FLOW_SCALE * target[:, 1:3]).square().mean(dim=1)
    flow_weight = torch.where(inverse > 0, weight, 0.5)
    entropy = F.binary_cross_entropy_with_logits(y[:, 2], (cell > 0.5).to(y), reduction="none")
    return (errors * flow_weight).sum() / flow_weight.sum() / 2, (entropy * weight).sum() / weight.sum()


def widen(old: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """The same function by a U-Net of twice the width, to go on from (Net2WiderNet, Chen et al. 2016).

    Every channel is there twice; weights of what comes in are shared out between the two at random, so that they learn
    different things.
    """
    rng = torch.Generator().manual_seed(seed)
    n_in = old["downsample.down.res_down_0.conv.conv_0.2.weight"].shape[1]
    wide = {}
    for name, value in old.items():
        new = value
        if new.ndim >= 2 and new.shape[1] != n_in:
            share = torch.normal(0.5, 0.25, new.shape, generator=rng)
            # the style has a length of 1 whatever its width: both halves of it are smaller by the root of 2
            scale = 2**0.5 if ".full." in name else 1.0
            new = torch.cat([new * share, new * (1 - share)], dim=1) * scale
        stays = new.numel() == 1 or new.shape == (n_in,) or name.startswith("output.2.")
        wide[name] = new if stays else torch.cat([new, new])
    return wide


def start_from(state: State, path: Path, seed: int) -> None:
    """Take over weights, also those of a network of half the width.

    The input scales of the second channel begin anew where it was always empty.
    """
    old = weights.load_state_dict(path) if path.suffix != ".pt" else torch.load(path, weights_only=True)
    for norm in ("downsample.down.res_down_0.conv.conv_0.0", "downsample.down.res_down_0.proj.0"):
        if old[f"{norm}.running_var"][1] < 1e-6 or old[f"{norm}.weight"][1] == 0:
            for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                old[f"{norm}.{name}"][1] = value
    first = "downsample.down.res_down_0.proj.1.weight"
    if 2 * len(old[first]) == len(state.net.state_dict()[first]):
        old = widen(old, seed)
    for net in (state.net, state.mean):
        net.load_state_dict(old)


def build(args: argparse.Namespace) -> State:
    torch.manual_seed(args.seed)
    nbase = [2, *(args.width * 2**level for level in range(4))]
    net, mean = (
        nets.CPnet(nbase, nout=3, diam_mean=args.diam_mean).to(args.device, memory_format=torch.channels_last)
        for _ in range(2)
    )
    mean.load_state_dict(net.state_dict())
    mean.eval()
    return State(net, mean, MuonAndAdamW(net, args.learning_rate, args.weight_decay))


@torch.no_grad()
def update_mean(state: State, decay: float) -> None:
    """Running mean of weights and statistics; short memory at first, while the weights still move fast."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    for kept, new in zip(state.mean.state_dict().values(), state.net.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def place_among_processes() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def share_gradients(net: torch.nn.Module) -> None:
    """The mean of the gradients of all processes in each; the statistics of norms are those of the first."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    parts = (flat / dist.get_world_size()).split([g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def agreed(*values: float) -> list[float]:
    """What the first process says, in every process: clocks and signals differ."""
    told = torch.tensor(values, dtype=torch.float64)
    if dist.is_initialized():
        dist.broadcast(told, 0)
    return told.tolist()


def wait_for_all() -> None:
    """Go on when every process has come this far."""
    if dist.is_initialized():
        dist.barrier()


def train_step(state: State, images: torch.Tensor, target: torch.Tensor, args: argparse.Namespace) -> torch.Tensor:
    """One step of the optimizer; flow and cell terms of the loss."""
    x = images.to(memory_format=torch.channels_last)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state, args)
    with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=not args.float32):
        y = state.forward(x)
    flow_term, cell_term = loss_terms(y, target)
    state.optimizer.zero_grad(set_to_none=True)
    (flow_term + cell_term).backward()
    share_gradients(state.net)
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
    state.optimizer.step()
    update_mean(state, args.ema)
    return torch.stack([flow_term, cell_term]).detach()


def append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def half(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they are shipped: convolutions in half precision; scales and statistics are few and stay exact."""
    return {k: (v.half() if v.ndim == 4 else v).cpu().contiguous() for k, v in state_dict.items()}


def save_final(net: torch.nn.Module, out: Path) -> None:
    """The running mean of the weights, exact and as shipped."""
    write(net.state_dict(), out / "final.pt")
    nets.write_state_dict(half(net.state_dict()), out / "final.safetensors")


def validate(state: State, args: argparse.Namespace) -> None:
    """Average precision of the mean weights on a part of ``val``; the best are kept."""
    from bundled_eval import quick_validation

    scores = quick_validation(state.mean, args.data)
    append(args.out / "val.csv", {"step": state.step, **scores})
    print(f"step {state.step} val {scores}", flush=True)
    if scores["score"] > state.best:
        state.best = scores["score"]
        write(state.mean.state_dict(), args.out / "best.pt")


def crops_of(args: argparse.Namespace) -> Crops:
    """Crops cut where the network is trained; of several processes each has its own."""
    rank, processes = place_among_processes()
    options = (args.out / "packed", args.seed + 1000 * rank, args.size, args.batch // processes, args.diam_mean)
    shares = {"near_native": args.near_native, "exact": args.exact}
    on_device = args.device != "cpu" if args.crops is None else args.crops == "device"
    if on_device:
        return DeviceCrops(*options, device=args.device, **shares)
    return Crops(*options, **shares)


def run(state: State, args: argparse.Namespace) -> None:
    """Train until ``--steps``, or until told to stop, which leaves a checkpoint."""
    stop: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda number, _: stop.append(number))
    crops, first = crops_of(args), place_among_processes()[0] == 0
    if args.compile:
        compile_network(state, args)
    cpu0, wall0, cpu_before, wall_before = time.process_time(), time.monotonic(), state.cpu_s, state.wall_s
    sums, count, shipped = torch.zeros(2, device=args.device), 0, wall0
    state.net.train()
    end = sys.maxsize if args.minutes else args.steps
    for _step, batch in prefetch(crops, state.step, end):
        sums += train_step(state, *crops.ready(batch), args)
        count += 1
        state.step += 1
        state.cpu_s = cpu_before + time.process_time() - cpu0
        state.wall_s, told = agreed(wall_before + time.monotonic() - wall0, bool(stop))
        over = bool(args.minutes) and state.wall_s >= args.minutes * 60
        last = state.step == end or over or bool(told)
        if not first:
            if last:
                return
            continue
        if state.step % 50 == 0 or last:
            flow, cell = (sums / count).tolist()
            row = {
                "step": state.step, "learning_rate": f"{state.optimizer.param_groups[0]['lr']:.6f}",
                "loss": f"{flow + cell:.4f}", "flow_loss": f"{flow:.4f}", "cell_loss": f"{cell:.4f}",
                "cpu_s": f"{state.cpu_s:.0f}", "wall_s": f"{state.wall_s:.0f}",
            }  # fmt: skip
            append(args.out / "log.csv", row)
            print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)
            sums, count = torch.zeros(2, device=args.device), 0
        if args.validate_every and state.step % args.validate_every == 0:
            validate(state, args)
        if state.step % args.save_every == 0 or last:
            state.save(args.out / "checkpoint.pt")
        if args.ship_every and time.monotonic() > shipped + args.ship_every * 60:
            nets.write_state_dict(half(state.mean.state_dict()), args.out / "final.safetensors")
            shipped = time.monotonic()
        if told:
            print(f"stopped at step {state.step}", flush=True)
            return
        if over:
            break
    save_final(state.mean, args.out)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    os.nice(args.nice)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    rank, processes = place_among_processes()
    packed = args.out / "packed"
    if rank == 0 and not (packed / "index.json").exists():
        pack(args.data, packed, args.seed, args.processes)
    wait_for_all()  # until all is packed
    state = build(args)
    if args.init is not None:
        start_from(state, args.init, args.seed)
    if (args.out / "checkpoint.pt").exists():
        state.load(args.out / "checkpoint.pt")
    started = {
        "from_step": state.step, "torch": torch.__version__, "argv": sys.argv[1:], "processes": processes,
        "data": manifest(packed),
        "args": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
    }  # fmt: skip
    if rank == 0:
        with (args.out / "args.jsonl").open("a") as file:
            file.write(json.dumps(started) + "\n")
    run(state, args)
    wait_for_all()  # no process leaves while others still talk to it


if __name__ == "__main__":
    main()
    if dist.is_initialized():
        # All is written; threads of the process group now and then abort an interpreter that is taken down in order.
        sys.stdout.flush()
        os._exit(0)
