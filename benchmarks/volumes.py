"""Volumes: peak memory and time, rings in thick planes, average precision of real volumes.

    python benchmarks/volumes.py memory --shapes 10,2160,2560
    python benchmarks/volumes.py memory --shapes 64,64,64 128,128,128 256,256,256 512,512,512
    python benchmarks/volumes.py rings
    python benchmarks/volumes.py quality --data FOLDER
    python benchmarks/volumes.py training --data FOLDER

``memory`` runs each stack in a process of its own. ``--network stand-in`` puts a function that costs nothing in the
network's place: of its peak only the tiles of a batch are missing; ``--network published`` is a U-Net of the size of
the published ones with random weights. ``quality`` wants folders with ``*_img.tif`` and ``*_masks.tif``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS_OF_RINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "anisotropy left out": {"anisotropy": 1.0},
    "isotropic_steps": {"isotropic_steps": True},
    "isotropic_steps, cubic": {"isotropic_steps": True, "z_interpolation": "cubic"},
    "isotropic_steps, spline": {"isotropic_steps": True, "z_interpolation": "spline"},
}


# ---- memory ------------------------------------------------------------------------------------------------------


def nuclei(shape: tuple[int, int, int]) -> np.ndarray:
    """Balls of random size and place, 16-bit; a tile of 256 x 256 pixels repeated."""
    rng = np.random.default_rng(0)
    depth = shape[0]
    tile = np.full((depth, 256, 256), 200.0, np.float32)
    z, y, x = np.mgrid[:depth, -12:13, -12:13]
    for _ in range(max(1, 6 * depth)):
        cz, cy, cx = rng.integers(0, depth), rng.integers(13, 243), rng.integers(13, 243)
        inside = (z - cz) ** 2 + y**2 + x**2 < rng.uniform(6, 10) ** 2
        tile[:, cy - 12 : cy + 13, cx - 12 : cx + 13][inside] = rng.uniform(800, 1600)
    tile += rng.normal(0, 40, tile.shape)
    plane = (1, -(-shape[1] // 256), -(-shape[2] // 256))
    return np.tile(tile.clip(0, 65535).astype(np.uint16), plane)[:, : shape[1], : shape[2]]


class StandIn:
    """An engine that answers at once: brightness is the probability, its gradient the flow."""

    nout, style_size, default_bsize, backbone, tile_multiple, device = 3, 256, 224, "cpnet", 1, "cpu"

    def __call__(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and styles of tiles (n, channel, y, x)."""
        outputs = np.zeros((len(tiles), 3, *tiles.shape[2:]), np.float32)
        bright = tiles[:, 0]
        outputs[:, 0, 1:-1] = 5 * np.sign(bright[:, 2:] - bright[:, :-2])
        outputs[:, 1, :, 1:-1] = 5 * np.sign(bright[:, :, 2:] - bright[:, :, :-2])
        outputs[:, 2] = 8 * bright - 3
        return outputs, np.ones((len(tiles), 256), np.float32)


def make_model(network: str, folder: Path) -> Any:
    from cellpose import models

    if network != "published":
        model = models.CellposeModel(pretrained_model="nuclei-cells")
        if network == "stand-in":
            model.net = StandIn()
        return model
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    CPnet([2, 32, 64, 128, 256], nout=3).save_model(folder / "random")
    return models.CellposeModel(pretrained_model=folder / "random")


def peak_memory() -> int:
    """Most bytes that this process has held, without those of the process that started it."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def run_one(job: dict[str, Any]) -> dict[str, Any]:
    """One run over one stack, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(job["network"], Path(folder))
        image = nuclei(tuple(job["shape"]))
        model.eval(image[:8, :64, :64], do_3D=True, z_axis=0, **job["options"])  # compiles, loads
        before = peak_memory()
        clock, cpu = time.perf_counter(), time.process_time()
        masks = model.eval(image, do_3D=True, z_axis=0, **job["options"])[0]
        peak = peak_memory()
        estimate = model_estimate(model, image, job["options"])
    return {
        "seconds": time.perf_counter() - clock,
        "cpu": time.process_time() - cpu,
        "peak": peak,
        "bytes_per_voxel": (peak - before) / image.size,
        "estimate": estimate,
        "cells": int(masks.max()),
    }


def model_estimate(model: Any, image: np.ndarray, options: dict[str, Any]) -> int:
    from cellpose import models

    return models.estimate_volume_memory(model, image.shape, image.dtype, **options).total


