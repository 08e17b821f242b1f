"""Results of one image, or lists of results, made into one list."""

from __future__ import annotations

import itertools
import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellpose.errors import InputError

__all__ = ["ImageResult", "per_image", "split"]

logger = logging.getLogger("cellpose.io")


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The image, masks and flows of one image file; ``image`` and ``flows`` are None where they are not given."""

    image: Any
    masks: Any
    flows: Any
    file_name: str


def per_image(images: Any, masks: Any, flows: Any, file_names: Any) -> list[ImageResult]:
    """One result for each image; a single one may be given as it is, or in lists of one."""
    names = [file_names] if isinstance(file_names, (str, os.PathLike)) else list(file_names)
    single = not isinstance(masks, (list, tuple))
    if single:
        images, masks, flows = [_bare(images)], [masks], [flows]
    else:
        images = [None] * len(masks) if images is None else images
        flows = [None] * len(masks) if flows is None else flows
    lengths = {"images": len(images), "masks": len(masks), "flows": len(flows), "file_names": len(names)}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{count} {name}" for name, count in lengths.items())
        message = f"the results do not match: {told} are given; give as many of each"
        raise InputError(message)
    results = [
        ImageResult(*item[:3], os.fspath(item[3])) for item in zip(list(images), list(masks), flows, names, strict=True)
    ]
    for result in results:
        _warn_of_another_size(result)
    return results


def _warn_of_another_size(result: ImageResult) -> None:
    """Warn where rows and columns of the masks are not two axes of the image: lists may be out of step."""
    image, labels = np.shape(result.image), np.shape(result.masks)[-2:]
    if result.image is not None and len(labels) == 2 and labels not in itertools.combinations(image, 2):
        sides = " x ".join(map(str, labels))
        logger.warning(
            f"{result.file_name}: masks of {sides} pixels do not fit an image of shape {image}; make sure that images "
            "and masks are in the same order"
        )


def _bare(image: Any) -> Any:
    return image[0] if isinstance(image, list) and len(image) == 1 and np.ndim(image[0]) >= 2 else image


def split(value: Any, count: int, listed: bool) -> list[Any]:
    """One value for each image: a list is dealt out, anything else goes to all."""
    if value is None or not (listed or isinstance(value, list)):
        return [value] * count
    if len(value) != count:
        message = f"{len(value)} restored images are given for {count} images; give one for each"
        raise InputError(message)
    return list(value)
