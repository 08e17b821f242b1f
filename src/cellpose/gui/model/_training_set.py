"""Training data: the segmented images of a folder, some of them held out to measure whether training helped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._labels.arrays import renumber
from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.model._corrections import FOUND_KEY, ModelCells
from cellpose.gui.model._folder import images_of, is_corrected
from cellpose.gui.model._images import plane_of_file
from cellpose.gui.model._restored import Restored, content_of_restored, restored_image
from cellpose.gui.model._seg_file import channels_of, seg_path
from cellpose.io import regions_of, with_ignored
from cellpose.utils import remove_edge_masks

__all__ = ["Example", "OpenImage", "TrainingSet", "training_set"]

_CORRECTED_PER_HELD_OUT = 4
_MOST_HELD_OUT = 2


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its cells.

    Parameters
    ----------
    path
        The image.
    image
        (Y, X, C), the input of networks: the restored or filtered image, if there is one.
    labels
        int32 (Y, X), 1..n; -1: ignored in training.
    corrected
        Whether a person drew, corrected or checked any of its cells.
    restored
        What restored it, a model or ``filter``; empty: it is the image itself.
    """

    path: Path
    image: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    corrected: bool
    restored: str = ""

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(np.count_nonzero(np.bincount(self.labels[self.labels > 0])))


@dataclass(frozen=True, eq=False)
class OpenImage:
    """The open image, whose cells may be newer than its file.

    Parameters
    ----------
    path
        The image.
    stack
        (1, C, Y, X).
    labels
        int32 (1, Y, X), 1..n; a copy.
    corrected
        Whether any cells were drawn, corrected or checked.
    ignored
        Regions left out of training, see `io._ignored`.
    restored
        The image after a filter or a restoration model, if there is one.
    """

    path: Path
    stack: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    corrected: bool
    ignored: Sequence[npt.NDArray[Any]] = ()
    restored: Restored | None = None


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The segmented images of a folder.

    Parameters
    ----------
    folder
        The folder of the images.
    train, held_out
        Images to train on; images for comparing the model before and after, never trained on.
    left_out
        Unusable images: name and reason.
    """

    folder: Path
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def cells(self) -> int:
        """Number of cells in all training images."""
        return sum(example.cells for example in self.train)

    @property
    def corrected(self) -> int:
        """Number of images a person worked on, including held-out ones."""
        return sum(example.corrected for example in (*self.train, *self.held_out))

    def only_corrected(self) -> TrainingSet:
        """A copy without images that were never corrected: a model learns little from its own results."""
        others = tuple((e.path.name, tr("not corrected")) for e in self.train if not e.corrected)
        kept = tuple(example for example in self.train if example.corrected)
        return TrainingSet(self.folder, kept, self.held_out, (*self.left_out, *others))

    def without_border(self) -> TrainingSet:
        """A copy that ignores cells touching the border of their image, because their full shape is unknown."""
        inner = {example.path: _without_border(example) for example in (*self.train, *self.held_out)}
        none = tuple((path.name, tr("only cells at the border")) for path, each in inner.items() if not each.cells)
        train, held_out = (
            tuple(inner[example.path] for example in examples if inner[example.path].cells)
            for examples in (self.train, self.held_out)
        )
        return TrainingSet(self.folder, train, held_out, (*self.left_out, *none))

    def compared_on(self, others: TrainingSet) -> TrainingSet:
        """A copy with no images held out: models are compared on all images of another folder."""
        train = sorted((*self.train, *self.held_out), key=lambda example: example.path)
        return TrainingSet(self.folder, tuple(train), (*others.train, *others.held_out), self.left_out)

    def wanted(self, only_corrected: bool, ignore_border: bool) -> TrainingSet:
        """The part of it to train on."""
        images = self.only_corrected() if only_corrected else self
        return images.without_border() if ignore_border else images


def training_set(
    folder: Path, opened: OpenImage | None = None, report: Callable[[float], None] = lambda _: None
) -> TrainingSet:
    """All images of a folder that have cells in a ``_seg.npy`` of one plane.

    One of four corrected images is held out, two of eight. The choice depends only on the names, so it stays the same
    when images are added, and successive models are compared on the same images.

    Parameters
    ----------
    folder
        The folder.
    opened
        The open image: its cells replace those in its file.
    report
        Called with the fraction of images read.
    """
    examples: list[Example] = []
    left_out: list[tuple[str, str]] = []
    paths = images_of(folder)
    for number, path in enumerate(paths, 1):
        try:
            example = _of_document(opened) if opened is not None and opened.path == path else _of_file(path)
        except CellposeError as error:
            left_out.append((path.name, str(error)))
        else:
            if isinstance(example, str):
                left_out.append((path.name, example))
            elif example is not None:
                examples.append(example)
        report(number / len(paths))
    held_out = _held_out(examples)
    train = tuple(example for example in examples if example.path not in held_out)
    return TrainingSet(folder, train, tuple(e for e in examples if e.path in held_out), tuple(left_out))


_STACK = tr("a stack of {n} planes; cut training slices of it first, then train on their folder")


def _without_border(example: Example) -> Example:
    cells = np.maximum(example.labels, 0)
    at_border = (cells > 0) & (remove_edge_masks(cells, change_index=False) == 0)
    return replace(example, labels=np.where(at_border, np.int32(-1), example.labels))


def _of_document(opened: OpenImage) -> Example | str:
    if len(opened.labels) > 1:
        return _STACK.format(n=len(opened.labels))
    if not opened.labels.any():
        return tr("no cells")
    example = Example(
        opened.path,
        np.moveaxis(opened.stack[0], 0, -1),
        with_ignored(opened.labels[0], opened.ignored),
        opened.corrected,
    )
    channels = None if opened.restored is None else opened.restored.channels
    return _restored(example, content_of_restored(opened.restored), channels)


def _of_file(path: Path) -> Example | str | None:
    """The example of an image and its file; else the reason, or None if it is not segmented yet."""
    file = seg_path(path)
    if not file.is_file():
        return None
    seg = io.read_seg(file, without=("outlines", "flows"))
    if seg.masks.ndim != 2:
        return _STACK.format(n=len(seg.masks))
    if not seg.count:
        return tr("no cells")
    image = np.moveaxis(plane_of_file(path)[0], 0, -1)
    if image.shape[:2] != seg.masks.shape:
        return tr(
            "the masks are of shape {masks}, the image of shape {image}", masks=seg.masks.shape, image=image.shape[:2]
        )
    found = ModelCells.read(seg.content.get(FOUND_KEY), (1, *seg.masks.shape))
    labels = with_ignored(renumber(seg.masks)[0], regions_of(seg.content))
    return _restored(Example(path, image, labels, is_corrected(seg, found)), seg.content, channels_of(seg))


def _restored(example: Example, content: Mapping[str, Any], channels: tuple[int, int] | None) -> Example:
    """The example with the image that was segmented: the restored one, and labels of the same size."""
    height, width = example.labels.shape
    image = restored_image(content, (1, height, width), channels, example.image.shape[2])
    if image is None:
        return example
    rows, columns = (np.arange(n) * there // n for n, there in zip(image.shape[:2], (height, width), strict=True))
    return replace(example, image=image, labels=example.labels[np.ix_(rows, columns)], restored=content["restore"])


def _held_out(examples: Sequence[Example]) -> set[Path]:
    corrected = [example.path for example in examples if example.corrected]
    n = min(len(corrected) // _CORRECTED_PER_HELD_OUT, _MOST_HELD_OUT)
    return set(sorted(corrected, key=lambda path: zlib.crc32(path.name.encode()))[:n])
