"""The models folder: where it is, which user models it lists, which files were downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellpose._machine.reading import fingerprint, read_json
from cellpose._machine.writing import make_folder, replacing_by_name
from cellpose.errors import FileMissingError, FileReadError, FileWriteError, WeightsError

__all__ = [
    "MODEL_DIR_ENV",
    "drop_beside",
    "find_file",
    "hash",
    "model_dir",
    "remember_trained",
    "trained_models",
    "user_models",
    "writable_dir",
]

logger = logging.getLogger("cellpose.weights")

MODEL_DIR_ENV = "CELLPOSE_LOCAL_MODELS_PATH"
USER_LIST = "gui_models.txt"
RECORDS = "downloads.json"
TRAINED = "trained_models.json"
#: What follows the name of a model in that of its size model.
SIZE_MODEL = "_size.npy"

_CHUNK = 1 << 20


def model_dir() -> Path:
    """The folder of downloaded and user models; it need not exist yet.

    ``CELLPOSE_LOCAL_MODELS_PATH`` if set, else ``~/.cellpose/models``; without a home folder, one for temporary files.
    """
    chosen = os.environ.get(MODEL_DIR_ENV)
    if chosen:
        return Path(chosen).expanduser()
    try:
        return Path.home() / ".cellpose" / "models"
    except RuntimeError:
        return _temporary_dir()


def writable_dir() -> Path:
    """The models folder, made if needed; where it cannot be written to, a folder for temporary files instead.

    A folder chosen with ``CELLPOSE_LOCAL_MODELS_PATH`` is never replaced.

    Raises
    ------
    FileWriteError
        If the chosen folder, or the one for temporary files, cannot be written to.
    """
    folder = model_dir()
    if _make_writable(folder):
        return folder
    if os.environ.get(MODEL_DIR_ENV):
        message = f"the models folder {folder} is not writable; set {MODEL_DIR_ENV} to a writable folder"
        raise FileWriteError(message)
    temporary = _temporary_dir()
    if not _make_writable(temporary, mode=0o700):
        message = f"neither {folder} nor {temporary} is writable; set {MODEL_DIR_ENV} to a writable folder"
        raise FileWriteError(message)
    logger.warning(
        "the models folder %s is not writable: models go to %s, which may be temporary; set %s to choose another "
        "folder",
        folder,
        temporary,
        MODEL_DIR_ENV,
    )
    return temporary


def search_dirs() -> tuple[Path, ...]:
    """The folders that are searched for models, most important first."""
    folder, temporary = model_dir(), _temporary_dir()
    if os.environ.get(MODEL_DIR_ENV) or folder == temporary or not _is_own(temporary):
        return (folder,)
    return folder, temporary


def find_file(name: str) -> Path | None:
    """The file of this name in the models folder, if it exists and is not empty."""
    for folder in search_dirs():
        path = folder / name
        # A folder that may not be read counts as empty.
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_size > 0:
                return path
    return None


def user_models() -> list[str]:
    """Names of the user's own models, as listed in ``gui_models.txt`` of the models folder."""
    names: dict[str, None] = {}
    for folder in search_dirs():
        names.update(dict.fromkeys(_read_list(folder)))
    return list(names)


def write_user_models(folder: Path, names: list[str]) -> None:
    """Replace the list of user models."""
    with replaced(folder / USER_LIST) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", errors="surrogateescape")


def trained_models() -> dict[str, Path]:
    """Files that were trained on this machine and are still there, by name."""
    found: dict[str, Path] = {}
    for folder in search_dirs():
        for name, path in _read_table(folder / TRAINED).items():
            # the entry may not be a path at all
            with contextlib.suppress(OSError, ValueError):
                if isinstance(path, str) and Path(path).is_file():
                    found[name] = Path(path)
    return found


def remember_trained(path: Path) -> None:
    """Note where a trained model is, so that it can be used by its name.

    Raises
    ------
    FileWriteError
        If the note cannot be written.
    """
    folder = writable_dir()
    known = {name: str(file) for name, file in trained_models().items()}
    before = Path(known.get(path.name, path))
    # a model in the models folder comes first, so that its name never meant the other one
    if find_file(path.name) is None and before.exists() and before.resolve() != path.resolve():
        logger.warning(f"the name {path.name} meant {before} until now; use that model by its path")
    with replaced(folder / TRAINED) as temporary:
        temporary.write_text(json.dumps({**known, path.name: str(path.resolve())}, indent=1), encoding="utf-8")


def hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises
    ------
    FileMissingError
        If there is no such file.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError as error:
        message = f"there is no file {path}; check the path"
        raise FileMissingError(message) from error
    return digest.hexdigest()


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place at the end; after an error ``path`` is as it was.

    Raises
    ------
    FileWriteError
        If it cannot be written.
    """
    make_folder(path.parent)
    with replacing_by_name(path) as temporary:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.chmod(0o644)  # models folders may be shared


def copy_into(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    with replaced(target) as temporary:
        shutil.copyfile(source, temporary)


def drop_beside(model: Path, *endings: str, deleted: bool = False) -> None:
    """Remove files that belong to weights that are no more (``<model><ending>``), and say so.

    ``deleted``: the model itself was deleted, and not replaced by other weights.
    """
    belongs = f"belongs to the deleted model {model.name}" if deleted else "belongs to earlier weights"
    for path in (model.with_name(model.name + ending) for ending in endings):
        if not path.is_file():
            continue
        try:
            path.unlink()
        except OSError as error:
            logger.warning(f"{path} {belongs}, but cannot be removed: {error.strerror or error}")
        else:
            trains = path.name.endswith(SIZE_MODEL) and not deleted
            logger.warning(f"{path} is removed: it {belongs}{'; --train_size trains a new one' if trains else ''}")


def record(path: Path, sha256: str, url: str) -> None:
    """Note size and hash of a downloaded file, so that damage can be detected later."""
    entry = {"sha256": sha256, "url": url, **fingerprint(path)}
    records = _read_records(path.parent)
    records[path.name] = entry
    _write_records(path.parent, records)


def forget(path: Path) -> None:
    """Drop the note on a file."""
    records = _read_records(path.parent)
    if records.pop(path.name, None) is not None:
        _write_records(path.parent, records)


def verify(path: Path, *, thorough: bool = False) -> None:
    """Compare a file with what was noted when it was downloaded; files without a note pass.

    The hash is computed only where size or time of change differ from the note, or if ``thorough``.

    Raises
    ------
    WeightsError
        If the file has changed.
    """
    records = _read_records(path.parent)
    noted = records.get(path.name)
    if not isinstance(noted, dict) or "sha256" not in noted:
        return
    now = fingerprint(path)
    if not thorough and all(noted.get(key) == value for key, value in now.items()):
        return
    if now["size"] != noted.get("size") or hash(path) != noted["sha256"]:
        message = (
            f"{path} is not the file that was downloaded (size or SHA-256 differ); download it again with `cellpose "
            f"models pull {path.name}`, or accept it with `cellpose models add {path}`"
        )
        raise WeightsError(message)
    with contextlib.suppress(FileWriteError):
        _write_records(path.parent, {**records, path.name: {**noted, **now}})


def _read_records(folder: Path) -> dict[str, Any]:
    return _read_table(folder / RECORDS)


def _read_table(path: Path) -> dict[str, Any]:
    """A JSON file of the cache; damaged ones are logged and count as empty, since no model needs them."""
    try:
        table = read_json(path)
    except FileMissingError:
        return {}
    except FileReadError as error:
        logger.warning("%s; delete it, and it is created again", error)
        return {}
    return table if isinstance(table, dict) else {}


def _write_records(folder: Path, records: dict[str, Any]) -> None:
    with replaced(folder / RECORDS) as temporary:
        temporary.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_list(folder: Path) -> list[str]:
    try:
        text = (folder / USER_LIST).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [name for line in text.splitlines() if (name := line.strip())]


def _make_writable(folder: Path, mode: int = 0o777) -> bool:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return False
    return folder != _temporary_dir() or _is_own(folder)


def _temporary_dir() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"cellpose-models-{user}"


def _is_own(folder: Path) -> bool:
    """Whether no other user can write there (folders for temporary files are open to all users of a machine)."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return stat.S_ISDIR(status.st_mode)
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not others_write
