"""What holds for all tests, those in docstrings included."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Examples of functions that a face guards run where the functions stand, and not again at the face."""

    def is_there_again(item: pytest.Item) -> bool:
        if not isinstance(item, pytest.DoctestItem) or item.path.name != "__init__.py":
            return False
        module, _, name = item.dtest.name.rpartition(".")
        return hasattr(getattr(sys.modules.get(module), name, None), "__cellpose_door__")

    items[:] = [item for item in items if not is_there_again(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Escape names that are not UTF-8 in what a test printed: the processes of a run cannot send them."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
