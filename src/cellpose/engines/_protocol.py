"""What an engine is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine", "is_transformer"]

_TRANSFORMERS = ("sam", "dino", "vit")


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
        Kind of the network, ``"cpnet"``, ``"sam_vitl"``, …; images are padded and prepared by it.
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
        """Where it runs."""
        ...

    def __call__(self, tiles: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Outputs (n, nout, y, x) and styles (n, style_size) of tiles (n, channels, y, x), all float32."""
        ...


def is_transformer(backbone: object) -> bool:
    """Whether networks of this kind take images prepared as version 4 did (up to three channels, tiles of fixed size).

    Examples
    --------
    >>> is_transformer("sam_vitl"), is_transformer("cpnet"), is_transformer("default")
    (True, False, False)
    """
    return isinstance(backbone, str) and backbone.startswith(_TRANSFORMERS)
