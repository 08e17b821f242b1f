"""Augmented crops of the packed images, drawn by (seed, step, place in the batch), on the CPU or on a device.

What is drawn is the same in both: :class:`Crops` plans a batch with NumPy and cuts it with OpenCV; :class:`DeviceCrops`
holds all data in the memory of the device and cuts the same plan there, a batch at once.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from bundled_data import KINDS, TARGETS, Entry

Array = np.ndarray

# Images of cells below this diameter are shown enlarged more often.
SMALL = 20.0
# Below this scale pixels would be left out; images are blurred first.
BLUR_BELOW = 0.7
# Width of the strongest blur, in diameters of the cells and in pixels.
BLUR_MOST = (0.1, 3.0)
# Sides in pixels of the kernels of the device's blur.
KERNEL = 19


@dataclasses.dataclass(frozen=True)
class Look:
    """How the intensities of a plane are varied; noise is drawn with ``seed``."""

    invert: bool
    gamma: float
    gain: float
    offset: float
    blur: float
    noise: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Cut:
    """One crop: the entry, its planes, its centre (y, x), and the map (2 x 2 on x, y) from it to the crop."""

    entry: Entry
    planes: list[int]
    centre: Array
    linear: Array
    looks: list[Look]

    @property
    def scale(self) -> float:
        """How much larger the crop shows the image."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))))


def draw_look(rng: np.random.Generator, diameter: float) -> Look:
    """Contrast, brightness, gamma, inversion, blur and noise within what microscopes do to cells of this diameter.

    Few crops are as noisy as images of a handful of photons, or as smooth as images out of focus or after a filter, so
    that such images work without restoration.
    """
    noisy, smooth = rng.random(), rng.random()
    most = max(0.3, min(BLUR_MOST[0] * diameter, BLUR_MOST[1]))
    return Look(
        invert=rng.random() < 0.12,
        gamma=rng.uniform(0.6, 1.6) if rng.random() < 0.4 else 1.0,
        gain=rng.uniform(0.75, 1.25),
        offset=rng.uniform(-0.1, 0.1),
        blur=rng.uniform(0.3, 1.3) if smooth < 0.12 else rng.uniform(0.3, most) if smooth < 0.22 else 0.0,
        noise=rng.uniform(0, 0.08) if noisy < 0.3 else rng.uniform(0.08, 0.35) if noisy < 0.38 else 0.0,
        seed=int(rng.integers(2**31)),
    )


def vary_intensity(look: Look, image: Array) -> Array:
    """The plane (y, x) with another look, float32."""
    if look.invert:
        image = 1 - image
    if look.gamma != 1:
        image = np.where(image > 0, np.abs(image) ** look.gamma, image)
    image = image * look.gain + look.offset
    if look.blur:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    if look.noise:
        image = image + look.noise * np.random.default_rng(look.seed).standard_normal(image.shape, np.float32)
    return image.astype(np.float32)


