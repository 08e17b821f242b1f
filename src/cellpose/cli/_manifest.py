"""``cellpose_run.json``: what ran, with which model and options, and what came out, image by image.

The file stands in the output folder. It is rewritten as images finish, so that an interrupted run can continue with
``--resume``. Paths inside that folder are relative to it, so that the folder can be moved.

Below the last run stand the others, each with the results that it left in the folder: every file is listed once, with
the run that wrote it last. Runs may work in one folder at the same time, as the jobs of a cluster do: each takes over
what the others have noted since it last wrote the file. What another writes at the very moment in between is lost,
unless that run writes again.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cellpose import io
from cellpose._machine.writing import replacing
from cellpose._version import version
from cellpose.cli._table import FLAGS
from cellpose.errors import FileMissingError, FileReadError

__all__ = ["Manifest", "options_of"]

logger = logging.getLogger("cellpose.cli")

# A run over thousands of images must not spend its time on this file: writing it takes at most this part of a run.
_SHARE_OF_TIME = 0.05

# Models are compared by their hash, not by the name they were given.
_NOT_COMPARED = {"pretrained_model", "pretrained_model_ortho", "restore_type", "add_model", "resume"}
_COMPARED = tuple(
    flag.name for flag in FLAGS if flag.group != "training" and not flag.neutral and flag.name not in _NOT_COMPARED
)


def options_of(args: Namespace) -> dict[str, Any]:
    """All options of a run, as written to the manifest."""
    return {flag.name: getattr(args, flag.name) for flag in FLAGS if flag.group != "general" or flag.name != "version"}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Manifest:
    """The manifest of one run, which keeps what earlier ones in the folder have left.

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
        Take over the results of earlier runs with the same models and options.
    """

    def __init__(
        self, folder: Path, models: Mapping[str, Any], options: Mapping[str, Any], device: str, *, resume: bool = False
    ) -> None:
        self.path = folder / io.MANIFEST_NAME
        self._head = {
            "format": "cellpose run",
            "format_version": 1,
            "version": version,
            "run": uuid.uuid4().hex,
            "models": dict(models),
            "options": dict(options),
            "device": device,
            "started": _now(),
            "ended": None,
        }
        self._images: dict[str, dict[str, Any]] = {}
        self._earlier: list[dict[str, Any]] = []
        self._entries: dict[str, list[dict[str, Any]]] = {}  # of earlier runs, by the files they list
        self._read("all images are segmented again" if resume else "it is written again")
        if resume:
            self._take_over()
        self._warned = False
        self._next_write = 0.0

    @property
    def n_results(self) -> int:
        """Number of images that have their results."""
        return sum("error" not in entry for entry in self._images.values())

    def is_done(self, image: Path) -> bool:
        """Whether an earlier run has left all results of this image: same model and options, image unchanged."""
        return self._relative(image) in self._images

    def add_result(self, image: Path, outputs: Sequence[Path], facts: Mapping[str, Any]) -> None:
        """Note a finished image and the files written for it."""
        entry = {**facts, "modified_ns": _modified_ns(image), "outputs": [self._relative(p) for p in outputs]}
        self._add(image, entry)

    def add_failure(self, image: Path, error: str, seconds: float) -> None:
        """Note an image that failed, and why; what an earlier run has left of it may be replaced in part."""
        self._add(image, {"error": error, "seconds": round(seconds, 3)})

    def close(self) -> None:
        """Note the end of the run and write the file."""
        self._head["ended"] = _now()
        self._write()

    def _add(self, image: Path, entry: dict[str, Any]) -> None:
        name = self._relative(image)
        self._images[name] = entry
        self._replace_earlier(name, entry)
        if time.monotonic() >= self._next_write:
            self._write()

    def _replace_earlier(self, name: str, entry: Mapping[str, Any]) -> None:
        """Take the files of an image of this run from the earlier runs: what is left there are not all its results."""
        if "error" in entry:
            for run in self._earlier:
                for earlier in run["images"]:
                    if earlier["image"] == name:
                        earlier["modified_ns"] = None
        for file in entry.get("outputs", ()):
            for earlier in self._entries.pop(file, ()):
                earlier["outputs"].remove(file)
                earlier["modified_ns"] = None

    def _relative(self, path: Path) -> str:
        # realpath does not stop at circular links
        full = Path(os.path.realpath(path))
        try:
            return full.relative_to(os.path.realpath(self.path.parent)).as_posix()
        except ValueError:
            return str(full)

    def _read(self, otherwise: str) -> None:
        """Take over the runs that have left results in the folder, the last one first; ``otherwise``: if unreadable."""
        self._seen, runs = self._state(), []
        try:
            runs = io.read_manifest(self.path)
        except FileMissingError:
            pass
        except FileReadError as error:
            logger.warning(f"{error}; {otherwise}")
        self._earlier = [run for run in runs if run.get("run") != self._head["run"]]
        self._entries = defaultdict(list)
        for run in self._earlier:
            run["images"] = [entry for entry in run["images"] if entry.get("outputs")]
            for entry in run["images"]:
                for name in entry["outputs"]:
                    self._entries[name].append(entry)
        for name, entry in self._images.items():
            self._replace_earlier(name, entry)

    def _state(self) -> tuple[int, int, int] | None:
        """What changes when anyone writes the file; None where there is none."""
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _take_over(self) -> None:
        """Move the images that runs with the same models and options have done to this one."""
        wanted = _settings(json.loads(json.dumps(self._head)))
        same = [run for run in self._earlier if _settings(run) == wanted]
        if self._earlier and not same:
            logger.warning(
                f"{self.path} was written with another model or other options; all images are segmented again"
            )
        for run in same:
            left = []
            for entry in run["images"]:
                if entry["image"] in self._images or not self._is_whole(entry):
                    left.append(entry)
                else:
                    self._images[entry.pop("image")] = entry
            run["images"] = left

    def _is_whole(self, entry: Mapping[str, Any]) -> bool:
        """Whether the image is unchanged, and all its results are there and of this run."""
        modified, folder = entry.get("modified_ns"), self.path.parent
        same = modified is not None and modified == _modified_ns(folder / entry["image"])
        return same and all(os.path.exists(folder / name) for name in entry["outputs"])

    def _write(self) -> None:
        start = time.monotonic()
        if self._state() != self._seen:
            self._read("it is written again")
        earlier = [{**run, "images": [entry for entry in run["images"] if entry["outputs"]]} for run in self._earlier]
        content = {
            **self._head,
            "images": [{"image": name, **entry} for name, entry in self._images.items()],
            "earlier_runs": [run for run in earlier if run["images"]],
        }
        try:
            with replacing(self.path) as file:
                # bytes of names that are not UTF-8 are kept as JSON escapes, which restore them
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace"))
        except OSError as error:
            if not self._warned:
                logger.warning(f"{self.path} cannot be written ({error}); the run continues without it")
            self._warned = True
        self._seen = self._state()
        end = time.monotonic()
        self._next_write = end + (end - start) / _SHARE_OF_TIME


def _modified_ns(image: Path) -> int | None:
    """When an image was last changed; None where it no longer exists."""
    try:
        return image.stat().st_mtime_ns
    except OSError:
        return None


def _settings(manifest: Mapping[str, Any]) -> tuple[Any, Any]:
    models = manifest["models"].items()
    hashes = {role: model.get("sha256") if isinstance(model, dict) else None for role, model in models}
    return hashes, {name: manifest["options"].get(name) for name in _COMPARED}
