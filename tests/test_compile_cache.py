"""Compiled loops find a place where neither the package nor the home folder takes files."""

from __future__ import annotations

import os
import stat
import sys
import tempfile

import pytest

from cellpose._machine.caches import provide_compile_cache


@pytest.fixture
def locked(monkeypatch, tmp_path):
    """A package that cannot be written to and no home; folders for temporary files are below tmp_path."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.setenv("USERPROFILE", "/proc/none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # the real numba of this process must keep its place
    monkeypatch.setitem(sys.modules, "numba", type(sys)("numba"))
    sys.modules["numba"].config = type(sys)("config")
    yield tmp_path
    os.environ.pop("NUMBA_CACHE_DIR", None)


def test_nothing_is_done_where_the_package_takes_files(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert provide_compile_cache(tmp_path) is None
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_nothing_is_done_where_the_home_takes_files(locked, monkeypatch):
    monkeypatch.setenv("HOME", str(locked))
    monkeypatch.setenv("USERPROFILE", str(locked))
    assert provide_compile_cache(locked / "package") is None


def test_what_the_user_chose_stays(locked, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert provide_compile_cache(locked) is None
    assert os.environ["NUMBA_CACHE_DIR"] == "/elsewhere"


def test_a_private_folder_is_made(locked):
    folder = provide_compile_cache(locked)
    assert folder.parent == locked
    assert os.environ["NUMBA_CACHE_DIR"] == sys.modules["numba"].config.CACHE_DIR == str(folder)
    if hasattr(os, "getuid"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    del os.environ["NUMBA_CACHE_DIR"]
    assert provide_compile_cache(locked) == folder  # and used again


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have owners on POSIX systems")
def test_a_folder_open_to_others_is_not_used(locked):
    folder = provide_compile_cache(locked)
    folder.chmod(0o777)
    del os.environ["NUMBA_CACHE_DIR"]
    assert provide_compile_cache(locked) != folder
