"""Download of one file; models are downloaded by `cellpose.weights`, which resumes and checks hashes."""

from __future__ import annotations

import os
import secrets
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from cellpose.errors import DownloadError, OptionError

__all__ = ["download_url_to_file"]

_CHUNK_BYTES = 1 << 20
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
        If `url` is of another kind.
    DownloadError
        If the server cannot be reached, refuses, or sends less than it announced; `dst` is untouched then.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("https", "http"):
        message = f"url={url!r} is not allowed; it must begin with https:// or http://"
        raise OptionError(message)
    target = Path(dst).expanduser()
    # opened by name, not with mkstemp, so that the file gets the permissions of any other
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            _fetch(url, file, target.name, progress)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fetch(url: str, file: BinaryIO, label: str, progress: bool) -> None:
    """Write what a server sends to an open file."""
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "cellpose"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=ssl.create_default_context()) as response:
            total = _announced(response)
            with tqdm(
                total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress
            ) as bar:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        message = f"could not download {url}: {error}. Check the address and the network, then try again"
        raise DownloadError(message) from error
    if total is not None and file.tell() != total:
        message = f"{url} sent {file.tell()} of {total} bytes; try again"
        raise DownloadError(message)


def _announced(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length")
    return int(length) if length and length.isdecimal() else None
