"""Sending an image and its cells to a server that collects contributions, by the REST API of ``cellpose serve``.

Image and cells are uploaded like any image, then contributed by their ids.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cellpose._machine.api import Api, ApiError
from cellpose.contributions._checks import Pair
from cellpose.contributions._record import Provenance
from cellpose.errors import SendError

__all__ = ["send"]


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
    api = Api(server, token)
    uploaded: list[str] = []
    try:
        for name, content in _files(pair).items():
            part = _part(report, len(uploaded) / 2, 0.5)
            answer = api.ask_json("POST", "images", params={"name": f"{name}.tif"}, content=content, report=part)
            uploaded.append(_id_of(answer))
        asked = {"image": uploaded[0], "masks": uploaded[1], "provenance": provenance.as_dict()}
        answer = api.ask_json("POST", "contributions", body=asked)
        _id_of(answer)
        return dict(answer)
    except ApiError as error:
        raise SendError(_in_words(server, error)) from error
    finally:
        for each in uploaded:  # without this, the server deletes them later
            with contextlib.suppress(ApiError):
                api.ask("DELETE", f"images/{each}")


def _part(report: Callable[[float], None] | None, begin: float, part: float) -> Callable[[float], None] | None:
    return None if report is None else lambda share: report(begin + part * share)


def _id_of(answer: Any) -> str:
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise ApiError(HTTPStatus.OK, f"it answered {str(answer)[:80]!r}")
    return str(answer["id"])


def _files(pair: Pair) -> dict[str, bytes]:
    from cellpose import io

    with tempfile.TemporaryDirectory(prefix="cellpose-send-") as folder:
        image, masks = Path(folder) / "image.tif", Path(folder) / "masks.tif"
        io.write_tiff(image, pair.image, axes="YX" if pair.image.ndim == 2 else "CYX")
        io.write_tiff(masks, pair.labels, axes="YX")
        return {"image": image.read_bytes(), "masks": masks.read_bytes()}


def _in_words(server: str, error: ApiError) -> str:
    """Why a contribution was not sent."""
    if not error.status:
        return f"the server at {server} cannot be reached: {error.reason}; check the address, and that the server runs"
    if error.status < HTTPStatus.MULTIPLE_CHOICES:
        return f"{server} is no server of cellpose; {error.reason}"
    if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and "image" not in error.reason:
        return f"{server} did not take it: it collects no contributions; start it with --contributions FOLDER"
    return f"{server} did not take it: {error.reason}"
