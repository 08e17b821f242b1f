"""``cellpose serve``: the application, run by uvicorn."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cellpose._machine.optional import optional
from cellpose.errors import FileMissingError, OptionError
from cellpose.options import Serving

__all__ = ["run"]

logger = logging.getLogger("cellpose.serve")

_ORIGIN = re.compile(r"https?://(\*\.)?[\w-]+(\.[\w-]+)*(:\d+)?", re.ASCII)
_CONNECTIONS = 1000  # at the same time
_TOLD = {"told": True, "at_end": True}


def run(
    options: Serving | None = None,
    *,
    token: str | None = None,
    no_token: bool = False,
    public_host: Sequence[str] = (),
    frame: Sequence[str] = (),
    trusted_proxy: Sequence[str] = (),
    examples: str | Path | None = None,
    use_gpu: bool = False,
    contributions: str | Path | None = None,
    review_token: str | None = None,
    routes: Sequence[Any] = (),
) -> int:
    """Serve the page and the API until Ctrl+C.

    Parameters
    ----------
    options
        Address to listen on, and limits; None: the defaults.
    token
        The token that users must give; None: make one if other machines can reach the server.
    no_token
        Admit everyone without a token.
    public_host
        Host names under which a proxy serves the page.
    frame
        Sites that may show the page in a frame.
    trusted_proxy
        Addresses of proxies that report the client's address, besides those of this machine; ``"*"``: any.
    examples
        Folder of example images that the page offers.
    use_gpu
        Run models on the GPU.
    contributions
        Folder that collects contributions, created if missing; None: do not accept contributions.
    review_token
        Token for reviewers of contributions; None: the one kept in that folder, made once.
    routes
        See `create_app`.

    Returns
    -------
    int
        0.

    Raises
    ------
    MissingExtraError
        If the libraries of the extra "serve" are not installed.
    OptionError
        If the address is taken, a token is not allowed, or options contradict each other.
    FileMissingError
        If the folder of examples is missing.
    """
    options = options or Serving()
    uvicorn = optional("uvicorn", "serve", "serve the page")
    optional("fastapi", "serve", "serve the page")
    from cellpose.serve._app import create_app

    if token and no_token:
        message = "--token and --no_token contradict each other; give one of them"
        raise OptionError(message)
    _check_token("--token", token)
    _check_token("--review_token", review_token)
    _check_proxies(trusted_proxy)
    _check_frames(frame)
    if examples is not None and not Path(examples).is_dir():
        message = f"--examples {examples} is no folder; give a folder of images"
        raise FileMissingError(message)
    if token is None and not no_token and not options.is_local:
        token = secrets.token_urlsafe(16)
    collects, review = _collecting(contributions, review_token)
    bound = _bound(options)
    app = create_app(
        options,
        token=token,
        open_to_all=no_token,
        public_hosts=public_host,
        frames=frame,
        examples=examples,
        gpu=use_gpu,
        routes=[*routes, *collects],
    )
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_keep_alive=15, timeout_graceful_shutdown=3,
        limit_concurrency=_CONNECTIONS, h11_max_incomplete_event_size=65536,
        forwarded_allow_ips="*" if "*" in trusted_proxy else ["127.0.0.1", "::1", *trusted_proxy],
    )  # fmt: skip
    logger.info(_address(options, bound, token), extra=_TOLD)
    if collects:
        both = f"&token={quote(token, safe='')}" if token else ""
        logger.info(f"Contributions are reviewed at {_place(options, bound)}{review}{both}", extra=_TOLD)
    with bound, contextlib.suppress(KeyboardInterrupt):  # the usual way to stop the server
        uvicorn.Server(config).run(sockets=[bound])
    return 0


def _check_token(option: str, token: str | None) -> None:
    """Refuse a token that lets everyone in, or that no header and no cookie can hold."""
    if token is None:
        return
    if not token:  # what a shell makes of a command or a variable that is not there
        message = f"{option} is empty, which would let everyone in; give a word of letters and digits"
        raise OptionError(message)
    if not all("!" <= letter <= "~" for letter in token):
        message = f"{option} {token!r} is not allowed; give ASCII letters, digits and signs, without spaces"
        raise OptionError(message)


def _check_proxies(addresses: Sequence[str]) -> None:
    for address in addresses:
        try:
            _ = address == "*" or ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            message = (
                f"--trusted_proxy {address!r} is not an address; give one such as 10.0.0.7, a network such as "
                "10.0.0.0/8, or * for any"
            )
            raise OptionError(message) from error


def _check_frames(origins: Sequence[str]) -> None:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            message = f"--frame {origin!r} is not an origin; give one such as https://lab.example.org"
            raise OptionError(message)


def _bound(options: Serving) -> socket.socket:
    """A listening socket, so a taken port is reported before anything is loaded."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((options.host, options.port))
        bound.listen()  # a client that opens the printed address at once waits instead of being refused
    except OSError as error:
        bound.close()
        message = (
            f"cannot listen on {options.host}, port {options.port}: {error.strerror}; give another --port, "
            "0 for any that is free"
        )
        raise OptionError(message) from error
    return bound


def _collecting(folder: str | Path | None, token: str | None) -> tuple[list[Any], str]:
    """The routes of contributions, and the path of their page."""
    if folder is None:
        return [], ""
    from cellpose.serve._collection import Collection
    from cellpose.serve._contributions import REVIEW, contribution_routes

    collection = Collection.of(folder, token)
    return [contribution_routes(collection)], f"{REVIEW}?review={quote(collection.token, safe='')}"


def _place(options: Serving, bound: socket.socket) -> str:
    host = options.host
    shown = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host
    prefix = quote(options.prefix.strip("/"))
    return f"http://{shown}:{bound.getsockname()[1]}/" + (f"{prefix}/" if prefix else "")


def _address(options: Serving, bound: socket.socket, token: str | None) -> str:
    end = f"?token={quote(token, safe='')}" if token else ""
    everyone = "" if token or options.is_local else " (everyone who reaches this machine may use it)"
    return f"cellpose is at {_place(options, bound)}{end}{everyone}. Ctrl+C ends it."
