"""Uploads: written to disk as they arrive, within limits, and read by a separate process."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import anyio
from starlette.requests import ClientDisconnect, Request

from cellpose.errors import CellposeError
from cellpose.serve._busy import Busy
from cellpose.serve._guard import client_of
from cellpose.serve._site import Site
from cellpose.serve._store import Item, shown_name

__all__ = ["Refused", "example", "example_thumbnail", "upload"]

_SECONDS = 300.0  # time limit of an upload
_PAST_SECONDS = 20.0  # time limit for draining the rest of a refused upload
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image.png"),
    (b"\xff\xd8\xff", "image.jpg"),
    (b"II*\0", "image.tif"),
    (b"MM\0*", "image.tif"),
    (b"II+\0", "image.tif"),
    (b"MM\0+", "image.tif"),
)
_HEAD = 8
# space reserved for an image besides its file; its expanded size is known once it is read
_EXPANSION = 4


class Refused(CellposeError):
    """A refused upload, with the status code of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def upload(site: Site, request: Request, name: str) -> Item:
    """Receive the file in the body of a request.

    Raises
    ------
    Refused
        If it is too large, too slow, or not an image.
    Busy
        If there is no room for it, or the client has sent too many requests.
    """
    try:
        site.rates.take(client_of(request))
        return await _taken(site, request, shown_name(name))
    except (Refused, Busy):
        await _read_past(request, site.most_bytes)
        raise


async def _taken(site: Site, request: Request, name: str) -> Item:
    if request.headers.get("content-type", "").startswith("multipart/"):
        message = (
            "the body is a form; send the file itself as the body of the request: with curl --data-binary @FILE, not -F"
        )
        raise Refused(415, message)
    length = request.headers.get("content-length", "")
    if not length.isdecimal():  # space is reserved before the file arrives
        raise Refused(411, "the length of the file is missing; send it as Content-Length")
    if int(length) > site.most_bytes:
        raise Refused(413, f"the file is too large; at most {site.options.upload_mb:g} MB are allowed")
    release = await site.quick(site.store.reserve, _EXPANSION * int(length))
    folder = site.store.new_folder()
    try:
        with anyio.fail_after(_SECONDS):
            source = await _written(request, folder)
        return await site.read(_read, site, source, folder, name)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, TimeoutError):
            raise Refused(408, f"the upload took more than {_SECONDS:g} s") from None
        if isinstance(error, ClientDisconnect):
            raise Refused(400, "the upload was broken off") from None
        raise
    finally:
        release()


async def _read_past(request: Request, most_bytes: int) -> None:
    """Drain the rest of a refused file, within a limit: a client that is still sending does not read an answer."""
    with anyio.move_on_after(_PAST_SECONDS), contextlib.suppress(ClientDisconnect, RuntimeError):
        async for chunk in request.stream():
            most_bytes -= len(chunk)
            if most_bytes < 0:
                return


async def example(site: Site, name: str) -> Item:
    """Open one of the server's examples.

    Raises
    ------
    Refused
        If there is none with this name.
    """
    source = site.examples.get(name)
    if source is None:
        raise Refused(404, f"there is no example {name!r}; there are {', '.join(site.examples) or 'none'}")
    folder = site.store.new_folder()
    try:
        return await site.read(_read, site, source, folder, name, keep=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def example_thumbnail(site: Site, name: str) -> bytes:
    """A thumbnail of an example, JPEG; raises as `example`."""
    if name not in site.thumbnails:
        item = await example(site, name)
        try:
            site.thumbnails[name] = (item.folder / "thumbnail.jpg").read_bytes()
        finally:
            await site.quick(site.forget, item)
    return site.thumbnails[name]


async def _written(request: Request, folder: Path) -> Path:
    """Write the body to a file, whose suffix follows from its first bytes."""
    head, partial = b"", folder / "upload"
    with partial.open("wb") as file:
        async for chunk in request.stream():
            if len(head) < _HEAD:
                head = (head + chunk)[:_HEAD]
                if len(head) == _HEAD:
                    _kind(head)
            file.write(chunk)
    return partial.rename(folder / _kind(head))


def _kind(head: bytes) -> str:
    for start, name in _KINDS:
        if head.startswith(start):
            return name
    if not head:
        raise Refused(422, "the file is empty")
    raise Refused(415, "the file is no PNG, JPEG or TIFF")


def _read(site: Site, source: Path, folder: Path, name: str, *, keep: bool = False) -> Item:
    try:
        about = site.readers.read(source, folder, name)
    except CellposeError as error:
        raise Refused(422, str(error)) from error
    finally:
        if not keep:
            source.unlink(missing_ok=True)
    return site.store.add(folder, name, about)
