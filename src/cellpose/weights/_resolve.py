"""From names of models to files; published models are downloaded if they are not installed."""

from __future__ import annotations

import contextlib
import difflib
import os
from pathlib import Path

from cellpose._machine.reading import fingerprint
from cellpose.errors import DownloadError, FileMissingError, FileWriteError, UnknownModelError, WeightsError
from cellpose.nets import FAMILIES
from cellpose.weights import _cache, _installed
from cellpose.weights._download import Progress, Retry
from cellpose.weights._download import download as download_file
from cellpose.weights._installed import BUNDLED, ModelFile, bundled_models, default_model, locate
from cellpose.weights._names import LEGACY_FILES, PUBLISHED, ModelInfo, lookup

__all__ = ["MIRROR_ENV", "fetch", "has_size_model", "model_path", "resolve", "size_model_path", "state_of", "supported"]

#: Environment variable with addresses (comma-separated) that are tried first for published files.
MIRROR_ENV = "CELLPOSE_MODEL_MIRROR"


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
        An existing file, or a BioImage.IO package (zip file or folder); the name of a bundled, published or user model,
        or of one that was trained on this machine (``models/<name>`` in the current folder, or anywhere by the command
        line); the file name of a published model (``cyto2torch_0``). None: the default model.
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
    found = locate(name)
    if found is not None:
        return found
    info, file = supported(name)
    if not download:
        message = f"the model {name} is not on this machine; download it with `cellpose models pull {name}`"
        raise DownloadError(message)
    return ModelFile(info.name if file == info.file else file, fetch(file, info, progress), info)


def state_of(name: str) -> dict[str, int]:
    """Changes when the file of a model is replaced, as a training of the same name does; raises as `resolve`."""
    return fingerprint(resolve(name).path)


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
        message = f"model_index={model_index!r} is not allowed; choose 0 to {len(files) - 1} for {model_type}"
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
            message = f"the model {name} has no size model; models with one are {sized}. Give a diameter instead"
            raise FileMissingError(message)
        return _cache.find_file(info.size_file) or fetch(info.size_file, info, progress=False)
    model = resolve(name).path
    path = _beside(model)
    if path is not None:
        return path
    message = f"there is no size model {model}_size.npy; train one with train_size, or give a diameter instead"
    raise FileMissingError(message)


def has_size_model(model_type: str | os.PathLike[str]) -> bool:
    """Whether `size_model_path` finds the size model of an installed model; nothing is downloaded.

    Raises
    ------
    UnknownModelError
        If there is no such model.
    """
    name = os.fspath(model_type)
    published = None if Path(name).is_file() else lookup(name)
    return _beside(resolve(name).path) is not None if published is None else published[0].size_file is not None


def _beside(model: Path) -> Path | None:
    """The size model beside the file of a model."""
    paths = (model.with_name(f"{model.name}_size.npy"), model.with_name(f"{model.stem}_size.npy"))
    return next((path for path in paths if path.is_file()), None)


def supported(name: str) -> tuple[ModelInfo, str]:
    """The published model with this name or file name, and the name of the file.

    Raises
    ------
    UnknownModelError
        If no such model is published.
    WeightsError
        If this program cannot use it.
    """
    published = lookup(name)
    if published is None:
        raise _unknown(name)
    if not published[0].supported:
        message = f"the model {name} is {FAMILIES[published[0].family].refusal}"
        raise WeightsError(message)
    return published


def fetch(file: str, info: ModelInfo, progress: Progress | bool, retry: Retry | None = None) -> Path:
    """Download a published file into the models folder, from a mirror where one is named."""
    mirrors = [m.strip().rstrip("/") for m in os.environ.get(MIRROR_ENV, "").split(",") if m.strip()]
    urls = [*(f"{mirror}/{file}" for mirror in mirrors), info.base_url + file]
    target = _cache.writable_dir() / file
    try:
        sha256, url = download_file(urls, target, progress, retry, _largest_bytes(info))
    except DownloadError as error:
        message = (
            f"{error}. Without a connection, download {info.base_url}{file} on another machine and copy it to "
            f"{target}; the bundled model {BUNDLED} needs no download"
        )
        raise DownloadError(message) from error
    # The note is optional: a model without it works.
    with contextlib.suppress(FileWriteError):
        _cache.record(target, sha256, url)
    return target


def _largest_bytes(info: ModelInfo) -> int:
    """Far more than a published file has, and far less than a disk."""
    return int((4 * info.size_mib + 64) * 2**20)


def _unknown(name: str) -> WeightsError | UnknownModelError:
    base = os.path.basename(name)
    if name in LEGACY_FILES:
        message = f"{name} is a file of Cellpose 1 (MXNet) and cannot be loaded; use {LEGACY_FILES[name]!r}"
        return WeightsError(message)
    if name == BUNDLED:
        message = (
            f"the bundled model {BUNDLED} is missing from this installation ({_installed.BUNDLED_DIR}); reinstall the "
            "package, or name another model, for example cpsam or cyto3"
        )
        return UnknownModelError(message)
    if name in _cache.user_models():
        message = (
            f"the user model {name} is listed, but its file is not in {_cache.model_dir()}; copy it there, or remove "
            f"it from the list with `cellpose models remove {name}`"
        )
        return UnknownModelError(message)
    known = dict.fromkeys([BUNDLED, *bundled_models(), *_cache.user_models(), *_cache.trained_models(), *PUBLISHED])
    by_lower = {each.lower(): each for each in known}
    near = [by_lower[each] for each in difflib.get_close_matches(base.lower(), by_lower, n=4, cutoff=0.6)]
    suggestion = f"Did you mean {' or '.join(near)}? " if near else ""
    message = (
        f"{name[:200]!r} is neither a file nor the name of a model. {suggestion}"
        "`cellpose models list --all` shows all names; `cellpose models add FILE` adds a file of your own"
    )
    return UnknownModelError(message)
