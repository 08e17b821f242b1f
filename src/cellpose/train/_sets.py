"""A set of training images: in memory, or read from files during training, within a bound of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import InputError
from cellpose.train._channels import SetPreparation
from cellpose.train._targets import read_targets

__all__ = ["ImageSet", "ItemCache", "JoinedSet", "in_advance"]

Floats = npt.NDArray[np.floating[Any]]
Item = tuple[Any, Any]
T = TypeVar("T")


class ItemCache:
    """The images used last, as many as fit into ``max_bytes``; used from several threads."""

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._items: OrderedDict[int, Item] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> Item | None:
        """The image stored under this number, if it is still here."""
        with self._lock:
            item = self._items.get(index)
            if item is not None:
                self._items.move_to_end(index)
            return item

    def put(self, index: int, item: Item) -> None:
        """Keep an image; those not used for the longest time make room."""
        n_bytes = _n_bytes(item)
        if n_bytes > self.max_bytes:
            return
        with self._lock:
            if index in self._items:
                return
            self._items[index] = item
            self.n_bytes += n_bytes
            while self.n_bytes > self.max_bytes:
                self.n_bytes -= _n_bytes(self._items.popitem(last=False)[1])


def _n_bytes(item: Item) -> int:
    return sum(int(array.nbytes) for array in item)


@dataclass
class ImageSet:
    """Images and their targets, all prepared, or the files from which each batch is read.

    ``labels`` are float32 ``(4 or more, Ly, Lx)``: label numbers, [classes,] cell mask, dY, dX. ``diameters`` are in
    pixels, ``probs`` sum to 1, ``names`` are files or numbers; ``keys`` tell images with their labels apart. Images
    read from files stay in ``cache``; ``workers`` threads read them.
    """

    preparation: SetPreparation
    diameters: Floats
    n_masks: npt.NDArray[np.int64]
    probs: Floats
    data: list[Any] | None = None
    labels: list[Any] | None = None
    files: list[Any] | None = None
    labels_files: list[Any] | None = None
    names: list[str] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    cache: ItemCache | None = None
    workers: int = 0

    def __len__(self) -> int:
        return len(self.diameters)

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read any more."""
        return self.data is not None and self.labels is not None

    def keep(self, chosen: npt.NDArray[np.intp]) -> ImageSet:
        """The images number ``chosen`` alone."""
        probs = self.probs[chosen]
        lists: dict[str, Any] = {
            name: None if values is None else [values[i] for i in chosen]
            for name, values in (
                ("data", self.data), ("labels", self.labels), ("files", self.files), ("labels_files", self.labels_files)
            )
        }  # fmt: skip
        return ImageSet(
            self.preparation, self.diameters[chosen], self.n_masks[chosen], probs / max(probs.sum(), 1e-300), **lists,
            names=[self.names[i] for i in chosen] if self.names else [], workers=self.workers,
            keys=[self.keys[i] for i in chosen] if self.keys else [],
            cache=None if self.cache is None else ItemCache(self.cache.max_bytes),
        )  # fmt: skip

    def item(self, index: int) -> Item:
        """Image ``(C, Ly, Lx)`` and targets with label numbers of one image."""
        if self.data is not None and self.labels is not None:
            return self.data[index], self.labels[index]
        known = None if self.cache is None else self.cache.get(index)
        if known is not None:
            return known
        files, labels_files = self.files or [], self.labels_files or []
        # the random channel order of RGB networks does not depend on which thread reads first
        image = self.preparation([io.imread(files[index])], np.random.RandomState(index))[0]
        item = image, read_targets(labels_files[index])
        if image.shape[-2:] != item[1].shape[-2:]:
            message = f"{files[index]} has {image.shape[-2:]} pixels and {labels_files[index]} {item[1].shape[-2:]}"
            raise InputError(message)
        if self.cache is not None:
            self.cache.put(index, item)
        return item

    def batch(self, indices: Iterable[int], *, numbers: bool = False) -> tuple[list[Any], list[Any]]:
        """Images ``(C, Ly, Lx)`` and targets ``([label numbers, classes,] cell mask, dY, dX)``."""
        chosen = [int(i) for i in indices]
        if self.in_memory or self.workers < 2 or len(chosen) < 2:
            items = [self.item(i) for i in chosen]
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                items = list(pool.map(self.item, chosen))
        labels = [label for _, label in items]
        return [image for image, _ in items], labels if numbers else [label[1:] for label in labels]

    def draw(self, n: int | None, rng: np.random.RandomState) -> npt.NDArray[np.intp]:
        """The images of one epoch: each once in random order, or ``n`` drawn by ``probs`` with repetition."""
        if n is None or n == len(self):
            return np.asarray(rng.permutation(len(self)))
        return np.asarray(rng.choice(np.arange(len(self)), size=(n,), p=self.probs))


@dataclass
class JoinedSet(ImageSet):
    """Two sets as one, the second counted on from the first; each is read in its own way."""

    parts: tuple[ImageSet, ...] = ()

    @classmethod
    def of(cls, first: ImageSet, second: ImageSet) -> JoinedSet:
        """Both sets joined, with equal probabilities."""
        n = len(first) + len(second)
        return cls(
            first.preparation,
            np.concatenate([first.diameters, second.diameters]),
            np.concatenate([first.n_masks, second.n_masks]),
            np.full(n, 1 / n),
            workers=max(first.workers, second.workers),
            parts=(first, second),
        )

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read any more."""
        return all(part.in_memory for part in self.parts)

    def item(self, index: int) -> Item:
        """Image and targets of one image."""
        first, second = self.parts
        return first.item(index) if index < len(first) else second.item(index - len(first))


class _Make(Protocol[T]):  # type: ignore[misc]
    def __call__(self, start: int) -> T: ...


def in_advance(make: _Make[T], starts: Iterable[int], depth: int) -> Iterator[T]:
    """``make`` of each start, in order; ``depth`` of them are made in another thread while one is used.

    A single thread makes them in turn, so that random numbers are drawn in the same order as without it.
    """
    if depth < 1:
        yield from (make(start) for start in starts)
        return
    waiting: list[Future[T]] = []
    with ThreadPoolExecutor(1) as pool:
        try:
            for start in starts:
                waiting.append(pool.submit(make, start))
                if len(waiting) > depth:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
