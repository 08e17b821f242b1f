"""Whether a downloaded file is complete and of the kind that its name says. Nothing in it is run."""

from __future__ import annotations

import os
import pickletools
import zipfile
from pathlib import Path
from typing import IO

from cellpose.errors import CellposeError

__all__ = ["HEAD_BYTES", "flaw_of", "flaw_of_head"]

#: Number of leading bytes that identify a file.
HEAD_BYTES = 64

_ZIP, _ZIP_END, _ZIP_END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22
_NPY = b"\x93NUMPY"
# The number at the start of every file of `torch.save` before it wrote archives.
_LEGACY_TORCH = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
# Errors that reading a damaged archive or pickle raises.
_DAMAGE = (zipfile.BadZipFile, ValueError, OSError, EOFError, MemoryError, LookupError, RuntimeError)
_OTHERS = {
    b"\x1f\x8b": "a compressed file (gzip)",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    _NPY: "a NumPy file",
    _ZIP: "an archive",
    b"\x89HDF": "an HDF5 file",
}


def flaw_of_head(head: bytes, name: str) -> str | None:
    """The flaw of a file with this beginning (size models are named ``.npy``); None where it may be right."""
    if not head:
        return "the server sent nothing"
    if name.endswith(".npy"):
        return None if head.startswith(_NPY) else f"the server did not send a size model but {_kind_of(head)}"
    is_safetensors = head[5:9] == b"\0\0\0{"
    is_legacy = head[:1] == b"\x80" and _LEGACY_TORCH in head
    if head.startswith(_ZIP) or is_safetensors or is_legacy:
        return None
    return f"the server did not send a weight file but {_kind_of(head)}"


def flaw_of(file: IO[bytes], path: Path, name: str) -> str | None:
    """The flaw of a complete file, open at ``path``, that will be called ``name``; None: none."""
    file.flush()
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    found = flaw_of_head(head, name)
    if found:
        return found
    try:
        if name.endswith(".npy"):
            whole = _is_whole_npy(file, size)
        elif head.startswith(_ZIP):
            whole = _is_whole_archive(file, size)
        else:
            whole = True
    except _DAMAGE:
        whole = False
    if not whole:
        return "the server sent a truncated or damaged file"
    return None if name.endswith(".npy") else _flaw_in_reading(path)


def _kind_of(head: bytes) -> str:
    for begin, kind in _OTHERS.items():
        if head.startswith(begin):
            return kind
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return "a web page (perhaps the login page of the network)"
    if text[:1] in (b"{", b"["):
        return "a message in JSON (perhaps an error of the server)"
    shown = head[:32].decode("ascii", errors="replace")
    return f"text ({shown!r})" if shown.isascii() and shown.replace("\n", "").isprintable() else "something else"


def _is_whole_archive(file: IO[bytes], size: int) -> bool:
    """Whether a torch archive ends where the file does and holds what it lists; its reader compares checksums."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        file.seek(size - _ZIP_END_BYTES - len(archive.comment))
        if file.read(len(_ZIP_END)) != _ZIP_END:
            return False
        # Torch stores without compression, so nothing in an archive is larger than the archive.
        if any(each.compress_type != zipfile.ZIP_STORED for each in members):
            return False
        if sum(each.file_size for each in members) > size:
            return False
        return any(each.filename.endswith("data.pkl") for each in members)


def _is_whole_npy(file: IO[bytes], size: int) -> bool:
    """Whether a NumPy file holds one pickled object, and ends where it does."""
    from numpy.lib import format as npy

    file.seek(0)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, _, dtype = read_header(file)
    if shape != () or not dtype.hasobject:
        return False
    # The pickle is only parsed into opcodes; none of them is executed.
    for _ in pickletools.genops(file):
        pass
    return file.tell() == size


def _flaw_in_reading(path: Path) -> str | None:
    """The error of the weight file reader, if any; tensors are mapped from the file, not copied."""
    from cellpose.nets import read_state_dict

    try:
        read_state_dict(path)
    except CellposeError as error:
        return f"the server sent no weights: {error}"
    return None
