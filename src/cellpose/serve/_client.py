"""A client of the API for scripts."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._machine.api import Api, ApiError
from cellpose._machine.writing import replacing
from cellpose.errors import DownloadError, FileMissingError, InputError

__all__ = ["Client"]

logger = logging.getLogger("cellpose.serve")

_ENDED = ("done", "failed", "cancelled")
_WAIT_S = 0.2
_ANSWER_S = 600.0


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
    OptionError
        If the address is invalid.

    Examples
    --------
    >>> client = Client("http://localhost:8770")
    >>> image = client.upload("cells.tif")  # doctest: +SKIP
    >>> client.segment(image, diameter=30)  # doctest: +SKIP
    >>> masks = client.masks(image)  # doctest: +SKIP
    >>> client.download(image, "roi", "cells_rois.zip")  # doctest: +SKIP
    """

    def __init__(self, address: str, token: str | None = None, *, patience_s: float = 300.0) -> None:
        self._api = Api(address, token or "", wait_s=_ANSWER_S, patience_s=patience_s)

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
        job = self._json("POST", _place(image, "segmentation"), body=options)
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
        return dict(self._json("GET", _place(image)))

    def threshold(self, image: str, **thresholds: Any) -> dict[str, Any]:
        """Recompute the cells with other thresholds, without the network; return facts about them."""
        return dict(self._json("PATCH", _place(image, "segmentation"), body=thresholds))

    def click(self, image: str, x: int, y: int, frame: int = 0) -> dict[str, Any]:
        """Remove the cell at a pixel, or add one there; return the changes."""
        return dict(self._json("POST", _place(image, "cells"), body={"x": x, "y": y, "frame": frame}))

    def masks(self, image: str) -> npt.NDArray[np.int32]:
        """The labels of an image, int32, ``([T, Z,] Y, X)``: an axis of times or planes is there if it has several."""
        with tempfile.TemporaryDirectory(prefix="cellpose-client-") as folder:
            labels = io.imread(self.download(image, "tif", Path(folder) / "masks.tif"))
        return np.asarray(labels, np.int32)

    def download(self, image: str, form: str, path: str | os.PathLike[str]) -> Path:
        """Write a result to a file, replacing an existing one; ``form`` is one of the formats in `about`, or "zip"."""
        return self._write(self._send("GET", _place(image, f"results/{form}")), path)

    def download_all(self, images: Iterable[str], path: str | os.PathLike[str], forms: Iterable[str] = ()) -> Path:
        """Write the results of several images to one ZIP archive."""
        params = {"image": list(images), "format": list(forms)}
        return self._write(self._send("GET", "results", params=params), path)

    def delete(self, image: str) -> None:
        """Delete an image and all its results."""
        self._send("DELETE", _place(image))

    @staticmethod
    def _write(content: bytes, path: str | os.PathLike[str]) -> Path:
        with replacing(path) as file:
            file.write(content)
        return Path(path)

    def _json(self, method: str, place: str, **words: Any) -> Any:
        with _in_our_errors(self._api.server):
            return self._api.ask_json(method, place, **words)

    def _send(self, method: str, place: str, **words: Any) -> bytes:
        with _in_our_errors(self._api.server):
            return self._api.ask(method, place, **words)


def _place(image: str, what: str = "") -> str:
    """Where the server has an image, or something of it; a path here is a common mistake."""
    if not re.fullmatch(r"[\w-]+", str(image)):
        message = f"{str(image)!r} is not the id of an image; upload the file first: image = client.upload(path)"
        raise InputError(message)
    return "/".join(filter(None, ("images", image, what)))


@contextmanager
def _in_our_errors(server: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if not error.status:
            message = f"the server at {server} cannot be reached: {error.reason}"
            raise DownloadError(message) from error
        refused = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if refused and error.status != HTTPStatus.TOO_MANY_REQUESTS:
            raise InputError(error.reason) from error
        message = f"{server}: {error.reason}"
        raise DownloadError(message) from error
