"""Training and test sets: images with flows in memory, or read from files batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics, io, utils
from cellpose.errors import FileReadError, InputError
from cellpose.train._channels import Preparation

__all__ = ["ImageSet", "Sources", "_get_batch", "_process_train_test", "build_set", "build_sets"]

logger = logging.getLogger("cellpose.train")

Floats = npt.NDArray[np.floating[Any]]

_SMALLEST_DIAMETER_PX = 5.0


@dataclass(frozen=True)
class Sources:
    """What a caller gives for one set: arrays or files, and how often each image is drawn."""

    data: Sequence[Any] | None = None
    labels: Sequence[Any] | None = None
    files: Sequence[Any] | None = None
    labels_files: Sequence[Any] | None = None
    probs: Any = None

    def __bool__(self) -> bool:
        return self.data is not None or self.files is not None


@dataclass
class ImageSet:
    """Images and their targets, all prepared, or the files from which each batch is read.

    ``labels`` are float32 ``(4 or more, Ly, Lx)``: label numbers, [classes,] cell mask, dY, dX. ``diameters`` are in
    pixels, ``probs`` sum to 1.
    """

    preparation: Preparation
    diameters: Floats
    n_masks: npt.NDArray[np.int64]
    probs: Floats
    data: list[Any] | None = None
    labels: list[Any] | None = None
    files: list[Any] | None = None
    labels_files: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.diameters)

    def keep(self, chosen: npt.NDArray[np.intp]) -> ImageSet:
        """The images number ``chosen`` alone."""
        probs = self.probs[chosen]
        lists = {
            name: None if values is None else [values[i] for i in chosen]
            for name, values in (
                ("data", self.data), ("labels", self.labels), ("files", self.files), ("labels_files", self.labels_files)
            )
        }  # fmt: skip
        return ImageSet(
            self.preparation, self.diameters[chosen], self.n_masks[chosen], probs / max(probs.sum(), 1e-300), **lists
        )

    def batch(self, indices: Iterable[int], *, numbers: bool = False) -> tuple[list[Any], list[Any]]:
        """Images ``(C, Ly, Lx)`` and targets ``([label numbers, classes,] cell mask, dY, dX)``."""
        chosen = [int(i) for i in indices]
        if self.data is not None and self.labels is not None:
            images, labels = [self.data[i] for i in chosen], [self.labels[i] for i in chosen]
        else:
            files, labels_files = self.files or [], self.labels_files or []
            images = self.preparation([io.imread(files[i]) for i in chosen])
            labels = [_read_flows(labels_files[i]) for i in chosen]
        return images, labels if numbers else [label[1:] for label in labels]

    def draw(self, n: int | None, rng: np.random.RandomState) -> npt.NDArray[np.intp]:
        """The images of one epoch: each once in random order, or ``n`` drawn by ``probs`` with repetition."""
        if n is None or n == len(self):
            return np.asarray(rng.permutation(len(self)))
        return np.asarray(rng.choice(np.arange(len(self)), size=(n,), p=self.probs))


def _read_flows(path: Any) -> Floats:
    flows: Floats = np.asarray(io.imread(path), dtype=np.float32)
    if flows.ndim != 3 or flows.shape[0] < 4:
        message = (
            f"{path} holds an array of shape {flows.shape} where label numbers, cell mask and flows (4, Ly, Lx) are "
            "needed; give files written by labels_to_flows, or masks with compute_flows=True"
        )
        raise InputError(message)
    return flows


def _flow_file(image_file: Any) -> Path:
    path = Path(image_file)
    return path.with_name(f"{path.stem}_flows.tif")


def _check_arrays(data: Sequence[Any], labels: Sequence[Any], what: str) -> None:
    if len(data) != len(labels):
        message = f"{len(data)} {what} images and {len(labels)} labels were given; give one label array an image"
        raise InputError(message)
    for i, (image, label) in enumerate(zip(data, labels, strict=True)):
        if np.ndim(image) not in (2, 3):
            message = f"{what} image {i} has shape {np.shape(image)}; give (y, x) or (y, x) with channels"
            raise InputError(message)
        if np.ndim(label) < 2:
            message = f"labels of {what} image {i} have shape {np.shape(label)}; give (y, x) or (channels, y, x)"
            raise InputError(message)


def _check_sizes(images: Sequence[Any], flows: Sequence[Any], what: str) -> None:
    for i, (image, flow) in enumerate(zip(images, flows, strict=True)):
        if image.shape[-2:] != flow.shape[-2:]:
            message = (
                f"{what} image {i} has {image.shape[-2]} x {image.shape[-1]} pixels and its labels have "
                f"{flow.shape[-2]} x {flow.shape[-1]}; they must agree (is the channel axis right?)"
            )
            raise InputError(message)


def _from_arrays(sources: Sources, preparation: Preparation, device: Any, what: str) -> ImageSet:
    data, labels = list(sources.data or []), list(sources.labels or [])
    _check_arrays(data, labels, what)
    logger.info(f">>> computing flows of {len(labels)} {what} images")
    files = None if sources.files is None else [str(f) for f in sources.files]
    flows = [
        dynamics.labels_to_flows([label], files=None if files is None else [files[i]], device=device)[0]
        for i, label in enumerate(labels)
    ]
    prepared = preparation(data)
    _check_sizes(prepared, flows, what)
    diameters, n_masks = _measure(flow[0] for flow in flows)
    return ImageSet(
        preparation, diameters, n_masks, _probs(sources.probs, len(data)), data=prepared, labels=flows,
        files=None if files is None else list(files),
    )  # fmt: skip


def _from_files(
    sources: Sources, preparation: Preparation, device: Any, what: str, *, load: bool, compute: bool
) -> ImageSet:
    files = list(sources.files or [])
    labels_files = sources.labels_files
    if labels_files is None:
        labels_files = [_flow_file(f) for f in files]
        missing = [str(f) for f in labels_files if not f.exists()]
        if missing:
            message = f"{len(missing)} flow files are missing, such as {missing[0]}; give label files or labels"
            raise FileReadError(message)
    if len(labels_files) != len(files):
        message = f"{len(files)} {what} files and {len(labels_files)} label files were given; give one an image"
        raise InputError(message)
    if compute:
        for image_file, label_file in zip(files, labels_files, strict=True):
            dynamics.labels_to_flows([np.asarray(io.imread(label_file))], files=[str(image_file)], device=device)
        labels_files = [_flow_file(f) for f in files]
    if load:
        data, labels = [io.imread(f) for f in files], [np.asarray(io.imread(f)) for f in labels_files]
        return _from_arrays(Sources(data, labels, None, None, sources.probs), preparation, device, what)
    diameters, n_masks = _measure(_read_flows(f)[0] for f in labels_files)
    return ImageSet(
        preparation, diameters, n_masks, _probs(sources.probs, len(files)), files=files, labels_files=list(labels_files)
    )


def _measure(label_images: Iterable[Any]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Median diameter of each image in pixels, at least 5, and its number of masks."""
    diameters, counts = [], []
    for numbers in label_images:
        diameter, sizes = utils.diameters(np.asarray(numbers).astype(np.int32))
        diameters.append(max(_SMALLEST_DIAMETER_PX, float(diameter)))
        counts.append(len(sizes))
    return np.array(diameters, np.float64), np.array(counts, np.int64)


