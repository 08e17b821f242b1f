"""Contributions: uploaded images with their cells, given to a collection, and the page to review them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath
from fastapi import Request as ApiRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from cellpose.contributions import (
    ACCEPTED,
    CONSENT,
    LICENCES,
    RECEIVED,
    REJECTED,
    STATES,
    Contribution,
    DuplicateError,
    Provenance,
    Store,
    Versions,
    annotated_share,
    checked_pair,
)
from cellpose.serve._api import API, TheSite, site_of
from cellpose.serve._busy import Busy
from cellpose.serve._collection import Collection
from cellpose.serve._guard import client_of
from cellpose.serve._jobs import Job
from cellpose.serve._results import cells_of
from cellpose.serve._review import picture_of, review_page, sign_in_page
from cellpose.serve._site import Site
from cellpose.serve._store import Item
from cellpose.serve._uploads import Refused

__all__ = ["REVIEW", "contribution_routes"]

logger = logging.getLogger("cellpose.serve")

#: Path of the page.
REVIEW = "contributions"
_COOKIE, _HEADER = "cellpose_reviewer", "X-Cellpose-Review"
_MOST_FORM = 10_000  # bytes
_ON_A_PAGE = 24
_EXACT = 2**24  # float32 holds whole numbers exactly up to this; 32-bit labels are kept here as float32
_SIDES = (520, 1200)


class Given(BaseModel):
    """A contribution: uploaded images, and where they come from."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="id of the image, a plane", max_length=64)
    masks: str = Field("", description="id of its label image; empty: the cells that were found here", max_length=64)
    provenance: dict[str, Any] = Field(
        description=f"licence ({', '.join(LICENCES)}), consent (word for word, from {REVIEW}/terms), contributor, "
        "source; also method, note, file"
    )


def collection_of(request: ApiRequest) -> Collection:
    """The collection of the server that handles a request."""
    collection = site_of(request).collection
    if collection is None:
        raise Refused(404, "this server collects no contributions; start it with --contributions FOLDER")
    return collection


def reviewer(request: ApiRequest) -> Collection:
    """The same, for clients that give the reviewers' token."""
    collection = collection_of(request)
    if not _is_reviewer(request, collection):
        site_of(request).rates.take(client_of(request))  # the token must not be guessed by trying
        raise Refused(401, f"only reviewers may do this; sign in at /{REVIEW}, or send {_HEADER}: TOKEN")
    return collection


def _is_reviewer(request: ApiRequest, collection: Collection) -> bool:
    return collection.is_token(request.headers.get(_HEADER) or request.cookies.get(_COOKIE, ""))


TheCollection = Annotated[Collection, Depends(collection_of)]
ForReviewer = Annotated[Collection, Depends(reviewer)]
Name = Annotated[str, InPath(pattern="^[0-9a-f]{64}$")]

giving = APIRouter(prefix=f"{API}/{REVIEW}")
reviewing = APIRouter(include_in_schema=False)


def contribution_routes(collection: Collection) -> Callable[[Site], Sequence[BaseRoute]]:
    """The function that gives `create_app` the routes of contributions."""

    def routes(site: Site) -> Sequence[BaseRoute]:
        site.collection = collection
        for each in collection.store.unmeasured():
            _measure_later(site, collection.store, each)
        return [*giving.routes, *reviewing.routes]

    return routes


# --- giving ---


@giving.get("/terms")
async def terms(_collection: TheCollection) -> dict[str, Any]:
    """The accepted licenses, and the text that a contributor agrees to."""
    return {"licences": dict(LICENCES), "consent": CONSENT}


@giving.post("", status_code=201)
async def give(request: ApiRequest, site: TheSite, collection: TheCollection, given: Given) -> dict[str, Any]:
    """Give an image with all its cells; a person reviews it before a model is trained on it."""
    site.rates.take(client_of(request))
    provenance = Provenance.of(given.provenance)
    item = _item(site, given.image)
    masks = _item(site, given.masks) if given.masks else None

    def work() -> Contribution:
        return collection.store.add(checked_pair(_plane(item), _labels(item, masks)), provenance)

    try:
        kept = await site.heavy(work)
    except DuplicateError as error:
        raise Refused(409, str(error)) from error
    logger.info("contribution %s of %s", kept.short, kept.provenance.contributor)
    _measure_later(site, collection.store, kept)
    return {"id": kept.id, "state": kept.state, "notes": list(kept.notes)}


def _item(site: Site, key: str) -> Item:
    item = site.store.get(key)
    if item is None:
        raise Refused(404, "there is no such image; images are deleted when nobody has used them for a while")
    if item.about.frames != 1:
        message = f"{item.name} has {item.about.frames} planes; contributions are planes: give them one by one"
        raise Refused(422, message)
    return item


