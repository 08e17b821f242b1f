"""Data of the bundled model: reading, bundling it into one file to take along, packing it for quick random crops.

    python training/bundled_data.py --data DATA --out data.zip

writes the training images and labels into one file of less than 60 MiB, for a machine that has nothing else;
``--quality 95`` makes it a third as large, with losses that are far below the noise of the images.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellpose import dynamics, synthetic, train

Array = np.ndarray
# Row of split.csv, hash, image, labels.
Pair = tuple[dict[str, str], str, Array, Array]

# Share of the drawn crops a kind of image gets: kinds with few images would else hardly be seen.
KINDS: dict[str, float] = {
    "dsb2018 256x256 L": 0.22,
    "dsb2018 320x256 RGB": 0.12,
    "dsb2018 360x360 L": 0.06,
    "dsb2018 696x520 L": 0.05,
    "dsb2018 1024x1024 L": 0.04,
    "dsb2018 other": 0.06,
    "bbbc039": 0.05,
    "usiigaci": 0.11,
    "axondeepseg_sem": 0.02,
    "axon_tem_unmyel": 0.02,
    "synthetic": 0.35,
    "synthetic volumes": 0.07,
}
# What no real images stand for, or few, is there twice or three times.
SYNTHETIC_KINDS = (
    *synthetic.KINDS,
    *("yeast", "brightfield", "bacteria", "tissue", "membrane", "suspension"),
    *2 * ("phase", "dic"),
)
N_SYNTHETIC = 2760
SYNTHETIC_SIDE = 288
# Volumes of which planes of all three directions are shown, and their sides in pixels of a plane.
N_VOLUMES = 180
VOLUME_SIDES = (112, 176, 176)
PER_VIEW = 3
# Planar sources of the split "unseen".
UNSEEN = ("baby_yeast", "ep_yeast", "imagegrains_pebbles", "eval_only_deepcell2016")
MIN_DIAMETER = 5.0
# A quality of WebP above 100 is lossless; it takes a tenth less room than PNG.
LOSSLESS = 101
# Planes of targets: cell, dy, dx, and 1 / diameter of the cell, which reaches over its rim.
TARGETS = 4
RIM_PX = 3


@dataclasses.dataclass(frozen=True)
class Entry:
    """One packed image: where it lies in the flat files and what is known of it."""

    source: str
    id: str
    kind: str
    sha256: str
    shape: tuple[int, int]
    channels: int
    pixels: int
    planes: int
    diameter: float
    centres: list[list[float]]


def kind_of(source: str, group: str) -> str:
    if source != "dsb2018":
        return source
    name = f"dsb2018 {group}"
    return name if name in KINDS else "dsb2018 other"


def read_split(data: Path, split: str) -> list[dict[str, str]]:
    """Rows of ``split.csv`` of the sources that may train a bundled model."""
    with (data / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [row for row in rows if kind_of(row["source"], row["group"]) in KINDS]


def read_unseen(data: Path) -> list[dict[str, str]]:
    """Rows of kinds of image that no bundled model is trained on, to see how far it reaches."""
    with (data / "split.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["source"] in UNSEEN]


def find_pair(data: Path, row: dict[str, str]) -> tuple[Path, Path]:
    folder = data / row["source"]
    image, masks = (
        next(p for e in (".png", ".tif") if (p := folder / f"{row['id']}_{what}{e}").exists())
        for what in ("img", "masks")
    )
    return image, masks


def read_image(path: Path) -> Array:
    """Image as stored: (y, x) or (y, x, RGB)."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        message = f"{path} cannot be read as an image"
        raise OSError(message)
    return image if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)


def read_masks(path: Path) -> Array:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32)


def normalise(channel: Array) -> Array:
    """The 1st and 99th percentiles of the whole image become 0 and 1, unclipped, as in ``eval``."""
    channel = channel.astype(np.float32)
    low, high = np.percentile(channel, (1, 99))
    return (channel - low) / (high - low) if high - low > 1e-3 else np.zeros_like(channel)


def network_channels(image: Array) -> Array:
    """(channels, y, x): of RGB the gray mean (what ``channels=[0, 0]`` gives) and each colour, else the channels."""
    if image.ndim == 2:
        return normalise(image)[None]
    if image.shape[-1] == 2:
        return np.stack([normalise(c) for c in np.moveaxis(image, -1, 0)])
    return np.stack([normalise(c) for c in (image.astype(np.float32).mean(axis=-1), *np.moveaxis(image, -1, 0))])


