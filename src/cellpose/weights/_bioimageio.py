"""The weights in a BioImage.IO package, a zip file or a folder: taken out once, and checked against their hash."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cellpose._machine.optional import optional
from cellpose._machine.reading import reading
from cellpose.errors import FileReadError, WeightsError
from cellpose.weights import _cache

__all__ = ["is_package", "packaged_weights"]

_DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")
_LONGEST_DESCRIPTION = 2**22  # bytes
_MOST_BYTES = 8 * 2**30  # of weights
_BLOCK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_package(path: Path) -> bool:
    """Whether a file or folder is a package; files of torch are zip archives, too."""
    if path.is_dir():
        return any((path / name).is_file() for name in _DESCRIPTIONS)
    if not zipfile.is_zipfile(path):
        return False
    try:
        with reading(path, WeightsError), zipfile.ZipFile(path) as archive:
            return any(name in archive.namelist() for name in _DESCRIPTIONS)
    except (FileReadError, WeightsError):  # a damaged archive: reading its weights reports it
        return False


def packaged_weights(path: Path) -> Path:
    """The weight file (a state dict of torch) of a package, in the models folder or in the package's own.

    Raises
    ------
    WeightsError
        If the package has none or no hash of it, names one outside itself, or it has another hash.
    MissingExtraError
        If the library that reads its description is not installed.
    """
    yaml = optional("yaml", "export", "read BioImage.IO packages")
    with reading(path, WeightsError), _opened(path) as files:
        name = next(each for each in _DESCRIPTIONS if files.has(each))
        if files.size(name) > _LONGEST_DESCRIPTION:
            message = f"{path}: {name} has {files.size(name)} bytes, which cannot be a model description"
            raise WeightsError(message)
        try:
            found = yaml.safe_load(files.read(name))["weights"]["pytorch_state_dict"]
            source, sha256 = str(found["source"]), str(found.get("sha256") or "").lower()
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            message = f"{path} has no weights of the type pytorch_state_dict; export the model with these"
            raise WeightsError(message) from error
        if not _SHA256.fullmatch(sha256):
            message = f"{path} has {sha256!r} as the SHA-256 of its weights; 64 hexadecimal digits are allowed"
            raise WeightsError(message)
        inside = PurePosixPath(source)
        if inside.is_absolute() or ".." in inside.parts or not files.has(source):
            message = f"{path} names the weights {source!r}, which are not in it; download the whole package"
            raise WeightsError(message)
        if files.size(source) > _MOST_BYTES:
            message = f"{path}: the weights have {files.size(source):,} bytes; at most {_MOST_BYTES:,} are allowed"
            raise WeightsError(message)
        return _taken(path, files, source, sha256)


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


def _taken(path: Path, files: _Files, source: str, sha256: str) -> Path:
    """The weights as a file: that of a folder as it is, that of an archive copied to the models folder."""
    name = PurePosixPath(source).name
    kept = files.folder / source if files.is_folder else _cache.model_dir() / "bioimageio" / sha256[:32] / name
    if files.is_folder and not kept.resolve().is_relative_to(files.folder.resolve()):
        message = f"{path} names the weights {source!r}, a link to a file outside it; copy the file into the package"
        raise WeightsError(message)
    if kept.is_file():
        with kept.open("rb") as file:
            found = _hash(file, None)
        if found == sha256:
            return kept
        if files.is_folder:
            raise _other(path, source, found, sha256)
    out = _cache.writable_dir() / "bioimageio" / sha256[:32] / name
    with files.open(source) as file:
        found = _hash(file, None)
    if found != sha256:
        raise _other(path, source, found, sha256)
    with _cache.replaced(out) as temporary, files.open(source) as file, temporary.open("wb") as copy:
        _hash(file, copy)
    return out


def _hash(file: IO[bytes], copy: Any) -> str:
    """SHA-256 of the bytes read, which are also copied to a file where one is given."""
    found = hashlib.sha256()
    while block := file.read(_BLOCK):
        found.update(block)
        if copy is not None:
            copy.write(block)
    return found.hexdigest()


def _other(path: Path, source: str, found: str, wanted: str) -> WeightsError:
    return WeightsError(f"{path}: {source} has SHA-256 {found}, and {wanted} is expected; download the package again")
