"""Outlines as ROIs of ImageJ."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.writing import replacing
from cellpose.errors import InputError
from cellpose.io._cells import Cells
from cellpose.io._cells._imagej import bind, entry, write_exact_rois
from cellpose.io._write import PathLike, smallest_labels

__all__ = ["save_rois", "write_rois"]

logger = logging.getLogger(__name__)


def save_rois(
    masks: npt.ArrayLike,
    file_name: PathLike,
    multiprocessing: bool | None = None,
    prefix: str = "",
    pad: bool = False,
    exact: bool = False,
) -> None:
    """Write the outlines of masks as ROIs of ImageJ to ``<file name without extension>_rois.zip``.

    Every label has its ROI; without labels the archive is empty.

    Parameters
    ----------
    masks
        Labels, (Y, X), or (Z, Y, X): then one ROI per plane, bound to that plane.
    file_name
        The image file.
    multiprocessing
        Whether to trace the outlines in several processes; None: by the number of labels.
    prefix
        Start of the name of every ROI; its label follows.
    pad
        Fill the labels up with zeros to the same number of digits.
    exact
        Outlines along the borders of pixels, which ImageJ fills to the very pixels of the labels; those with holes or
        of several pieces are composites. Otherwise they run through the outermost pixels, as other programs expect them
        of this function: ImageJ then fills a row and a column less, and one piece of each label without its holes.

    Raises
    ------
    InputError
        If the masks are not labels in 2 or 3 axes.
    FileWriteError
        If the file cannot be written.
    """
    target = os.path.splitext(os.fspath(file_name))[0] + "_rois.zip"
    write_rois(masks, target, multiprocessing=multiprocessing, prefix=prefix, pad=pad, exact=exact)


def write_rois(
    masks: npt.ArrayLike,
    target: PathLike,
    *,
    multiprocessing: bool | None = None,
    prefix: str = "",
    pad: bool = False,
    exact: bool = False,
    axes: str | None = None,
    hyperstack: bool = False,
) -> None:
    """Write ImageJ ROIs to the file ``target``; see `save_rois`.

    ``axes`` are those of the masks, "TYX" for a movie. ``hyperstack``: the image has channels beside them.
    """
    from roifile import ImagejRoi

    labels = smallest_labels(masks)
    if labels.ndim not in (2, 3):
        message = f"masks of shape {labels.shape} have no outlines; give (Y, X) or (Z, Y, X)"
        raise InputError(message)
    if not labels.any():
        logger.warning(f"no masks found: {os.fspath(target)} holds no ROIs")
    digits = len(str(int(labels.max(initial=0)))) if pad else 0
    cells = Cells(labels, axes=axes or "ZYX"[-labels.ndim :])
    if exact:
        with replacing(target) as file:
            write_exact_rois(file, cells, prefix=prefix, digits=digits, hyperstack=hyperstack)
        return
    with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for plane, label, outline in _labelled_outlines(labels, multiprocessing):
            name = f"{prefix}{label:0{digits}d}" + ("" if plane is None else f"-{cells.letter}{plane + 1}")
            roi = ImagejRoi.frompoints(outline, name=name)
            bind(roi, plane, cells.letter, hyperstack=hyperstack)
            archive.writestr(entry(name), roi.tobytes())


def _labelled_outlines(
    labels: npt.NDArray[Any], multiprocessing: bool | None
) -> Iterator[tuple[int | None, int, npt.NDArray[Any]]]:
    from cellpose.utils import outlines_list

    planes = [(None, labels)] if labels.ndim == 2 else list(enumerate(labels))
    for plane, section in planes:
        present = np.unique(section)
        outlines = outlines_list(section, multiprocessing=multiprocessing)
        yield from ((plane, int(label), outline) for label, outline in zip(present[present > 0], outlines, strict=True))
