"""Fetch one file over HTTP: whole or not at all, going on where an earlier try stopped."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import json
import logging
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cellpose._version import version
from cellpose.errors import DownloadError
from cellpose.weights._connect import DowngradeError, UnansweredError, opener

__all__ = ["Progress", "Retry", "download"]

logger = logging.getLogger("cellpose.weights")

#: Called with the bytes that are here and the bytes of the whole file (None: not known).
Progress = Callable[[int, "int | None"], None]

_CHUNK = 1 << 18
_SCHEMES = ("https", "http", "file")


@dataclass(frozen=True)
class Retry:
    """How long to be patient: tries for each address, seconds before the second try (doubled each time), timeout."""

    attempts: int = 4
    backoff_s: float = 1.0
    timeout_s: float = 30.0


class _GiveUp(Exception):
    """An address that will not do; the next one may."""


class _TryAgain(Exception):
    """A connection that failed; the same address may do later."""


@dataclass
class _Part:
    """What is here of a file: an open partial file, and which version of the remote file it is a part of."""

    file: IO[bytes]
    path: Path
    origin: dict[str, Any]

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def restart(self, origin: dict[str, Any]) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.origin = origin
        with contextlib.suppress(OSError):
            self.note.write_text(json.dumps(origin), encoding="utf-8")

    def size(self) -> int:
        return self.file.seek(0, os.SEEK_END)


def download(
    urls: Sequence[str], target: Path, progress: Progress | bool = True, retry: Retry | None = None
) -> tuple[str, str]:
    """Fetch the first of ``urls`` that can be had to ``target``.

    Parameters
    ----------
    urls
        Addresses of the same file (https, http or file), best first.
    target
        Where the file will lie. It appears only when it is complete; until then ``.<name>.part`` lies beside it, from
        which a later call goes on.
    progress
        Called with (bytes here, bytes in all or None); True: a bar on the terminal; False: nothing.
    retry
        Patience.

    Returns
    -------
    tuple
        SHA-256 of the file, and the address it came from.

    Raises
    ------
    DownloadError
        If no address gave the file, or there is no room for it.
    """
    retry = retry or Retry()
    failures: list[str] = []
    with _partial(target) as part, _reporter(progress, target.name) as report:
        for url in urls:
            try:
                logger.info('Downloading: "%s" to %s', url, target)
                _fetch_patiently(url, part, report, retry)
            except _GiveUp as error:
                failures.append(f"{url}: {error}")
                logger.warning("cannot download %s: %s", url, error)
                continue
            return _finish(part, target), url
    message = f"could not download {target.name}: {'; '.join(failures) or 'no address is known'}"
    raise DownloadError(message)


def _fetch_patiently(url: str, part: _Part, report: Progress, retry: Retry) -> None:
    if url.split(":", 1)[0].lower() not in _SCHEMES:
        message = f"the address must begin with one of {', '.join(_SCHEMES)}"
        raise _GiveUp(message)
    pause = retry.backoff_s
    for attempt in range(1, retry.attempts + 1):
        try:
            return _fetch(url, part, report, retry.timeout_s)
        except _TryAgain as error:
            if attempt == retry.attempts:
                message = f"{error} (tried {attempt} times)"
                raise _GiveUp(message) from error
            logger.warning("%s: %s; trying again in %g s", url, error, pause)
        time.sleep(pause)
        pause *= 2
    return None


def _fetch(url: str, part: _Part, report: Progress, timeout_s: float) -> None:
    """One try: ask for what is missing, append it, check that all is there."""
    have = part.size() if part.origin.get("url") == url else 0
    with _open(url, part, have, timeout_s) as response:
        status = response.status or 200  # file addresses have none
        if status == 416:  # nothing is left to send, or the file has changed
            if part.origin.get("total") == have:
                return
            part.restart({})
            message = "the file has changed on the server"
            raise _TryAgain(message)
        origin = _origin_of(response, url)
        if status != 206 or not _continues(response, origin, part, have):
            if status == 206:
                part.restart({})
                message = "the file has changed on the server"
                raise _TryAgain(message)
            part.restart(origin)
            have = 0
        _check_room(part.path.parent, (origin["total"] or 0) - have)
        have = _append(response, part, have, origin["total"], report)
    if origin["total"] is not None and have != origin["total"]:
        message = f"the connection ended after {have} of {origin['total']} bytes"
        raise _TryAgain(message)
    if origin["total"] is None and _is_cut_off(part.file):
        part.restart({})
        message = "the connection ended before the file did"
        raise _TryAgain(message)


def _open(url: str, part: _Part, have: int, timeout_s: float) -> Any:
    headers = {"User-Agent": f"cellpose/{version}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        tag = part.origin.get("validator") or ""
        if tag and not tag.startswith("W/"):  # weak tags are not allowed there
            headers["If-Range"] = tag
    request = urllib.request.Request(url, headers=headers)
    try:
        return opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        message = f"the server answered {error.code} {error.reason}"
        # Too many requests and faults of the server pass; what it does not have or give, it will not later either.
        raise (_TryAgain if error.code in (408, 425, 429) or error.code >= 500 else _GiveUp)(message) from error
    except urllib.error.URLError as error:
        raise _of_network(error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _of_network(error) from error


def _of_network(reason: Any) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _GiveUp(
            f"the certificate of the server cannot be verified ({reason.verify_message}); behind a proxy that opens "
            "encrypted connections set SSL_CERT_FILE to its certificate"
        )
    if isinstance(reason, socket.gaierror):
        return _GiveUp("the address cannot be found; this machine seems to be offline")
    if isinstance(reason, FileNotFoundError):
        return _GiveUp("there is no such file")
    if isinstance(reason, DowngradeError):
        return _GiveUp(str(reason))
    # A wall that swallows what is sent to it does not go away: no second try.
    if isinstance(reason, UnansweredError):
        return _GiveUp("the server does not answer; a firewall or a missing proxy (HTTPS_PROXY) may be the reason")
    return _TryAgain(f"no connection ({reason})")


def _origin_of(response: Any, url: str) -> dict[str, Any]:
    """Which version of the file the server is sending."""
    headers = response.headers
    content_type = str(headers.get("Content-Type") or "")
    if content_type.startswith("text/html"):
        message = "the server sent a web page in place of the file (perhaps the login page of the network)"
        raise _GiveUp(message)
    total: int | None = None
    if response.status == 206:
        found = re.fullmatch(r"bytes \d+-\d+/(\d+)", str(headers.get("Content-Range") or ""))
        total = int(found[1]) if found else None
    elif headers.get("Content-Length"):
        total = int(headers["Content-Length"])
    return {"url": url, "validator": headers.get("ETag") or headers.get("Last-Modified"), "total": total}


def _continues(response: Any, origin: dict[str, Any], part: _Part, have: int) -> bool:
    """Whether a partial answer begins where we stopped, in the same version of the file."""
    begins = str(response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
    return begins and all(origin[key] == part.origin.get(key) for key in ("validator", "total"))


def _append(response: Any, part: _Part, have: int, total: int | None, report: Progress) -> int:
    report(have, total)
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            part.file.flush()
            raise _of_network(error) from error
        if not chunk:
            break
        try:
            part.file.write(chunk)
        except OSError as error:
            message = f"cannot write {part.path}: {error.strerror or error}"
            raise DownloadError(message) from error
        have += len(chunk)
        report(have, total)
    part.file.flush()
    return have


def _is_cut_off(file: IO[bytes]) -> bool:
    """Whether an archive lacks its end, which is all that can be told where the server does not say how long it is."""
    file.seek(0)
    return file.read(4) == b"PK\x03\x04" and not zipfile.is_zipfile(file)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = (
            f"there is no room in {folder}: {needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free; "
            "make room, or set CELLPOSE_LOCAL_MODELS_PATH to another folder"
        )
        raise DownloadError(message)


def _finish(part: _Part, target: Path) -> str:
    digest = hashlib.sha256()
    part.file.seek(0)
    while chunk := part.file.read(_CHUNK):
        digest.update(chunk)
    part.file.flush()
    os.fsync(part.file.fileno())
    # Closing gives up the lock: renamed before that, no other call takes up the partial file in between and writes to
    # what is the model by then. Windows renames no open file.
    if sys.platform == "win32":
        part.file.close()
    part.path.replace(target)
    part.file.close()
    return digest.hexdigest()


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[_Part]:
    """The partial file of ``target``: the one an earlier call left, or a new one if another process is at that one."""
    path = target.with_name(f".{target.name}.part")
    file = _open_alone(path)
    shared = file is None
    if file is None:
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        except OSError as error:
            message = f"cannot write to {target.parent}: {error.strerror or error}"
            raise DownloadError(message) from error
        file, path = os.fdopen(descriptor, "w+b"), Path(name)
        path.chmod(0o644)
    part = _Part(file, path, {})
    with contextlib.suppress(OSError, ValueError):
        part.origin = dict(json.loads(part.note.read_text(encoding="utf-8")))
    try:
        yield part
    finally:
        finished = file.closed
        empty = not finished and part.size() == 0
        file.close()
        if finished or shared or empty:
            part.note.unlink(missing_ok=True)
        if shared or empty:
            path.unlink(missing_ok=True)


def _open_alone(path: Path) -> IO[bytes] | None:
    """The partial file, locked for this process; None where it belongs to another process or user."""
    try:
        file = path.open("a+b")
    except OSError:
        return None
    if _lock(file, path):
        return file
    file.close()
    return None


def _lock(file: IO[bytes], path: Path) -> bool:
    """Whether this process alone has the file, until it closes it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have finished and renamed the file between our opening and our locking it.
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _lock_windows(file: IO[bytes]) -> bool:
    msvcrt: Any = importlib.import_module("msvcrt")
    try:
        # Far beyond the end, since a locked byte cannot be read by others.
        file.seek(1 << 40)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


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
