"""What the manifest names is there, and is found without napari."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cellpose

ROOM = Path(cellpose.__file__).parent / "napari"
yaml = pytest.importorskip("yaml", reason="the manifest is read with PyYAML")


@pytest.fixture(scope="module")
def manifest() -> Any:
    return yaml.safe_load((ROOM / "napari.yaml").read_text(encoding="utf-8"))


def test_every_command_has_its_code(manifest: Any) -> None:
    for command in manifest["contributions"]["commands"]:
        module, _, name = command["python_name"].partition(":")
        tree = ast.parse((ROOM / f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8"))
        named = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        assert name in named, command


def test_every_contribution_has_a_command(manifest: Any) -> None:
    parts = manifest["contributions"]
    commands = {command["id"] for command in parts["commands"]}
    used = [part for kind in ("widgets", "readers", "writers", "sample_data") for part in parts[kind]]
    used += [item for items in parts["menus"].values() for item in items]
    assert {part["command"] for part in used} == commands


def test_reading_files_loads_neither_napari_nor_qt_nor_torch() -> None:
    code = "import sys, cellpose.napari._files; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"napari", "qtpy", "torch", "PySide6"}.isdisjoint(loaded)


def test_npe2_accepts_the_manifest() -> None:
    npe2 = pytest.importorskip("npe2", reason="napari is not installed")
    manifest = npe2.PluginManifest.from_file(ROOM / "napari.yaml")
    assert manifest.name == "cellpose"
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        if not name.endswith("Widget"):
            assert callable(getattr(importlib.import_module(module), name))
