"""Plots of a table as PNG: sizes, cells per image, intensities."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.measure._summary import ImageSummary, size_column

__all__ = ["plots_of"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]

_INK, _QUIET, _GRID = "#1f2933", "#6b7785", "#e4e8ed"
_BLUE = "#2a78b5"
_CHANNELS = ("#2a78b5", "#d9822b", "#2f9e6e", "#b5446e", "#7a5fb5")
_MOST_BARS = 40
_STYLE = {
    "font.size": 10.5, "axes.edgecolor": _QUIET, "axes.labelcolor": _INK, "axes.titlesize": 12.5,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 12, "axes.titlecolor": _INK,
    "text.color": _INK, "xtick.color": _QUIET, "ytick.color": _QUIET, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "grid.color": _GRID, "figure.facecolor": "white",
}  # fmt: skip


def plots_of(columns: Columns, images: Sequence[ImageSummary], channel_names: Sequence[str] = ()) -> dict[str, bytes]:
    """The plots that the table allows, by name: "sizes", "counts", "intensity".

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    matplotlib = optional("matplotlib", "measure", "draw plots")
    plots = {}
    with matplotlib.rc_context(_STYLE):
        if len(images) > 1:
            plots["counts"] = _counts(images)
        if len(columns.get("label", ())):
            if "area" in columns:
                plots["sizes"] = _sizes(columns)
            channels = [name for name in columns if name.startswith("intensity_mean")]
            if channels:
                plots["intensity"] = _intensity(columns, channels, channel_names)
    return plots


def _figure(height: float = 3.6) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=160)
    return out.getvalue()


def _edges(values: Array) -> Array:
    """Bin edges up to the 99.5th percentile, so that one giant cell does not squeeze all others into one bin."""
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    n = int(np.clip(np.sqrt(values.size) * 1.5, 8, 60))
    return np.linspace(low, high if high > low else low + 1, n + 1)


def _whole_ticks(axis: Any) -> None:
    """Ticks of numbers of cells or images, which are whole."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))


def _sizes(columns: Columns) -> bytes:
    name, unit = size_column(columns)
    values = columns[name].astype(np.float64)
    figure, axes = _figure()
    edges = _edges(values)
    axes.hist(np.minimum(values, edges[-1]), edges, color=_BLUE, edgecolor="white", linewidth=0.6)
    middle = float(np.median(values))
    axes.axvline(middle, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        f"median {middle:,.4g} {unit}", (middle, 1), (6, -4), xycoords=("data", "axes fraction"),
        textcoords="offset points", va="top", fontsize=9.5,
    )  # fmt: skip
    axes.set_title("Size of cells")
    axes.set_xlabel(f"{'volume' if unit in ('voxels', 'µm³') else 'area'} ({unit})")
    axes.set_ylabel("cells")
    _whole_ticks(axes.yaxis)
    axes.grid(axis="y")
    return _png(figure)


def _counts(images: Sequence[ImageSummary]) -> bytes:
    few = len(images) <= _MOST_BARS
    figure, axes = _figure(max(2.4, 0.24 * len(images) + 1.2) if few else 3.6)
    counts = np.array([image.n_cells for image in images])
    if few:
        places = np.arange(len(images))[::-1]
        axes.barh(places, counts, height=0.7, color=_BLUE)
        axes.set_yticks(places, [_short(image.name) for image in images])
        for place, count in zip(places, counts, strict=True):
            axes.annotate(f"{count:,}", (count, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_xlabel("cells")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.margins(x=0.1)
    else:
        axes.hist(counts, _edges(counts), color=_BLUE, edgecolor="white", linewidth=0.6)
        axes.set_xlabel("cells in an image")
        axes.set_ylabel("images")
        _whole_ticks(axes.yaxis)
        axes.grid(axis="y")
    _whole_ticks(axes.xaxis)
    axes.set_title("Cells in each image")
    return _png(figure)


def _short(name: str, most: int = 30) -> str:
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def _intensity(columns: Columns, channels: Sequence[str], names: Sequence[str]) -> bytes:
    figure, axes = _figure()
    values = [columns[name][np.isfinite(columns[name])] for name in channels]
    together = np.concatenate(values)
    edges = _edges(together) if together.size else np.linspace(0, 1, 9)
    for k, (name, own) in enumerate(zip(channels, values, strict=True)):
        number = name.partition("-")[2]
        title = names[int(number)] if number and int(number) < len(names) else f"channel {number or 0}"
        color = _CHANNELS[k % len(_CHANNELS)]
        axes.hist(np.minimum(own, edges[-1]), edges, color=color, alpha=0.25)
        axes.hist(np.minimum(own, edges[-1]), edges, color=color, histtype="step", linewidth=1.6, label=title)
    axes.set_title("Mean intensity of cells")
    axes.set_xlabel("intensity, in units of the files")
    axes.set_ylabel("cells")
    _whole_ticks(axes.yaxis)
    axes.grid(axis="y")
    if len(channels) > 1:
        axes.legend(frameon=False)
    return _png(figure)
