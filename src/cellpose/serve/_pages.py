"""The page, and the page that works without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from cellpose.serve._site import Site
from cellpose.weights import bundled_models

__all__ = ["page_routes"]

_PAGE = Path(__file__).parent / "page"
#: The built page that works without a server; absent if it was not built.
_LOCAL = Path(__file__).parent / "local"


def page_routes(_site: Site) -> list[BaseRoute]:
    """The routes of the pages; the last one catches everything that no other route takes."""
    return [
        Route("/", _file("index.html")),
        Route("/sign-in", _file("sign-in.html")),
        Route("/healthz", _healthy),
        Route("/local", _to_local),
        Route("/local/generalist.safetensors", _weights),
        _local(),
        Mount("/", StaticFiles(directory=_PAGE)),
    ]


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(_request: Request) -> Response:
        return FileResponse(_PAGE / name)

    return page


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _to_local(_request: Request) -> Response:
    return RedirectResponse("local/")


async def _weights(_request: Request) -> Response:
    """The network for the page that works without a server: the file is part of the package."""
    return FileResponse(bundled_models()["generalist"])


def _local() -> BaseRoute:
    if (_LOCAL / "index.html").is_file():
        return Mount("/local", StaticFiles(directory=_LOCAL, html=True))
    return Route("/local/", _file("no-local.html"))
