"""A report of a run: one self-contained HTML file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._page import card, number, page, picture
from cellpose.measure._summary import ImageSummary, size_column

__all__ = ["report_of"]

Columns = dict[str, npt.NDArray[Any]]

_MOST_PICTURES = 300  # with this many images a report takes about ten megabytes
_COLUMNS_TOLD = (
    "area", "area_um2", "volume_um3", "equivalent_diameter_area", "equivalent_diameter_area_um", "eccentricity",
    "solidity", "neighbors_touching", "nuclei_count", "score",
)  # fmt: skip
_STARTS_TOLD = ("intensity_mean", "spots_count")


def report_of(
    title: str,
    columns: Columns,
    images: Sequence[ImageSummary],
    plots: Mapping[str, bytes],
    failed: Mapping[str, str],
    tables: Sequence[str] = (),
) -> str:
    """The report.

    Parameters
    ----------
    title
        What was measured, such as the folder.
    columns
        The table.
    images
        The measured images.
    plots
        PNG files by name.
    failed
        Images that could not be measured, and why.
    tables
        File names of the tables.
    """
    sections = [f"<div class=tiles>{''.join(_tiles(columns, images, failed))}</div>"]
    if failed:
        rows = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(why)}</li>" for name, why in failed.items())
        sections.append(f"<section class=failed><h2>Not measured</h2><ul>{rows}</ul></section>")
    if plots:
        shown = "".join(
            f'<div class=plot><img alt="{name}" src="{picture("png", plots[name])}"></div>'
            for name in ("sizes", "intensity", "counts")
            if name in plots
        )
        sections.append(f"<h2>At a glance</h2><div class=plots>{shown}</div>")
    sections += [_quantiles(columns), _cards(images)]
    files = f"Table: {', '.join(tables)}. " if tables else ""
    note = f"{files}Names and values of columns are those of scikit-image."
    return page(title, "Cell measurements", sections, note=note)


def _tiles(columns: Columns, images: Sequence[ImageSummary], failed: Mapping[str, str]) -> list[str]:
    n = sum(image.n_cells for image in images)
    facts = [("cells", number(n)), ("image" if len(images) == 1 else "images", number(len(images)))]
    if len(images) > 1:
        facts.append(("cells in the median image", number(float(np.median([image.n_cells for image in images])))))
    if n and "area" in columns:
        name, unit = size_column(columns)
        what = "median volume" if unit in ("voxels", "µm³") else "median area"
        facts.append((f"{what}, {unit}", number(float(np.median(columns[name])))))
    if n and "score" in columns:
        facts.append(("median score", number(float(np.nanmedian(columns["score"])))))
    if failed:
        facts.append(("not measured", number(len(failed))))
    return [f"<div class=tile><b>{value}</b><span>{name}</span></div>" for name, value in facts]


def _quantiles(columns: Columns) -> str:
    """Quantiles of the most used columns."""
    told = [name for name in columns if name in _COLUMNS_TOLD or name.startswith(_STARTS_TOLD)]
    rows = []
    for name in told:
        values = columns[name].astype(np.float64)
        values = values[np.isfinite(values)]
        if values.size:
            cells = "".join(f"<td>{number(q)}</td>" for q in np.percentile(values, (5, 25, 50, 75, 95)))
            rows.append(f"<tr><td>{html.escape(name)}</td><td>{number(values.mean())}</td>{cells}</tr>")
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("", "mean", "5 %", "25 %", "median", "75 %", "95 %"))
    return f"<h2>All cells</h2><div class=scroll><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def _in_words(name: str) -> str:
    base, _, channel = name.partition("-")
    what = {"area": "area, px", "volume": "volume, voxels", "area_um2": "area, µm²", "volume_um3": "volume, µm³"}.get(
        base, "intensity"
    )
    return f"median {what}{f', channel {channel}' if channel else ''}"


def _cards(images: Sequence[ImageSummary]) -> str:
    cards = []
    for image in images[:_MOST_PICTURES]:
        facts = {"cells": number(image.n_cells)}
        if image.n_frames > 1:
            facts["frames"] = number(image.n_frames)
        facts |= {_in_words(name): number(value) for name, value in image.medians.items()}
        cards.append(card(image.name, image.picture, image.masks, facts))
    more = len(images) - len(cards)
    rest = f"<p class=sub>{more} more images are in the table.</p>" if more > 0 else ""
    return f"<h2>Images</h2><div class=cards>{''.join(cards)}</div>{rest}" if cards else ""
