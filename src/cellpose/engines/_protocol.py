"""The interface of an engine."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine"]


@runtime_checkable
class Engine(Protocol):
    """Runs one batch of tiles through a network.

    Attributes
    ----------
    nout
        Channels of the output: flow in y, flow in x, cell probability last; class scores may come before them.
    style_size
        Length of the style vector.
    device
        Where it runs, ``"cpu"`` or the name of an accelerator.
    default_bsize
        Side in pixels of the tiles the network was made for.
    backbone
        Name of the family of the network, ``"cpnet"``, ``"sam_vitl"``, …, see ``nets.FAMILIES``.
    tile_multiple
        Sides of tiles must be a multiple of this.
    """

    nout: int
    style_size: int
    default_bsize: int
    backbone: str
    tile_multiple: int

    @property
    def device(self) -> object:
        """The device it runs on."""
        ...

    def __call__(self, tiles: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Outputs (n, nout, y, x) and styles (n, style_size) of tiles (n, channels, y, x), all float32."""
        ...
