"""The browser page and its REST API: ``cellpose serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellpose.serve._app import create_app
    from cellpose.serve._client import Client
    from cellpose.serve._run import run

__all__ = ["Client", "create_app", "run"]

_PLACES = {"Client": "_client", "create_app": "_app", "run": "_run"}


def __getattr__(name: str) -> Any:
    # the server's libraries are loaded when a server is made, the client's when a client is made
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(f"cellpose.serve.{_PLACES[name]}"), name)
    message = f"module 'cellpose.serve' has no attribute {name!r}"
    raise AttributeError(message)