def _plane(item: Item) -> npt.NDArray[Any]:
    """The image as (Y, X) or (C, Y, X)."""
    plane = np.array(item.plane(0))
    return plane[..., 0] if plane.shape[-1] == 1 else np.moveaxis(plane, -1, 0)


def _labels(item: Item, masks: Item | None) -> npt.NDArray[Any]:
    if masks is None:
        with item.lock:
            return np.array(cells_of(item).labels[0])
    labels = _plane(masks)
    if labels.dtype.kind == "f" and labels.max(initial=0) >= _EXACT:
        raise Refused(422, f"labels above {_EXACT - 1} are not allowed; number the cells 1, 2, 3, ...")
    return labels


def _measure_later(site: Site, store: Store, given: Contribution) -> None:
    """Measure how dense the annotation is once no segmentation waits; if too many wait, at the next start."""

    def work(_job: Job) -> None:
        store.note_dense(given.id, annotated_share(store.read(given)))

    try:
        site.jobs.add(given.id, work, lambda: None)
    except Busy:
        logger.info("contribution %s is looked at for missing cells when the server starts again", given.short)


# --- reviewing ---


@reviewing.get(f"/{REVIEW}")
async def page(
    request: ApiRequest,
    collection: TheCollection,
    state: str = RECEIVED,
    first: Annotated[int, Query(ge=0, le=10**9)] = 0,
    review: str = "",
) -> Response:
    """The page of reviewers, or the form that asks for their token."""
    if review:
        return _signed_in(request, collection, review)
    if not _is_reviewer(request, collection):
        return _html(sign_in_page())
    shown = state if state in STATES else RECEIVED
    return _html(await site_of(request).heavy(_page, collection.store, shown, first))


@reviewing.post(f"/{REVIEW}")
async def sign_in(request: ApiRequest, collection: TheCollection) -> Response:
    """Sign in a reviewer who gives the token."""
    return _signed_in(request, collection, (await _form(request)).get("token", ""))


def _signed_in(request: ApiRequest, collection: Collection, given: str) -> Response:
    site_of(request).rates.take(client_of(request))
    if not collection.is_token(given):
        return _html(sign_in_page("That is not the token."), 403)
    answer = RedirectResponse(REVIEW, status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(_COOKIE, collection.token, httponly=True, samesite="strict", secure=secure)
    return answer


@reviewing.get(f"/{REVIEW}/{{name}}/picture")
async def picture(
    request: ApiRequest,
    collection: ForReviewer,
    name: Name,
    plain: bool = False,
    side: Annotated[int, Query(ge=_SIDES[0], le=_SIDES[1])] = _SIDES[0],
) -> Response:
    """An image, with or without the outlines of its cells."""
    store = collection.store
    content = await site_of(request).heavy(lambda: picture_of(store.read(store.find(name)), side, plain=plain))
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(content, media_type="image/jpeg", headers=headers)


@reviewing.post(f"/{REVIEW}/{{name}}")
async def decide(request: ApiRequest, collection: ForReviewer, name: Name) -> Response:
    """Accept or reject a contribution."""
    form = await _form(request)
    decision, before = form.get("decision"), form.get("state", RECEIVED)
    if decision == ACCEPTED:
        await site_of(request).heavy(collection.store.accept, name, form.get("source", "")[:200] or None)
    elif decision == REJECTED:
        await site_of(request).heavy(collection.store.reject, name, form.get("reason", "")[:2000])
    else:
        raise Refused(422, f"decision={decision!r} is not allowed; choose {ACCEPTED!r} or {REJECTED!r}")
    return RedirectResponse(f"../{REVIEW}?state={before if before in STATES else RECEIVED}", status_code=303)


def _html(content: str, status: int = 200) -> Response:
    # a form on a page without a referrer has the origin "null", as has one from another site
    return HTMLResponse(content, status, {"Referrer-Policy": "same-origin"})


async def _form(request: ApiRequest) -> dict[str, str]:
    """The fields of a submitted form."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_FORM:
            raise Refused(413, "the form is too long")
    return {name: values[-1] for name, values in parse_qs(content.decode("utf-8", "replace")).items()}


def _page(store: Store, state: str, first: int) -> str:
    counts = {each: len(store.contributions(each)) for each in STATES}
    found = store.contributions(state)
    shown = found[::-1] if state != RECEIVED else found  # the longest waiting comes first
    published = Versions(store).published()
    return review_page(shown[first : first + _ON_A_PAGE], state, counts, first, _ON_A_PAGE, published)
