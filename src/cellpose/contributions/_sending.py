"""Sending an image and its cells to a server that collects contributions, by the REST API of ``cellpose serve``.

Image and cells are uploaded like any image, then contributed by their ids; the standard library is all this needs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cellpose._machine.connect import opener
from cellpose.contributions._checks import Pair
from cellpose.contributions._record import Provenance
from cellpose.errors import OptionError, SendError

__all__ = ["address_of", "send"]

_API = "/api/v1"
_WAIT_S = 60.0  # for an answer: the server first reads and checks both files
_PIECE = 1 << 16  # bytes
_LONGEST_ANSWER = 1 << 20  # bytes
_LONGEST_SHOWN = 300  # characters


def address_of(server: str) -> str:
    """The address of a server as ``http://host:port``, without a path.

    Raises
    ------
    OptionError
        If it is not a valid address.

    Examples
    --------
    >>> address_of("lab.example.org:8000"), address_of("https://cells.example.org/")
    ('http://lab.example.org:8000', 'https://cells.example.org')
    """
    text = server.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        allowed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        allowed = False
    if not allowed or any(letter.isspace() for letter in text):
        message = f"server={server!r} is not allowed; give an address such as http://localhost:8000"
        raise OptionError(message)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def send(
    server: str, pair: Pair, provenance: Provenance, *, token: str = "", report: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Send a contribution.

    Parameters
    ----------
    server
        Address of the server, such as ``https://cells.example.org``.
    pair
        From `checked_pair`; other contents of the files, such as names, places and times, are not sent.
    provenance
        License, consent and origin, from `Provenance.of`.
    token
        Token of the server, if it requires one.
    report
        Called with the share sent so far; if it raises, sending stops and the server keeps nothing.

    Returns
    -------
    dict
        The server's answer: ``"id"``, ``"state"``, and ``"notes"`` for the reviewer.

    Raises
    ------
    OptionError
        If the address is invalid.
    SendError
        If the server cannot be reached or rejects it; the message gives the reason.
    """
    place = address_of(server) + _API
    uploaded: list[str] = []
    try:
        for name, content in _files(pair).items():
            share = (len(uploaded) / 2, 0.5)
            answer = _post(server, f"{place}/images?name={name}.tif", content, token, report, share)
            uploaded.append(_id_of(server, answer))
        asked = {"image": uploaded[0], "masks": uploaded[1], "provenance": provenance.as_dict()}
        answer = _post(server, f"{place}/contributions", json.dumps(asked).encode(), token)
        _id_of(server, answer)
        return answer
    finally:
        for each in uploaded:  # without this, the server deletes them later
            with contextlib.suppress(SendError):
                _ask(server, urllib.request.Request(f"{place}/images/{each}", method="DELETE"), token)


def _post(
    server: str,
    target: str,
    content: bytes,
    token: str,
    report: Callable[[float], None] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Any]:
    kind = "application/json" if content.startswith(b"{") else "application/octet-stream"
    headers = {"Content-Type": kind, "Content-Length": str(len(content))}
    pieces = _pieces(content, report, *share)
    found = _ask(server, urllib.request.Request(target, pieces, headers, method="POST"), token)
    try:
        answer = json.loads(found)
    except ValueError as error:
        raise SendError(_stranger(server, found)) from error
    return answer if isinstance(answer, dict) else {}


def _ask(server: str, request: urllib.request.Request, token: str) -> bytes:
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with opener().open(request, timeout=_WAIT_S) as response:
            return bytes(response.read(_LONGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            raise SendError(_refusal(server, error)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        message = f"{server} could not be reached ({reason}); check the address, and that the server runs"
        raise SendError(message) from error


def _id_of(server: str, answer: dict[str, Any]) -> str:
    if not isinstance(answer.get("id"), str):
        raise SendError(_stranger(server, str(answer).encode()))
    return str(answer["id"])


def _stranger(server: str, answer: bytes) -> str:
    shown = " ".join(answer[:_LONGEST_SHOWN].decode("utf-8", "replace").split())
    return f"{server} is no server of cellpose; it answered {shown[:80]!r}"


def _files(pair: Pair) -> dict[str, bytes]:
    from cellpose import io

    with tempfile.TemporaryDirectory(prefix="cellpose-send-") as folder:
        image, masks = Path(folder) / "image.tif", Path(folder) / "masks.tif"
        io.write_tiff(image, pair.image, axes="YX" if pair.image.ndim == 2 else "CYX")
        io.write_tiff(masks, pair.labels, axes="YX")
        return {"image": image.read_bytes(), "masks": masks.read_bytes()}


def _pieces(content: bytes, report: Callable[[float], None] | None, begin: float, part: float) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        if report is not None:
            report(begin + part * start / len(content))
        yield content[start : start + _PIECE]


def _refusal(server: str, error: urllib.error.HTTPError) -> str:
    """The reason of a refusal, in the server's words if it gave any."""
    words = ""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        told = json.loads(error.read(_LONGEST_ANSWER))
        words = str(told.get("error", "") if isinstance(told, dict) else "")
    if error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED) and "image" not in words:
        words = "it collects no contributions; start it with --contributions FOLDER"
    words = " ".join((words or f"{error.code} {error.reason}").split())
    return f"{server} did not take it: {words[:_LONGEST_SHOWN]}"