def _centres_and_diameter(labels: Array) -> tuple[list[list[float]], float]:
    flat = labels.ravel()
    area = np.bincount(flat).astype(float)
    y, x = np.indices(labels.shape)
    keep = np.flatnonzero(area[1:]) + 1
    if not keep.size:
        return [], 0.0
    cy = np.bincount(flat, y.ravel())[keep] / area[keep]
    cx = np.bincount(flat, x.ravel())[keep] / area[keep]
    diameter = float(np.median(2 * np.sqrt(area[keep] / np.pi)))
    return [[round(a, 1), round(b, 1)] for a, b in zip(cy, cx, strict=True)], diameter


def inverse_diameters(labels: Array) -> Array:
    """1 / diameter in pixels of the cell each pixel belongs to or lies beside (the smallest), float32; else 0."""
    area = np.bincount(labels.ravel()).astype(np.float32)
    inverse = np.divide(1, 2 * np.sqrt(area / np.pi), out=np.zeros_like(area), where=area > 0)
    inverse[0] = 0
    own = inverse[labels]
    side = 2 * RIM_PX + 1
    beside = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.where(labels > 0, own, beside)


def real_pairs(data: Path) -> Iterator[Pair]:
    """Row, hash, image and labels of every training image, from the folder of the sources or from a bundle of them."""
    if data.is_file():
        yield from read_bundle(data)
        return
    for row in read_split(data, "train"):
        image, masks = find_pair(data, row)
        digest = hashlib.sha256(image.read_bytes() + masks.read_bytes()).hexdigest()
        yield row, digest, read_image(image), read_masks(masks)


def synthetic_pairs(seed: int, index: int) -> Iterator[Pair]:
    """The same of one synthetic image; every kind in turn."""
    kind = SYNTHETIC_KINDS[index % len(SYNTHETIC_KINDS)]
    made = synthetic.sample(np.random.default_rng([seed, index]), (SYNTHETIC_SIDE, SYNTHETIC_SIDE), kind)
    digest = hashlib.sha256(made.image.tobytes() + made.masks.tobytes()).hexdigest()
    row = {"source": "synthetic", "id": f"{index:04d} {kind}", "group": ""}
    yield row, digest, np.moveaxis(made.image, 0, -1), made.masks


def volume_pairs(seed: int, index: int) -> Iterator[Pair]:
    """The same of planes of one synthetic volume; most volumes are stretched along z to square pixels."""
    rng = np.random.default_rng([seed, 1, index])
    kind = synthetic.VOLUME_KINDS[index % len(synthetic.VOLUME_KINDS)]
    anisotropy = float(rng.choice([1, 1, 1.5, 2, 3, 4]))
    size = (round(VOLUME_SIDES[0] / anisotropy), *VOLUME_SIDES[1:])
    made = synthetic.sample_volume(rng, size, kind, anisotropy=anisotropy)
    stretch = anisotropy if rng.random() < 0.8 else 1.0
    stack = np.moveaxis(made.image, 0, -1)
    cut = train.cut_slices(stack, made.masks, per_view=PER_VIEW, anisotropy=stretch, seed=index)
    for number, one in enumerate(cut):
        digest = hashlib.sha256(one.image.tobytes() + one.masks.tobytes()).hexdigest()
        row = {"source": "synthetic volumes", "id": f"{index:04d} {kind} {number} {one.view}", "group": ""}
        yield row, digest, one.image, one.masks.astype(np.int32)


def write_bundle(data: Path, out: Path, quality: int = LOSSLESS) -> None:
    """All training images, 8 bits, with their labels in one file; below ``LOSSLESS`` the pixels change a little."""
    rows = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as bundle:
        for number, (row, digest, image, labels) in enumerate(real_pairs(data)):
            if image.dtype != np.uint8:
                message = f"{row['source']}/{row['id']} is of type {image.dtype}; only images of 8 bits are bundled"
                raise TypeError(message)
            colours = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
            for name, codec, array, options in (
                ("image", ".webp", colours, [cv2.IMWRITE_WEBP_QUALITY, quality]),
                ("masks", ".png", labels.astype(np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 9]),
            ):
                bundle.writestr(f"{number:04d}.{name}", cv2.imencode(codec, array, options)[1].tobytes())
            rows.append({**row, "sha256": digest, "gray": image.ndim == 2})
        bundle.writestr("rows.json", json.dumps(rows))


