"""Cells in files of any format that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.reading import reading
from cellpose.errors import FileMissingError, InputError
from cellpose.io._cells._cells import Cells
from cellpose.io._cells._formats import format_of

__all__ = ["read_cells", "write_cells"]

PathLike = str | os.PathLike[str]


def write_cells(
    path: PathLike,
    masks: npt.ArrayLike | Cells,
    to: str | None = None,
    *,
    classes: Mapping[int, Any] | None = None,
    table: Mapping[str, Any] | None = None,
) -> None:
    """Write cells in the format of another program; an old file is replaced once the new one is complete.

    Parameters
    ----------
    path
        Path of the file; its ending selects the format, unless ``to`` is given.
    masks
        Labels (Y, X) or (Z, Y, X), or `Cells`, which hold more than labels.
    to
        Name of a format: one of ``FORMATS``, such as ``"roi"``, ``"geojson"`` or ``"coco"``.
    classes
        Maps a label to the name of its class, or to name and color; replaces those of `Cells`.
    table
        Maps names of columns to measurements, one of them ``"label"``; replaces those of `Cells`.

    Raises
    ------
    OptionError
        If there is no such format, or it cannot be written.
    InputError
        If the masks are not labels, or the format cannot hold a stack.
    FileWriteError
        If the file cannot be written.
    MissingExtraError
        If a library for the format is not installed.

    Examples
    --------
    >>> write_cells("cells_rois.zip", masks)  # doctest: +SKIP
    >>> write_cells("cells.geojson", masks, classes={1: "neuron"}, table=measure.table(masks))  # doctest: +SKIP
    """
    target = Path(path)
    form = format_of(target, to, writing=True)
    given = masks if isinstance(masks, Cells) else Cells(np.asarray(masks))
    cells = replace(
        given,
        classes=classes
        if classes is not None
        else (None if table is not None and not given.classes else given.classes),
        table=table if table is not None else given.table,
    )
    if cells.labels.ndim == 3 and not form.stacks:
        message = f"{form.name} can only hold a single plane, not labels of shape {cells.labels.shape}"
        raise InputError(message)
    form.write(target, cells)


def read_cells(
    path: PathLike,
    shape: Sequence[int] | None = None,
    *,
    form: str | None = None,
    image: str | None = None,
) -> Cells:
    """Read cells from another program, or from `write_cells`.

    Parameters
    ----------
    path
        The file, or folder of an OME-Zarr.
    shape
        Shape of the image, (Y, X) or (Z, Y, X), if the file does not contain it; None: the smallest that holds all
        cells.
    form
        Name of the format; None: from the file.
    image
        Name of the image, if the file holds the cells of several.

    Returns
    -------
    Cells
        The labels, and names, classes and measurements as far as the format holds them.

    Raises
    ------
    FileReadError
        If the file cannot be read.
    OptionError
        If the format is unknown, or cannot be read back.
    InputError
        If ``shape`` or ``image`` do not match the file.
    MissingExtraError
        If a library for the format is not installed.
    """
    source = Path(path)
    if not source.exists():
        message = f"{source} does not exist; check the path"
        raise FileMissingError(message)
    with reading(source):
        found = format_of(source, form, writing=False)
        return found.read(source, shape, image)
