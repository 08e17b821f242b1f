"""Images with their labels, as training takes them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cellpose.errors import FileReadError, InputError
from cellpose.io._find import get_image_files, get_label_files
from cellpose.io._image import ImageArray
from cellpose.io._npy import load_npy
from cellpose.io._read import imread

__all__ = ["load_file_list", "load_images_labels", "load_train_test_data"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
DataSet = tuple[list[ImageArray], list[ImageArray], list[str]]


def load_images_labels(
    tdir: PathLike, mask_filter: str = "_masks", image_filter: str | None = None, look_one_level_down: bool = False
) -> DataSet:
    """The images of a folder that have labels or flows, and these.

    Parameters
    ----------
    tdir
        The folder.
    mask_filter
        Ending of the names of labels, see ``get_label_files``.
    image_filter
        Ending of the names of images.
    look_one_level_down
        Look into the sub-folders, too.

    Returns
    -------
    images : list of ndarray
        As the files hold them.
    labels : list of ndarray
        Labels (Y, X), or with flows float32 (4, Y, X): labels, cell probability, flow along y and along x.
    image_names : list of str
        Paths.

    Raises
    ------
    InputError
        If there are no images, or labels are missing.
    FileReadError
        If a file cannot be read.
    """
    names = get_image_files(tdir, mask_filter, imf=image_filter, look_one_level_down=look_one_level_down)
    label_names, flow_names = get_label_files(names, mask_filter, imf=image_filter)
    images = [imread(name) for name in names]
    labels = [
        _read_label(_item(label_names, index), _item(flow_names, index), names[index]) for index in range(len(names))
    ]
    logger.info(f"{len(labels)} / {len(names)} images in {os.fspath(tdir)} folder have labels")
    return images, labels, names


def _item(names: Sequence[str] | None, index: int) -> str | None:
    return names[index] if names is not None else None


def _read_label(label_name: str | None, flow_name: str | None, image_name: str) -> ImageArray:
    if flow_name is None:
        # get_label_files leaves no image without both
        return imread(label_name or image_name)
    flows = imread(flow_name)
    if flows.ndim != 3:
        message = f"{flow_name} has the shape {flows.shape}; flows for training have (3 or 4, Y, X). Delete the file"
        raise FileReadError(message)
    if len(flows) >= 4:
        if label_name is None:
            return flows
        labels = imread(label_name)
        if _same_cells(labels, flows):
            return flows
        logger.warning(f"{flow_name} is of other labels than {label_name} holds: its flows are computed anew")
        return labels
    if label_name is None:
        message = f"{flow_name} holds {len(flows)} channels and no labels, and no labels of {image_name} were found"
        raise FileReadError(message)
    labels = imread(label_name)
    if labels.shape != flows.shape[1:]:
        message = f"{label_name} has the shape {labels.shape}, {flow_name} {flows.shape[1:]}; they must be equal"
        raise FileReadError(message)
    return np.concatenate((labels[np.newaxis], flows), axis=0)


def _same_cells(labels: ImageArray, flows: ImageArray) -> bool:
    """Whether flows are of these labels, whose numbers may have gaps that those in the flows have not."""
    if labels.shape != flows.shape[1:] or not np.array_equal(labels < 0, flows[-3] < 0):
        return False
    ours, theirs = np.maximum(labels, 0), flows[0]
    if np.array_equal(ours, theirs):
        return True
    same: bool = np.array_equal(np.unique(ours, return_inverse=True)[1], np.unique(theirs, return_inverse=True)[1])
    return same and np.array_equal(ours > 0, theirs > 0)


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
        Look into the sub-folders, too.

    Returns
    -------
    tuple
        ``(images, labels, image_names, test_images, test_labels, test_image_names)``, the last three None without
        ``test_dir``; see ``load_images_labels``.

    Raises
    ------
    InputError
        If there are no images, or labels are missing.
    FileReadError
        If a file cannot be read.
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
