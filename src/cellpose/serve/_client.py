"""A client of the API for scripts."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose._machine.writing import replacing
from cellpose.errors import CellposeError, DownloadError, FileMissingError, InputError

__all__ = ["Client"]

logger = logging.getLogger("cellpose.serve")

_ENDED = ("done", "failed", "cancelled")
_WAIT_S = 0.2
_BUSY = 429


class Client:
    """Images segmented by a server that `cellpose serve` runs.

    Parameters
    ----------
    address
        Address of the server, such as ``"http://localhost:8770/"``, with its prefix if it has one.
    token
        Token of the server; None: no token.
    patience_s
        Seconds during which a request is retried while the server is busy.

    Raises
    ------
    MissingExtraError
        If httpx is not installed.

    Examples
    --------
    >>> with Client("http://localhost:8770") as client:  # doctest: +SKIP
    ...     image = client.upload("cells.tif")
    ...     client.segment(image, diameter=30)
    ...     masks = client.masks(image)
    ...     client.download(image, "roi", "cells_rois.zip")
    """

    def __init__(self, address: str, token: str | None = None, *, patience_s: float = 300.0) -> None:
        httpx = optional("httpx", "serve", "reach a server")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = address.rstrip("/") + "/api/v1/"
        self._http = httpx.Client(base_url=base, headers=headers, timeout=600.0)
        self._failures = httpx.TransportError
        self._patience = patience_s

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def about(self) -> dict[str, Any]:
        """What the server offers: models, formats, limits, examples."""
        return dict(self._json("GET", "about"))

    def upload(self, path: str | os.PathLike[str]) -> str:
        """Upload an image and return its id.

        Raises
        ------
        FileMissingError
            If there is no such file.
        InputError
            If the server rejects it.
        DownloadError
            If the server cannot be reached, or stays busy.
        """
        file = Path(path)
        if not file.is_file():
            message = f"{file} does not exist"
            raise FileMissingError(message)
        found = self._json("POST", "images", params={"name": file.name}, content=file.read_bytes())
        return str(found["id"])

    def segment(self, image: str, report: Callable[[float], None] | None = None, **options: Any) -> dict[str, Any]:
        """Segment an image, and wait for it.

        Parameters
        ----------
        image
            Id of the image.
        report
            Called with the completed fraction, 0 to 1.
        **options
            ``model``, ``diameter``, ``channels``, ``mode``, ``cellprob_threshold``, ``flow_threshold``, ``min_size``,
            ``stitch_threshold``, ``anisotropy``, ``invert``.

        Returns
        -------
        dict
            Facts about the image, including its cells. Their ``"warnings"`` are logged, as ``eval`` does.

        Raises
        ------
        InputError
            If an option is wrong, or the segmentation failed or was canceled.
        DownloadError
            As `upload`.
        """
        job = self._json("POST", f"images/{image}/segmentation", json=options)
        while job["state"] not in _ENDED:
            time.sleep(_WAIT_S)
            job = self._json("GET", f"jobs/{job['id']}")
            if report is not None:
                report(job["progress"])
        if job["state"] != "done":
            message = f"the segmentation was not done: {job['error'] or job['state']}"
            raise InputError(message)
        for warning in job["warnings"]:
            logger.warning("%s", warning)
        return self.image(image)

    def image(self, image: str) -> dict[str, Any]:
        """Facts about an image."""
        return dict(self._json("GET", f"images/{image}"))

    def threshold(self, image: str, **thresholds: Any) -> dict[str, Any]:
        """Recompute the cells with other thresholds, without the network; return facts about them."""
        return dict(self._json("PATCH", f"images/{image}/segmentation", json=thresholds))

    def click(self, image: str, x: int, y: int, frame: int = 0) -> dict[str, Any]:
        """Remove the cell at a pixel, or add one there; return the changes."""
        return dict(self._json("POST", f"images/{image}/cells", json={"x": x, "y": y, "frame": frame}))

    def masks(self, image: str) -> npt.NDArray[np.int32]:
        """The labels of an image, int32, ``(Y, X)``, or ``(plane, Y, X)`` if it has several planes or times."""
        about = self.image(image)
        side, height, width = about["tile_size"], about["height"], about["width"]
        frames = about["planes"] * about["times"]
        labels = np.zeros((frames, height, width), np.int32)
        for frame in range(frames):
            for row in range(0, height, side):
                for column in range(0, width, side):
                    down, across = min(side, height - row), min(side, width - column)
                    place = f"images/{image}/labels/0/{column // side}/{row // side}"
                    tile = np.frombuffer(self._send("GET", place, params={"frame": frame}).content, "<u4")
                    inner = tile.reshape(down + 2, across + 2)[1:-1, 1:-1]
                    labels[frame, row : row + down, column : column + across] = inner
        return labels[0] if frames == 1 else labels

    def download(self, image: str, form: str, path: str | os.PathLike[str]) -> Path:
        """Write a result to a file, replacing an existing one; ``form`` is one of the formats in `about`, or "zip"."""
        return self._write(self._send("GET", f"images/{image}/results/{quote(form, safe='')}").content, path)

    def download_all(self, images: Iterable[str], path: str | os.PathLike[str], forms: Iterable[str] = ()) -> Path:
        """Write the results of several images to one ZIP archive."""
        params = {"image": list(images), "format": list(forms)}
        return self._write(self._send("GET", "results", params=params).content, path)

    def delete(self, image: str) -> None:
        """Delete an image and all its results."""
        self._send("DELETE", f"images/{image}")

    @staticmethod
    def _write(content: bytes, path: str | os.PathLike[str]) -> Path:
        with replacing(path) as file:
            file.write(content)
        return Path(path)

    def _json(self, method: str, place: str, **words: Any) -> Any:
        return self._send(method, place, **words).json()

    def _send(self, method: str, place: str, **words: Any) -> Any:
        """Send a request and return the answer; retry while the server is busy."""
        until = time.monotonic() + self._patience
        while True:
            try:
                answer = self._http.request(method, place, **words)
            except self._failures as error:
                message = f"the server at {self._http.base_url} cannot be reached: {error}"
                raise DownloadError(message) from error
            if answer.status_code != _BUSY:
                break
            asked = answer.headers.get("Retry-After", "")  # a proxy may give a date
            wait = float(asked) if asked.isdecimal() else 1.0
            if time.monotonic() + wait > until:
                break
            time.sleep(wait)
        if answer.is_success:
            return answer
        raise _error_of(answer)


def _error_of(answer: Any) -> CellposeError:
    try:
        reason = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        reason = f"the server answers with status {answer.status_code}"
    return DownloadError(reason) if answer.status_code >= 500 or answer.status_code == _BUSY else InputError(reason)
