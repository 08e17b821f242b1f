"""What the kernels of our own need of a CPnet, as one file: its arrays, and how it was built."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cellpose.nets import Architecture

__all__ = ["native_graph"]

_SIDE = 3  # of the kernels of convolutions


def native_graph(arrays: Mapping[str, NDArray[np.float32]], network: Architecture) -> bytes | None:
    """An ``.npz`` file with the arrays of a CPnet, ``nbase``, ``nout`` and ``style_on``; None if no kernels run it."""
    usual = network.residual_on and not (network.conv_3D or network.classes or network.concatenation)
    if not usual or network.sz != _SIDE:
        return None
    kept: dict[str, Any] = {
        key: value for key, value in arrays.items() if key.startswith(("downsample.", "upsample.", "output."))
    }
    file = io.BytesIO()
    np.savez(file, nbase=np.array(network.nbase), nout=network.nout, style_on=network.style_on, **kept)
    return file.getvalue()
