"""What all tests share: where the real data and the parity fixtures are, and how they are read."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Torch is the reference, and what most tests are about; those of the other engines name them.
os.environ.setdefault("CELLPOSE_ENGINE", "torch")

SHARED = Path(os.environ.get("CELLPOSE_TEST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


class Parity:
    """The numbers made by running the original versions (``parity/README.md`` there tells how)."""

    folder = SHARED / "parity"

    @cache  # noqa: B019  (one object for the whole session)
    def load(self, topic: str) -> Any:
        """The arrays of one topic file."""
        return np.load(self.folder / f"{topic}.npz")

    @cache  # noqa: B019
    def manifest(self) -> dict[str, list[dict[str, Any]]]:
        return json.loads((self.folder / "manifest.json").read_text())

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """The rows of the manifest on one topic."""
        return self.manifest()[topic]

    @cache  # noqa: B019
    def recipe(self, name: str) -> dict[str, np.ndarray]:
        """The deterministic weights of one network, ``{key: array}``."""
        spec = importlib.util.spec_from_file_location("parity_recipe", self.folder / "recipe.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # Not module.load: it leaves the file open, which counts as an error here.
        spec_of_net = json.loads((self.folder / "shapes" / f"{name}.json").read_text())
        return module.build(spec_of_net["shapes"], spec_of_net.get("diam", 30.0))


PARITY = Parity()


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A test that sets up the log leaves it to the next test as it was."""
    log = logging.getLogger("cellpose")
    handlers, level, propagate = list(log.handlers), log.level, log.propagate
    yield
    for handler in [h for h in log.handlers if h not in handlers]:
        log.removeHandler(handler)
        handler.close()
    log.handlers, log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and parity fixtures beside the project."""
    if not (SHARED / "parity").is_dir():
        pytest.skip(f"needs the folder of real images and parity fixtures at {SHARED} (or CELLPOSE_TEST_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def parity(shared: Path) -> Parity:
    """The parity fixtures."""
    return PARITY


def parity_rows(topic: str) -> list[Any]:
    """Rows of a topic as parameters for ``pytest.mark.parametrize``; one skipped row where the fixtures are absent."""
    if not (SHARED / "parity").is_dir():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"needs the parity fixtures at {SHARED}"))]
    return [pytest.param(row, id=str(row.get("key", i))) for i, row in enumerate(PARITY.rows(topic))]
