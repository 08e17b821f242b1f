"""Images with their labels, as training takes them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cellpose._labels.arrays import same_cells
from cellpose._labels.kinds import label_plane
from cellpose.errors import CellposeError, FileReadError, InputError
from cellpose.io._find import get_image_files, labels_to_train_on
from cellpose.io._image import ImageArray
from cellpose.io._label_image import read_labels
from cellpose.io._npy import load_npy
from cellpose.io._read import imread, read_image

__all__ = ["load_file_list", "load_images_labels", "load_train_test_data"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
DataSet = tuple[list[ImageArray], list[ImageArray], list[str]]


def load_images_labels(
    tdir: PathLike, mask_filter: str = "_masks", image_filter: str | None = None, look_one_level_down: bool = False
) -> DataSet:
    """The images of a folder that have labels or flows, and these; those that cannot be used are named and left out.

    Parameters
    ----------
    tdir
        The folder.
    mask_filter
        Ending of the names of labels, see ``get_label_files``.
    image_filter
        Ending of the names of images.
    look_one_level_down
        Also search the sub-folders.

    Returns
    -------
    images : list of ndarray
        The arrays in the files.
    labels : list of ndarray
        Labels (Y, X), or with flows float32 (4, Y, X): labels, cell probability, flow along y and along x.
    image_names : list of str
        Paths.

    Raises
    ------
    InputError
        If there are no images, labels are missing, or none is of planes.
    FileReadError
        If no image can be read with its labels.
    """
    names = get_image_files(tdir, mask_filter, imf=image_filter, look_one_level_down=look_one_level_down)
    label_names, flow_names = labels_to_train_on(names, mask_filter, imf=image_filter)
    images: list[ImageArray] = []
    labels: list[ImageArray] = []
    used: list[str] = []
    wrong: list[CellposeError] = []
    for index, name in enumerate(names):
        try:
            pair = _plane(name), _read_label(_item(label_names, index), _item(flow_names, index), name)
        except CellposeError as error:
            logger.warning(f"{name} is left out: {error}")
            wrong.append(error)
            continue
        images.append(pair[0])
        labels.append(pair[1])
        used.append(name)
    if not used:
        raise wrong[0]
    logger.info(f"{len(labels)} / {len(names)} images in {os.fspath(tdir)} folder have labels")
    return images, labels, used


def _item(names: Sequence[str] | None, index: int) -> str | None:
    return names[index] if names is not None else None


def _plane(name: str) -> ImageArray:
    image = read_image(name)
    planes = [(axis, n) for axis, n in zip(image.axes, image.data.shape, strict=True) if axis in "TZ" and n > 1]
    if planes:
        n = math.prod(n for _, n in planes)
        message = (
            f"{name} of shape {image.data.shape} and axes {image.axes} has {n} planes; training needs single planes: "
            "cut them with `cellpose slices`"
        )
        raise InputError(message)
    return image.data


def _read_label(label_name: str | None, flow_name: str | None, image_name: str) -> ImageArray:
    """The labels of an image (Y, X), with their flows if these belong to them."""
    labels = None if label_name is None else _label_plane(label_name)
    flows = None if flow_name is None else _read_flows(flow_name, labels, image_name)
    if flows is None:
        if labels is None:  # labels_to_train_on leaves no image without both
            message = f"no labels of {image_name} were found"
            raise FileReadError(message)
        return labels
    if labels is None:
        return flows
    if labels.ndim == 3:
        return labels
    if _belong(flows, labels):
        return flows if len(flows) > 3 else np.concatenate((labels[np.newaxis], flows), axis=0)
    logger.warning(f"{flow_name} does not match the labels in {label_name}: the flows are computed again")
    return labels


def _label_plane(name: str) -> ImageArray:
    try:
        return label_plane(read_labels(name))
    except InputError as error:
        message = f"{name}: {error}"
        raise InputError(message) from error


def _read_flows(name: str, labels: ImageArray | None, image_name: str) -> ImageArray | None:
    """Training targets (3 or more, Y, X); None if the file holds something else."""
    flows = imread(name)
    wanted = 4 if labels is None else 3
    if flows.ndim == 3 and len(flows) >= wanted and flows.dtype.kind == "f":
        return flows
    message = (
        f"{name} holds no flows for training, but {flows.dtype} of shape {flows.shape}; they are floats (4, Y, X): "
        "labels, cell or not, flow along y and along x"
    )
    if labels is None:
        message += f", and no labels of {image_name} were found. Delete the file, or add labels"
        raise FileReadError(message)
    logger.warning(f"{message}. It is not used")
    return None


def _belong(flows: ImageArray, labels: ImageArray) -> bool:
    """Whether flows belong to these labels, regardless of numbering; labels below 0 are regions to ignore.

    Flows of three planes have no labels, only what is a cell.
    """
    if labels.shape != flows.shape[1:] or not np.array_equal(labels < 0, flows[-3] < 0):
        return False
    if len(flows) == 3:
        return np.array_equal(labels > 0, flows[0] > 0)
    return same_cells(np.maximum(labels, 0), np.maximum(flows[0], 0))


def load_train_test_data(
    train_dir: PathLike,
    test_dir: PathLike | None = None,
    image_filter: str | None = None,
    mask_filter: str = "_masks",
    look_one_level_down: bool = False,
) -> tuple[
    list[ImageArray],
    list[ImageArray],
    list[str],
    list[ImageArray] | None,
    list[ImageArray] | None,
    list[str] | None,
]:
    """Images and labels for training and, if a folder is given, for testing.

    Parameters
    ----------
    train_dir
        Folder for training.
    test_dir
        Folder for testing; None: none.
    image_filter
        Ending of the names of images.
    mask_filter
        Ending of the names of labels, see ``get_label_files``.
    look_one_level_down
        Also search the sub-folders.

    Returns
    -------
    tuple
        ``(images, labels, image_names, test_images, test_labels, test_image_names)``, the last three None without
        ``test_dir``; see ``load_images_labels``.

    Raises
    ------
    InputError
        If there are no images, labels are missing, or none is of planes.
    FileReadError
        If no image can be read with its labels.
    """
    train = load_images_labels(train_dir, mask_filter, image_filter, look_one_level_down)
    if not test_dir:
        return *train, None, None, None
    test = load_images_labels(test_dir, mask_filter, image_filter, look_one_level_down)
    return *train, *test


def load_file_list(path: PathLike) -> dict[str, Any]:
    """What ``--file_list`` names: a dict with ``train_files`` and more, saved with ``numpy.save``.

    Raises
    ------
    InputError
        If the file holds something else.
    FileReadError, UnsafeFileError
        If it cannot be read.
    """
    content = load_npy(path)
    if not isinstance(content, dict) or "train_files" not in content:
        message = f"--file_list {os.fspath(path)} must hold a dict with train_files, saved with numpy.save"
        raise InputError(message)
    return content
