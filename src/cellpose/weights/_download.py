"""Download one file over HTTP: complete or not at all, continuing where an earlier try stopped."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellpose._machine.connect import RedirectError, SlowError, UnansweredError, announced_length, opener, pieces
from cellpose._version import version
from cellpose.errors import DownloadError
from cellpose.weights._content import HEAD_BYTES, flaw_of, flaw_of_head
from cellpose.weights._partial import PartialFile, partial

__all__ = ["Progress", "Retry", "download"]

logger = logging.getLogger("cellpose.weights")

#: Called with the number of bytes received and that of the whole file (None: unknown).
Progress = Callable[[int, "int | None"], None]

_CHUNK = 1 << 20
#: Types of content that are never a model.
_LARGEST_BYTES = 8 << 30
_SCHEMES = ("https", "http", "file")


@dataclass(frozen=True)
class Retry:
    """How often to retry: tries for each address, seconds before the second try (doubled each time), timeout."""

    attempts: int = 4
    backoff_s: float = 1.0
    timeout_s: float = 30.0


class _GiveUp(Exception):
    """An address that cannot be used; the next one may work."""


class _TryAgain(Exception):
    """A connection that failed; the same address may work later."""


def download(
    urls: Sequence[str],
    target: Path,
    progress: Progress | bool = True,
    retry: Retry | None = None,
    largest_bytes: int = _LARGEST_BYTES,
) -> tuple[str, str]:
    """Fetch a weight file or a size model from the first of ``urls`` that gives it.

    What a server sends in its place (nothing, a web page, a message, another or a damaged file) is rejected, and the
    next address is tried after any failure.

    Parameters
    ----------
    urls
        Addresses of the same file (https, http or file), best first.
    target
        Where the file will lie; its name distinguishes a size model (``.npy``) from weights. It appears only when it is
        complete; until then ``.<name>.part`` lies beside it, from which a later call continues.
    progress
        Called with (bytes here, bytes in all or None); True: a bar on the terminal; False: nothing.
    retry
        Patience.
    largest_bytes
        A longer file is not the right one.

    Returns
    -------
    tuple
        SHA-256 of the file, and the address it came from.

    Raises
    ------
    DownloadError
        If no address gave the file, or it cannot be written here. It names every address with its reason.
    """
    retry = retry or Retry()
    failures: list[str] = []
    with partial(target) as part, _reporter(progress, f"{target.name} to {target.parent}") as report:
        fetch = _Fetch(part, target.name, report, retry, largest_bytes)
        for url in urls:
            try:
                logger.info('Downloading: "%s" to %s', url, target)
                fetch.patiently(url)
                return _finish(part, target), url
            except _GiveUp as error:
                failures.append(f"{url}: {error}")
                logger.warning("cannot download %s: %s", url, error)
            # A disk error, which no other address can fix.
            except OSError as error:
                message = f"could not download {target.name}: {'; '.join([*failures, f'{url}: {error}'])}"
                raise DownloadError(message) from error
    message = f"could not download {target.name}: {'; '.join(failures) or 'no address is known'}"
    raise DownloadError(message)


@dataclass
class _Fetch:
    """One file, requested from several addresses."""

    part: PartialFile
    name: str
    report: Progress
    retry: Retry
    largest_bytes: int

    def patiently(self, url: str) -> None:
        """Try one address several times, as long as another try makes sense."""
        if url.split(":", 1)[0].lower() not in _SCHEMES:
            message = f"the address must start with one of {', '.join(_SCHEMES)}"
            raise _GiveUp(message)
        pause = self.retry.backoff_s
        for attempt in range(1, self.retry.attempts + 1):
            try:
                return self._once(url)
            except _TryAgain as error:
                if attempt == self.retry.attempts:
                    message = f"{error} (tried {attempt} times)"
                    raise _GiveUp(message) from error
                logger.warning("%s: %s; trying again in %g s", url, error, pause)
            time.sleep(pause)
            pause *= 2
        return None

    def _once(self, url: str) -> None:
        """One try: request the missing bytes, append them, check that the file is complete."""
        part = self.part
        have = part.size() if part.origin.get("url") == url else 0
        if have and flaw_of_head(part.head(HEAD_BYTES), self.name):
            have = 0
        resumed = have > 0
        with _open(url, part, have, self.retry.timeout_s) as response:
            if not (response.status == 416 and self._is_all_here(have)):
                have = self._begin(response, url, have)
                have = self._append(response, have)
        total = part.origin.get("total")
        if total is not None and have < total:
            message = f"the connection ended after {have} of {total} bytes"
            raise _TryAgain(message)
        self._check(resumed or total is None)

    def _is_all_here(self, have: int) -> bool:
        """Whether the answer 416 means that the whole file is here; otherwise the remote file has changed."""
        if have and self.part.origin.get("total") == have:
            return True
        if not have:
            message = "the server answered 416 to a request for the whole file"
            raise _GiveUp(message)
        self.part.restart({})
        message = "the file has changed on the server"
        raise _TryAgain(message)

    def _begin(self, response: Any, url: str, have: int) -> int:
        """Check the head of an answer; the number of local bytes that it continues."""
        origin = _origin_of(response, url)
        total = origin["total"]
        if total is not None and total > self.largest_bytes:
            message = f"the server announces {total} bytes, more than this file can have"
            raise _GiveUp(message)
        if response.status == 206:
            if not have:
                message = "the server sent a part (206), but the whole file was requested"
                raise _GiveUp(message)
            if not _continues(response, origin, self.part, have):
                self.part.restart({})
                message = "the file has changed on the server"
                raise _TryAgain(message)
            self.part.origin = origin
        else:
            self.part.restart(origin)
            have = 0
        _check_room(self.part.path.parent, (total or 0) - have)
        return have

    def _append(self, response: Any, have: int) -> int:
        part, total = self.part, self.part.origin["total"]
        head = part.head(HEAD_BYTES)
        part.size()  # to the end, where writing continues
        self.report(have, total)
        arriving = pieces(response, self.retry.timeout_s)
        while True:
            try:
                piece = next(arriving, b"")
            except (OSError, http.client.HTTPException, ValueError) as error:
                part.file.flush()
                raise _of_network(error) from error
            if not piece:
                break
            # A wrong file shows in its first bytes; the rest need not be fetched.
            if len(head) < HEAD_BYTES:
                head += piece[: HEAD_BYTES - len(head)]
                if len(head) == HEAD_BYTES:
                    self._check_head(head)
            have += len(piece)
            if have > (self.largest_bytes if total is None else total):
                part.restart({})
                message = "the server sends more than it announced, or more than this file can have"
                raise _GiveUp(message)
            part.file.write(piece)
            self.report(have, total)
        part.file.flush()
        return have

    def _check_head(self, head: bytes) -> None:
        found = flaw_of_head(head, self.name)
        if found:
            self.part.restart({})
            raise _GiveUp(found)

    def _check(self, may_be_mended: bool) -> None:
        """Refuse a wrong file; another try makes sense where the flaw may come from joining two answers."""
        self._check_head(self.part.head(HEAD_BYTES))
        found = flaw_of(self.part.file, self.part.path, self.name)
        if found:
            self.part.restart({})
            raise (_TryAgain if may_be_mended else _GiveUp)(found)


def _open(url: str, part: PartialFile, have: int, timeout_s: float) -> Any:
    headers = {"User-Agent": f"cellpose/{version}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        tag = part.origin.get("validator") or ""
        if tag and not tag.startswith("W/"):  # weak ETags are not allowed there
            headers["If-Range"] = tag
    try:
        return opener().open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        message = f"the server answered {error.code} {error.reason}"
        # Rate limits and server errors pass; a file that the server lacks or refuses will not appear later.
        raise (_TryAgain if error.code in (408, 425, 429) or error.code >= 500 else _GiveUp)(message) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if url[:5].lower() == "file:":
            message = "there is no such file" if isinstance(reason, FileNotFoundError) else f"cannot be read ({reason})"
            raise _GiveUp(message) from error
        raise _of_network(reason) from error


def _of_network(reason: Any) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _GiveUp(
            f"the certificate of the server cannot be verified ({reason.verify_message}); behind a proxy that "
            "inspects encrypted connections, set SSL_CERT_FILE to its certificate"
        )
    if isinstance(reason, socket.gaierror):
        return _GiveUp("the address cannot be found; this machine seems to be offline")
    if isinstance(reason, (RedirectError, SlowError)):
        return _GiveUp(str(reason))
    # A firewall that drops packets does not go away: no second try.
    if isinstance(reason, UnansweredError):
        return _GiveUp("the server does not answer; a firewall or a missing proxy (HTTPS_PROXY) may be the reason")
    if isinstance(reason, (ValueError, http.client.InvalidURL)):
        return _GiveUp(f"the address, or a redirect from it, is not valid ({reason})")
    return _TryAgain(f"no connection ({str(reason).strip() or type(reason).__name__})")


def _origin_of(response: Any, url: str) -> dict[str, Any]:
    """Which version of the file the server is sending."""
    headers, status = response.headers, response.status
    if status not in (None, 200, 206):  # file addresses have no status
        message = f"the server answered {status} {response.reason or ''}".rstrip() + " and no file"
        raise _GiveUp(message)
    if str(headers.get("Content-Type") or "").strip().lower().startswith(("text/html", "application/xhtml")):
        message = "the server sent a web page instead of the file (perhaps the login page of the network)"
        raise _GiveUp(message)
    if str(headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        message = f"the server sent the file encoded ({headers['Content-Encoding']}), which was not requested"
        raise _GiveUp(message)
    total = announced_length(response)
    if status == 206:
        found = re.fullmatch(r"bytes \d{1,30}-\d{1,30}/(\d{1,30})", str(headers.get("Content-Range") or ""))
        total = int(found[1]) if found else None
    return {"url": url, "validator": headers.get("ETag") or headers.get("Last-Modified"), "total": total}


def _continues(response: Any, origin: dict[str, Any], part: PartialFile, have: int) -> bool:
    """Whether a partial answer begins where we stopped, in the same version of the file."""
    begins = str(response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
    same_length = origin["total"] == part.origin.get("total") or (
        part.origin.get("total") is None and origin["validator"] is not None
    )
    return begins and same_length and origin["validator"] == part.origin.get("validator")


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = (
            f"there is not enough space in {folder}: {needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB "
            "are free; free some space, or set CELLPOSE_LOCAL_MODELS_PATH to another folder"
        )
        raise _GiveUp(message)


def _finish(part: PartialFile, target: Path) -> str:
    digest = hashlib.sha256()
    part.file.seek(0)
    while chunk := part.file.read(_CHUNK):
        digest.update(chunk)
    part.file.flush()
    os.fsync(part.file.fileno())
    # Closing gives up the lock. Renaming before that keeps other calls from taking up the partial file in between and
    # writing to what is the model by then. Windows cannot rename open files.
    if sys.platform == "win32":
        part.file.close()
    part.path.replace(target)
    part.file.close()
    return digest.hexdigest()


@contextlib.contextmanager
def _reporter(progress: Progress | bool, name: str) -> Iterator[Progress]:
    if callable(progress):
        yield progress
        return
    from tqdm import tqdm

    # Without a terminal there is no bar (disable=None).
    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None if progress else True) as bar:

        def report(have: int, total: int | None) -> None:
            bar.total = total
            bar.update(have - bar.n)

        yield report
