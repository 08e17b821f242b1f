"""Training and test sets: images with flows in memory, or read from files batch by batch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io, utils
from cellpose._face.words import listed
from cellpose._progress.stages import stage
from cellpose.errors import CellposeError, FileReadError, FileWriteError, InputError
from cellpose.io import FLOWS, SiblingFiles, read_labels
from cellpose.train._channels import SetPreparation
from cellpose.train._checks import LabelReport, check_labels, log_reports
from cellpose.train._images import (
    image_doubt,
    image_error,
    key_of,
    log_doubts,
    log_shared_images,
    prepared_each,
    size_error,
)
from cellpose.train._sets import ImageSet, ItemCache
from cellpose.train._targets import flow_file, read_targets, targets_of
from cellpose.utils import shares

__all__ = ["ImageSet", "Reading", "Sources", "build_set", "build_sets"]

logger = logging.getLogger("cellpose.train")

Floats = npt.NDArray[np.floating[Any]]

_SMALLEST_DIAMETER_PX = 5.0


@dataclass(frozen=True)
class Reading:
    """How sets are read: device for flows, all in memory or not, size of the cache, threads.

    ``diam_mean`` is the diameter in pixels of images without cells, where no image of a set has any.
    """

    device: Any = None
    load_files: bool = True
    compute_flows: bool = False
    cache_gb: float = 1.0
    workers: int = 0
    diam_mean: float = 30.0


@dataclass(frozen=True)
class Sources:
    """The caller's input for one set: arrays or files, and how often each image is drawn."""

    data: Sequence[Any] | None = None
    labels: Sequence[Any] | None = None
    files: Sequence[Any] | None = None
    labels_files: Sequence[Any] | None = None
    probs: Any = None

    def __bool__(self) -> bool:
        return self.data is not None or self.files is not None


def _check_lengths(images: Sequence[Any], labels: Sequence[Any], what: str, kinds: tuple[str, str]) -> None:
    if len(images) != len(labels):
        message = f"{len(images)} {what} {kinds[0]} and {len(labels)} {kinds[1]} were given; give one per image"
        raise InputError(message)


def _listed(given: Sequence[Any] | None, name: str) -> list[Any]:
    """A list of images, or an array of several; one image alone would be taken for many rows."""
    if isinstance(given, np.ndarray) and given.dtype != object and given.ndim < 3:
        message = f"{name} is an array of shape {given.shape}, one image; give a list of images"
        raise InputError(message)
    return [] if given is None else list(given)


def _usable(reports: Sequence[LabelReport], what: str) -> list[int]:
    """Numbers of the usable images; the log names the others, and anything else unusual."""
    log_reports(reports, what)
    usable = [i for i, report in enumerate(reports) if report.error is None]
    if not reports:
        message = f"no {what} images were given; give at least one"
        raise InputError(message)
    if not usable:
        message = f"no {what} image can be used; the first, {reports[0].name}: {reports[0].error}"
        raise InputError(message)
    return usable


def _from_arrays(
    sources: Sources, preparation: SetPreparation, reading: Reading, what: str, *, write: bool = True
) -> ImageSet:
    data, labels = _listed(sources.data, f"{what}_data"), _listed(sources.labels, f"{what}_labels")
    _check_lengths(data, labels, what, ("images", "labels"))
    names = [str(f) for f in sources.files] if sources.files is not None else [str(i) for i in range(len(data))]
    probs = shares(sources.probs, len(data), f"{what}_probs")
    prepared, errors = prepared_each(preparation, data)
    reports = [
        LabelReport(name, error=error) if error else check_labels([label], [image], [name])[0]
        for name, error, label, image in zip(names, errors, labels, prepared, strict=True)
    ]
    usable = _usable(reports, what)
    log_doubts([data[i] for i in usable], [labels[i] for i in usable], [names[i] for i in usable], what)
    logger.info(f">>> computing flows of {len(usable)} {what} images")
    files = [names[i] for i in usable] if sources.files is not None else None
    beside = [names[i] if write and files is not None else None for i in usable]
    advance = stage("computing flows", len(usable), "images")
    targets = []
    for i, name in zip(usable, beside, strict=True):
        targets.append(targets_of(labels[i], reading.device, name))
        advance(len(targets))
    diameters, n_masks = _measure(target[0] for target in targets)
    return ImageSet(
        preparation, diameters, n_masks, shares(probs[usable], len(usable), f"{what}_probs"),
        data=[prepared[i] for i in usable], labels=targets, files=files, names=[names[i] for i in usable],
        keys=[key_of(data[i], target[0]) for i, target in zip(usable, targets, strict=True)],
    )  # fmt: skip


def _from_files(sources: Sources, preparation: SetPreparation, reading: Reading, what: str) -> ImageSet:
    files = list(sources.files or [])
    labels_files = sources.labels_files
    if labels_files is None:
        beside = SiblingFiles()
        labels_files = [beside.one_of(os.path.splitext(os.fspath(f))[0], (FLOWS,)) or flow_file(f) for f in files]
        missing = [str(f) for f in labels_files if not Path(f).exists()]
        if missing:
            message = f"{len(missing)} flow files are missing, such as {missing[0]}; give label files or labels"
            raise FileReadError(message)
    _check_lengths(files, labels_files, what, ("files", "label files"))
    probs = shares(sources.probs, len(files), f"{what}_probs")
    if reading.load_files:
        return _all_read(files, labels_files, probs, preparation, reading, what)
    reports, measured = [], []
    advance = stage("computing flows" if reading.compute_flows else "reading", len(files), "images")
    for image_file, label_file in zip(files, labels_files, strict=True):
        report, facts = _looked_at(image_file, label_file, preparation, reading)
        reports.append(report)
        measured += facts
        advance(len(reports))
    chosen = _usable(reports, what)
    if reading.compute_flows:
        labels_files = [flow_file(f) for f in files]
    files, labels_files = [files[i] for i in chosen], [labels_files[i] for i in chosen]
    diameters, n_masks, keys = zip(*measured, strict=True)
    return ImageSet(
        preparation, np.concatenate(diameters), np.concatenate(n_masks),
        shares(probs[chosen], len(chosen), f"{what}_probs"),
        files=files, labels_files=labels_files, names=[str(f) for f in files], keys=list(keys),
        cache=ItemCache(reading.cache_gb * 2**30), workers=reading.workers,
    )  # fmt: skip


