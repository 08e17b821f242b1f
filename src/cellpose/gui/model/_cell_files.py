"""The table of cells as CSV, and cells with their attributes in the formats of other programs."""

from __future__ import annotations

import csv
import io as text
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._box import Box
from cellpose.gui.model._cell_filter import diameters
from cellpose.gui.model._classes import Classes
from cellpose.gui.model._labels import Table
from cellpose.gui.model._links import Lineage
from cellpose.io import Cells

__all__ = ["as_csv", "cells_of", "marks_of", "times_of"]

Labels = npt.NDArray[np.int32]


def as_csv(
    labels: Labels,
    rows: Table,
    classes: Sequence[str],
    pixel_um: tuple[float, float] | None = None,
    lineage: Lineage | None = None,
    interval_s: float | None = None,
) -> str:
    r"""One line per cell, in the order of the labels 1..n.

    Parameters
    ----------
    labels
        (Z, Y, X), numbered 1..n as in the files of masks.
    rows
        Rows of the table, dtype ``CELL`` (n,).
    classes
        Names of the classes 1, 2, ...
    pixel_um
        Height and width of a pixel; None: sizes in pixels only.
    lineage
        For a movie: the tracks of these cells. They add the frame, the track and the mother's track (0: none).
    interval_s
        Seconds between frames, for a time column.

    Examples
    --------
    >>> from cellpose.gui.model import LabelStore
    >>> store = LabelStore(np.array([[0, 1, 1], [0, 1, 1]]))
    >>> print(as_csv(*store.numbered(), ["round"], (0.5, 0.5)).replace("\r\n", "\n"))
    label,y_px,x_px,area_px,diameter_px,area_um2,diameter_um,score,class,class_name,manual,checked
    1,0.5,1.5,4,2.257,1,1.128,,0,,0,0
    <BLANKLINE>
    """
    out = text.StringIO()
    writer = csv.writer(out)
    microns = [] if pixel_um is None else ["area_um2", "diameter_um"]
    place = ["y_px", "x_px"] if len(labels) == 1 or lineage is not None else ["z_px", "y_px", "x_px"]
    times = {} if lineage is None else times_of(lineage, interval_s)
    writer.writerow(
        [
            "label",
            *times,
            *place,
            "area_px",
            "diameter_px",
            *microns,
            "score",
            "class",
            "class_name",
            "manual",
            "checked",
        ]
    )
    unit = 1.0 if pixel_um is None else pixel_um[0] * pixel_um[1]
    wide = diameters(rows)
    for number, (row, centre) in enumerate(zip(rows, _centres(labels, rows)[:, -len(place) :], strict=True), 1):
        um = [] if pixel_um is None else [f"{row['area'] * unit:.6g}", f"{wide[number - 1] * unit**0.5:.4g}"]
        kind = int(row["kind"])
        writer.writerow(
            [
                number,
                *(f"{values[number - 1]:.10g}" for values in times.values()),
                *(f"{at:.6g}" for at in centre),
                row["area"],
                f"{wide[number - 1]:.4g}",
                *um,
                "" if np.isnan(row["score"]) else f"{row['score']:.4f}",
                kind,
                classes[kind - 1] if 0 < kind <= len(classes) else "",
                int(row["manual"]),
                int(row["checked"]),
            ]
        )
    return out.getvalue()


def times_of(lineage: Lineage, interval_s: float | None) -> dict[str, npt.NDArray[Any]]:
    """For the cells 1..n of a movie: frame, time if known, track, and the mother's track (0: none)."""
    frame, track = lineage.frame[1:], lineage.track[1:]
    seconds = {} if interval_s is None else {"time_s": frame * interval_s}
    return {"frame": frame, **seconds, "track": track, "parent": lineage.track[lineage.earlier[track]]}


def _centres(labels: Labels, rows: Table) -> npt.NDArray[np.float64]:
    """Mean z, y, x (n, 3) of the pixels of each label, computed within its box."""
    centres = np.empty((len(rows), 3))
    for number, box in enumerate(rows["box"].tolist(), 1):
        around = Box(*box)
        centres[number - 1] = np.argwhere(labels[around.slices] == number).mean(axis=0) + around[::2]
    return centres


def cells_of(
    labels: Labels,
    rows: Table,
    classes: Classes,
    voxel_um: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Cells:
    """Cells ([Z,] Y, X), numbered 1..n, with class, score and area, as `cellpose.io.write_cells` takes them."""
    kinds = dict(enumerate(zip(classes.names, classes.colors.tolist(), strict=True), 1))
    numbers = np.arange(1, len(rows) + 1)
    measured = {"label": numbers, "area px": rows["area"], "score": rows["score"], "manual": rows["manual"]}
    of_cells = {number: kinds[kind] for number, kind in enumerate(rows["kind"].tolist(), 1) if kind in kinds}
    return Cells(labels, of_cells, measured, pixel_size_um=voxel_um)


def marks_of(rows: Table, classes: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Columns of cell attributes: class, score, drawn by hand, checked."""
    names = [classes[kind - 1] if 0 < kind <= len(classes) else str(kind or "") for kind in rows["kind"].tolist()]
    return {
        "class": np.array(names, dtype=object),
        "score": rows["score"],
        "manual": rows["manual"],
        "checked": rows["checked"],
    }
