"""Download of one file; models are downloaded by `cellpose.weights`, which resumes and checks hashes."""

from __future__ import annotations

import os
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

from cellpose._machine.connect import announced_length, opener, pieces
from cellpose._machine.writing import replacing
from cellpose._version import version
from cellpose.errors import DownloadError, OptionError

__all__ = ["download_url_to_file"]

_TIMEOUT_S = 60


def download_url_to_file(url: str, dst: str | os.PathLike[str], progress: bool = True) -> None:
    """Download a file; `dst` appears only when it is complete.

    Parameters
    ----------
    url
        An ``https://`` or ``http://`` address. Certificates are verified.
    dst
        Path of the file; one that is there is replaced.
    progress
        Show a progress bar.

    Raises
    ------
    OptionError
        If `url` or `dst` is of another kind.
    DownloadError
        If the server cannot be reached or refuses; sends nothing, a web page in place of the file, or less than it
        announced; `dst` is untouched then.
    FileWriteError
        If `dst` cannot be written.
    """
    if not isinstance(url, str) or not url.lower().startswith(("https://", "http://")):
        message = f"url={url!r} is not allowed; it must begin with https:// or http://"
        raise OptionError(message)
    if not isinstance(dst, (str, os.PathLike)):
        message = f"dst={dst!r} is not allowed; it must be the path of a file"
        raise OptionError(message)
    target = Path(dst).expanduser()
    with replacing(target) as file:
        _fetch(url, file, target.name, progress)


def _fetch(url: str, file: BinaryIO, label: str, progress: bool) -> None:
    """Write what a server sends to an open file."""
    from tqdm import tqdm

    with _open(url) as response:
        total = announced_length(response)
        _check_kind(response, url, label)
        arriving = pieces(response, _TIMEOUT_S)
        with tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
            while True:
                try:
                    piece = next(arriving, b"")
                except (OSError, HTTPException, ValueError) as error:
                    raise _failure(url, error) from error
                if not piece:
                    break
                file.write(piece)
                bar.update(len(piece))
    if not file.tell() or (total is not None and file.tell() != total):
        message = f"{url} sent {file.tell()} of {'an unknown number of' if total is None else total} bytes; try again"
        raise DownloadError(message)


def _open(url: str) -> Any:
    headers = {"User-Agent": f"cellpose/{version}", "Accept-Encoding": "identity"}
    try:
        return opener().open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _failure(url, error) from error


def _failure(url: str, error: Exception) -> DownloadError:
    return DownloadError(f"could not download {url}: {error}. Check the address and the network, then try again")


def _check_kind(response: Any, url: str, name: str) -> None:
    """Refuse an answer that is no file: an empty one, a page where no page was asked for, one that is packed."""
    headers = response.headers
    kind = str(headers.get("Content-Type") or "").strip().lower()
    packed = str(headers.get("Content-Encoding") or "identity").strip().lower() != "identity"
    is_page = kind.startswith(("text/html", "application/xhtml")) and not name.lower().endswith((".html", ".htm"))
    if response.status == 200 and not packed and not is_page:
        return
    found = "a web page" if is_page else f"an answer of status {response.status}" if not packed else "a packed file"
    message = f"{url} sent {found} in place of {name}; check the address, and whether the network asks for a login"
    raise DownloadError(message)