def _probs(probs: Any, n: int) -> Floats:
    if probs is None:
        return np.full(n, 1.0 / max(n, 1))
    values: Floats = np.asarray(probs, np.float64)
    if values.shape != (n,) or not np.all(values >= 0) or not values.sum() > 0:
        message = f"probabilities of shape {values.shape} are not allowed; give {n} numbers, none negative, not all 0"
        raise InputError(message)
    normalised: Floats = values / values.sum()
    return normalised


def build_set(
    sources: Sources,
    preparation: Preparation,
    *,
    device: Any = None,
    load_files: bool = True,
    compute_flows: bool = False,
    what: str = "train",
) -> ImageSet:
    """Read, check and measure one set.

    Raises
    ------
    InputError
        If lists differ in length, or arrays have shapes that cannot be used.
    FileReadError
        If a flow file is missing.
    """
    if sources.data is not None:
        if sources.labels is None:
            message = f"{what} images were given without labels; give {what}_labels"
            raise InputError(message)
        return _from_arrays(sources, preparation, device, what)
    if sources.files is None:
        message = f"no {what} images were given; give {what}_data and {what}_labels, or {what}_files"
        raise InputError(message)
    return _from_files(sources, preparation, device, what, load=load_files, compute=compute_flows)


def build_sets(
    training: Sources,
    test: Sources,
    preparation: Preparation,
    *,
    device: Any = None,
    load_files: bool = True,
    compute_flows: bool = False,
    min_train_masks: int = 5,
) -> tuple[ImageSet, ImageSet | None]:
    """The training set without images of fewer than ``min_train_masks`` masks, and the test set if there is one."""
    options: dict[str, Any] = {"device": device, "load_files": load_files, "compute_flows": compute_flows}
    train_set = build_set(training, preparation, **options)
    chosen = np.flatnonzero(train_set.n_masks >= min_train_masks)
    if len(chosen) < len(train_set):
        few = len(train_set) - len(chosen)
        logger.warning(
            f"{few} train images with number of masks less than min_train_masks ({min_train_masks}), removing"
        )
        train_set = train_set.keep(chosen)
    if not len(train_set):
        message = f"no training image has min_train_masks={min_train_masks} masks or more; lower it or add images"
        raise InputError(message)
    return train_set, _test_set(test, preparation, options)