class Crops:
    """Augmented crops of the packed images; the same (seed, step) always gives the same batch."""

    def __init__(
        self,
        cache: Path,
        seed: int,
        size: int,
        batch: int,
        diam_mean: float,
        near_native: float = 0.55,
        exact: float = 0.0,
    ) -> None:
        index = json.loads((cache / "index.json").read_text())
        self.entries = [Entry(**{**e, "shape": tuple(e["shape"])}) for e in index["entries"]]
        self.images = np.memmap(cache / "images.f16", np.float16, "r")
        self.targets = np.memmap(cache / "targets.f16", np.float16, "r")
        self.seed, self.size, self.batch, self.diam_mean = seed, size, batch, diam_mean
        self.near_native, self.exact = near_native, exact
        self.by_kind: dict[str, list[int]] = {}
        for i, entry in enumerate(self.entries):
            self.by_kind.setdefault(entry.kind, []).append(i)
        self.kinds = sorted(self.by_kind)
        share = np.array([KINDS[kind] for kind in self.kinds])
        self.share = share / share.sum()

    def _scale(self, rng: np.random.Generator, entry: Entry) -> float:
        """Mostly near the native size or above, so that images work without a diameter; else near ``diam_mean``."""
        chance = rng.random()
        if chance < self.near_native:
            scale = 2 ** rng.uniform(-0.5, 1.0 if entry.diameter < SMALL else 0.6)
        elif chance < (2 + self.near_native) / 3:
            scale = self.diam_mean / entry.diameter * 2 ** rng.uniform(-0.6, 0.6)
        else:
            scale = np.exp(rng.uniform(np.log(9), np.log(100))) / entry.diameter
        return float(np.clip(scale, 0.3, 4.0))

    def _centre(self, rng: np.random.Generator, entry: Entry, half: float) -> Array:
        """Centre (y, x) of the crop in the image: mostly near a cell, and inside where the image is large enough."""
        extent = np.array(entry.shape, float)
        centre = rng.uniform(0, extent)
        if rng.random() < 0.85:
            centre = np.array(entry.centres[rng.integers(len(entry.centres))]) + rng.uniform(-half, half, 2) * 0.8
        margin = np.minimum(half, extent / 2)
        return np.clip(centre, margin, extent - margin)

    def _channels(self, rng: np.random.Generator, entry: Entry) -> tuple[int, int | None]:
        """Plane of the first and of the second channel; None: the second is empty."""
        if entry.channels == 2:
            return [(0, 1), (0, None), (1, 0)][rng.choice(3, p=(0.6, 0.3, 0.1))]
        first = 0 if entry.channels == 1 or rng.random() < 0.6 else int(rng.integers(1, entry.channels))
        return first, first if rng.random() < 0.06 else None

    def draw(self, step: int, place: int) -> Cut:
        """What crop number ``place`` of batch ``step`` is."""
        rng = np.random.default_rng([self.seed, step, place])
        members = self.by_kind[self.kinds[rng.choice(len(self.kinds), p=self.share)]]
        entry = self.entries[members[rng.integers(len(members))]]
        first, second = self._channels(rng, entry)
        exact = rng.random() < self.exact
        scale = 1.0 if exact else self._scale(rng, entry)
        centre = self._centre(rng, entry, self.size / 2 / scale)
        angle = rng.uniform(0, 2 * np.pi)
        if exact:
            # pixels as they are: on their grid, and turned by quarters
            centre, angle = np.round(centre), np.pi / 2 * int(angle / (np.pi / 2))
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = np.round(linear) if exact else linear
        if rng.random() < 0.5:
            linear = linear @ np.diag([-1.0, 1.0])
        planes = [first] if second is None else [first, second]
        return Cut(entry, planes, centre, linear, [draw_look(rng, entry.diameter * scale) for _ in planes])

    def cut(self, cut: Cut) -> tuple[list[Array], Array]:
        """Planes (y, x) and targets (4, y, x) of a crop."""
        entry, linear, scale = cut.entry, cut.linear, cut.scale
        height, width = entry.shape
        reach = self.size / 2 * np.abs(np.linalg.inv(linear)).sum(axis=1)[::-1] + 2
        y0, x0 = np.maximum(np.floor(cut.centre - reach), 0).astype(int)
        y1, x1 = np.minimum(np.ceil(cut.centre + reach), entry.shape).astype(int)
        area = height * width
        local = cut.centre[::-1] - (x0, y0)
        matrix = np.hstack([linear, (self.size / 2 - 0.5 - linear @ (local - 0.5))[:, None]])
        side = (self.size, self.size)
        images = []
        for plane in cut.planes:
            start = entry.pixels + plane * area
            image = self.images[start : start + area].reshape(height, width)[y0:y1, x0:x1].astype(np.float32)
            if scale < BLUR_BELOW:
                image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
            images.append(cv2.warpAffine(image, matrix, side, flags=cv2.INTER_LINEAR))
        target = self.targets[entry.planes : entry.planes + TARGETS * area].reshape(TARGETS, height, width)
        target = target[:, y0:y1, x0:x1].astype(np.float32)
        cell, inverse = (cv2.warpAffine(t, matrix, side, flags=cv2.INTER_NEAREST) for t in target[[0, 3]])
        dy, dx = (cv2.warpAffine(t, matrix, side, flags=cv2.INTER_LINEAR) for t in target[1:3])
        turn = linear / scale
        turned = (turn[1, 0] * dx + turn[1, 1] * dy, turn[0, 0] * dx + turn[0, 1] * dy)
        return images, np.stack([cell, *turned, inverse / scale])

    def sample(self, step: int, place: int) -> tuple[Array, Array]:
        """Crop number ``place`` of batch ``step``: images (2, y, x) and targets (4, y, x), float32."""
        drawn = self.draw(step, place)
        images, target = self.cut(drawn)
        varied = [vary_intensity(look, image) for look, image in zip(drawn.looks, images, strict=True)]
        return np.stack([*varied, np.zeros_like(varied[0])][:2]), target

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch ``step``: images (n, 2, y, x) and targets (n, 4, y, x)."""
        images, targets = zip(*(self.sample(step, place) for place in range(self.batch)), strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets))

    def ready(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch as the network takes it: nothing is left to do."""
        images, targets = batch
        return images, targets


