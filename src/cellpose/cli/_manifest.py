"""``cellpose_run.json``: what ran, with which model and options, and what came out, image by image.

The file stands in the output folder. It is rewritten as images finish, so that an interrupted run can continue with
``--resume``. Paths inside that folder are relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import json
import logging
import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cellpose._machine.reading import read_json
from cellpose._machine.writing import replacing
from cellpose._version import version
from cellpose.cli._table import FLAGS
from cellpose.errors import FileMissingError, FileReadError

__all__ = ["MANIFEST_NAME", "Manifest", "options_of", "outputs_of_last_run"]

logger = logging.getLogger("cellpose.cli")

MANIFEST_NAME = "cellpose_run.json"

# A run over thousands of images must not spend its time on this file: writing it takes at most this part of a run.
_SHARE_OF_TIME = 0.05

# Models are compared by their hash, not by the name they were given.
_NOT_COMPARED = {"pretrained_model", "pretrained_model_ortho", "restore_type", "add_model", "resume"}
_PLAIN = (str, int, float, bool, type(None))
_COMPARED = tuple(
    flag.name for flag in FLAGS if flag.group != "training" and not flag.neutral and flag.name not in _NOT_COMPARED
)


def options_of(args: Namespace) -> dict[str, Any]:
    """All options of a run, as written to the manifest."""
    return {flag.name: getattr(args, flag.name) for flag in FLAGS if flag.group != "general" or flag.name != "version"}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Manifest:
    """The manifest of one run.

    Parameters
    ----------
    folder
        The output folder.
    models
        ``{role: {"name", "path", "sha256"}}`` of every model that runs; the role of the segmenting one is "model".
    options
        All options, by name.
    device
        The device in words.
    resume
        Keep the entries of the manifest in the folder if its models and options are the same.
    """

    def __init__(
        self, folder: Path, models: Mapping[str, Any], options: Mapping[str, Any], device: str, *, resume: bool = False
    ) -> None:
        self.path = folder / MANIFEST_NAME
        self._head = {
            "format": "cellpose run",
            "format_version": 1,
            "version": version,
            "models": dict(models),
            "options": dict(options),
            "device": device,
            "started": _now(),
            "ended": None,
        }
        self._images: dict[str, dict[str, Any]] = self._earlier() if resume else {}
        self._writable = True
        self._next_write = 0.0

    @property
    def n_results(self) -> int:
        """Number of images that have their results."""
        return sum("error" not in entry for entry in self._images.values())

    def is_done(self, image: Path) -> bool:
        """Whether this image has its results: same model and options, image unchanged, all its files still there."""
        entry = self._images.get(self._relative(image))
        if entry is None or "error" in entry:
            return False
        modified = _modified_ns(image)
        same = modified is not None and entry.get("modified_ns") == modified
        return same and all(os.path.exists(self.path.parent / name) for name in entry.get("outputs", ()))

    def add_result(self, image: Path, outputs: Sequence[Path], facts: Mapping[str, Any]) -> None:
        """Note a finished image and the files written for it."""
        entry = {**facts, "modified_ns": _modified_ns(image), "outputs": [self._relative(p) for p in outputs]}
        self._add(image, entry)

    def add_failure(self, image: Path, error: str, seconds: float) -> None:
        """Note an image that failed, and why."""
        self._add(image, {"error": error, "seconds": round(seconds, 3)})

    def close(self) -> None:
        """Note the end of the run and write the file."""
        self._head["ended"] = _now()
        self._write()

    def _add(self, image: Path, entry: dict[str, Any]) -> None:
        self._images[self._relative(image)] = entry
        if time.monotonic() >= self._next_write:
            self._write()

    def _relative(self, path: Path) -> str:
        # realpath does not stop at circular links
        full = Path(os.path.realpath(path))
        try:
            return full.relative_to(os.path.realpath(self.path.parent)).as_posix()
        except ValueError:
            return str(full)

    def _earlier(self) -> dict[str, dict[str, Any]]:
        try:
            earlier = _read(self.path)
        except FileMissingError:
            return {}
        except FileReadError as error:
            logger.warning(f"{error}; all images are segmented again")
            return {}
        if _settings(earlier) != _settings(json.loads(json.dumps(self._head))):
            logger.warning(
                f"{self.path} was written with another model or other options; all images are segmented again"
            )
            return {}
        return {entry.pop("image"): entry for entry in earlier["images"]}

    def _write(self) -> None:
        if not self._writable:
            return
        start = time.monotonic()
        content = {**self._head, "images": [{"image": name, **entry} for name, entry in self._images.items()]}
        try:
            with replacing(self.path) as file:
                # bytes of names that are not UTF-8 are kept as JSON escapes, which restore them
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._writable = False
            logger.warning(f"{self.path} cannot be written ({error}); the run continues without it")
        end = time.monotonic()
        self._next_write = end + (end - start) / _SHARE_OF_TIME


def outputs_of_last_run(folder: Path) -> frozenset[Path]:
    """Files that the manifest in a folder names as results, so that they are not taken for images.

    Without it, results named with ``--output_name`` look like images.
    """
    try:
        content = _read(folder / MANIFEST_NAME)
    except FileMissingError:
        return frozenset()
    except FileReadError as error:
        logger.warning(f"{error}; it is written again")
        return frozenset()
    return frozenset(
        Path(os.path.realpath(folder / name)) for entry in content["images"] for name in entry.get("outputs", ())
    )


def _modified_ns(image: Path) -> int | None:
    """When an image was last changed; None where it no longer exists."""
    try:
        return image.stat().st_mtime_ns
    except OSError:
        return None


def _read(path: Path) -> dict[str, Any]:
    """A manifest as this program writes it.

    Raises
    ------
    FileReadError
        If it is missing (`FileMissingError`), or is not a manifest.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("models", "options")):
        message = f"{path} is not the manifest of a run"
        raise FileReadError(message)
    images = content.get("images")
    if not isinstance(images, list) or not all(map(_is_entry, images)):
        message = f"{path} holds entries that do not describe images; delete it to start again"
        raise FileReadError(message)
    return content


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


def _settings(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    models = manifest["models"].items()
    hashes = {role: model.get("sha256") if isinstance(model, dict) else None for role, model in models}
    return hashes, {name: manifest["options"].get(name) for name in _COMPARED}
