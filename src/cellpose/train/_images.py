"""Checks of the images of a training set: problems are logged per image before training starts."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.words import listed
from cellpose.errors import CellposeError
from cellpose.train._channels import SetPreparation
from cellpose.train._sets import ImageSet
from cellpose.transforms import has_contrast

__all__ = ["image_doubt", "image_error", "key_of", "log_doubts", "log_shared_images", "prepared_each", "size_error"]

logger = logging.getLogger("cellpose.train")

_MOST_CHANNELS = 4  # one of them may be opacity
_VALUES_COMPARED = 2**16


def image_error(image: Any) -> str | None:
    """Why nothing can be trained on this array; None: it can."""
    array = np.asarray(image)
    if array.ndim not in (2, 3):
        cut = "; cut planes from stacks with `cellpose slices`" if array.ndim > 3 else ""
        return f"is an image of shape {array.shape}; give (y, x) or (y, x) with channels{cut}"
    if array.dtype.kind not in "biuf" or not array.size:
        return f"is an image of type {array.dtype} and shape {array.shape}; give an array of numbers"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "has pixels that are NaN or infinite; give finite numbers"
    return None


def image_doubt(image: npt.NDArray[Any]) -> str | None:
    """Why little can be learned from this array; None: much can."""
    low, high = float(image.min()), float(image.max())
    return None if has_contrast(low, high) else f"all its pixels are {low:g}: it shows no cells"


def prepared_each(preparation: SetPreparation, images: Sequence[Any]) -> tuple[list[Any], list[str | None]]:
    """Prepared images, and reasons: None instead of an image that cannot be prepared."""
    errors = [image_error(image) for image in images]
    good = [i for i, error in enumerate(errors) if error is None]
    prepared: list[Any] = [None] * len(images)
    try:
        for i, image in zip(good, preparation([images[i] for i in good]), strict=True):
            prepared[i] = image
    except CellposeError:  # to know which image failed
        for i in good:
            try:
                prepared[i] = preparation([images[i]])[0]
            except CellposeError as error:
                errors[i] = str(error)
    return prepared, errors


def size_error(image: npt.NDArray[Any], labels: tuple[int, ...], channel_axis: int | None) -> str | None:
    """Why an image of this array, channels first, last or none, cannot have labels of this shape."""
    shape, axes = image.shape, range(image.ndim)
    if image.ndim == 3 and channel_axis is not None:
        axes = range(channel_axis % 3, channel_axis % 3 + 1)
    fits = shape == labels if image.ndim == 2 else any(shape[:a] + shape[a + 1 :] == labels for a in axes)
    return None if fits else f"has the shape {shape} and its labels {labels}; they must agree"


def log_doubts(images: Sequence[Any], labels: Sequence[Any], names: Sequence[str], what: str) -> None:
    """Warn of images that are their own labels, are given twice, or look like stacks of planes."""
    first: dict[bytes, str] = {}
    for image, label, name in zip(images, labels, names, strict=True):
        array = np.asarray(image)
        if array.shape == np.shape(label) and np.array_equal(array, label):
            logger.warning(f"{what} image {name}: its labels are the image itself")
        doubt = image_doubt(array)
        if doubt is not None:
            logger.warning(f"{what} image {name}: {doubt}")
        channels = min(array.shape) if array.ndim == 3 else 1
        if channels > _MOST_CHANNELS:
            logger.warning(
                f"{what} image {name}: its shape {array.shape} is read as {channels} channels, of which the network "
                "uses the first; to cut planes from stacks use `cellpose slices`"
            )
        earlier = first.setdefault(_key(array), name)
        if earlier != name:
            logger.warning(f"{what} image {name} is the same as {earlier}: it counts twice")


def _key(array: npt.NDArray[Any]) -> bytes:
    """A key that is equal for equal images, and very likely differs for others: it samples the pixels."""
    some = array.reshape(-1)[:: max(1, array.size // _VALUES_COMPARED)]
    told = f"{array.shape} {array.dtype}".encode()
    return hashlib.blake2b(told + np.ascontiguousarray(some).tobytes(), digest_size=16).digest()


def key_of(image: Any, numbers: Any) -> bytes:
    """A key that very likely differs if an image or its labels do: of the pixels a sample, and all label numbers.

    Edits of labels may be small; those of images concern most pixels.
    """
    labels = np.ascontiguousarray(numbers, np.int32)
    return _key(np.asarray(image)) + hashlib.blake2b(labels.tobytes(), digest_size=16).digest()


def log_shared_images(train_set: ImageSet, test_set: ImageSet) -> None:
    """Warn of test images that are trained on."""
    known = _keys(train_set)
    shared = [name for key, name in zip(_keys(test_set), test_set.names, strict=True) if key in set(known)]
    if shared:
        logger.warning(
            f"{len(shared)} of {len(test_set)} test images are also training images, so their scores do not show how "
            f"the model works on new images: {listed(shared)}"
        )


def _keys(images: ImageSet) -> list[Any]:
    if images.data is not None:
        return [_key(np.asarray(image)) for image in images.data]
    return [os.path.realpath(file) for file in images.files or []]