def memory(args: argparse.Namespace) -> None:
    print("| stack | cells | seconds | of them on a processor | µs / voxel | peak GiB | bytes / voxel | estimate GiB |")
    print("|---|---|---|---|---|---|---|---|")
    for text in args.shapes:
        shape = [int(side) for side in text.split(",")]
        job = {"shape": shape, "network": args.network, "options": json.loads(args.options)}
        command = [sys.executable, __file__, "run", json.dumps(job)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        size = np.prod(shape, dtype=float)
        print(
            f"| {' x '.join(map(str, shape))} | {row['cells']} | {row['seconds']:.0f} | {row['cpu']:.0f} | "
            f"{1e6 * row['cpu'] / size:.1f} | {row['peak'] / 2**30:.2f} | {row['bytes_per_voxel']:.0f} | "
            f"{row['estimate'] / 2**30:.2f} |",
            flush=True,
        )


# ---- rings -------------------------------------------------------------------------------------------------------


def ripple(masks: np.ndarray) -> float:
    """Part of the voxels of masks that differ from both the voxels above and below, which are alike: rings, stripes."""
    inner = masks[1:-1]
    return float(np.mean(((inner != masks[:-2]) & (masks[:-2] == masks[2:]))[masks[:-2] > 0]))


def rings(args: argparse.Namespace) -> None:
    from cellpose import metrics, models
    from cellpose.synthetic import sample_volume

    model = models.CellposeModel(pretrained_model="nuclei-cells")
    print("| anisotropy | options | AP@0.5 | AP@0.75 | found / true | rings |\n|---|---|---|---|---|---|")
    for anisotropy in args.anisotropies:
        planes = round(args.side / anisotropy)
        samples = [
            sample_volume(seed, (planes, 128, 128), "nuclei", 1, diameter=args.diameter, anisotropy=anisotropy)
            for seed in range(args.seeds)
        ]
        for name, options in OPTIONS_OF_RINGS.items():
            scores, counts, true, wrong = [], 0, 0, []
            for sample in samples:
                keywords = {"anisotropy": anisotropy, **options}
                masks = model.eval(sample.image[0], do_3D=True, z_axis=0, min_size=15, **keywords)[0]
                scores.append(metrics.average_precision(sample.masks, masks, threshold=[0.5, 0.75])[0])
                counts, true = counts + int(masks.max()), true + int(sample.masks.max())
                wrong.append(ripple(masks.astype(np.int32)))
            ap = np.mean(scores, axis=0)
            print(
                f"| {anisotropy:g} | {name} | {ap[0]:.3f} | {ap[1]:.3f} | {counts} / {true} | "
                f"{100 * np.mean(wrong):.1f} % |",
                flush=True,
            )


# ---- real volumes ------------------------------------------------------------------------------------------------


def annotated(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, image and true masks of the annotated volumes below a folder."""
    import tifffile

    for path in sorted(folder.rglob("*3d/*_img.tif")):
        masks = tifffile.imread(path.with_name(path.name.replace("_img", "_masks")))
        yield f"{path.parent.name}/{path.name.removesuffix('_img.tif')}", tifffile.imread(path), masks


def quality(args: argparse.Namespace) -> None:
    from cellpose import dynamics, metrics, models

    model = models.CellposeModel(pretrained_model=args.model)
    print("| volume | anisotropy | run | AP@0.5 | AP@0.75 | found / true | seconds |\n|---|---|---|---|---|---|---|")
    for name, image, true in annotated(args.data):
        spacing = args.anisotropies.get(name.split("/")[0], 1.0)
        started = time.process_time()
        masks, flows, _ = model.eval(image, z_axis=0, do_3D=True, anisotropy=spacing)
        seconds = time.process_time() - started
        found = {"3D": masks}
        if spacing != 1:
            found["3D, isotropic_steps"] = dynamics.resize_and_compute_masks(
                flows[1], flows[2], do_3D=True, z_spacing=spacing
            )
        started = time.process_time()
        found["stitched"] = model.eval(image, z_axis=0, stitch_threshold=0.25)[0]
        times = {"3D": seconds, "stitched": time.process_time() - started}
        for label, one in found.items():
            ap = metrics.average_precision(true.astype(np.int32), one, threshold=[0.5, 0.75])[0]
            print(
                f"| {name} | {spacing:g} | {label} | {ap[0]:.3f} | {ap[1]:.3f} | {int(one.max())} / "
                f"{len(np.unique(true)) - 1} | {times.get(label, seconds):.0f} |",
                flush=True,
            )
        if args.pictures:
            picture(args.pictures / f"{name.replace('/', '_')}.png", image, {"true": true, **found})


def picture(path: Path, image: np.ndarray, labels: dict[str, np.ndarray]) -> None:
    """A YX and a ZX slice of a volume, and of its masks, whose numbers are colors."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1 + len(labels), figsize=(3 * (1 + len(labels)), 6), squeeze=False)
    for row, cut in enumerate(((image.shape[0] // 2,), (slice(None), image.shape[1] // 2))):
        axes[row, 0].imshow(image[cut], cmap="gray", vmin=image.min(), vmax=np.percentile(image, 99.7), aspect="auto")
        for column, (name, masks) in enumerate(labels.items(), 1):
            shown = np.where(masks[cut] > 0, 1 + masks[cut].astype(int) * 7 % 19, 0)
            axes[row, column].imshow(shown, cmap="tab20", vmin=0, vmax=19, interpolation="nearest", aspect="auto")
            axes[0, column].set_title(name)
    for one in axes.flat:
        one.set_axis_off()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=60)
    plt.close(figure)


# ---- training ----------------------------------------------------------------------------------------------------


def examples(data: Path | None) -> Iterator[tuple[str, float, list[tuple[np.ndarray, np.ndarray]]]]:
    """Name, anisotropy, and two volumes with masks: to train on and to test with."""
    from cellpose.synthetic import sample_volume

    pair = [sample_volume(seed, (32, 112, 112), "membrane", 1, diameter=24, anisotropy=2) for seed in (1, 2)]
    yield "synthetic membranes", 2.0, [(s.image[0], s.masks) for s in pair]
    for name, image, true in annotated(data) if data else ():
        if name.startswith("plantseg"):
            spacing = 2.24 if "nuclei" in name else 1.57
            middle = image.shape[2] // 2
            yield name, spacing, [(v[0][..., c], v[1][..., c]) for v in [(image, true)] for c in halves(middle)]


def halves(middle: int) -> tuple[slice, slice]:
    return slice(0, middle), slice(middle, None)


def training(args: argparse.Namespace) -> None:
    """3D average precision before and after training on slices of another volume, or of the other half of it."""
    from cellpose import metrics, models, train

    print("| volume | slices | before | after, YX alone | after, all views | CPU seconds |\n|---|---|---|---|---|---|")
    for name, spacing, ((image, true), (test_image, test_true)) in examples(args.data):
        if args.only not in name:
            continue
        slices = list(train.cut_slices(image[..., None], true, per_view=12, anisotropy=spacing, seed=0))
        started, scores, pictures = time.process_time(), [], {"true": test_true}
        for chosen in ([], [s for s in slices if s.view == "YX"], slices):
            model = models.CellposeModel(pretrained_model="nuclei-cells")
            if chosen:
                with tempfile.TemporaryDirectory() as folder:
                    path, *_ = train.train_seg(
                        model.net,
                        [s.image[..., 0] for s in chosen],
                        [s.masks for s in chosen],
                        channels=[0, 0],
                        n_epochs=args.epochs,
                        nimg_per_epoch=24,
                        rescale=False,
                        average_weights=0.2,
                        bsize=128,
                        min_train_masks=1,
                        save_path=folder,
                        seed=0,
                    )
                    model = models.CellposeModel(pretrained_model=path)
            options = {"do_3D": True, "anisotropy": spacing, "isotropic_steps": True, "diameter": model.diam_mean}
            masks = model.eval(test_image, z_axis=0, **options)[0]
            ap = metrics.average_precision(test_true.astype(np.int32), masks, threshold=[0.5])[0]
            scores.append(float(ap[0]))
            pictures[f"{len(chosen)} slices: {scores[-1]:.2f}"] = masks
        cpu = time.process_time() - started
        print(f"| {name} | {len(slices)} | " + " | ".join(f"{s:.3f}" for s in scores) + f" | {cpu:.0f} |", flush=True)
        if args.pictures:
            picture(args.pictures / f"trained_{name.replace('/', '_').replace(' ', '_')}.png", test_image, pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("memory", help="peak memory and time over the size")
    one.add_argument("--shapes", nargs="+", default=["10,540,640"], help="z,y,x in voxels")
    one.add_argument("--network", choices=("bundled", "published", "stand-in"), default="bundled")
    one.add_argument("--options", default="{}", help="further options of eval, JSON")
    one = commands.add_parser("rings", help="synthetic volumes of thick planes")
    one.add_argument("--anisotropies", type=float, nargs="+", default=[1, 2, 4, 6])
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--side", type=int, default=96, help="depth in pixels")
    one.add_argument("--diameter", type=float, default=20.0)
    one = commands.add_parser("quality", help="annotated volumes")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--model", default="nuclei-cells")
    one.add_argument("--pictures", type=Path, help="folder for pictures of slices")
    one.add_argument("--anisotropies", type=json.loads, default={}, help='JSON, such as {"folder": 2.2}')
    one = commands.add_parser("training", help="3D before and after training on slices of volumes")
    one.add_argument("--data", type=Path, help="annotated volumes, beside a synthetic one")
    one.add_argument("--epochs", type=int, default=30)
    one.add_argument("--only", default="", help="part of the name of the volumes to take")
    one.add_argument("--pictures", type=Path)
    commands.add_parser("run").add_argument("job", type=json.loads)
    args = parser.parse_args()
    if args.command == "run":
        print(json.dumps(run_one(args.job)))
        return
    {"memory": memory, "rings": rings, "quality": quality, "training": training}[args.command](args)


if __name__ == "__main__":
    main()
