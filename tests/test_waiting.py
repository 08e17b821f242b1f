"""Idle threads of torch leave the processor to others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cellpose._machine.waiting import shorten_busy_waiting


@pytest.mark.parametrize("said", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_says_stays(said):
    environment = dict(said)
    shorten_busy_waiting(environment)
    assert environment == said


def test_importing_the_package_says_so():
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    script = "import os, cellpose; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 10000
