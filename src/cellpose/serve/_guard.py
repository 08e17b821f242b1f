"""The checks of every request: proxy prefix, host names, origins, token, and headers of answers."""

from __future__ import annotations

import hmac
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellpose.serve._busy import Busy

__all__ = ["COOKIE", "Guard", "Prefix", "Rates", "allowed_hosts", "client_of"]

#: Holds the token, for pictures and downloads, which send no header.
COOKIE = "cellpose_token"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")
# files that the page needs in order to ask for the token
_OPEN = ("/healthz", "/sign-in", "/page.css", "/alone.css", "/theme.js", "/icon.svg")


class Prefix:
    """Strips the prefix under which a proxy serves the page from requests that still have it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, "/" + prefix.strip("/") if prefix.strip("/") else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and self._prefix:
            path = scope["path"]
            if path == self._prefix:
                query = scope["query_string"].decode("latin-1")  # the token, where it is in the address
                place = self._prefix.rsplit("/", 1)[-1] + "/"
                await RedirectResponse(f"{place}?{query}" if query else place)(scope, receive, send)
                return
            if path.startswith(self._prefix + "/"):
                path = path[len(self._prefix) :]
                scope = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        await self._app(scope, receive, send)


class Guard:
    """Refuses requests from other sites, and requests without the token.

    Parameters
    ----------
    app
        The application that answers.
    token
        Token that clients must give; None: no token.
    hosts
        Host names that are allowed without a token; None: any.
    frames
        Sites that may show the page in a frame.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Sequence[str] | None, frames: Sequence[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._frames = " ".join(["'self'", *frames])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, self._with_headers(scope["path"], send))

    def _refusal(self, request: Request) -> Response | None:
        """The refusal of a request; None: it may pass."""
        host = request.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _error(421, f"this server is not called {host!r}; allowed are {', '.join(self._hosts)}")
        if not _same_origin(request.headers, request.method, host):
            return _error(403, "requests of other sites are refused")
        return self._without_token(request) if self._token else None

    def _without_token(self, request: Request) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and self._is_token(given):
            return self._signed_in(request)
        if request.url.path in _OPEN:
            return None
        header = request.headers.get("authorization", "")
        kind, _, word = header.partition(" ")
        if (kind.lower() == "bearer" and self._is_token(word)) or self._is_token(request.cookies.get(COOKIE, "")):
            return None
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            depth = request.url.path.count("/") - 1
            page = "sign-in" if given is None else "sign-in#wrong"
            return RedirectResponse("../" * depth + page, status_code=303)
        return _error(401, "a token is needed: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.strip().encode(), (self._token or "").encode())

    def _signed_in(self, request: Request) -> Response:
        """Redirect to the same address without the token, which a cookie holds from now on."""
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        last = request.url.path.rsplit("/", 1)[-1]
        place = "./" if last in ("", "sign-in") else last
        answer = RedirectResponse(f"{place}?{urlencode(rest)}" if rest else place, status_code=303)
        secure = request.url.scheme == "https"
        # sent from this page only; pictures, downloads and progress cannot carry a header instead
        answer.set_cookie(COOKIE, self._token or "", httponly=True, samesite="strict", secure=secure)
        return answer

    def _with_headers(self, path: str, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("Content-Security-Policy", self._policy(path))
                if path.startswith("/local"):  # WebAssembly threads need a page that is isolated from all others
                    headers["Cross-Origin-Embedder-Policy"] = "require-corp"
            await send(message)

        return answer

    def _policy(self, path: str) -> str:
        scripts = "'self' 'wasm-unsafe-eval' blob:" if path.startswith("/local") else "'self'"
        return (
            f"default-src 'self'; script-src {scripts}; worker-src 'self' blob:; img-src 'self' blob: data:; "
            "style-src 'self' 'unsafe-inline'; connect-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
            f"form-action 'self'; frame-ancestors {self._frames}"
        )


def _name(host: str) -> str:
    """The name in a Host header without its port."""
    return (host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host).lower()


def _same_origin(headers: Headers, method: str, host: str) -> bool:
    """Whether a request comes from this site, or from no page at all."""
    if method in _SAFE:
        # any site may link to a page; no other site may load pictures and data
        return headers.get("sec-fetch-site") != "cross-site" or headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() in (host.lower(), headers.get("x-forwarded-host", host))


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


def allowed_hosts(host: str, public: Sequence[str]) -> list[str]:
    """Host names allowed without a token; a foreign name that resolves to this server is not among them."""
    return [*_LOOPBACK, host.lower(), *(name.lower() for name in public)]


def client_of(request: Request) -> str:
    """The address of a client; for IPv6 its network, since one client has many addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


class Rates:
    """Counts the requests of clients, and refuses too many.

    Parameters
    ----------
    per_min
        Requests per client and minute; as many may also arrive at once.
    """

    _MOST_CLIENTS = 10_000

    def __init__(self, per_min: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._most, self._now = per_min / 60, per_min, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count a request.

        Raises
        ------
        Busy
            If the client has sent too many.

        Examples
        --------
        >>> rates = Rates(1, now=lambda: 0.0)
        >>> rates.take("a"), rates.take("b")
        (None, None)
        >>> rates.take("a")
        Traceback (most recent call last):
        cellpose.serve._busy.Busy: more than 1 requests in a minute; try again in 60 s
        """
        with self._lock:
            now = self._now()
            left, at = self._left.pop(client, (self._most, now))
            left = min(self._most, left + (now - at) * self._per_s)
            if left >= 1:
                left -= 1
                wait = 0.0
            else:
                wait = (1 - left) / self._per_s
            self._left[client] = (left, now)
            while len(self._left) > self._MOST_CLIENTS:
                self._left.popitem(last=False)
        if wait:
            message = f"more than {self._most:g} requests in a minute"
            raise Busy(message, wait)
