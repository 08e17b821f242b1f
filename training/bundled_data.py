"""Data of the bundled model: packing once, then cheap augmented crops drawn by (seed, step, place in the batch)."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellpose import dynamics, synthetic

Array = np.ndarray

# Share of the drawn crops a kind of image gets: kinds with few images would else hardly be seen.
KINDS: dict[str, float] = {
    "dsb2018 256x256 L": 0.23,
    "dsb2018 320x256 RGB": 0.15,
    "dsb2018 360x360 L": 0.06,
    "dsb2018 696x520 L": 0.06,
    "dsb2018 1024x1024 L": 0.06,
    "dsb2018 other": 0.07,
    "bbbc039": 0.04,
    "usiigaci": 0.21,
    "axondeepseg_sem": 0.02,
    "axon_tem_unmyel": 0.02,
    "synthetic": 0.08,
}
N_SYNTHETIC = 240
# Planar sources of the split "unseen".
UNSEEN = ("baby_yeast", "ep_yeast", "imagegrains_pebbles", "eval_only_deepcell2016")
MIN_DIAMETER = 5.0


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
    """(channels, y, x): the gray mean first (what ``channels=[0, 0]`` gives), then each colour."""
    if image.ndim == 2:
        return normalise(image)[None]
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


def _sources(data: Path, seed: int) -> Iterator[tuple[dict[str, str], str, Array, Array]]:
    """Row, hash, image and labels of every training image, then of the synthetic ones."""
    for row in read_split(data, "train"):
        image, masks = find_pair(data, row)
        digest = hashlib.sha256(image.read_bytes() + masks.read_bytes()).hexdigest()
        yield row, digest, read_image(image), read_masks(masks)
    for index in range(N_SYNTHETIC):
        sample = synthetic.sample(np.random.default_rng([seed, index]), (320, 320), channels=1)
        picture, labels = sample.image[0], sample.masks
        digest = hashlib.sha256(picture.tobytes() + labels.tobytes()).hexdigest()
        yield {"source": "synthetic", "id": f"{index:04d}", "group": ""}, digest, picture, labels


def pack(data: Path, cache: Path, seed: int) -> None:
    """Normalise every training image, compute its flows, and write all into flat float16 files in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    pixels = planes = 0
    with (cache / "images.f16").open("wb") as images, (cache / "targets.f16").open("wb") as targets:
        for row, digest, image, labels in _sources(data, seed):
            if not labels.any():
                continue
            channels = network_channels(image).astype(np.float16)
            flows = dynamics.labels_to_flows([labels])[0]
            centres, diameter = _centres_and_diameter(labels)
            channels.tofile(images)
            np.asarray(flows[1:4], np.float16).tofile(targets)
            entry = Entry(
                source=row["source"], id=row["id"], kind=kind_of(row["source"], row["group"]), sha256=digest,
                shape=(labels.shape[0], labels.shape[1]), channels=len(channels), pixels=pixels, planes=planes,
                diameter=round(max(diameter, MIN_DIAMETER), 2), centres=centres,
            )  # fmt: skip
            entries.append(dataclasses.asdict(entry))
            pixels += channels.size
            planes += 3 * labels.size
    index = {"seed": seed, "kinds": KINDS, "entries": entries}
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
    return {"sources": counts, "sha256": digest, "shares": index["kinds"], "seed": index["seed"]}


