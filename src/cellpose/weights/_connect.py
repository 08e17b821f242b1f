"""Connections to servers: encrypted ones verified, and none waited for longer than people wait."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import socket
import ssl
import time
import urllib.request
from typing import Any

__all__ = ["DowngradeError", "UnansweredError", "opener"]

# Seconds in which a server must answer at all.
_CONNECT_S = 10.0


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from an encrypted to an open connection."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            message = f"the server sends us on to {newurl}, which is not encrypted"
            raise DowngradeError(message)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class DowngradeError(OSError):
    """A server that sends us on from an encrypted to an open connection."""


class UnansweredError(OSError):
    """Nothing came back from any of the numbers that a server has."""


def _connect(address: tuple[str, int], timeout: float | None = None, source: Any = None) -> socket.socket:
    """As `socket.create_connection`, with one limit for all numbers of a name, which may be a dozen."""
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
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._create_connection = _connect


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._create_connection = _connect


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=_tls())


def opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SecureHandler(), _PlainHandler(), _NoDowngrade())


def _tls() -> ssl.SSLContext:
    """Certificates are always verified: by those of the system, or of certifi where the system brings none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_FILE"):
        with contextlib.suppress(ImportError):
            certifi: Any = importlib.import_module("certifi")
            context.load_verify_locations(certifi.where())
    return context
