"""The REST API, under ``/api/v1``."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from cellpose._version import version
from cellpose.options import Masking
from cellpose.serve._cells import Settings
from cellpose.serve._guard import client_of
from cellpose.serve._jobs import Job
from cellpose.serve._messages import (
    CellsAnswer,
    Click,
    Edited,
    Fault,
    ImageAnswer,
    JobAnswer,
    SegmentRequest,
    Thresholds,
    cells_answer,
    image_answer,
    job_answer,
)
from cellpose.serve._models import segment
from cellpose.serve._picture import image_tile, label_tile
from cellpose.serve._results import FORMATS, cells_of, write_all, write_result
from cellpose.serve._site import Site
from cellpose.serve._store import Item
from cellpose.serve._uploads import Refused, example, example_thumbnail, upload
from cellpose.serve._work import check_work

__all__ = ["API", "api_routes"]

API = "/api/v1"
_TICK_S = 0.15
_QUIET_TICKS = 80  # after which a comment keeps the connection open
_FOR_EVER = {"Cache-Control": "private, max-age=86400, immutable"}
_FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault} for status in (400, 401, 403, 404, 408, 409, 411, 413, 415, 422, 429)
}
_UPLOADED = {
    "requestBody": {
        "required": False,
        "description": "the file itself; nothing where `example` is given",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def site_of(request: Request) -> Site:
    """The server that handles a request."""
    site: Site = request.app.state.site
    return site


def item_of(request: Request, image: Annotated[str, InPath(description="id of an image", max_length=64)]) -> Item:
    """The image that a request names."""
    item = site_of(request).store.get(image)
    if item is None:
        raise Refused(404, "there is no such image; images are deleted when nobody has used them for a while")
    return item


def job_of(request: Request, job: Annotated[str, InPath(description="id of a job", max_length=64)]) -> Job:
    """The job that a request names."""
    found = site_of(request).jobs.get(job)
    if found is None:
        raise Refused(404, "there is no such job")
    return found


TheItem = Annotated[Item, Depends(item_of)]
TheJob = Annotated[Job, Depends(job_of)]
TheSite = Annotated[Site, Depends(site_of)]
Place = Annotated[int, InPath(ge=0, le=1_000_000)]
Frame = Annotated[int, Query(ge=0, description="plane among all planes of all times, from 0")]

router = APIRouter(prefix=API, responses=_FAULTS)


def api_routes(_site: Site) -> list[Any]:
    """The routes of the API."""
    return list(router.routes)


@router.get("/about")
async def about(site: TheSite) -> dict[str, Any]:
    """What the server offers: models, formats, limits, examples."""
    options = site.options
    kinds = await site.quick(site.models.kinds)
    return {
        "version": version,
        "models": [{"name": name, "kind": kind} for name, kind in kinds.items()],
        "formats": [
            {
                "name": name,
                "what": form.what,
                "ending": form.ending,
                "most_axes": form.most_axes,
                "stacks": form.most_axes > 2,  # for programs that know nothing of most_axes
            }
            for name, form in FORMATS.items()
        ],
        "thresholds": Thresholds().model_dump(),
        "examples": list(site.examples),
        "contributions": site.collection is not None,
        "limits": {
            "upload_mb": options.upload_mb,
            "image_mp": options.image_mp,
            "work_mp": options.work_mp,
            "queue": options.queue,
            "job_s": options.job_s,
            "keep_min": options.keep_min,
            "rate_per_min": options.rate_per_min,
        },
    }


@router.get("/examples/{name}/thumbnail", response_class=Response)
async def thumbnail_of_example(site: TheSite, name: Annotated[str, InPath(max_length=200)]) -> Response:
    """A small picture of an example, JPEG."""
    return Response(await example_thumbnail(site, name), media_type="image/jpeg", headers=_FOR_EVER)


@router.post("/images", status_code=201, openapi_extra=_UPLOADED)
async def add_image(
    request: Request,
    site: TheSite,
    name: Annotated[str, Query(max_length=1000, description="of the file, to be shown")] = "image",
    of_example: Annotated[str, Query(alias="example", max_length=200, description="an example of the server")] = "",
) -> ImageAnswer:
    """Upload an image: PNG, JPEG or TIFF, also OME-TIFF and stacks, as the body of the request."""
    if not of_example:
        return image_answer(await upload(site, request, name))
    site.rates.take(client_of(request))
    return image_answer(await example(site, of_example))


@router.get("/images/{image}")
async def get_image(item: TheItem) -> ImageAnswer:
    """Facts about an image."""
    return image_answer(item)


@router.delete("/images/{image}", status_code=204)
async def delete_image(site: TheSite, item: TheItem) -> None:
    """Delete an image and all its results."""
    await site.quick(site.forget, item)


@router.get("/images/{image}/thumbnail", response_class=Response)
async def thumbnail(item: TheItem) -> Response:
    """A small picture, JPEG."""
    return FileResponse(item.folder / "thumbnail.jpg", headers=_FOR_EVER)


@router.get("/images/{image}/tiles/{level}/{column}/{row}", response_class=Response)
async def tile(site: TheSite, item: TheItem, level: Place, column: Place, row: Place, frame: Frame = 0) -> Response:
    """A tile of the image as a PNG."""
    _check_frame(item, frame)
    content = await site.quick(lambda: image_tile(item.plane(frame), item.about.spans, level, column, row))
    return Response(content, media_type="image/png", headers=_FOR_EVER)


@router.get("/images/{image}/labels/{level}/{column}/{row}", response_class=Response)
async def labels(site: TheSite, item: TheItem, level: Place, column: Place, row: Place, frame: Frame = 0) -> Response:
    """A tile of the labels with one more pixel on each side: 32-bit numbers, little-endian, row by row, deflated."""
    _check_frame(item, frame)

    def work() -> bytes:
        return zlib.compress(label_tile(cells_of(item).labels[frame], level, column, row).tobytes(), 1)

    content = await site.quick(work)
    return Response(content, media_type="application/octet-stream", headers={"Content-Encoding": "deflate"})


@router.get("/images/{image}/hues", response_class=Response)
async def hues(item: TheItem) -> Response:
    """For each cell number, a number to derive its color from; it stays the same while thresholds change.

    32-bit numbers, little-endian, deflated; the first belongs to the background.
    """
    content = zlib.compress(cells_of(item).hues.astype("<u4").tobytes(), 1)
    return Response(content, media_type="application/octet-stream", headers={"Content-Encoding": "deflate"})


@router.post("/images/{image}/segmentation", status_code=202)
async def start(request: Request, site: TheSite, item: TheItem, wanted: SegmentRequest) -> JobAnswer:
    """Start to segment an image; the job reports its progress."""
    site.rates.take(client_of(request))
    settings = await site.heavy(_settings, site, item, wanted)

    def work(job: Job) -> None:
        cells = segment(site.models, item, settings, job.report)
        cells.doubts = tuple(job.warnings)
        job.warnings = cells.warnings
        item.replace_cells(cells)

    release = await site.quick(site.store.reserve, _bytes_of_cells(item, wanted.mode))
    try:
        # nothing is awaited between the check and the job, so that of two requests at once one is refused
        if site.jobs.works_on(item.id):
            raise Refused(409, "this image is being segmented; cancel the job first")
        job = site.jobs.add(item.id, work, release)
    except BaseException:
        release()
        raise
    return job_answer(job, site.jobs.ahead_of(job))


def _settings(site: Site, item: Item, wanted: SegmentRequest) -> Settings:
    kinds = site.models.kinds()
    model = wanted.model or next(iter(kinds))
    if model not in kinds:
        raise Refused(422, f"the model {model!r} is not on this server; choose one of {', '.join(kinds)}")
    if not all(0 <= channel <= item.about.channels for channel in wanted.channels):
        raise Refused(422, f"channels={wanted.channels} is not allowed; the image has {item.about.channels}")
    if wanted.mode != "planes" and item.about.planes < 2:
        raise Refused(422, f"mode {wanted.mode!r} is not allowed: the image is no stack of planes; choose 'planes'")
    z, _, x = item.about.pixel_size_um
    masking = Masking(wanted.cellprob_threshold, wanted.flow_threshold, wanted.min_size)
    settings = Settings(
        model,
        wanted.diameter or None,
        wanted.channels,
        wanted.mode,
        masking,
        wanted.stitch_threshold,
        wanted.anisotropy or (z / x if z and x else 1.0),
        wanted.invert,
    )
    check_work(item.about, settings, site.models.scaling(model), site.options.work_mp * 1e6)
    return settings


def _bytes_of_cells(item: Item, mode: str) -> int:
    """Disk space for flows, logits and labels."""
    pixels = item.about.frames * item.about.height * item.about.width
    return pixels * 4 * ((3 if mode == "volume" else 2) + 1 + 2)


@router.patch("/images/{image}/segmentation")
async def threshold(site: TheSite, item: TheItem, wanted: Thresholds) -> CellsAnswer:
    """Recompute the cells from the kept flows with new thresholds; the network does not run."""

    def work() -> CellsAnswer:
        with item.lock:
            cells = cells_of(item)
            cells.threshold(**wanted.model_dump())
            return cells_answer(cells)

    return await site.heavy(work)


@router.post("/images/{image}/cells")
async def click(site: TheSite, item: TheItem, place: Click) -> Edited:
    """Remove the cell at a pixel; if there is none, add the cell that the flows show there."""

    def work() -> Edited:
        with item.lock:
            cells = cells_of(item)
            added = cells.click(place.frame, place.y, place.x)
            return Edited(added=added, cells=cells_answer(cells))

    return await site.heavy(work)


@router.delete("/images/{image}/cells/last")
async def undo(site: TheSite, item: TheItem) -> CellsAnswer:
    """Undo the last addition or removal of a cell."""

    def work() -> CellsAnswer:
        with item.lock:
            cells = cells_of(item)
            cells.undo()
            return cells_answer(cells)

    return await site.heavy(work)


@router.get("/images/{image}/results/{name}", response_class=Response)
async def result(
    request: Request,
    site: TheSite,
    item: TheItem,
    name: Annotated[str, InPath(description="a format, or zip for all of them")],
) -> Response:
    """Download a result."""
    site.rates.take(client_of(request))
    if name == "zip":
        return await _archive(site, [item], list(FORMATS), f"{item.stem}_results.zip")
    return await _download(
        site, lambda folder: write_result(item, name, folder), FORMATS[name].media if name in FORMATS else ""
    )


@router.get("/results", response_class=Response)
async def results(
    request: Request,
    site: TheSite,
    image: Annotated[list[str], Query(description="ids of images", max_length=500)],
    form: Annotated[list[str] | None, Query(alias="format", description="formats; all if none is given")] = None,
) -> Response:
    """Download the results of several images as one ZIP archive."""
    site.rates.take(client_of(request))
    items = [site.store.get(key) for key in image]
    found = [item for item in items if item is not None and item.cells is not None]
    if not found:
        raise Refused(404, "none of these images is there and segmented")
    return await _archive(site, found, form or list(FORMATS), "cellpose_results.zip")


async def _archive(site: Site, items: list[Item], names: list[str], filename: str) -> Response:
    def write(folder: Path) -> Path:
        target = folder / "results.zip"
        write_all(items, names, target)
        return target.rename(folder / filename)

    return await _download(site, write, "application/zip")


async def _download(site: Site, write: Callable[[Path], Path], media: str) -> Response:
    """Write a file, send it and remove it."""
    folder = Path(tempfile.mkdtemp(dir=site.store.folder))
    remove = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        path = await site.heavy(write, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    named = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name)}"}
    return FileResponse(path, media_type=media, headers=named, background=remove)


@router.get("/jobs/{job}")
async def get_job(site: TheSite, found: TheJob) -> JobAnswer:
    """Progress of a job."""
    return job_answer(found, site.jobs.ahead_of(found))


@router.delete("/jobs/{job}")
async def cancel(site: TheSite, found: TheJob) -> JobAnswer:
    """Cancel a job."""
    found.cancel()
    return job_answer(found, site.jobs.ahead_of(found))


@router.get("/jobs/{job}/events", response_class=Response)
async def events(request: Request, site: TheSite, found: TheJob) -> Response:
    """Progress of a job as server-sent events, one for each change; the stream ends with the job."""
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, site, found), media_type="text/event-stream", headers=headers)


async def _events(request: Request, site: Site, job: Job) -> AsyncIterator[str]:
    told, quiet = "", 0
    while True:
        answer = job_answer(job, site.jobs.ahead_of(job))
        news = answer.model_dump(exclude={"seconds"})
        if (text := json.dumps(news)) != told:
            yield f"data: {answer.model_dump_json()}\n\n"
            told, quiet = text, 0
        elif (quiet := quiet + 1) >= _QUIET_TICKS:
            yield ": still here\n\n"
            quiet = 0
        if answer.state in ("done", "failed", "cancelled") or await request.is_disconnected():
            return
        site.store.get(job.about)  # a client is waiting for it
        await asyncio.sleep(_TICK_S)


def _check_frame(item: Item, frame: int) -> None:
    if frame >= item.about.frames:
        raise Refused(404, f"there is no plane {frame}; the image has {item.about.frames}")
