"""Connections to servers, with verified certificates and time limits."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

__all__ = ["RedirectError", "SlowError", "UnansweredError", "announced_length", "opener", "pieces"]

# Seconds in which a server must answer at all.
_CONNECT_S = 10.0
# A server that sends less than this has stopped working, though it keeps the connection open.
_SLOWEST_BYTES_S = 1024
_PIECE = 1 << 18


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections on the web, but never from an encrypted to an open connection."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect; the connection is closed where that fails."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (OSError, http.client.HTTPException, ValueError):
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to the new address; raises RedirectError unless it is HTTP, and HTTPS after HTTPS."""
        before, after = urlsplit(req.full_url).scheme.lower(), urlsplit(newurl).scheme.lower()
        if after not in ("https", "http"):
            message = f"the server redirects to {newurl}, which is neither HTTP nor HTTPS"
            raise RedirectError(message)
        if before == "https" and after != "https":
            message = f"the server redirects to {newurl}, which is not encrypted"
            raise RedirectError(message)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class RedirectError(OSError):
    """A server that redirects to an address that is not allowed."""


class UnansweredError(OSError):
    """No address of a server answered, or the answer was not complete in time."""


class SlowError(OSError):
    """A server that sends too slowly, but often enough for the time limit of a single read."""

    def __init__(self) -> None:
        super().__init__(f"the server sends less than {_SLOWEST_BYTES_S} bytes per second")


class _Watch:
    """Cuts a connection on which one step takes too long, even if small pieces arrive meanwhile."""

    def __init__(self, connection: socket.socket | None, limit_s: float | None) -> None:
        self._connection, self._limit_s = connection, limit_s
        self._since: float | None = None
        self._end = threading.Event()
        self.has_cut = False

    def __enter__(self) -> _Watch:
        if self._connection is not None and self._limit_s:
            threading.Thread(target=self._look, name="cellpose-download", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A context whose time counts against the limit."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _look(self) -> None:
        limit_s = self._limit_s or 0.0
        while not self._end.wait(limit_s / 4):
            since = self._since
            if since is not None and time.monotonic() - since > limit_s and self._connection is not None:
                self.has_cut = True
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
                return


class _Answer(http.client.HTTPResponse):
    """An answer whose head must arrive within the time limit of a single read."""

    def __init__(self, sock: socket.socket, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        self.connection = sock

    def begin(self) -> None:
        """Read the head of the answer; raises UnansweredError if none comes in time."""
        with _Watch(self.connection, self.connection.gettimeout()) as watch, watch.step():
            try:
                super().begin()
            except (OSError, http.client.HTTPException) as error:
                if watch.has_cut or isinstance(error, TimeoutError):
                    raise UnansweredError from error
                raise
            if watch.has_cut:
                raise UnansweredError


def pieces(response: Any, limit_s: float) -> Iterator[bytes]:
    """The bytes that a server sends, as they arrive.

    Raises
    ------
    SlowError
        If data still arrives, but too slowly.
    OSError, http.client.HTTPException
        If the connection ends.
    """
    waited_s, n_bytes = 0.0, 0
    with _Watch(getattr(response, "connection", None), limit_s) as watch:
        while True:
            begin = time.monotonic()
            try:
                with watch.step():
                    piece = response.read1(_PIECE)
            except (OSError, http.client.HTTPException) as error:
                if watch.has_cut:
                    raise SlowError from error
                raise
            if watch.has_cut:
                raise SlowError
            if not piece:
                return
            # Only the time spent waiting counts, not the time in which the pieces are written.
            waited_s, n_bytes = waited_s + time.monotonic() - begin, n_bytes + len(piece)
            if waited_s > limit_s:
                if n_bytes < waited_s * _SLOWEST_BYTES_S:
                    raise SlowError
                waited_s, n_bytes = 0.0, 0
            yield piece


def announced_length(response: Any) -> int | None:
    """Number of bytes that a server announces; None if it announces none, or an invalid number."""
    length = str(response.headers.get("Content-Length") or "").strip()
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 40 else None


def _connect(address: tuple[str, int], timeout: float | None = None, source: Any = None) -> socket.socket:
    """Like `socket.create_connection`, with one limit for all addresses of a name, which may be a dozen."""
    end = time.monotonic() + _CONNECT_S
    numbers = dict.fromkeys(found[4][:2] for found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
    share = max(_CONNECT_S / max(len(numbers), 1), 2.0)
    failure: OSError = UnansweredError()
    for number in numbers:
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            connection = socket.create_connection((str(number[0]), int(number[1])), min(left, share), source)
        except TimeoutError:
            continue
        except OSError as error:
            failure = error
            continue
        connection.settimeout(timeout)
        return connection
    raise failure


class _PlainConnection(http.client.HTTPConnection):
    response_class = _Answer

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._create_connection = _connect

    def request(self, *args: Any, **keywords: Any) -> None:
        """Send a request. A server that refuses it may hang up before all is sent; its answer is read all the same."""
        try:
            super().request(*args, **keywords)
        except (BrokenPipeError, ConnectionResetError):
            if self.sock is None:  # it was never connected
                raise


class _SecureConnection(_PlainConnection, http.client.HTTPSConnection):
    pass


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open a connection without encryption."""
        return self.do_open(_PlainConnection, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open an encrypted connection."""
        return self.do_open(_SecureConnection, req, context=_tls())


def opener() -> urllib.request.OpenerDirector:
    """An opener of addresses that uses the proxies of the environment, follows redirects and verifies certificates."""
    return urllib.request.build_opener(_SecureHandler(), _PlainHandler(), _NoDowngrade())


def _tls() -> ssl.SSLContext:
    """A context that verifies certificates against those of the system, or of certifi if the system has none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_FILE"):
        with contextlib.suppress(ImportError):
            certifi: Any = importlib.import_module("certifi")
            context.load_verify_locations(certifi.where())
    return context
