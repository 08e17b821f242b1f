"""What a server needs to take contributions: the folder that keeps them, and the reviewers' token."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cellpose.contributions import Store

__all__ = ["Collection"]

_TOKEN_FILE = "reviewer_token"


@dataclass(frozen=True)
class Collection:
    """A folder of contributions.

    Attributes
    ----------
    store
        The folder.
    token
        Token of the reviewers, separate from the server's token.
    """

    store: Store
    token: str

    @classmethod
    def of(cls, folder: str | Path, token: str | None = None) -> Collection:
        """The collection in a folder, created if missing; without a token, use the one kept in that folder."""
        store = Store(folder, create=True)
        return cls(store, token or _kept_token(store.folder / _TOKEN_FILE))

    def is_token(self, given: str) -> bool:
        """Whether this is the reviewers' token."""
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


def _kept_token(file: Path) -> str:
    """A random token, made once; only its owner may read the file."""
    if not file.is_file():
        word = secrets.token_urlsafe(16)
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.touch(0o600)
        partial.write_text(word, encoding="ascii")
        partial.replace(file)  # if two servers start at once, both end up reading the same file
    return file.read_text(encoding="ascii").strip()
