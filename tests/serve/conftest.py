"""What the tests of the server share."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from served import EXAMPLES, Served, serving

_LIBRARIES = ("fastapi", "uvicorn", "httpx")
collect_ignore_glob = [] if all(importlib.util.find_spec(name) for name in _LIBRARIES) else ["test_*.py"]


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    """A server with the defaults, for tests that leave it as it is."""
    with serving("--examples", str(EXAMPLES), folder=tmp_path_factory.mktemp("serve")) as server:
        yield server