def _all_read(
    files: Sequence[Any], labels_files: Sequence[Any], probs: Floats, preparation: SetPreparation, reading: Reading,
    what: str,
) -> ImageSet:  # fmt: skip
    """The set in memory, from the files that can be read."""
    data, labels, reports = [], [], []
    stage("reading")
    for image_file, label_file in zip(files, labels_files, strict=True):
        error = None
        try:
            pair = io.imread(image_file), read_labels(label_file)
        except CellposeError as reason:
            error = str(reason)
        else:
            data.append(pair[0])
            labels.append(pair[1])
        reports.append(LabelReport(str(image_file), error=error))
    chosen = _usable(reports, what)
    sources = Sources(data, labels, [files[i] for i in chosen], None, probs[chosen])
    return _from_arrays(sources, preparation, reading, what, write=reading.compute_flows)


def _looked_at(
    image_file: Any, label_file: Any, preparation: SetPreparation, reading: Reading
) -> tuple[LabelReport, list[tuple[Floats, npt.NDArray[np.int64], bytes]]]:
    """Reports on files that will be read during training, and of usable ones the cell sizes and a key.

    Raises
    ------
    FileWriteError
        If computed flows cannot be written.
    """
    name = str(image_file)
    try:
        image = io.imread(image_file)
        labels = read_labels(label_file) if reading.compute_flows else read_targets(label_file)
    except CellposeError as reason:
        return LabelReport(name, error=str(reason)), []
    (report,) = check_labels([labels], names=[name])
    error = image_error(image) or report.error or size_error(image, labels.shape[-2:], preparation.channel_axis)
    if error is not None:
        return LabelReport(name, error=error), []
    if reading.compute_flows:
        labels = targets_of(labels, reading.device, image_file)
        if not flow_file(image_file).exists():
            message = f"{flow_file(image_file)} is needed but could not be written; load_files=True does not need it"
            raise FileWriteError(message)
    doubt = image_doubt(image)
    if doubt is not None:
        report = replace(report, notes=(*report.notes, doubt))
    return report, [(*_measure([labels[0]]), key_of(image, labels[0]))]


def _measure(label_images: Iterable[Any]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Median diameter of each image in pixels, at least 5 and NaN without masks, and its number of masks."""
    diameters, counts = [], []
    for numbers in label_images:
        diameter, sizes = utils.diameters(np.asarray(numbers).astype(np.int32))
        diameters.append(max(_SMALLEST_DIAMETER_PX, float(diameter)) if len(sizes) else np.nan)
        counts.append(len(sizes))
    return np.array(diameters, np.float64), np.array(counts, np.int64)


def _sized(images: ImageSet, diam_mean: float) -> ImageSet:
    """The set with a diameter for images without cells: the mean of the others, which it leaves as it is."""
    empty = np.isnan(images.diameters)
    usual = diam_mean if empty.all() else images.diameters[~empty].mean()
    return replace(images, diameters=np.where(empty, usual, images.diameters))


def build_set(
    sources: Sources,
    preparation: SetPreparation,
    reading: Reading = Reading(),
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
        return _sized(_from_arrays(sources, preparation, reading, what), reading.diam_mean)
    if sources.files is None:
        message = f"no {what} images were given; give {what}_data and {what}_labels, or {what}_files"
        raise InputError(message)
    return _sized(_from_files(sources, preparation, reading, what), reading.diam_mean)


def build_sets(
    training: Sources,
    test: Sources,
    preparation: SetPreparation,
    reading: Reading = Reading(),
    min_train_masks: int = 5,
) -> tuple[ImageSet, ImageSet | None]:
    """The training set without images of fewer than ``min_train_masks`` masks, and the test set if there is one."""
    train_set = build_set(training, preparation, reading)
    chosen = np.flatnonzero(train_set.n_masks >= min_train_masks)
    if len(chosen) < len(train_set):
        few = [
            f"{train_set.names[i]} ({train_set.n_masks[i]})"
            for i in np.flatnonzero(train_set.n_masks < min_train_masks)
        ]
        logger.warning(
            f"{len(few)} train images with number of masks less than min_train_masks ({min_train_masks}), removing: "
            f"{listed(few)}"
        )
        train_set = train_set.keep(chosen)
    if not len(train_set):
        message = f"no training image has min_train_masks={min_train_masks} masks or more; lower it or add images"
        raise InputError(message)
    if not train_set.n_masks.any():
        logger.warning("no training image has a mask: the model learns that there are no cells")
    test_set = _test_set(test, preparation, reading)
    if test_set is not None:
        log_shared_images(train_set, test_set)
    return train_set, test_set


def _test_set(test: Sources, preparation: SetPreparation, reading: Reading) -> ImageSet | None:
    if not test or (test.data is not None and not len(test.data)):
        return None
    given = test.labels if test.data is not None else test.labels_files
    images = test.data if test.data is not None else test.files
    if given is not None and images is not None and len(given) != len(images):
        logger.warning(f"{len(images)} test images and {len(given)} labels were given: the test set is not used")
        return None
    return build_set(test, preparation, reading, "test")
