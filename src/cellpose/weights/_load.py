"""Loading weight files into networks."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError, WeightsError
from cellpose.weights._card import read_card
from cellpose.weights._installed import ModelFile
from cellpose.weights._resolve import resolve

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from cellpose.nets import Architecture, NetFile

__all__ = ["architecture", "architecture_of", "load_arrays", "load_network", "load_state_dict"]

logger = logging.getLogger("cellpose.weights")

_SUMMED = ("float16", "bfloat16", "float32", "float64")  # others have no sum
_NOT_USED = ("diam_mean", "diam_labels", "num_batches_tracked")  # a network runs without them


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors of a weight file, by name, on the CPU. Half-precision numbers become float32.

    Raises
    ------
    FileMissingError, UnsafeFileError, WeightsError
        If there is no such file; it holds more than tensors; it is empty, cut off or no state dict.
    """
    import torch

    from cellpose.nets import read_state_dict

    halves = (torch.float16, torch.bfloat16)
    state = read_state_dict(Path(path))
    _check_finite(state, path)
    return {key: value.float() if value.dtype in halves else value for key, value in state.items()}


def load_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]] | None:
    """The tensors of a weight file as float32 arrays, without torch; None where only torch can read the file.

    Torch can read all of them, and reports best what is wrong with a file.
    """
    from safetensors.numpy import load_file

    if Path(path).suffix.lower() != ".safetensors":
        return None
    try:
        with reading(path, WeightsError):
            arrays = load_file(path)
    # Not a safetensors file; numbers that numpy does not have (bfloat16).
    except (FileReadError, WeightsError):
        return None
    _check_finite(arrays, path)
    return {key.removeprefix("module."): value.astype("float32", copy=False) for key, value in arrays.items()}


def _check_finite(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Refuse NaN and infinite weights, which make every image empty without an error."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        # a sum is not finite if any number is not, and costs a fraction of checking each
        bad = [
            key
            for key, value in state.items()
            if _is_judged(key, value) and not math.isfinite(float(value.sum())) and not _is_finite(value)
        ]
    if bad:
        message = (
            f"the weights in {os.fspath(path)} are damaged: {bad[0]!r} ({len(bad)} of {len(state)} tensors) holds NaN "
            "or infinity; download or copy the file again, or train with a lower learning rate"
        )
        raise WeightsError(message)


def _is_judged(key: str, value: Any) -> bool:
    return not key.endswith(_NOT_USED) and str(value.dtype).removeprefix("torch.") in _SUMMED


def _is_finite(value: Any) -> bool:
    # a sum of half-precision numbers may exceed their range
    return math.isfinite(float(abs(value).max()))


def architecture_of(state: Mapping[str, Any], path: str | os.PathLike[str]) -> Architecture:
    """The architecture of the network of a state dict (tensors or arrays) read from ``path``.

    Raises
    ------
    WeightsError
        If it is of no known family.
    """
    from cellpose import nets

    with reading(path, WeightsError):
        return _told_by_file(nets.detect_architecture(state), Path(path))


def architecture(path: str | os.PathLike[str] | ModelFile | None) -> Architecture:
    """The architecture of the network in a weight file; only names and shapes of its tensors are looked at.

    Raises
    ------
    WeightsError
        If it is of no known family.
    FileMissingError, UnsafeFileError, UnknownModelError, DownloadError
        As ``load_state_dict`` and ``resolve``.
    """
    from cellpose import nets

    file = resolve(path)
    return architecture_of(nets.read_state_dict(file.path), file.path)


def load_network(
    path: str | os.PathLike[str] | ModelFile | None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> NetFile:
    """The network of a weight file or model name, in evaluation mode.

    Parameters
    ----------
    path
        File, name, or what ``resolve`` gave; None: the default model.
    device
        Where the weights go; None: the CPU.
    dtype
        Floating-point type of the weights; None: float32.

    Raises
    ------
    WeightsError
        If the file is of no known or supported family, or tensors are missing or of another shape.
    FileMissingError, UnsafeFileError, UnknownModelError, DownloadError
        As ``load_state_dict`` and ``resolve``.
    """
    import torch

    from cellpose import nets

    file = resolve(path)
    state = nets.read_state_dict(file.path)
    _check_finite(state, file.path)
    kind = architecture_of(state, file.path)
    family = nets.family_named(kind.name)
    diam_mean = file.info.diam_mean if file.info else 30.0
    # Large matrices are not initialized at random first: that takes longer than reading them.
    with torch.device("cpu" if family.convolutional else "meta"):
        net = nets.build(kind, diam_mean)
    net.eval()
    net.model_file = file
    device, dtype = nets.usable_device(device or "cpu"), dtype or torch.float32
    if not family.convolutional:
        _assign(net, state, file, device, dtype)
        return net
    _load(net, state, file)
    if device.type == "cpu" and not kind.conv_3D:
        # The memory layout in which convolutions are fastest there.
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.to(device=device, dtype=dtype)


def _load(net: NetFile, state: dict[str, torch.Tensor], file: ModelFile) -> None:
    try:
        net.check_keys(net.load_state_dict(state, strict=False), str(file.path))
    except RuntimeError as error:
        if isinstance(error, WeightsError):
            raise
        message = f"the weights in {file.path} do not fit together: {error}"
        raise WeightsError(message) from error


def _assign(
    net: NetFile, state: dict[str, torch.Tensor], file: ModelFile, device: torch.device, dtype: torch.dtype
) -> None:
    """Give a network without storage the tensors of the file, copied so that the file is released."""
    import torch

    for key in net.optional_keys:
        state.setdefault(key, torch.full((1,), 30.0))
    ours = net.state_dict()
    copies = {
        key: value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype, copy=True)
        for key, value in state.items()
        if key in ours
    }
    logger.debug("%s: %d tensors of the file are not used", file.path, len(state) - len(copies))
    try:
        net.check_keys(net.load_state_dict(copies, strict=False, assign=True), str(file.path))
    except RuntimeError as error:
        if isinstance(error, WeightsError):
            raise
        message = f"the weights in {file.path} do not fit together: {error}"
        raise WeightsError(message) from error


def _told_by_file(kind: Architecture, path: Path) -> Architecture:
    """Facts that tensors do not show: files trained here have them in their card, older ones in their name.

    These names are ``..._style_off_...`` for networks without style, ``unet3_...`` for those whose three outputs are
    classes.
    """
    if not kind.nbase:  # no U-Net
        return kind
    network = read_card(path).get("network")
    told = network if isinstance(network, dict) else {}
    return dataclasses.replace(
        kind,
        style_on=bool(told.get("style_on", not re.search(r"(^|_)style_off(_|$)", path.name))),
        classes=kind.classes or (kind.nout == 3 and bool(told.get("classes", path.name.startswith("unet3_")))),
    )
