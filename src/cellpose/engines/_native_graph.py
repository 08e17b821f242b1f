"""What our own kernels need of a CPnet, as one file: its arrays, and how it was built."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cellpose.nets import Architecture

__all__ = ["NativeGraph", "native_graph"]

_SIDE = 3  # of the kernels of convolutions


@dataclass(frozen=True, eq=False)
class NativeGraph:
    """A CPnet for our own kernels.

    Parameters
    ----------
    arrays
        Its weights by name.
    nbase, nout, style_on
        As of an `Architecture`.
    """

    arrays: dict[str, NDArray[np.float32]]
    nbase: tuple[int, ...]
    nout: int
    style_on: bool

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file."""
        file = io.BytesIO()
        content: dict[str, Any] = {"nbase": np.array(self.nbase), "nout": self.nout, "style_on": self.style_on}
        np.savez(file, **{**content, **self.arrays})
        return file.getvalue()

    @classmethod
    def of(cls, file: bytes | Path) -> NativeGraph:
        """Read the output of `to_bytes`, from bytes or from a file."""
        with np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files}
        nbase = tuple(arrays.pop("nbase").tolist())
        return cls(nbase=nbase, nout=int(arrays.pop("nout")), style_on=bool(arrays.pop("style_on")), arrays=arrays)


def native_graph(arrays: Mapping[str, NDArray[np.float32]], network: Architecture) -> NativeGraph | None:
    """The graph of a CPnet; None if no kernels run it."""
    usual = network.residual_on and not (network.conv_3D or network.classes or network.concatenation)
    if not usual or network.sz != _SIDE:
        return None
    kept = {key: value for key, value in arrays.items() if key.startswith(("downsample.", "upsample.", "output."))}
    return NativeGraph(kept, tuple(network.nbase), network.nout, network.style_on)