def _test_set(test: Sources, preparation: Preparation, options: dict[str, Any]) -> ImageSet | None:
    if not test or (test.data is not None and not len(test.data)):
        return None
    given = test.labels if test.data is not None else test.labels_files
    images = test.data if test.data is not None else test.files
    if given is not None and images is not None and len(given) != len(images):
        logger.warning(f"{len(images)} test images and {len(given)} labels were given: the test set is not used")
        return None
    return build_set(test, preparation, what="test", **options)


def _process_train_test(
    train_data: Any = None,
    train_labels: Any = None,
    train_files: Any = None,
    train_labels_files: Any = None,
    train_probs: Any = None,
    test_data: Any = None,
    test_labels: Any = None,
    test_files: Any = None,
    test_labels_files: Any = None,
    test_probs: Any = None,
    load_files: bool = True,
    min_train_masks: int = 5,
    compute_flows: bool = False,
    channels: Any = None,
    channel_axis: int | None = None,
    rgb: bool = False,
    normalize_params: Any = False,
    device: Any = None,
) -> tuple[Any, ...]:
    """Both sets as plain lists, in the order of the published versions.

    Returns
    -------
    tuple
        Images ``(C, Ly, Lx)``, labels with flows ``(4, Ly, Lx)``, files, label files, probabilities and diameters in
        pixels of the training set; the same six of the test set (None without one); True where images are in memory
        and normalised.
    """
    generation = "unet" if channels is not None or rgb else "transformer"
    preparation = Preparation.of(
        generation, normalize_params, channels=channels, channel_axis=channel_axis, rgb=rgb
    )  # fmt: skip
    train_set, test_set = build_sets(
        Sources(train_data, train_labels, train_files, train_labels_files, train_probs),
        Sources(test_data, test_labels, test_files, test_labels_files, test_probs),
        preparation,
        device=device,
        load_files=load_files,
        compute_flows=compute_flows,
        min_train_masks=min_train_masks,
    )
    return (*_as_lists(train_set), *_as_lists(test_set), train_set.data is not None)


def _as_lists(images: ImageSet | None) -> tuple[Any, ...]:
    if images is None:
        return (None,) * 6
    return images.data, images.labels, images.files, images.labels_files, images.probs, images.diameters


def _get_batch(
    inds: Iterable[int],
    data: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
    files: Sequence[Any] | None = None,
    labels_files: Sequence[Any] | None = None,
    channels: Any = None,
    channel_axis: int | None = None,
    rgb: bool = False,
    normalize_params: Any = False,
) -> tuple[list[Any], list[Any] | None]:
    """Images and targets (cell mask, dY, dX) number ``inds``, from memory or from files."""
    chosen = [int(i) for i in inds]
    if data is not None:
        images = [data[i] for i in chosen]
        return images, None if labels is None else [labels[i][1:] for i in chosen]
    if files is None:
        message = "neither data nor files were given; give one of them"
        raise InputError(message)
    generation = "unet" if channels is not None or rgb else "transformer"
    preparation = Preparation.of(generation, normalize_params, channels=channels, channel_axis=channel_axis, rgb=rgb)
    images = preparation([io.imread(files[i]) for i in chosen])
    return images, None if labels_files is None else [_read_flows(labels_files[i])[1:] for i in chosen]
