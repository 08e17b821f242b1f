"""Names of train that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cellpose import io
from cellpose.errors import InputError
from cellpose.train._channels import SetPreparation
from cellpose.train._data import Reading, Sources, build_sets
from cellpose.train._sets import ImageSet
from cellpose.train._targets import read_targets

__all__ = [
    "_get_batch",
    "_process_train_test",
    "_reshape_norm",
    "convert_to_rgb",
]


def convert_to_rgb(img: Any) -> Any:
    """Image ``(Ly, Lx)`` or ``(C, Ly, Lx)`` as ``(3, Ly, Lx)``: one channel repeated, a missing third one 0.

    Examples
    --------
    >>> convert_to_rgb(np.ones((2, 4, 5)))[:, 0, 0]
    array([1., 1., 0.])
    """
    img = np.asarray(img)
    if img.ndim == 2:
        img = img[np.newaxis]
    if len(img) == 1:
        return np.repeat(img, 3, axis=0)
    return np.concatenate([img, np.zeros_like(img[:1])]) if len(img) == 2 else img[:3]


def _reshape_norm(
    data: Sequence[Any],
    channels: Any = None,
    channel_axis: int | None = None,
    rgb: bool = False,
    normalize_params: Any = False,
) -> list[Any]:
    """Images as network inputs ``(C, Ly, Lx)`` float32.

    With ``channels`` or ``rgb`` two or three channels as U-Nets take them, else three as transformers take them.
    ``normalize_params`` is a bool, a dict with the key ``"normalize"``, or a :class:`cellpose.options.Normalization`.
    """
    channel_pair = channels is not None or rgb
    return SetPreparation.of(channel_pair, normalize_params, channels=channels, channel_axis=channel_axis, rgb=rgb)(
        data
    )


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
        and normalized.
    """
    channel_pair = channels is not None or rgb
    preparation = SetPreparation.of(
        channel_pair, normalize_params, channels=channels, channel_axis=channel_axis, rgb=rgb
    )  # fmt: skip
    train_set, test_set = build_sets(
        Sources(train_data, train_labels, train_files, train_labels_files, train_probs),
        Sources(test_data, test_labels, test_files, test_labels_files, test_probs),
        preparation,
        Reading(device, load_files, compute_flows),
        min_train_masks,
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
    channel_pair = channels is not None or rgb
    preparation = SetPreparation.of(
        channel_pair, normalize_params, channels=channels, channel_axis=channel_axis, rgb=rgb
    )
    images = preparation([io.imread(files[i]) for i in chosen])
    return images, None if labels_files is None else [read_targets(labels_files[i])[1:] for i in chosen]