def read_bundle(path: Path) -> Iterator[Pair]:
    """What ``write_bundle`` wrote, image by image."""
    with zipfile.ZipFile(path) as bundle:
        for number, row in enumerate(json.loads(bundle.read("rows.json"))):
            image, labels = (
                cv2.imdecode(np.frombuffer(bundle.read(f"{number:04d}.{name}"), np.uint8), cv2.IMREAD_UNCHANGED)
                for name in ("image", "masks")
            )
            image = image[..., 0] if row["gray"] and image.ndim == 3 else image
            image = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield row, row["sha256"], image, labels.astype(np.int32)


def prepared(pairs: Callable[[], Iterable[Pair]]) -> list[tuple[dict[str, Any], Array, Array]]:
    """Of each image with cells: what its entry says but for its place, its channels, and its targets, float16."""
    found = []
    for row, digest, image, labels in pairs():
        if not labels.any():
            continue
        channels = network_channels(image).astype(np.float16)
        flows = dynamics.labels_to_flows([labels])[0]
        centres, diameter = _centres_and_diameter(labels)
        facts = {
            "source": row["source"], "id": row["id"], "kind": kind_of(row["source"], row["group"]), "sha256": digest,
            "shape": (labels.shape[0], labels.shape[1]), "channels": len(channels),
            "diameter": round(max(diameter, MIN_DIAMETER), 2), "centres": centres,
        }  # fmt: skip
        found.append((facts, channels, np.asarray([*flows[1:4], inverse_diameters(labels)], np.float16)))
    return found


def pack(data: Path, cache: Path, seed: int, processes: int = 1, every: int = 1) -> None:
    """Normalise every training image, compute its flows, and write all into flat float16 files in ``cache``.

    The files are the same with any number of processes. Of the synthetic images each ``every``-th is made.
    """
    cache.mkdir(parents=True, exist_ok=True)
    work = [
        *(partial(iter, [pair]) for pair in real_pairs(data)),
        *(partial(synthetic_pairs, seed, index) for index in range(0, N_SYNTHETIC, every)),
        *(partial(volume_pairs, seed, index) for index in range(0, N_VOLUMES, every)),
    ]
    entries: list[Entry] = []
    pixels = planes = 0
    with (
        ProcessPoolExecutor(processes, get_context("spawn")) if processes > 1 else nullcontext() as pool,
        (cache / "images.f16").open("wb") as images,
        (cache / "targets.f16").open("wb") as targets,
    ):
        made = pool.map(prepared, work, chunksize=4) if pool else map(prepared, work)
        for facts, channels, planes_of in itertools.chain.from_iterable(made):
            entries.append(Entry(**facts, pixels=pixels, planes=planes))
            channels.tofile(images)
            planes_of.tofile(targets)
            pixels += channels.size
            planes += planes_of.size
    index = {"seed": seed, "entries": [dataclasses.asdict(entry) for entry in entries]}
    (cache / "index.json").write_text(json.dumps(index))


def manifest(cache: Path) -> dict[str, Any]:
    """Counts by source, and one hash over the hashes of all packed pairs."""
    index = json.loads((cache / "index.json").read_text())
    counts: dict[str, dict[str, int]] = {}
    for entry in index["entries"]:
        count = counts.setdefault(entry["source"], {"images": 0, "objects": 0})
        count["images"] += 1
        count["objects"] += len(entry["centres"])
    digest = hashlib.sha256("".join(e["sha256"] for e in index["entries"]).encode()).hexdigest()
    return {"sources": counts, "sha256": digest, "shares": KINDS, "seed": index["seed"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sources and split.csv")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", type=Path, help="file of the bundle")
    action.add_argument("--pack", type=Path, help="folder that gets the packed data, as train_bundled.py makes it")
    parser.add_argument("--processes", type=int, default=1, help="that pack")
    parser.add_argument("--every", type=int, default=1, help="pack each so-many-th synthetic image only, for a trial")
    parser.add_argument("--quality", type=int, default=LOSSLESS, help="of the images; lossless from 101 on")
    args = parser.parse_args()
    if args.pack:
        pack(args.data, args.pack, 0, args.processes, args.every)
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(args.data, args.out, args.quality)


if __name__ == "__main__":
    main()
