"""A report of a run: one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._version import version
from cellpose.measure._summary import ImageSummary, size_column

__all__ = ["report_of"]

Columns = dict[str, npt.NDArray[Any]]

_STYLE = """
:root{--ink:#1f2933;--quiet:#66727f;--line:#e1e6eb;--back:#f5f7f9;--card:#fff;--blue:#2a78b5;--bad:#b3372f}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaee;--quiet:#9aa6b2;--line:#2d353d;--back:#14181c;--card:#1c2227;
--blue:#6db3e8;--bad:#f08a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:26px;margin:0 0 2px;letter-spacing:-.01em}h2{font-size:18px;margin:36px 0 12px}
.sub{color:var(--quiet);margin:0 0 24px;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
.tile,.card,.plot{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}.tile b{display:block;font-size:25px;line-height:1.2;font-weight:650}
.tile span{color:var(--quiet);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:12px;align-items:start}
.plot{background:#fff;padding:10px}.plot img{width:100%;display:block}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(255px,1fr));gap:14px}
.card{overflow:hidden}.card .pic{aspect-ratio:4/3;background:#0b0d0f;display:flex}
.card img{width:100%;height:100%;object-fit:contain;cursor:zoom-in}
.card .text{padding:10px 14px 12px}.card h3{font-size:14px;margin:0 0 4px;overflow-wrap:anywhere}
.card p{margin:0 0 6px;color:var(--quiet);font-size:12px;overflow-wrap:anywhere}
.card dl{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:1px 12px;margin:0;font-size:13px}
.card dt{color:var(--quiet)}.card dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:13.5px;background:var(--card)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px}
th,td{padding:6px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;
font-variant-numeric:tabular-nums}
th{color:var(--quiet);font-weight:600}th:first-child,td:first-child{text-align:left}tr:last-child td{border:0}
.failed li{margin:4px 0;overflow-wrap:anywhere}.failed b{color:var(--bad)}
.big{position:fixed;inset:0;background:rgba(8,10,12,.9);display:none;cursor:zoom-out;padding:24px}
.big:target,.big.on{display:flex}.big img{margin:auto;max-width:100%;max-height:100%;min-width:60%;object-fit:contain;
image-rendering:auto}
footer{color:var(--quiet);font-size:13px;margin-top:40px}
"""
_SCRIPT = """
const big=document.querySelector('.big');
document.querySelectorAll('.card img').forEach(i=>i.onclick=()=>{big.firstChild.src=i.src;big.classList.add('on')});
big.onclick=()=>big.classList.remove('on');
document.onkeydown=e=>{if(e.key==='Escape')big.classList.remove('on')};
"""
_MOST_PICTURES = 300  # of so many images a report has some ten megabytes
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
        The images that are in it.
    plots
        PNG files by their names.
    failed
        Images that are not in it, and why.
    tables
        Names of the files of the table.
    """
    sections = [
        f"<h1>Cell measurements</h1><p class=sub>{html.escape(title)}</p>",
        f"<div class=tiles>{''.join(_tiles(columns, images, failed))}</div>",
    ]
    if failed:
        rows = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(why)}</li>" for name, why in failed.items())
        sections.append(f"<section class=failed><h2>Not measured</h2><ul>{rows}</ul></section>")
    if plots:
        shown = "".join(
            f'<div class=plot><img alt="{name}" src="{_data("png", plots[name])}"></div>'
            for name in ("sizes", "intensity", "counts")
            if name in plots
        )
        sections.append(f"<h2>At a glance</h2><div class=plots>{shown}</div>")
    sections += [_quantiles(columns), _cards(images)]
    files = f" Table: {html.escape(', '.join(tables))}." if tables else ""
    sections.append(
        f"<footer>cellpose {version}.{files} Names and values of columns are those of scikit-image.</footer>"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}: cell measurements</title><style>{_STYLE}</style>"
        f"<main>{''.join(sections)}</main><div class=big><img alt=''></div><script>{_SCRIPT}</script></html>\n"
    )


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"


def _tiles(columns: Columns, images: Sequence[ImageSummary], failed: Mapping[str, str]) -> list[str]:
    n = sum(image.n_cells for image in images)
    facts = [("cells", _number(n)), ("image" if len(images) == 1 else "images", _number(len(images)))]
    if len(images) > 1:
        facts.append(("cells in the median image", _number(float(np.median([image.n_cells for image in images])))))
    if n and "area" in columns:
        name, unit = size_column(columns)
        what = "median volume" if unit in ("voxels", "µm³") else "median area"
        facts.append((f"{what}, {unit}", _number(float(np.median(columns[name])))))
    if n and "score" in columns:
        facts.append(("median score", _number(float(np.nanmedian(columns["score"])))))
    if failed:
        facts.append(("not measured", _number(len(failed))))
    return [f"<div class=tile><b>{value}</b><span>{name}</span></div>" for name, value in facts]


def _quantiles(columns: Columns) -> str:
    """Quantiles of the columns that most look at."""
    told = [name for name in columns if name in _COLUMNS_TOLD or name.startswith(_STARTS_TOLD)]
    rows = []
    for name in told:
        values = columns[name].astype(np.float64)
        values = values[np.isfinite(values)]
        if values.size:
            cells = "".join(f"<td>{_number(q)}</td>" for q in np.percentile(values, (5, 25, 50, 75, 95)))
            rows.append(f"<tr><td>{html.escape(name)}</td><td>{_number(values.mean())}</td>{cells}</tr>")
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
        facts = [("cells", _number(image.n_cells))]
        if image.n_frames > 1:
            facts.append(("frames", _number(image.n_frames)))
        facts += [(_in_words(name), _number(value)) for name, value in image.medians.items()]
        rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
        name = html.escape(image.name)
        cards.append(
            f'<div class=card><div class=pic><img loading=lazy alt="{name}" src="{_data("jpeg", image.picture)}">'
            f"</div><div class=text><h3>{name}</h3><p>{html.escape(image.masks)}</p><dl>{rows}</dl></div></div>"
        )
    more = len(images) - len(cards)
    rest = f"<p class=sub>{more} more images are in the table.</p>" if more > 0 else ""
    return f"<h2>Images</h2><div class=cards>{''.join(cards)}</div>{rest}" if cards else ""
