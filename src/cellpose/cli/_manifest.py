"""``cellpose_run.json``: what ran, with which model and options, and what came out, image by image.

The file stands in the output folder. It is rewritten as images finish, so that an interrupted run can go on with
``--resume``. Paths inside that folder are relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import json
import logging
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cellpose._version import version
from cellpose.cli._table import FLAGS
from cellpose.io import replacing

__all__ = ["MANIFEST_NAME", "Manifest", "options_of", "outputs_of_last_run"]

logger = logging.getLogger("cellpose.cli")

MANIFEST_NAME = "cellpose_run.json"

# A run over thousands of images must not spend its time on this file: writing it takes at most this part of a run.
_SHARE_OF_TIME = 0.05

# Models are compared by their hash, not by the name they were given.
_NOT_COMPARED = {"pretrained_model", "pretrained_model_ortho", "restore_type", "add_model", "resume"}
_COMPARED = tuple(
    flag.name for flag in FLAGS if flag.group != "training" and not flag.neutral and flag.name not in _NOT_COMPARED
)


def options_of(args: Namespace) -> dict[str, Any]:
    """All options of a run, as they are written to the manifest."""
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
        Keep the entries of the manifest that stands in the folder if it is of the same models and options.
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
        try:
            same = entry["modified_ns"] == image.stat().st_mtime_ns
        except (KeyError, OSError):
            return False
        return same and all((self.path.parent / name).exists() for name in entry.get("outputs", ()))

    def add_result(self, image: Path, outputs: Sequence[Path], facts: Mapping[str, Any]) -> None:
        """Note a finished image and the files written for it."""
        entry = {**facts, "modified_ns": image.stat().st_mtime_ns, "outputs": [self._relative(p) for p in outputs]}
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
        try:
            return path.resolve().relative_to(self.path.parent.resolve()).as_posix()
        except ValueError:
            return str(path.resolve())

    def _earlier(self) -> dict[str, dict[str, Any]]:
        try:
            earlier = json.loads(self.path.read_text(encoding="utf-8"))
            same = _settings(earlier) == _settings(json.loads(json.dumps(self._head)))
            images = {entry.pop("image"): entry for entry in earlier["images"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning(f"{self.path} cannot be read ({error}); all images are done anew")
            return {}
        if not same:
            logger.warning(f"{self.path} is of another model or other options; all images are done anew")
            return {}
        return images

    def _write(self) -> None:
        if not self._writable:
            return
        start = time.monotonic()
        content = {**self._head, "images": [{"image": name, **entry} for name, entry in self._images.items()]}
        try:
            with replacing(self.path) as file:
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8"))
        except OSError as error:
            self._writable = False
            logger.warning(f"{self.path} cannot be written ({error}); the run goes on without it")
        end = time.monotonic()
        self._next_write = end + (end - start) / _SHARE_OF_TIME


def outputs_of_last_run(folder: Path) -> frozenset[Path]:
    """Files that the manifest in a folder names as results, so that they are not taken for images.

    Names of results that the user chose with ``--output_name`` cannot be told from names of images otherwise.
    """
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        names = [name for entry in content["images"] for name in entry.get("outputs", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return frozenset()
    return frozenset((folder / name).resolve() for name in names)


def _settings(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    hashes = {role: model["sha256"] for role, model in manifest["models"].items()}
    return hashes, {name: manifest["options"].get(name) for name in _COMPARED}
