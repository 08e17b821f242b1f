"""Sending an image and its cells to a server that collects contributions."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cellpose._machine.connect import opener
from cellpose.contributions._checks import Pair
from cellpose.contributions._record import Provenance
from cellpose.errors import OptionError, SendError

__all__ = ["address_of", "send"]

_ROUTE = "/api/v1/contributions"
_WAIT_S = 60.0  # for an answer: the server reads and checks both files first
_PIECE = 1 << 16  # bytes
_LONGEST_ANSWER = 1 << 20  # bytes
_LONGEST_SHOWN = 300  # characters


def address_of(server: str) -> str:
    """The address of a server as ``http://host:port``, without a path.

    Raises
    ------
    OptionError
        If it is none.

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
        Its address, such as ``https://cells.example.org``.
    pair
        From `checked_pair`; what the files held besides, names and places and times, is not sent.
    provenance
        With licence and consent, from `Provenance.of`.
    token
        What the server asks for, if it asks for one.
    report
        Called with the share that was sent; what it raises ends the sending, and nothing is kept there.

    Returns
    -------
    dict
        What the server answers: ``"id"``, ``"state"``, and ``"notes"`` for the reviewer.

    Raises
    ------
    OptionError
        If the address is none.
    SendError
        If the server cannot be reached or does not take it; the message says why.
    """
    target = address_of(server) + _ROUTE
    boundary = secrets.token_hex(16)
    body = _form({"provenance": json.dumps(provenance.as_dict())}, _files(pair), boundary)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(len(body))}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(target, _pieces(body, report), headers, method="POST")
    try:
        with opener().open(request, timeout=_WAIT_S) as response:
            answer = json.loads(response.read(_LONGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            raise SendError(_refusal(server, error)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        message = f"{server} could not be reached ({reason}); check the address, and that the server runs"
        raise SendError(message) from error
    except ValueError as error:
        message = f"{server} is no server of contributions: its answer cannot be read"
        raise SendError(message) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        message = f"{server} is no server of contributions: it answered {str(answer)[:_LONGEST_SHOWN]!r}"
        raise SendError(message)
    return answer


def _files(pair: Pair) -> dict[str, bytes]:
    from cellpose import io

    with tempfile.TemporaryDirectory(prefix="cellpose-send-") as folder:
        image, masks = Path(folder) / "image.tif", Path(folder) / "masks.tif"
        io.write_tiff(image, pair.image, axes="YX" if pair.image.ndim == 2 else "CYX")
        io.write_tiff(masks, pair.labels, axes="YX")
        return {"image": image.read_bytes(), "masks": masks.read_bytes()}


def _form(fields: Mapping[str, str], files: Mapping[str, bytes], boundary: str) -> bytes:
    """A form as browsers send it (RFC 7578)."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    for name, content in files.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{name}.tif"\r\nContent-Type: image/tiff'
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), content, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _pieces(body: bytes, report: Callable[[float], None] | None) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        if report is not None:
            report(start / len(body))
        yield body[start : start + _PIECE]


def _refusal(server: str, error: urllib.error.HTTPError) -> str:
    """Why a server did not take it, in its own words where it has some."""
    words = ""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        told = json.loads(error.read(_LONGEST_ANSWER))
        words = str(told.get("error", "") if isinstance(told, dict) else "")
    if error.code == http.HTTPStatus.NOT_FOUND and not words:
        words = "it collects no contributions; start it with --contributions FOLDER"
    words = " ".join((words or f"{error.code} {error.reason}").split())
    return f"{server} did not take it: {words[:_LONGEST_SHOWN]}"
