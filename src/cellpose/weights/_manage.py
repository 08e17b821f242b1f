"""The models folder: listing, adding, downloading again and removing models."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from cellpose.errors import (
    FileMissingError,
    FileReadError,
    FileWriteError,
    OptionError,
    UnknownModelError,
    WeightsError,
)
from cellpose.weights import _cache
from cellpose.weights._card import read_card
from cellpose.weights._download import Progress, Retry
from cellpose.weights._installed import BUNDLED_RESTORER, ModelFile, bundled_models, bundled_restorer, owner
from cellpose.weights._load import architecture_of
from cellpose.weights._names import PUBLISHED, ModelInfo, lookup
from cellpose.weights._resolve import fetch, supported

__all__ = ["ModelStatus", "add_model", "list_models", "pull", "remove_model"]

logger = logging.getLogger("cellpose.weights")

# Size model and card: they belong to the weights beside which they lie.
_BESIDE = (_cache.SIZE_MODEL, ".json")


@dataclass(frozen=True)
class ModelStatus:
    """One line of the list of models.

    ``kind`` is ``"bundled"``, ``"published"``, ``"user"`` or ``"trained"``; ``path`` and ``n_bytes`` are None
    where the model is not on this machine; ``info`` are its published facts; ``task`` is ``"segmentation"`` or
    ``"restoration"``, ….
    """

    name: str
    kind: str
    path: Path | None = None
    info: ModelInfo | None = None
    n_bytes: int | None = field(default=None)
    task: str = "segmentation"

    @property
    def installed(self) -> bool:
        """Whether its file is on this machine."""
        return self.path is not None


def list_models() -> list[ModelStatus]:
    """All bundled, user and published models, in this order, and whether they are here."""
    models = [_status(name, "bundled", path) for name, path in bundled_models().items()]
    restorer = bundled_restorer()
    if restorer is not None:
        models.append(replace(_status(BUNDLED_RESTORER, "bundled", restorer), task="restoration"))
    models += [_status(name, "user", _cache.find_file(name)) for name in _cache.user_models() if not owner(name)]
    listed = {model.name for model in models}
    trained = _cache.trained_models().items()
    models += [_status(name, "trained", path) for name, path in trained if name not in listed and not owner(name)]
    models += [_status(name, "published", _cache.find_file(info.file), info) for name, info in PUBLISHED.items()]
    return models


def _status(name: str, kind: str, path: Path | None, info: ModelInfo | None = None) -> ModelStatus:
    task = info.task if info else "segmentation"
    return ModelStatus(name, kind, path, info, path.stat().st_size if path else None, task)


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
    info, file = supported(name)
    names = [file, info.size_file] if info.size_file and file == info.file else [file]
    files = []
    for each in names:
        path = None if force else _cache.find_file(each)
        if path is not None and not _is_intact(path):
            path = None
        files.append(ModelFile(info.name if each == file else each, path or fetch(each, info, progress, retry), info))
    return files


def _is_intact(path: Path) -> bool:
    try:
        _cache.verify(path, thorough=True)
    except (WeightsError, FileReadError) as error:
        logger.warning("%s", error)
        return False
    return True


def add_model(path: str | os.PathLike[str]) -> ModelFile:
    """Copy a model into the models folder, with its size model and card, and list it under its file name.

    A file that lies there already is only listed. The file of a published model becomes that model. Another model of
    this name is replaced, with all that belongs to it; the log says so.

    Raises
    ------
    FileMissingError
        If there is no such file.
    OptionError
        If a bundled or published model has its name.
    WeightsError, UnsafeFileError
        If it holds no network.
    FileWriteError
        If it cannot be copied.
    """
    from cellpose.nets import read_state_dict

    source = Path(path).expanduser()
    if not source.is_file():
        message = f"there is no model file {source}; check the path"
        raise FileMissingError(message)
    if not source.stat().st_size:
        message = f"the model file {source} is empty; copy or train it again"
        raise WeightsError(message)
    published = lookup(source.name)
    # published files have no card; those trained here do
    if owner(source.name) and (published is None or published[1] != source.name or read_card(source)):
        message = f"a {owner(source.name)} model has the name {source.name}; rename the file {source}, then add it"
        raise OptionError(message)
    architecture_of(read_state_dict(source), source)  # refuse other files now, not at the first run
    folder = _cache.writable_dir()
    target = folder / source.name
    if not (target.exists() and target.samefile(source)):
        if target.exists():
            logger.warning("the model %s in %s is replaced", target.name, folder)
        _cache.copy_into(source, target)
        for ending in _BESIDE:
            beside = source.with_name(source.name + ending)
            if beside.is_file():
                _cache.copy_into(beside, folder / beside.name)
            else:
                _cache.drop_beside(target, ending)
    # The note on the file downloaded under this name no longer applies.
    _cache.forget(target)
    names = _cache.user_models()
    if published is None and target.name not in names:
        _cache.write_user_models(folder, [*names, target.name])
    return ModelFile(target.name, target, published[0] if published else None)


def remove_model(name: str | os.PathLike[str], delete: bool = False) -> None:
    """Take a user model off the list; with ``delete``, delete its files, or that of a downloaded model.

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
            message = f"{name!r} is a published model, which cannot leave the list; give delete=True to delete its file"
            message += "" if path else " (which is not on this machine)"
        raise UnknownModelError(message)
    if name in listed:
        _cache.write_user_models(_cache.writable_dir(), [each for each in listed if each != name])
    if delete and path:
        _delete(path)
        _cache.drop_beside(path, *_BESIDE, deleted=True)


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        message = f"cannot delete {path}: {error.strerror or error}"
        raise FileWriteError(message) from error
    with contextlib.suppress(FileWriteError):
        _cache.forget(path)
