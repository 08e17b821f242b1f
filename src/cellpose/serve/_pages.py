"""The page, and the page that works without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from cellpose.serve._site import Site
from cellpose.weights import bundled_models

__all__ = ["built_or_not", "page_routes"]

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
        Mount("/local", built_or_not(_LOCAL)),
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


def built_or_not(folder: Path) -> ASGIApp:
    """The page in this folder, or one that says that it is missing: it may be built while the server runs."""
    built = StaticFiles(directory=folder, html=True, check_dir=False)
    missing = Router([Route("/", _file("no-local.html"))])

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await (built if (folder / "index.html").is_file() else missing)(scope, receive, send)

    return page
