"""Reading ``cellpose_run.json``, in which the command line lists the results of its runs in a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cellpose._machine.reading import read_json
from cellpose.errors import FileMissingError, FileReadError

__all__ = ["MANIFEST_NAME", "model_of", "read_manifest", "results_of_runs"]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

MANIFEST_NAME = "cellpose_run.json"
_PLAIN = (str, int, float, bool, type(None))


def read_manifest(path: PathLike) -> list[dict[str, Any]]:
    """The runs in a manifest, the last one first: dicts with ``models``, ``options``, ``images`` and more.

    Raises
    ------
    FileReadError
        If it is missing (`FileMissingError`), or is not a manifest.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("earlier_runs", []), list):
        message = f"{os.fspath(path)} is not the manifest of a run"
        raise FileReadError(message)
    runs = [content, *content.pop("earlier_runs", [])]
    for run in runs:
        if not isinstance(run, dict) or not all(isinstance(run.get(key), dict) for key in ("models", "options")):
            message = f"{os.fspath(path)} is not the manifest of a run"
            raise FileReadError(message)
        images = run.get("images")
        if not isinstance(images, list) or not all(map(_is_entry, images)):
            message = f"{os.fspath(path)} holds entries that do not describe images; delete it to start again"
            raise FileReadError(message)
    return runs


def results_of_runs(folders: Iterable[PathLike]) -> frozenset[str]:
    """Real paths of the files that the manifests in these folders list as results, whatever their names."""
    found: set[str] = set()
    for folder in folders:
        try:
            runs = read_manifest(Path(folder, MANIFEST_NAME))
        except FileMissingError:
            continue
        except FileReadError as error:
            logger.warning(f"{error}; results that only it lists are taken for images")
            continue
        names = (name for run in runs for entry in run["images"] for name in entry.get("outputs", ()))
        found |= {os.path.realpath(os.path.join(folder, name)) for name in names}
    return frozenset(found)


def model_of(result: PathLike) -> str | None:
    """Name of the model of the run that wrote a file, by the manifest beside it or one folder above; None: unknown."""
    file = Path(os.path.realpath(result))
    for folder in file.parents[:2]:
        manifest = folder / MANIFEST_NAME
        name = _models(manifest, manifest.stat().st_mtime_ns).get(str(file)) if manifest.is_file() else None
        if name is not None:
            return name
    return None


@lru_cache(maxsize=4)
def _models(manifest: Path, _modified_ns: int) -> Mapping[str, str]:
    """For the real path of each result in a manifest the name of its model; read once while the file is unchanged."""
    try:
        runs = read_manifest(manifest)
    except FileReadError as error:
        logger.debug("%s", error)
        return {}
    found: dict[str, str] = {}
    for run in reversed(runs):  # the last run wrote last
        model = run["models"].get("model")
        if isinstance(model, dict) and isinstance(model.get("name"), str):
            names = (name for entry in run["images"] for name in entry.get("outputs", ()))
            found |= {os.path.realpath(manifest.parent / name): model["name"] for name in names}
    return found


def _is_entry(entry: Any) -> bool:
    """Whether this is a valid entry of one image: flat, with valid paths."""
    if not isinstance(entry, dict) or not isinstance(entry.get("outputs", []), list):
        return False
    flat = all(
        isinstance(value, _PLAIN) or (isinstance(value, list) and all(isinstance(item, _PLAIN) for item in value))
        for value in entry.values()
    )
    return flat and all(map(_is_path, [entry.get("image"), *entry.get("outputs", [])]))


def _is_path(name: Any) -> bool:
    try:
        return isinstance(name, str) and "\0" not in name and bool(os.fsencode(name))
    except UnicodeEncodeError:
        return False
