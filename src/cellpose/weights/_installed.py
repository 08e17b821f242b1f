"""Models that are on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cellpose._machine.reading import read_json
from cellpose._machine.writing import make_folder
from cellpose.errors import FileReadError, OptionError, UnknownModelError, WeightsError
from cellpose.weights import _cache
from cellpose.weights._bioimageio import is_package, packaged_weights
from cellpose.weights._card import read_card
from cellpose.weights._names import ModelInfo, lookup

__all__ = [
    "BUNDLED",
    "BUNDLED_DIR",
    "BUNDLED_RESTORER",
    "RESTORATION_TASKS",
    "ModelFile",
    "bundled_models",
    "bundled_restorer",
    "check_new_name",
    "default_model",
    "find",
    "locate",
    "name_to_give",
    "new_model",
    "owner",
]

logger = logging.getLogger("cellpose.weights")

#: Name of the model that comes with this package and is used where no other is named.
BUNDLED = "generalist"
#: Folder of the models that come with this package.
BUNDLED_DIR = Path(__file__).parent / "bundled"

#: Name of the restoration model that comes with this package, and the tasks whose names stand for it, too.
BUNDLED_RESTORER = "oneclick"
RESTORATION_TASKS = ("denoise", "deblur", "upsample", BUNDLED_RESTORER)

_PREFERRED = ("cpsam", "cpsam_v2")


@dataclass(frozen=True)
class ModelFile:
    """A model that is on this machine.

    Attributes
    ----------
    name
        Its name; for a file outside the models folder, the file name.
    path
        Its weight file.
    info
        Its published facts, or None.
    """

    name: str
    path: Path
    info: ModelInfo | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, computed when first asked for."""
        return _cache.hash(self.path)

    @cached_property
    def card(self) -> dict[str, Any]:
        """The model card inside the file, or beside it (``<name>.json``), or an empty dict."""
        inside = read_card(self.path)
        if inside:
            return inside
        for path in (self.path.with_suffix(".json"), self.path.with_name(self.path.name + ".json")):
            with contextlib.suppress(FileReadError):
                card = read_json(path)
                if isinstance(card, dict):
                    return card
        return {}


def bundled_models() -> dict[str, Path]:
    """The models that came with this package, by name."""
    if not BUNDLED_DIR.is_dir():
        return {}
    return {path.stem: path for path in sorted(BUNDLED_DIR.glob("*.safetensors"))}


def bundled_restorer() -> Path | None:
    """The restoration model that came with this package; None where it is missing."""
    path = BUNDLED_DIR / "restoration" / f"{BUNDLED_RESTORER}.safetensors"
    return path if path.is_file() else None


def default_model() -> str:
    """Name of the model used where none is named: ``cpsam`` (or ``cpsam_v2``) if its file is here, else the bundled."""
    return next((name for name in _PREFERRED if _cache.find_file(name)), BUNDLED)


def find(name_or_path: str | os.PathLike[str]) -> ModelFile | None:
    """The file of a model if it is on this machine, otherwise None; nothing is downloaded and no name refused."""
    try:
        return locate(os.fspath(name_or_path))
    except (WeightsError, UnknownModelError):
        return None


def locate(name: str) -> ModelFile | None:
    """The file of this name on this machine. An existing path takes precedence over names."""
    path = Path(name)
    there = False
    # Not every string is a path: there may be no such user (~name), or characters no path may have.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        path = path.expanduser()
        there = path.exists()
    found = _at(path) if there else None
    if found is not None:
        return found
    bundled = bundled_restorer() if name in RESTORATION_TASKS else bundled_models().get(name)
    if bundled is not None:
        return ModelFile(name, bundled)
    if path.name != name:
        return None
    published = lookup(name)
    file = published[1] if published else name
    here = _cache.find_file(file)
    if here is None:
        return _trained(name) if published is None else None
    _cache.verify(here)
    if published is None:
        return ModelFile(name, here)
    info = published[0]
    return ModelFile(info.name if file == info.file else file, here, info)


def name_to_give(path: Path) -> str:
    """What a person gives in order to use this model: its name if that means this very file, else its path."""
    meant = find(path.name)
    return path.name if meant is not None and meant.path.resolve() == path.resolve() else str(path)


def owner(name: str) -> str | None:
    """``"bundled"`` or ``"published"`` if such a model has this name, by which no other can then be used."""
    if name in RESTORATION_TASKS or name in bundled_models():
        return "bundled"
    return None if lookup(name) is None else "published"


def check_new_name(name: str) -> None:
    """Refuse a name of a model to train that cannot be that of a file.

    Raises
    ------
    OptionError
        If it is empty, or has folders that do not exist.
    """
    path = Path(name)
    if path.name in ("", "..") or (path.name != name and not (path.is_absolute() and path.parent.is_dir())):
        message = (
            f"the model name {name!r} is not allowed; give the name of a file, without folders, such as 'my_cells'"
        )
        raise OptionError(message)


def new_model(folder: str | os.PathLike[str], name: str, *, resume: bool = False) -> Path:
    """The file of a model that is about to be trained, in a folder that is made where it is missing.

    Warns if another model has the name, which goes on to mean that one, and unless a run is resumed, if the file
    exists.

    Raises
    ------
    OptionError
        If the name cannot be that of a file, or is that of a folder there.
    FileWriteError
        If the folder cannot be made.
    """
    check_new_name(name)
    path = make_folder(folder) / name
    if path.is_dir():
        message = f"the model cannot be written to {path}, which is a folder; choose another name"
        raise OptionError(message)
    if path.exists() and not resume:
        logger.warning(f"training replaces the model {path}; choose another name to keep it")
    kind = owner(name)
    if kind is not None:
        logger.warning(
            f"a {kind} model has the name {name}: use the new one by its path {path}, or choose another name"
        )
    return path


def _at(path: Path) -> ModelFile | None:
    """The model in a file, or in a BioImage.IO package; None for other folders."""
    if is_package(path):
        return ModelFile(path.stem, packaged_weights(path))
    return ModelFile(_name_of(path), path, _info_of(path.name)) if path.is_file() else None


def _trained(name: str) -> ModelFile | None:
    """A model that was trained on this machine: below the current folder, or where the list of trained ones says."""
    # The name may be longer than file names can be.
    with contextlib.suppress(OSError, ValueError):
        beside = Path.cwd() / "models" / name
        if beside.is_file() and name not in ("", ".", ".."):
            return ModelFile(name, beside)
    path = _cache.trained_models().get(name)
    return None if path is None else ModelFile(name, path)


def _name_of(path: Path) -> str:
    return path.stem if path.suffix.lower() == ".safetensors" else path.name


def _info_of(file: str) -> ModelInfo | None:
    published = lookup(file)
    return published[0] if published and published[1] == file else None