class DeviceCrops(Crops):
    """The same crops, cut on a device that holds all the data (2.9 GiB)."""

    def __init__(self, *options: Any, device: str, **shares: float) -> None:
        super().__init__(*options, **shares)
        self.device = torch.device(device)
        self.pixels = torch.from_numpy(np.array(self.images)).to(self.device)
        self.planes = torch.from_numpy(np.array(self.targets)).to(self.device)
        steps = torch.arange(self.size, device=self.device, dtype=torch.float32) - (self.size - 1) / 2
        self.grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"))  # (2, y, x)

    def __call__(self, step: int) -> list[Array]:  # type: ignore[override]
        """Plan of batch ``step``: small arrays, which a thread prepares."""
        cuts = [self.draw(step, place) for place in range(self.batch)]
        areas = [cut.entry.shape[0] * cut.entry.shape[1] for cut in cuts]
        places = [
            [cut.entry.pixels + plane * area for plane in cut.planes] for cut, area in zip(cuts, areas, strict=True)
        ]
        looks = [(*cut.looks, cut.looks[0])[:2] for cut in cuts]
        return [
            # the inverse map on (y, x), and the centre as the middle of a pixel
            np.stack([np.linalg.inv(cut.linear)[::-1, ::-1] for cut in cuts]).astype(np.float32),
            np.stack([cut.centre - 0.5 for cut in cuts]).astype(np.float32),
            np.array([cut.entry.shape for cut in cuts], np.int64),
            np.array([(*place, place[0])[:2] for place in places], np.int64),
            np.array([len(place) > 1 for place in places]),
            np.array([cut.entry.planes for cut in cuts], np.int64),
            np.stack([cut.linear / cut.scale for cut in cuts]).astype(np.float32),
            np.array([cut.scale for cut in cuts], np.float32),
            np.array(
                [[(k.invert, k.gamma, k.gain, k.offset, k.blur, k.noise) for k in two] for two in looks], np.float32
            ),
            np.array(cuts[0].looks[0].seed),
        ]

    def _gather(self, flat: torch.Tensor, start: torch.Tensor, at: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) at whole positions ``at`` (n, 2, y, x) of planes that begin at ``start`` (n, c); 0 outside."""
        limit = shape[:, :, None, None]
        inside = ((at >= 0) & (at < limit)).all(dim=1, keepdim=True)
        at = torch.minimum(at.clamp(min=0), limit - 1)
        index = start[:, :, None, None] + (at[:, 0] * limit[:, 1] + at[:, 1])[:, None]
        return torch.where(inside, flat[index].float(), 0.0)

    def _bilinear(self, flat: torch.Tensor, start: torch.Tensor, at: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        low = at.floor()
        share, corner = at - low, low.long()
        value: Any = 0.0
        for dy in (0, 1):
            for dx in (0, 1):
                step = torch.tensor([dy, dx], device=at.device)[None, :, None, None]
                weight = (share[:, 0] if dy else 1 - share[:, 0]) * (share[:, 1] if dx else 1 - share[:, 1])
                value = value + weight[:, None] * self._gather(flat, start, corner + step, shape)
        return value

    def ready(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut and vary a planned batch on the device: images (n, 2, y, x) and targets (n, 4, y, x), float32."""
        any_coarse = bool((batch[7] < BLUR_BELOW).any())  # asked of the host, which need not wait for the device
        inverse, centre, shape, first, has_second, planes, turn, scale, looks = (
            torch.from_numpy(part).to(self.device, non_blocking=True) for part in batch[:-1]
        )
        at = torch.einsum("nij,jyx->niyx", inverse, self.grid) + centre[:, :, None, None]
        coarse = (scale < BLUR_BELOW)[:, None, None, None]
        images = self._bilinear(self.pixels, first, at, shape)
        if any_coarse:
            # the mean of 3 x 3 places within a pixel of the crop: few pixels are left out down to a scale of a third
            third = inverse.new_tensor([(y / 3, x / 3) for y in (-1, 0, 1) for x in (-1, 0, 1)])
            moves = torch.einsum("nij,kj->kni", inverse, third)[..., None, None]
            mean = sum(self._bilinear(self.pixels, first, at + move, shape) for move in moves) / len(moves)
            images = torch.where(coarse, mean, images)
        area = (shape[:, 0] * shape[:, 1])[:, None]
        starts = planes[:, None] + area * torch.arange(TARGETS, device=self.device)
        exact = self._gather(self.planes, starts[:, [0, 3]], at.round().long(), shape)
        dy, dx = self._bilinear(self.planes, starts[:, 1:3], at, shape).unbind(dim=1)
        t = turn[:, :, :, None, None]
        flows = (t[:, 1, 0] * dx + t[:, 1, 1] * dy, t[:, 0, 0] * dx + t[:, 0, 1] * dy)
        targets = torch.stack([exact[:, 0], *flows, exact[:, 1] / scale[:, None, None]], dim=1)
        images = self._vary(images, looks, int(batch[-1]))
        images[:, 1] *= has_second[:, None, None]
        return images, targets

    def _vary(self, images: torch.Tensor, looks: torch.Tensor, seed: int) -> torch.Tensor:
        """The looks (n, 2, 6) given to planes (n, 2, y, x), as :func:`vary_intensity` does on the CPU."""
        invert, gamma, gain, offset, blur, noise = looks[..., None, None].unbind(dim=2)
        images = torch.where(invert > 0, 1 - images, images)
        images = torch.where(images > 0, images.clamp(min=1e-6) ** gamma, images) * gain + offset
        reach = torch.arange(KERNEL, device=images.device) - KERNEL // 2
        kernel = torch.exp(-0.5 * (reach / blur.reshape(-1, 1).clamp(min=1e-3)).square())
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        n, c, y, x = images.shape
        flat = F.pad(images.reshape(1, n * c, y, x), [KERNEL // 2] * 4, mode="reflect")
        flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * c)
        blurred = F.conv2d(flat, kernel[:, None, None, :], groups=n * c).reshape(n, c, y, x)
        generator = torch.Generator(self.device).manual_seed(seed)
        return torch.where(blur > 0, blurred, images) + noise * torch.randn(
            images.shape, generator=generator, device=self.device
        )


def prefetch(crops: Crops, first: int, last: int, depth: int = 3) -> Iterator[tuple[int, Any]]:
    """Batches ``first`` to ``last - 1``, made by a thread while the network works on the one before."""
    made: queue.Queue[Any] = queue.Queue(maxsize=depth)

    def work() -> None:
        try:
            for step in range(first, last):
                made.put((step, crops(step)))
        except Exception as error:  # handed to the consumer, which raises it
            made.put(error)
        made.put(None)

    threading.Thread(target=work, daemon=True, name="crops").start()
    while (item := made.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item
