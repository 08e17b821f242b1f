"""What a server that takes contributions needs: where they are kept, and what reviewers must know."""

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
        What a reviewer must give, apart from the token of the server.
    """

    store: Store
    token: str

    @classmethod
    def of(cls, folder: str | Path, token: str | None = None) -> Collection:
        """The collection in a folder, made if it is not there; without a token that of the folder."""
        store = Store(folder, create=True)
        return cls(store, token or _kept_token(store.folder / _TOKEN_FILE))

    def is_token(self, given: str) -> bool:
        """Whether a reviewer gave the token."""
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


def _kept_token(file: Path) -> str:
    """A word that is made once; only its owner may read the file."""
    if not file.is_file():
        word = secrets.token_urlsafe(16)
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.touch(0o600)
        partial.write_text(word, encoding="ascii")
        partial.replace(file)  # of two servers that begin at once, both read what is there in the end
    return file.read_text(encoding="ascii").strip()