class Crops:
    """Augmented crops of the packed images; the same (seed, step) always gives the same batch."""

    def __init__(self, cache: Path, seed: int, size: int, batch: int, diam_mean: float) -> None:
        index = json.loads((cache / "index.json").read_text())
        self.entries = [Entry(**{**e, "shape": tuple(e["shape"])}) for e in index["entries"]]
        self.images = np.memmap(cache / "images.f16", np.float16, "r")
        self.targets = np.memmap(cache / "targets.f16", np.float16, "r")
        self.seed, self.size, self.batch, self.diam_mean = seed, size, batch, diam_mean
        self.by_kind: dict[str, list[int]] = {}
        for i, entry in enumerate(self.entries):
            self.by_kind.setdefault(entry.kind, []).append(i)
        self.kinds = sorted(self.by_kind)
        share = np.array([KINDS[kind] for kind in self.kinds])
        self.share = share / share.sum()

    def _scale(self, rng: np.random.Generator, entry: Entry) -> float:
        """Mostly near the native size, so that images work without a diameter; else near ``diam_mean``."""
        if rng.random() < 0.6:
            scale = 2 ** rng.uniform(-0.6, 0.6)
        else:
            scale = self.diam_mean / entry.diameter * 2 ** rng.uniform(-0.5, 0.5)
        return float(np.clip(scale, 0.33, 3.0))

    def _centre(self, rng: np.random.Generator, entry: Entry, half: float) -> Array:
        """Centre (y, x) of the crop in the image: mostly near a cell, and inside where the image is large enough."""
        extent = np.array(entry.shape, float)
        centre = rng.uniform(0, extent)
        if rng.random() < 0.85:
            centre = np.array(entry.centres[rng.integers(len(entry.centres))]) + rng.uniform(-half, half, 2) * 0.8
        margin = np.minimum(half, extent / 2)
        return np.clip(centre, margin, extent - margin)

    def _channel(self, rng: np.random.Generator, entry: Entry) -> int:
        return 0 if entry.channels == 1 or rng.random() < 0.6 else int(rng.integers(1, entry.channels))

    def _cut(self, entry: Entry, channel: int, centre: Array, linear: Array) -> tuple[Array, Array]:
        """Image (y, x) and targets (3, y, x) of the crop that ``linear`` (2 x 2 on x, y) maps around ``centre``."""
        height, width = entry.shape
        reach = self.size / 2 * np.abs(np.linalg.inv(linear)).sum(axis=1)[::-1] + 2
        y0, x0 = np.maximum(np.floor(centre - reach), 0).astype(int)
        y1, x1 = np.minimum(np.ceil(centre + reach), entry.shape).astype(int)
        area = height * width
        start = entry.pixels + channel * area
        image = self.images[start : start + area].reshape(height, width)[y0:y1, x0:x1].astype(np.float32)
        target = self.targets[entry.planes : entry.planes + 3 * area].reshape(3, height, width)
        target = target[:, y0:y1, x0:x1].astype(np.float32)
        local = centre[::-1] - (x0, y0)
        matrix = np.hstack([linear, (self.size / 2 - 0.5 - linear @ (local - 0.5))[:, None]])
        side = (self.size, self.size)
        image = cv2.warpAffine(image, matrix, side, flags=cv2.INTER_LINEAR)
        cell = cv2.warpAffine(target[0], matrix, side, flags=cv2.INTER_NEAREST)
        dy, dx = (cv2.warpAffine(t, matrix, side, flags=cv2.INTER_LINEAR) for t in target[1:])
        turn = linear / np.sqrt(abs(np.linalg.det(linear)))
        return image, np.stack([cell, turn[1, 0] * dx + turn[1, 1] * dy, turn[0, 0] * dx + turn[0, 1] * dy])

    def sample(self, step: int, place: int) -> tuple[Array, Array]:
        """Crop number ``place`` of batch ``step``: image (y, x) and targets (3, y, x), float32."""
        rng = np.random.default_rng([self.seed, step, place])
        members = self.by_kind[self.kinds[rng.choice(len(self.kinds), p=self.share)]]
        entry = self.entries[members[rng.integers(len(members))]]
        channel, scale = self._channel(rng, entry), self._scale(rng, entry)
        centre = self._centre(rng, entry, self.size / 2 / scale)
        angle = rng.uniform(0, 2 * np.pi)
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if rng.random() < 0.5:
            linear = linear @ np.diag([-1.0, 1.0])
        image, target = self._cut(entry, channel, centre, linear)
        return vary_intensity(rng, image), target

    def __call__(self, step: int) -> tuple[Array, Array]:
        """Batch ``step``: images (n, 2, y, x), whose second channel is empty, and targets (n, 3, y, x)."""
        images = np.zeros((self.batch, 2, self.size, self.size), np.float32)
        targets = np.empty((self.batch, 3, self.size, self.size), np.float32)
        for place in range(self.batch):
            images[place, 0], targets[place] = self.sample(step, place)
        return images, targets


def vary_intensity(rng: np.random.Generator, image: Array) -> Array:
    """Contrast, brightness, gamma, inversion, blur and noise within what microscopes do."""
    if rng.random() < 0.12:
        image = 1 - image
    if rng.random() < 0.4:
        image = np.where(image > 0, np.abs(image) ** rng.uniform(0.6, 1.6), image)
    image = image * rng.uniform(0.75, 1.25) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.3:
        image = image + rng.uniform(0, 0.08) * rng.standard_normal(image.shape, np.float32)
    return image.astype(np.float32)


def prefetch(crops: Crops, first: int, last: int, depth: int = 3) -> Iterator[tuple[int, Array, Array]]:
    """Batches ``first`` to ``last - 1``, made by a thread while the network works on the one before."""
    made: queue.Queue[Any] = queue.Queue(maxsize=depth)

    def work() -> None:
        try:
            for step in range(first, last):
                made.put((step, *crops(step)))
        except Exception as error:  # handed to the consumer, which raises it
            made.put(error)
        made.put(None)

    threading.Thread(target=work, daemon=True, name="crops").start()
    while (item := made.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item
