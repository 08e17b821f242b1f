"""The weights in a BioImage.IO package, a zip file or a folder: taken out once, and checked against their hash."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cellpose._machine.optional import optional
from cellpose._machine.reading import reading
from cellpose.errors import WeightsError
from cellpose.weights import _cache

__all__ = ["is_package", "packaged_weights"]

_DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")
_LONGEST_DESCRIPTION = 2**22  # bytes
_MOST_BYTES = 8 * 2**30  # of weights
_BLOCK = 2**20


def is_package(path: Path) -> bool:
    """Whether a file or folder is a package; files of torch are zip archives, too."""
    if path.is_dir():
        return any((path / name).is_file() for name in _DESCRIPTIONS)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in archive.namelist() for name in _DESCRIPTIONS)
    except (OSError, zipfile.BadZipFile):
        return False


def packaged_weights(path: Path) -> Path:
    """The weight file (a state dict of torch) of a package, in the models folder or in the package's own.

    Raises
    ------
    WeightsError
        If the package has none, names one outside itself, or its hash is not that which is written down.
    MissingExtraError
        If the library that reads its description is not installed.
    """
    yaml = optional("yaml", "export", "read BioImage.IO packages")
    with reading(path, WeightsError), _opened(path) as files:
        name = next(each for each in _DESCRIPTIONS if files.has(each))
        if files.size(name) > _LONGEST_DESCRIPTION:
            message = f"{path}: {name} has {files.size(name)} bytes, which is no description of a model"
            raise WeightsError(message)
        try:
            found = yaml.safe_load(files.read(name))["weights"]["pytorch_state_dict"]
            source, sha256 = str(found["source"]), found.get("sha256")
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            message = f"{path} has no weights of the kind pytorch_state_dict; export the model with them"
            raise WeightsError(message) from error
        inside = PurePosixPath(source)
        if inside.is_absolute() or ".." in inside.parts or not files.has(source):
            message = f"{path} names the weights {source!r}, which are not in it; download the whole package"
            raise WeightsError(message)
        if files.size(source) > _MOST_BYTES:
            message = f"{path}: the weights have {files.size(source):,} bytes; at most {_MOST_BYTES:,} are taken"
            raise WeightsError(message)
        return _taken(path, files, source, None if sha256 is None else str(sha256))


class _Files:
    """The files of a package, in an archive or a folder."""

    def __init__(self, archive: zipfile.ZipFile | None, folder: Path) -> None:
        self._archive, self.folder = archive, folder

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self._archive is None

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.folder / name).is_file() if self._archive is None else name in self._archive.namelist()

    def size(self, name: str) -> int:
        """Its bytes, unpacked."""
        return (self.folder / name).stat().st_size if self._archive is None else self._archive.getinfo(name).file_size

    def open(self, name: str) -> IO[bytes]:
        """The file, to be read."""
        return (self.folder / name).open("rb") if self._archive is None else self._archive.open(name)

    def read(self, name: str) -> bytes:
        """All of it."""
        with self.open(name) as file:
            return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Files(None, path)
        return
    with zipfile.ZipFile(path) as archive:
        yield _Files(archive, path.parent)


def _taken(path: Path, files: _Files, source: str, sha256: str | None) -> Path:
    """The weights as a file: that of a folder as it is, that of an archive copied to the models folder."""
    if files.is_folder:
        with files.open(source) as file:
            _check(path, source, _hash(file, None), sha256)
        return files.folder / source
    name = PurePosixPath(source).name
    if sha256 is not None:
        here = _cache.model_dir() / "bioimageio" / sha256[:32] / name
        if here.is_file() and here.stat().st_size == files.size(source):
            return here
    with files.open(source) as file:
        found = _hash(file, None)
    _check(path, source, found, sha256)
    out = _cache.writable_dir() / "bioimageio" / found[:32] / name
    out.parent.mkdir(parents=True, exist_ok=True)
    with _cache.replaced(out) as temporary, files.open(source) as file, temporary.open("wb") as copy:
        _hash(file, copy)
    return out


def _hash(file: IO[bytes], copy: Any) -> str:
    """SHA-256 of what is read, which is copied where a file is given."""
    found = hashlib.sha256()
    while block := file.read(_BLOCK):
        found.update(block)
        if copy is not None:
            copy.write(block)
    return found.hexdigest()


def _check(path: Path, source: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        message = f"{path}: {source} has SHA-256 {found}, and {wanted} is written down; download the package again"
        raise WeightsError(message)
