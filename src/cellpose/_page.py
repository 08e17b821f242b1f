"""The frame of pages that need no other file: style, pictures, cards."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np

from cellpose._version import version

__all__ = ["card", "number", "page", "picture"]

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


def page(
    title: str, heading: str, sections: Sequence[str], *, style: str = "", note: str = "", zooms: bool = True
) -> str:
    """A whole page.

    Parameters
    ----------
    title
        Of the window of the browser, and the line under the heading; plain text.
    heading
        Plain text.
    sections
        Parts of the page, HTML.
    style
        Further rules of CSS.
    note
        At the end of the page, beside the version; plain text.
    zooms
        Pictures of cards are shown large when they are clicked on; needs a script, which servers may forbid.
    """
    body = "".join(sections)
    zoom = f"<div class=big><img alt=''></div><script>{_SCRIPT}</script>" if zooms else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}: {html.escape(heading.lower())}</title><style>{_STYLE}{style}</style>"
        f"<main><h1>{html.escape(heading)}</h1><p class=sub>{html.escape(title)}</p>{body}"
        f"<footer>cellpose {version}.{' ' if note else ''}{html.escape(note)}</footer>"
        f"</main>{zoom}</html>\n"
    )


def picture(kind: str, content: bytes) -> str:
    """A picture ("png" or "jpeg") as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def number(value: float) -> str:
    """A number in as few digits as a reader needs."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"


def card(name: str, jpeg: bytes, caption: str, facts: Mapping[str, str]) -> str:
    """A picture with its name, a line under it, and facts; all plain text."""
    rows = "".join(f"<dt>{html.escape(fact)}</dt><dd>{html.escape(value)}</dd>" for fact, value in facts.items())
    name = html.escape(name)
    return (
        f'<div class=card><div class=pic><img loading=lazy alt="{name}" src="{picture("jpeg", jpeg)}"></div>'
        f"<div class=text><h3>{name}</h3><p>{html.escape(caption)}</p><dl>{rows}</dl></div></div>"
    )
