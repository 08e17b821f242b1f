"""The map of styles as a page and as a picture."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose._page import card, number, page, picture
from cellpose.styles._map import StyleMap

__all__ = ["MappedImage", "page_of", "picture_of"]

_STYLE = """
.map{position:relative;width:100%;aspect-ratio:3/2;background:var(--card);border:1px solid var(--line);
border-radius:10px}
.map a{position:absolute;transform:translate(-50%,-50%);border-radius:6px;line-height:0;border:2px solid var(--card);
box-shadow:0 0 0 1px var(--line)}
.map a:hover,.map a:focus{z-index:3;transform:translate(-50%,-50%) scale(2.6);outline:none}
.map a.odd{border-color:var(--bad)}.map a.next{border-color:var(--blue)}
.map img{width:var(--side);height:var(--side);object-fit:cover;border-radius:4px}
.map b{position:absolute;top:-9px;left:-9px;min-width:18px;height:18px;border-radius:9px;background:var(--blue);
color:#fff;font:600 11px/18px system-ui,sans-serif;text-align:center}
.key{color:var(--quiet);font-size:13px;margin:10px 2px 0}
.key i{display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-1px;margin:0 5px 0 14px}
"""


@dataclass(frozen=True, eq=False)
class MappedImage:
    """An image of a map: its name, a JPEG of it, its cells, and the mean score of them (NaN: unknown)."""

    name: str
    jpeg: bytes
    n_cells: int
    score: float


def page_of(
    title: str, images: Sequence[MappedImage], found: StyleMap, chosen: npt.NDArray[np.int64], failed: dict[str, str]
) -> str:
    """The page: the map with thumbnails, outliers, and images to annotate first.

    Parameters
    ----------
    title
        Name of the mapped set, such as the folder.
    images
        The images, in the order of the map.
    found
        The map.
    chosen
        Places of the images to annotate, the first one first.
    failed
        Images that are not in it, and why.
    """
    side = int(np.clip(330 / max(len(images), 1) ** 0.5, 18, 84))
    order = {int(place): rank for rank, place in enumerate(chosen, 1)}
    odd = {int(place) for place in found.unusual}
    marks = []
    for place, (image, (x, y)) in enumerate(zip(images, found.positions, strict=True)):
        kind = " next" if place in order else " odd" if place in odd else ""
        rank = f"<b>{order[place]}</b>" if place in order else ""
        name = html.escape(f"{image.name}: {image.n_cells} cells", quote=True)
        at = f"left:{50 + 45 * x:.2f}%;top:{50 - 44 * y:.2f}%;--side:{side}px"
        marks.append(
            f'<a href="#image{place}" class="{kind.strip()}" title="{name}" style="{at}">'
            f'<img alt="{name}" src="{picture("jpeg", image.jpeg)}">{rank}</a>'
        )
    key = (
        "<p class=key>Images that are near each other look alike to the network; the axes have no meaning.<i "
        "style='background:var(--blue)'></i>to annotate first<i style='background:var(--bad)'></i>unlike the rest</p>"
    )
    sections = [f"<div class=map>{''.join(marks)}</div>{key}"]
    sections += _cards("To annotate first", [(k, _rank(order[k], k in odd)) for k in map(int, chosen)], images, found)
    sections += _cards("Unlike the rest", [(int(k), "") for k in found.unusual if int(k) not in order], images, found)
    if failed:
        rows = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(why)}</li>" for name, why in failed.items())
        sections.append(f"<section class=failed><h2>Not on the map</h2><ul>{rows}</ul></section>")
    everything = [(k, "") for k in range(len(images)) if k not in order and k not in odd]
    sections += _cards("All others", everything, images, found)
    how = "t-SNE" if found.method == "tsne" else "PCA"
    return page(title, "Style map", sections, style=_STYLE, note=f"Positions by {how} of the style vectors.")


def _rank(number: int, unlike: bool) -> str:
    return f"number {number}{', unlike the rest' if unlike else ''}"


def _cards(heading: str, rows: Sequence[tuple[int, str]], images: Sequence[MappedImage], found: StyleMap) -> list[str]:
    if not rows:
        return []
    cards = []
    for place, caption in rows:
        image = images[place]
        facts = {"cells": number(image.n_cells), "unlike the rest": number(float(found.unlikeness[place]))}
        if np.isfinite(image.score):
            facts["mean score"] = number(image.score)
        cards.append(f"<div id=image{place}>{card(image.name, image.jpeg, caption, facts)}</div>")
    return [f"<h2>{heading}</h2><div class=cards>{''.join(cards)}</div>"]


def picture_of(images: Sequence[MappedImage], found: StyleMap, chosen: npt.NDArray[np.int64]) -> bytes:
    """The map as a PNG file.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    optional("matplotlib", "plot", "draw the map")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    order, odd = {int(p): rank for rank, p in enumerate(chosen, 1)}, set(found.unusual.tolist())
    zoom = float(np.clip(0.8 / max(len(images), 1) ** 0.5, 0.05, 0.3))
    for place, image in enumerate(images):
        color = "#2a78b5" if place in order else "#b3372f" if place in odd else "#c9d1d9"
        shown = OffsetImage(_pixels(image.jpeg), zoom=zoom)
        frame = {"edgecolor": color, "linewidth": 2.0 if place in order or place in odd else 0.8}
        where = found.positions[place]
        axes.add_artist(AnnotationBbox(shown, where, pad=0.1, bboxprops=frame, zorder=3 if place in order else 2))
        if place in order:
            axes.annotate(
                str(order[place]), where, fontsize=10, fontweight="bold", color="white", ha="center", va="center",
                zorder=4, bbox={"boxstyle": "circle,pad=0.25", "facecolor": color, "edgecolor": "white"},
            )  # fmt: skip
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.45, 1.45), xticks=[], yticks=[])  # thumbnails stay inside
    axes.set_title(
        "Style map: numbers give the order to annotate, red images are unlike the rest", fontsize=11, loc="left"
    )
    for spine in axes.spines.values():
        spine.set_color("#e1e6eb")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()


def _pixels(jpeg: bytes) -> npt.NDArray[np.uint8]:
    import cv2

    found: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(found[..., ::-1], np.uint8)
