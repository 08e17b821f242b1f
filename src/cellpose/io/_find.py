"""Which files of a folder are images, which are results, and which labels belong to which image."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from cellpose.errors import FileReadError, InputError

__all__ = ["get_image_files", "get_label_files"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".flex", ".dax", ".nd2", ".nrrd")
# looked for only where there is none of the former, so that a preview beside its image is not taken for a second one
_FURTHER_SUFFIXES = (".czi", ".lif", ".bmp", ".gif")
_RESULT_ENDINGS = ("_cp_output", "_flows", "_flows_0", "_flows_1", "_flows_2", "_cellprob", "_masks")
_LABEL_SUFFIXES = (".tif", ".tiff", ".png")
_SEG = "_seg.npy"


def get_image_files(
    folder: PathLike, mask_filter: str = "_masks", imf: str | None = None, look_one_level_down: bool = False
) -> list[str]:
    """The images in a folder, without labels and results, in natural order.

    Parameters
    ----------
    folder
        The folder.
    mask_filter
        Ending of the names of labels, before the extension; such files are left out.
    imf
        Ending of the names of images, before the extension; other files are left out. None or "": any.
    look_one_level_down
        Look into the sub-folders, too.

    Returns
    -------
    list of str
        Paths: PNG, JPEG, TIFF, FLEX, DAX, ND2, NRRD; only where there is none of these CZI, LIF, BMP and GIF.

    Raises
    ------
    InputError
        If the folder is not there, or holds no images.
    FileReadError
        If the folder may not be read.
    """
    from natsort import natsorted

    root = os.fspath(folder)
    folders = [*_sub_folders(root), root] if look_one_level_down else [root]
    files = [os.path.join(place, name) for place in folders for name in _names(place)]
    if not files:
        message = f"ERROR: no files in --dir folder {root}"
        raise InputError(message)
    ending = imf or ""
    images = _with_suffix(files, _IMAGE_SUFFIXES, ending) or _with_suffix(files, _FURTHER_SUFFIXES, ending)
    if not images:
        message = (
            f"ERROR: no images in --dir folder {root} with extensions {', '.join(_IMAGE_SUFFIXES)}"
            + (f" whose names end in {ending!r}" if ending else "")
            + "; check the folder and --img_filter, or convert the images to TIFF"
        )
        raise InputError(message)
    kept = [file for file in images if not _is_result(_stem_name(file), mask_filter)]
    if not kept:
        message = (
            f"ERROR: no images in --dir folder {root} without the endings of results "
            f"({', '.join(_RESULT_ENDINGS)}) and of labels ({mask_filter})"
        )
        raise InputError(message)
    return [str(file) for file in natsorted(set(kept))]


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            # hidden files are no images of the user: other systems leave such beside every image
            return [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"ERROR: no files in --dir folder {folder}, which is not a folder"
        raise InputError(message) from error
    except OSError as error:
        message = f"the folder {folder} could not be read: {error.strerror or error}"
        raise FileReadError(message) from error


def _sub_folders(folder: str) -> list[str]:
    _names(folder)
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _stem_name(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _with_suffix(files: Sequence[str], suffixes: tuple[str, ...], ending: str) -> list[str]:
    return [file for file in files if file.lower().endswith(suffixes) and _stem_name(file).endswith(ending)]


def _is_result(stem: str, mask_filter: str) -> bool:
    return any(
        ending and stem.endswith(ending) and len(stem) > len(ending) for ending in (*_RESULT_ENDINGS, mask_filter)
    )


def get_label_files(
    image_names: Sequence[PathLike], mask_filter: str = "_masks", imf: str | None = None
) -> tuple[list[str] | None, list[str] | None]:
    """The files of labels and of flows that belong to images.

    Parameters
    ----------
    image_names
        Paths of the images.
    mask_filter
        What follows the name of the image: "_masks" (then ``.tif``, ``.tiff`` or ``.png``, the same for all images),
        or "_seg.npy" for labels of the GUI.
    imf
        Ending of the names of the images that the names of the labels do not have.

    Returns
    -------
    label_names : list of str or None
        Paths, in the order of the images; None where some are missing and all flows are there.
    flow_names : list of str or None
        Paths of ``_flows.tif``; None where some are missing.

    Raises
    ------
    InputError
        If labels are missing.
    """
    full = [os.path.splitext(os.fspath(name))[0] for name in image_names]
    if not full:
        message = "no images are given to look for labels of"
        raise InputError(message)
    cut = [stem[: -len(imf)] if imf and stem.endswith(imf) else stem for stem in full]
    if mask_filter == _SEG:
        labels = [stem + _SEG for stem in cut]
        _check_complete(labels, mask_filter)
        return labels, None
    flows = _flow_files(full, cut)
    suffix = next((suffix for suffix in _LABEL_SUFFIXES if Path(cut[0] + mask_filter + suffix).exists()), None)
    if suffix is None:
        if flows is None:
            message = (
                f"labels not provided with correct --mask_filter: there is no {cut[0]}{mask_filter} with any of "
                f"{', '.join(_LABEL_SUFFIXES)}"
            )
            raise InputError(message)
        return None, flows
    labels = [stem + mask_filter + suffix for stem in cut]
    if flows is None:
        _check_complete(labels, mask_filter)
    elif not all(map(os.path.exists, labels)):
        return None, flows
    return labels, flows


def _flow_files(full: list[str], cut: list[str]) -> list[str] | None:
    stems = full if os.path.exists(f"{full[0]}_flows.tif") else cut
    flows = [f"{stem}_flows.tif" for stem in stems]
    if all(map(os.path.exists, flows)):
        return flows
    logger.info("not all flows are present, running flow generation for all images")
    return None


def _check_complete(labels: list[str], mask_filter: str) -> None:
    missing = [label for label in labels if not os.path.exists(label)]
    if missing:
        message = (
            f"labels not provided for all images in train and/or test set: {len(missing)} of {len(labels)} are "
            f"missing, the first is {missing[0]}. Add it, remove the image, "
            f"or choose another --mask_filter than {mask_filter!r}"
        )
        raise InputError(message)
