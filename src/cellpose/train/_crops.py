"""Random crops of a training set, batch by batch, with the pixels to ignore in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellpose import transforms
from cellpose.train._sets import ImageSet, in_advance
from cellpose.train._targets import ignored_pixels

__all__ = ["Batch", "Crops"]

# Batches that are made in another thread while the network is busy.
_IN_ADVANCE = 2


class Batch(NamedTuple):
    """Images (n, C, y, x), targets (n, 3 or more, y, x), pixels to ignore, bool (n, y, x) or None, and ``n``."""

    x: Tensor
    target: Any
    ignored: Tensor | None
    n: int


@dataclass(frozen=True)
class Crops:
    """How crops are made."""

    as_tensors: bool
    device: torch.device
    bsize: int
    batch_size: int
    scale_range: float
    diam_mean: float | None = None
    channels_last: bool = False

    def batches(self, images: ImageSet, order: npt.NDArray[np.intp], rng: np.random.RandomState) -> Iterator[Batch]:
        """Batches of randomly turned and scaled crops of the images in ``order``."""

        def make(start: int) -> Batch:
            return self._batch(images, order[start : start + self.batch_size], rng)

        return in_advance(make, range(0, len(order), self.batch_size), _IN_ADVANCE)

    def _batch(self, images: ImageSet, indices: npt.NDArray[np.intp], rng: np.random.RandomState) -> Batch:
        data, labels = images.batch(indices)
        rescale = None
        if self.diam_mean is not None:
            rescale = (images.diameters[indices] / self.diam_mean).astype(np.float32)
        common: dict[str, Any] = {"scale_range": self.scale_range, "rescale": rescale, "rng": rng}
        # Ignored pixels are marked in the cell mask. Where that mask is interpolated, they have a channel of their own.
        marked = (self.as_tensors or labels[0].shape[0] > 3) and any(ignored_pixels(label).any() for label in labels)
        if marked:
            labels = [_mark_first(label) for label in labels]
        if self.as_tensors:
            x, target, _ = transforms.random_rotate_and_resize(
                imgs=data, lbls=labels, bsize=self.bsize, device=self.device, **common
            )
        else:
            x, target, _ = transforms.random_rotate_and_resize(data, Y=labels, xy=(self.bsize, self.bsize), **common)
            x, target = torch.from_numpy(x), torch.from_numpy(target)
        ignored = target[:, 0] > 0.5 if marked else target[:, -3] < 0
        target = target[:, 1:] if marked else target
        return Batch(self._on_device(x), target, ignored if bool(ignored.any()) else None, len(data))

    def _on_device(self, x: Tensor) -> Tensor:
        if self.channels_last:
            return x.to(self.device, memory_format=torch.channels_last)
        return x.to(self.device)


def _mark_first(label: Any) -> Any:
    ignored = ignored_pixels(label)
    clean = np.concatenate([ignored[None].astype(np.float32), label])
    clean[-3][ignored] = 0
    return clean
