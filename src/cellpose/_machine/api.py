"""Requests to the REST API of a server that `cellpose serve` runs; the standard library is all they need."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from cellpose._machine.connect import opener
from cellpose.errors import OptionError

__all__ = ["Api", "ApiError", "address_of"]

_API = "/api/v1"
_PIECE = 1 << 16  # bytes
_LONGEST_REASON = 1 << 20  # bytes
_LONGEST_SHOWN = 300  # characters
_BUSY = 429


class ApiError(Exception):
    """A request without a good answer.

    Attributes
    ----------
    status
        Of the answer; 0: there was none.
    reason
        In the words of the server, if it gave any.
    wait_s
        Seconds after which to try again, if the server is busy.
    """

    def __init__(self, status: int, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.wait_s = status, reason, wait_s


class Api:
    """Sends requests.

    Parameters
    ----------
    server
        Address of the server, with its prefix if it has one.
    token
        Token of the server; empty: none.
    wait_s
        Seconds to wait for an answer.
    patience_s
        Seconds during which a request is sent again while the server is busy.

    Raises
    ------
    OptionError
        If the address is invalid.
    """

    def __init__(self, server: str, token: str = "", *, wait_s: float = 60.0, patience_s: float = 0.0) -> None:
        self.server = address_of(server)
        self._token, self._wait_s, self._patience_s = token, wait_s, patience_s

    def ask(
        self,
        method: str,
        place: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        report: Callable[[float], None] | None = None,
    ) -> bytes:
        """The content of the answer to a request.

        Parameters
        ----------
        method, place
            Such as ``"GET"`` and ``"images/ID"``.
        params
            Of the query; a list stands for several of one name.
        body, content
            What is sent: a value as JSON, or the bytes of a file.
        report
            Called with the share sent so far, 0 to 1; if it raises, sending stops.

        Raises
        ------
        ApiError
            If the server cannot be reached, or refuses the request.
        """
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        target = f"{self.server}{_API}/{quote(place)}{query}"
        kind = "application/octet-stream" if body is None else "application/json"
        sent = content if body is None else json.dumps(body).encode()
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._asked(_request(method, target, sent, kind, report))
            except ApiError as error:
                if error.status != _BUSY or time.monotonic() + error.wait_s > until:
                    raise
                time.sleep(error.wait_s)

    def ask_json(self, method: str, place: str, **words: Any) -> Any:
        """The answer to a request, from JSON; arguments and errors as `ask`."""
        answer = self.ask(method, place, **words)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise ApiError(http.HTTPStatus.OK, f"it answered {_shown(answer)!r}") from error

    def _asked(self, request: urllib.request.Request) -> bytes:
        if self._token:
            # not sent to another server to which this one redirects
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with opener().open(request, timeout=self._wait_s) as answer:
                content = bytes(answer.read())
                return zlib.decompress(content) if answer.headers.get("Content-Encoding") == "deflate" else content
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from error
        except (OSError, http.client.HTTPException, zlib.error) as error:
            raise ApiError(0, str(getattr(error, "reason", None) or error or type(error).__name__)) from error


def address_of(server: str) -> str:
    """The address of a server as ``http://host:port``, with its prefix if it has one, without a slash at the end.

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
        message = f"server={server!r} is not allowed; give an address such as http://localhost:8770"
        raise OptionError(message)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _request(
    method: str, target: str, sent: bytes | None, kind: str, report: Callable[[float], None] | None
) -> urllib.request.Request:
    if sent is None:
        return urllib.request.Request(target, method=method)
    headers = {"Content-Type": kind, "Content-Length": str(len(sent))}
    return urllib.request.Request(target, _pieces(sent, report), headers, method=method)


def _pieces(content: bytes, report: Callable[[float], None] | None) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        if report is not None:
            report(start / len(content))
        yield content[start : start + _PIECE]


def _refusal(error: urllib.error.HTTPError) -> ApiError:
    """Why a request was refused."""
    reason = ""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        found = json.loads(error.read(_LONGEST_REASON))
        reason = str(found.get("error", "") if isinstance(found, dict) else "")
    wait = error.headers.get("Retry-After", "")  # a proxy may give a date
    shown = _shown((reason or f"the server answers with status {error.code}").encode())
    return ApiError(error.code, shown, float(wait) if wait.isdecimal() else 1.0)


def _shown(text: bytes) -> str:
    return " ".join(text[: 4 * _LONGEST_SHOWN].decode("utf-8", "replace").split())[:_LONGEST_SHOWN]
