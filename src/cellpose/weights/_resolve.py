"""From names to files."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cellpose.errors import (
    DownloadError,
    FileMissingError,
    FileReadError,
    FileWriteError,
    UnknownModelError,
    WeightsError,
)
from cellpose.weights import _cache
from cellpose.weights._card import read_card
from cellpose.weights._download import Progress, Retry
from cellpose.weights._download import download as download_file
from cellpose.weights._names import LEGACY_FILES, PUBLISHED, ModelInfo, lookup

__all__ = [
    "BUNDLED",
    "MIRROR_ENV",
    "ModelFile",
    "ModelStatus",
    "add_model",
    "bundled_models",
    "default_model",
    "find",
    "list_models",
    "model_path",
    "pull",
    "remove_model",
    "resolve",
    "size_model_path",
]

logger = logging.getLogger("cellpose.weights")

#: Name of the model that comes with this package.
BUNDLED = "nuclei-cells"
#: Environment variable with addresses (comma-separated) at which published files are looked for first.
MIRROR_ENV = "CELLPOSE_MODEL_MIRROR"

_BUNDLED_DIR = Path(__file__).parent / "bundled"
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
        What is published of it, or None.
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
            with contextlib.suppress(OSError, ValueError):
                card = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(card, dict):
                    return card
        return {}


@dataclass(frozen=True)
class ModelStatus:
    """One line of the list of models.

    ``kind`` is ``"bundled"``, ``"published"``, ``"user"`` or ``"trained"``; ``path`` and ``n_bytes`` are None
    where the model is not on this machine; ``info`` is what is published of it.
    """

    name: str
    kind: str
    path: Path | None = None
    info: ModelInfo | None = None
    n_bytes: int | None = field(default=None)

    @property
    def installed(self) -> bool:
        """Whether its file is on this machine."""
        return self.path is not None


def bundled_models() -> dict[str, Path]:
    """The models that came with this package, by name."""
    if not _BUNDLED_DIR.is_dir():
        return {}
    return {path.stem: path for path in sorted(_BUNDLED_DIR.glob("*.safetensors"))}


def default_model() -> str:
    """Name of the model used where none is named: ``cpsam`` (or ``cpsam_v2``) if its file is here, else the bundled."""
    return next((name for name in _PREFERRED if _cache.find_file(name)), BUNDLED)


def resolve(
    name_or_path: str | os.PathLike[str] | ModelFile | None = None,
    *,
    download: bool = True,
    progress: Progress | bool = True,
) -> ModelFile:
    """The file of a model; a published one is downloaded if it is not here.

    Parameters
    ----------
    name_or_path
        An existing file; the name of a bundled, published or user model, or of one that was trained on this machine
        (``models/<name>`` in the current folder, or anywhere by the command line); the file name of a published model
        (``cyto2torch_0``). None: the default model.
    download
        Whether published models may be downloaded.
    progress
        Called with (bytes here, bytes in all or None) during a download; True: a bar on the terminal.

    Raises
    ------
    UnknownModelError
        If there is no such file, and the name is none of a model.
    DownloadError
        If the file is not here and could not (or must not) be downloaded.
    WeightsError
        If the model is known but cannot be used by this program, or its file has changed since it was downloaded.
    """
    if isinstance(name_or_path, ModelFile):
        return name_or_path
    name = os.fspath(default_model() if name_or_path is None else name_or_path)
    found = _find(name)
    if found is not None:
        return found
    published = lookup(name)
    if published is None:
        raise _unknown(name)
    info, file = published
    _require_supported(name, info)
    if not download:
        message = f"the model {name} is not on this machine; fetch it with `cellpose models pull {name}`"
        raise DownloadError(message)
    return ModelFile(info.name if file == info.file else file, _fetch(file, info, progress), info)


def find(name_or_path: str | os.PathLike[str]) -> ModelFile | None:
    """The file of a model if it is on this machine, otherwise None; nothing is downloaded and no name refused."""
    try:
        return _find(os.fspath(name_or_path))
    except (WeightsError, UnknownModelError):
        return None


def pull(
    name: str, *, force: bool = False, progress: Progress | bool = True, retry: Retry | None = None
) -> list[ModelFile]:
    """Download a published model with its size model, unless they are here and undamaged.

    Parameters
    ----------
    name
        Name or file name of a published model.
    force
        Download even what is here.
    progress, retry
        See ``resolve``; patience of the download.

    Returns
    -------
    list
        The weight file first, then the size model if there is one.

    Raises
    ------
    UnknownModelError
        If no such model is published.
    WeightsError
        If this program cannot use it.
    DownloadError
        If a file could not be downloaded.
    """
    published = lookup(name)
    if published is None:
        raise _unknown(name)
    info, file = published
    _require_supported(name, info)
    names = [file, info.size_file] if info.size_file and file == info.file else [file]
    files = []
    for each in names:
        path = None if force else _cache.find_file(each)
        if path is not None and not _is_intact(path):
            path = None
        files.append(ModelFile(info.name if each == file else each, path or _fetch(each, info, progress, retry), info))
    return files


def list_models() -> list[ModelStatus]:
    """All bundled, user and published models, in this order, and whether they are here."""
    models = [_status(name, "bundled", path) for name, path in bundled_models().items()]
    models += [_status(name, "user", _cache.find_file(name)) for name in _cache.user_models() if lookup(name) is None]
    listed = {model.name for model in models}
    models += [_status(name, "trained", path) for name, path in _cache.trained_models().items() if name not in listed]
    models += [_status(name, "published", _cache.find_file(info.file), info) for name, info in PUBLISHED.items()]
    return models


def add_model(path: str | os.PathLike[str]) -> ModelFile:
    """Copy a model into the models folder, with its size model and card, and list it under its file name.

    A file that lies there already is only listed. The file of a published model becomes that model.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileWriteError
        If it cannot be copied.
    """
    source = Path(path).expanduser()
    if not source.is_file():
        message = f"there is no model file {source}"
        raise FileMissingError(message)
    folder = _cache.writable_dir()
    target = folder / source.name
    if not (target.exists() and target.samefile(source)):
        if target.exists():
            logger.warning("the model %s in %s is replaced", target.name, folder)
        _cache.copy_into(source, target)
        for beside in (f"{source.name}_size.npy", f"{source.name}.json"):
            if source.with_name(beside).is_file():
                _cache.copy_into(source.with_name(beside), folder / beside)
    # What was downloaded under this name is no longer the measure.
    _cache.forget(target)
    published = lookup(target.name)
    names = _cache.user_models()
    if published is None and target.name not in names:
        _cache.write_user_models(folder, [*names, target.name])
    return ModelFile(target.name, target, published[0] if published else None)


def remove_model(name: str | os.PathLike[str], delete: bool = False) -> None:
    """Take a user model off the list; with ``delete``, delete its file, or that of a downloaded model.

    Raises
    ------
    UnknownModelError
        If it is neither a listed nor, with ``delete``, a downloaded model.
    FileWriteError
        If the file cannot be deleted.
    """
    name = os.path.basename(os.fspath(name))
    listed = _cache.user_models()
    published = lookup(name)
    path = _cache.find_file(published[1] if published else name)
    if name not in listed and not (delete and published and path):
        message = f"{name!r} is not in the list of user models ({', '.join(listed) or 'which is empty'})"
        if published:
            message = f"{name!r} is a published model, which stays in the list; give delete=True to delete its file"
            message += "" if path else " (which is not on this machine)"
        raise UnknownModelError(message)
    if name in listed:
        _cache.write_user_models(_cache.writable_dir(), [each for each in listed if each != name])
    if delete and path:
        _delete(path)


def model_path(model_type: str, model_index: int = 0) -> Path:
    """The weight file of a model, downloaded if needed; ``model_index`` chooses among several published trainings.

    Raises
    ------
    UnknownModelError, DownloadError, WeightsError
        As ``resolve``.
    """
    published = lookup(model_type)
    if published is None or model_index == 0:
        return resolve(model_type).path
    files = published[0].files
    if not 0 <= model_index < len(files):
        message = f"model_index={model_index!r} is not allowed; {model_type} has the trainings 0 to {len(files) - 1}"
        raise UnknownModelError(message)
    return resolve(files[model_index]).path


def size_model_path(model_type: str | os.PathLike[str]) -> Path:
    """The size model of a model: published ones are downloaded if needed, else ``<model file>_size.npy`` beside it.

    Raises
    ------
    FileMissingError
        If it has none.
    UnknownModelError, DownloadError
        As ``resolve``.
    """
    name = os.fspath(model_type)
    published = None if Path(name).is_file() else lookup(name)
    if published is not None:
        info = published[0]
        if info.size_file is None:
            sized = ", ".join(each.name for each in PUBLISHED.values() if each.size_file)
            message = f"the model {name} has no size model; those that have one are {sized}. Give a diameter instead"
            raise FileMissingError(message)
        return _cache.find_file(info.size_file) or _fetch(info.size_file, info, progress=False)
    model = resolve(name).path
    for path in (model.with_name(f"{model.name}_size.npy"), model.with_name(f"{model.stem}_size.npy")):
        if path.is_file():
            return path
    message = f"there is no size model {model}_size.npy; train one with train_size, or give a diameter instead"
    raise FileMissingError(message)


def _find(name: str) -> ModelFile | None:
    """The file of this name on this machine. An existing path goes before all names, as it always has."""
    path = Path(name)
    # Not every string is a path: there may be no such user (~name), or characters no path may have.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        path = path.expanduser()
        if path.is_file():
            return ModelFile(_name_of(path), path, _info_of(path.name))
    bundled = bundled_models().get(name)
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


def _trained(name: str) -> ModelFile | None:
    """A model that was trained on this machine: below the current folder, or where the list of trained ones says."""
    beside = Path.cwd() / "models" / name
    if beside.is_file() and name not in ("", ".", ".."):
        return ModelFile(name, beside)
    path = _cache.trained_models().get(name)
    return None if path is None else ModelFile(name, path)


def _name_of(path: Path) -> str:
    return path.stem if path.suffix == ".safetensors" else path.name


def _info_of(file: str) -> ModelInfo | None:
    published = lookup(file)
    return published[0] if published and published[1] == file else None


def _fetch(file: str, info: ModelInfo, progress: Progress | bool, retry: Retry | None = None) -> Path:
    mirrors = [m.strip().rstrip("/") for m in os.environ.get(MIRROR_ENV, "").split(",") if m.strip()]
    urls = [*(f"{mirror}/{file}" for mirror in mirrors), info.base_url + file]
    target = _cache.writable_dir() / file
    try:
        sha256, url = download_file(urls, target, progress, retry)
    except DownloadError as error:
        message = (
            f"{error}. Without a connection, fetch {info.base_url}{file} on another machine and copy it to {target}; "
            f"the bundled model {BUNDLED} needs no download"
        )
        raise DownloadError(message) from error
    # The note is a help, not a need: a model without it works.
    with contextlib.suppress(FileWriteError):
        _cache.record(target, sha256, url)
    return target


def _require_supported(name: str, info: ModelInfo) -> None:
    if not info.supported:
        message = (
            f"the model {name} is a transformer of Cellpose 3 (MAnet with a MiT-B5 encoder), which is not supported; "
            "use cyto3 or neurips_cellpose_default (U-Nets) or cpsam (transformer) instead"
        )
        raise WeightsError(message)


def _is_intact(path: Path) -> bool:
    try:
        _cache.verify(path, thorough=True)
    except (WeightsError, FileReadError) as error:
        logger.warning("%s", error)
        return False
    return True


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        message = f"cannot delete {path}: {error.strerror or error}"
        raise FileWriteError(message) from error
    with contextlib.suppress(FileWriteError):
        _cache.forget(path)


def _status(name: str, kind: str, path: Path | None, info: ModelInfo | None = None) -> ModelStatus:
    return ModelStatus(name, kind, path, info, path.stat().st_size if path else None)


def _unknown(name: str) -> WeightsError | UnknownModelError:
    base = os.path.basename(name)
    if name in LEGACY_FILES:
        message = f"{name} is a file of the first version (MXNet) and cannot be loaded; use {LEGACY_FILES[name]!r}"
        return WeightsError(message)
    if name == BUNDLED:
        message = (
            f"the bundled model {BUNDLED} is missing from this installation ({_BUNDLED_DIR}); reinstall the package, "
            "or name another model, for example cpsam or cyto3"
        )
        return UnknownModelError(message)
    if name in _cache.user_models():
        message = (
            f"the user model {name} is listed, but its file is not in {_cache.model_dir()}; copy it there, or take it "
            f"off the list with `cellpose models remove {name}`"
        )
        return UnknownModelError(message)
    known = dict.fromkeys([BUNDLED, *bundled_models(), *_cache.user_models(), *_cache.trained_models(), *PUBLISHED])
    by_lower = {each.lower(): each for each in known}
    near = [by_lower[each] for each in difflib.get_close_matches(base.lower(), by_lower, n=4, cutoff=0.6)]
    suggestion = f"Did you mean {' or '.join(near)}? " if near else ""
    message = (
        f"{name!r} is neither a file nor the name of a model. {suggestion}"
        "`cellpose models list` shows all names; `cellpose models add FILE` adds a file of your own"
    )
    return UnknownModelError(message)
