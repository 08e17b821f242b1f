"""The page for reviewing contributions: plain HTML with forms, without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from cellpose import plot
from cellpose._page import page
from cellpose.contributions import ACCEPTED, LEAST_DENSE, REJECTED, STATES, Contribution, Judgement, Pair, Version

__all__ = ["picture_of", "review_page", "sign_in_page"]

_STYLE = """
nav{display:flex;gap:6px;flex-wrap:wrap;margin:0 0 20px}
nav a,button{border:1px solid var(--line);border-radius:8px;padding:6px 14px;background:var(--card);color:var(--ink)}
nav a,button{font:inherit;font-size:14px;text-decoration:none;cursor:pointer}
nav a[aria-current]{background:var(--blue);border-color:var(--blue);color:#fff;font-weight:600}
@media(prefers-color-scheme:dark){nav a[aria-current]{color:#10161b}}
button.yes{background:#1d7a46;border-color:#1d7a46;color:#fff;font-weight:600}
a:focus-visible,button:focus-visible,input:focus-visible{outline:3px solid var(--blue);outline-offset:2px}
.cards{grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr))}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1px;background:var(--line)}
.pair a{background:#0b0d0f;display:block;aspect-ratio:1}
.pair img{width:100%;height:100%;object-fit:contain;display:block}
.card dl{grid-template-columns:auto minmax(0,1fr)}
.card dd{text-align:left;overflow-wrap:anywhere;white-space:pre-line}
.notes{margin:8px 0 0;padding:8px 12px;border-left:3px solid #b46a00;font-size:13px;list-style:none}
.notes li{margin:2px 0}form{display:grid;gap:8px;margin-top:12px}label{font-size:13px;color:var(--quiet)}
input{width:100%;padding:6px 8px;border:1px solid var(--line);border-radius:6px}
input{background:var(--back);color:var(--ink);font:inherit;font-size:14px}
.row{display:flex;gap:8px;flex-wrap:wrap}.row button{flex:1}
.empty{color:var(--quiet);padding:40px 0;text-align:center}
.wrong{color:var(--bad)}.signin{max-width:360px}
"""
_TITLES = {"received": "To look through", "accepted": "Accepted", "rejected": "Rejected"}
_HINT = "Is every cell outlined, and nothing else? Is it clear where the image comes from?"


def picture_of(pair: Pair, side: int, *, plain: bool = False) -> bytes:
    """A JPEG of an image, with or without the outlines of its cells."""
    image = pair.image[..., np.newaxis] if pair.image.ndim == 2 else np.moveaxis(pair.image, 0, -1)
    labels = np.maximum(pair.labels, 0)
    return plot.thumbnail(image, np.zeros_like(labels) if plain else labels, side)


def sign_in_page(wrong: str = "") -> str:
    """A page that asks for the reviewers' token."""
    told = f"<p class=wrong role=alert>{html.escape(wrong)}</p>" if wrong else ""
    form = (
        f"{told}<form class=signin method=post action=contributions><label for=token>Token of reviewers (the server "
        "printed it when it started)</label><input id=token name=token type=password required autofocus "
        "autocomplete=current-password><div class=row><button class=yes>Sign in</button></div></form>"
    )
    return page("cellpose", "Contributions", [form], style=_STYLE, zooms=False)


def review_page(
    shown: Sequence[Contribution],
    state: str,
    counts: Mapping[str, int],
    first: int,
    on_a_page: int,
    published: Version | None,
) -> str:
    """The review page.

    Parameters
    ----------
    shown
        The contributions on this page.
    state
        Their state.
    counts
        Number of contributions in each state.
    first
        Number of contributions in this state before this page.
    on_a_page
        Most contributions on one page.
    published
        The published model.
    """
    tabs = "".join(
        f'<a href="?state={each}"{" aria-current=page" if each == state else ""}>{_TITLES[each]} ({counts[each]})</a>'
        for each in STATES
    )
    cards = "".join(_card(each, state) for each in shown)
    nothing = "<p class=empty>Nothing is waiting.</p>" if state == STATES[0] else "<p class=empty>There are none.</p>"
    body = f"<div class=cards>{cards}</div>" if shown else nothing
    sections = [f"<p>{html.escape(_model(published))}</p>", f"<nav aria-label=states>{tabs}</nav>", body]
    return page(
        _HINT, "Contributions", [*sections, _pages(state, first, on_a_page, counts[state])], style=_STYLE, zooms=False
    )


def _model(published: Version | None) -> str:
    if published is None:
        return "No model is published yet."
    scores = ", ".join(f"{score.source} {score.new:.2f}" for score in Judgement.of(published.report).scores)
    return f"Published: {published.name}, trained on {len(published.images)} images. AP@0.5: {scores}."


def _pages(state: str, first: int, on_a_page: int, count: int) -> str:
    links = ""
    if first > 0:
        links += f'<a href="?state={state}&amp;first={max(0, first - on_a_page)}">Previous</a>'
    if first + on_a_page < count:
        links += f'<a href="?state={state}&amp;first={first + on_a_page}">Next</a>'
    return f"<nav aria-label=pages>{links}</nav>" if links else ""


def _card(each: Contribution, state: str) -> str:
    given, (y, x, channels) = each.provenance, each.shape
    title = f"{given.file or each.short}"
    facts = {
        "from": f"{given.contributor}: {given.source}",
        "licence": given.licence,
        "made": given.method,
        "note": given.note,
        "image": f"{x} x {y} pixels, {'1 channel' if channels == 1 else f'{channels} channels'}",
        "cells": str(each.n_cells),
        "annotated": _dense(each.dense),
        "received": each.received.replace("T", " ").replace("+00:00", " UTC"),
        "used for": each.role if each.state == ACCEPTED else "",
        "reason": each.reason,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items() if value)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in each.notes)
    noted = f"<ul class=notes aria-label=notes>{notes}</ul>" if notes else ""
    return (
        f'<article class=card id="{each.id}">{_pictures(each, title)}<div class=text><h3>{html.escape(title)}</h3>'
        f"<dl>{rows}</dl>{noted}{_decisions(each, state)}</div></article>"
    )


def _dense(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:.0%} of what the bundled model finds{'' if share >= LEAST_DENSE else ': look for missing cells'}"


def _pictures(each: Contribution, title: str) -> str:
    place = f"contributions/{each.id}/picture"
    pictures = "".join(
        f'<a href="{place}?side=1200{more}" target=_blank><img loading=lazy src="{place}?side=520{more}" '
        f'alt="{html.escape(f"{title}{what}", quote=True)}"></a>'
        for more, what in (("", ", its cells outlined"), ("&amp;plain=1", ""))
    )
    return f"<div class=pair>{pictures}</div>"


def _decisions(each: Contribution, state: str) -> str:
    """Forms to accept and to reject; an accepted contribution may still be rejected, and vice versa."""
    place = f'<form method=post action="contributions/{each.id}"><input type=hidden name=state value={state}>'
    source = html.escape(each.source, quote=True)
    accept = (
        f'{place}<label>Source, by which models are compared<input name=source maxlength=200 value="{source}"></label>'
        f"<div class=row><button class=yes name=decision value={ACCEPTED}>Accept</button></div></form>"
    )
    reject = (
        f"{place}<label>Reason<input name=reason maxlength=500></label>"
        f"<div class=row><button name=decision value={REJECTED}>Reject</button></div></form>"
    )
    return {ACCEPTED: reject, REJECTED: accept}.get(state, accept + reject)
