"""State dicts to and from files. Nothing in a file is ever run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cellpose._machine.writing import replacing
from cellpose.errors import FileMissingError, FileReadError, UnsafeFileError, WeightsError
from cellpose.nets._archive import check_archive

__all__ = ["read_state_dict", "write_state_dict"]

_HEAD = 512  # bytes looked at to recognize the format
_REPEATED = 2**26  # bytes that a tensor may claim by repeating the same numbers


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a weight file, by name, on the CPU.

    The content shows the format: a torch zip archive, the older torch pickle, or safetensors. Tensors are mapped
    from the file where the format allows it, and read when they are first used. The prefix ``module.``, left by
    data-parallel training, is taken off.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileReadError
        If it cannot be opened.
    UnsafeFileError
        If the file holds anything but tensors and plain containers (such a file could run code).
    WeightsError
        If the file is empty, truncated or no state dict.
    """
    path = Path(path)
    kind = _kind_of(path)
    content = _read_safetensors(path) if kind == "safetensors" else _read_torch(path, zipped=kind == "zip")
    return _without_prefix(_checked(content, path))


def write_state_dict(state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to ``path``: safetensors where the name ends so, otherwise a torch archive.

    The file appears whole or not at all. ``metadata`` goes into the head of a safetensors file.

    Raises
    ------
    FileWriteError
        If the file cannot be written; what stood there before is untouched.
    """
    path = Path(path)
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with replacing(path, failures=(RuntimeError,)) as file:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import save

            file.write(save(tensors, metadata=dict(metadata) if metadata else None))
        else:
            torch.save(tensors, file)


def _kind_of(path: Path) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError as error:
        message = f"there is no weight file {path}"
        raise FileMissingError(message) from error
    except OSError as error:
        message = f"cannot read weights from {path}: {error.strerror or error}"
        raise FileReadError(message) from error
    if not head:
        message = f"the weight file {path} is empty; download or copy it again"
        raise WeightsError(message)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    # A safetensors file begins with the length of its JSON head, which may look like the first byte of a pickle.
    if head[5:9] == b"\0\0\0{":
        if 8 + int.from_bytes(head[:8], "little") > size:
            message = f"the weight file {path} is truncated; download or copy it again"
            raise WeightsError(message)
        return "safetensors"
    if head[:1] == b"\x80":
        return "pickle"
    hint = ""
    if head.lstrip()[:1] == b"<":
        hint = " (it looks like a web page, perhaps the error page of a server or proxy)"
    elif head.startswith(b"version https://git-lfs"):
        hint = " (it is a Git LFS pointer; download the file itself with `git lfs pull`)"
    elif head.startswith(b"\x93NUMPY"):
        hint = " (it is a NumPy file; size models are loaded by SizeModel)"
    message = f"{path} is not a weight file{hint}; it must be a torch or safetensors state dict"
    raise WeightsError(message)


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_torch(path: Path, *, zipped: bool) -> Any:
    if zipped:
        check_archive(path)
    try:
        if path.suffix.lower() == ".safetensors" or not _is_utf8(path):
            # Newer versions of torch go by the name of a file, not by its content, and open only UTF-8 names.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "unsupported" in reason.lower() or "Weights only load failed" in reason or "GLOBAL" in reason:
            message = (
                f"{path} holds more than tensors and was not loaded, because such a file could run code. In the "
                "program that wrote it, save the weights with torch.save(net.state_dict(), file), and load that file"
            )
            raise UnsafeFileError(message) from error
        message = f"the weight file {path} is corrupt: {reason}"
        raise WeightsError(message) from error
    # a broken file can fail in any way
    except Exception as error:
        if "TorchScript" in str(error):
            message = f"{path} is a TorchScript program and was not loaded; it must be a state dict"
            raise UnsafeFileError(message) from error
        message = f"the weight file {path} is truncated or corrupt ({error}); download or copy it again"
        raise WeightsError(message) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")  # type: ignore[no-any-return]
    except Exception as error:
        message = f"the weight file {path} is truncated or corrupt ({error}); download or copy it again"
        raise WeightsError(message) from error


def _checked(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping) or not content:
        message = f"{path} holds a {type(content).__name__}, expected is a state dict {{name: tensor}}"
        raise WeightsError(message)
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            message = (
                f"{path} holds {type(value).__name__} under {key!r:.60}, expected is a state dict {{name: tensor}}"
            )
            raise WeightsError(message)
        claimed = value.numel() * value.element_size()
        if value.is_sparse or value.is_quantized or claimed > max(value.untyped_storage().nbytes(), _REPEATED):
            message = (
                f"{path} is corrupt: its tensor {key!r:.60} claims {claimed} bytes that are not in the file; download "
                "or copy it again"
            )
            raise WeightsError(message)
    return dict(content)


def _without_prefix(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    if not next(iter(state)).startswith(prefix):
        return state
    return {key.removeprefix(prefix): value for key, value in state.items()}
