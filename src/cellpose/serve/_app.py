"""The application: routes, limits and the lifetime of a server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from cellpose._version import version
from cellpose.errors import AxisRangeError, CellposeError, EditRefusedError, InputError, OptionError
from cellpose.options import Serving
from cellpose.serve._api import API, api_routes
from cellpose.serve._busy import Busy
from cellpose.serve._guard import Guard, Prefix, allowed_hosts
from cellpose.serve._pages import page_routes
from cellpose.serve._site import Site
from cellpose.serve._uploads import Refused

__all__ = ["RouteMaker", "create_app"]

logger = logging.getLogger("cellpose.serve")

#: Gives routes of a server; `create_app` accepts more of these.
RouteMaker = Callable[[Site], Sequence[BaseRoute]]

_EXAMPLES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def create_app(
    options: Serving | None = None,
    *,
    token: str | None = None,
    open_to_all: bool = False,
    public_hosts: Sequence[str] = (),
    frames: Sequence[str] = (),
    examples: str | Path | None = None,
    gpu: bool = False,
    routes: Sequence[RouteMaker] = (),
) -> ASGIApp:
    """The page and the API as an ASGI application.

    Parameters
    ----------
    options
        Address to listen on, and limits; None: the defaults.
    token
        The token that users must give; None: no token.
    open_to_all
        Without a token: answer under any host name, not only those of this machine and ``public_hosts``.
    public_hosts
        Further host names.
    frames
        Sites that may show the page in a frame.
    examples
        Folder of example images that the page offers.
    gpu
        Whether models run on the GPU.
    routes
        Functions that return more routes; these are matched before the page.

    Returns
    -------
    ASGI application
        Run it with a server such as uvicorn.
    """
    options = options or Serving()
    site = Site(options, _examples(examples), gpu)

    @contextlib.asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(site.sweep)
                yield
                tasks.cancel_scope.cancel()
        finally:
            site.close()

    app = FastAPI(
        title="cellpose",
        version=version,
        description="Segmentation of cells in images: upload an image, start a job, follow it, download results.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        servers=[{"url": "../../"}],
        lifespan=life,
    )
    app.state.site = site
    for make in (api_routes, *routes, page_routes):
        app.router.routes.extend(make(site))
    _answer_errors(app)
    hosts = None if token or open_to_all else allowed_hosts(options.host, public_hosts)
    return Prefix(Guard(app, token, hosts, frames), options.prefix)


def _examples(folder: str | Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in _EXAMPLES)
    return {path.name: path for path in files if "_masks" not in path.stem and path.is_file()}


def _answer_errors(app: FastAPI) -> None:
    """Answer every error as JSON with its reason."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> Response:
        return JSONResponse({"error": str(error)}, error.status)

    @app.exception_handler(Busy)
    async def busy(_request: Request, error: Busy) -> Response:
        return JSONResponse({"error": str(error)}, 429, {"Retry-After": str(max(1, round(error.wait_s)))})

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"error": "; ".join(_in_words(fault) for fault in error.errors())}, 422)

    @app.exception_handler(CellposeError)
    async def ours(_request: Request, error: CellposeError) -> Response:
        missing = isinstance(error, AxisRangeError)
        wrong = isinstance(error, (InputError, OptionError, EditRefusedError))
        if not wrong:
            logger.error("a request failed: %s", error)
        return JSONResponse({"error": str(error)}, 404 if missing else 422 if wrong else 500)

    @app.exception_handler(FileNotFoundError)
    async def gone(_request: Request, _error: Exception) -> Response:
        # another request deleted or segmented the image in the meantime
        return JSONResponse({"error": "the image was changed or deleted meanwhile"}, 404)

    @app.exception_handler(HTTPException)
    async def refused_by_router(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message = "there is nothing at this address"
        elif error.status_code == 405:
            message = f"{request.method} is not allowed at this address; allowed: {(error.headers or {}).get('Allow')}"
        else:
            message = error.detail
        return JSONResponse({"error": message}, error.status_code, error.headers)


def _in_words(fault: dict[str, Any]) -> str:
    """One fault of a request that does not have the form of the API."""
    where, *names = fault["loc"]
    if fault["type"] == "json_invalid" or not names:
        return f"the {where} of the request: {fault['msg']}; send JSON with the header Content-Type: application/json"
    return f"{'.'.join(str(name) for name in names)}: {fault['msg']}"
