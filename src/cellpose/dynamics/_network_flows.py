"""What a network says of an image: flows and cell probability, and where the image lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.dynamics._device import as_array
from cellpose.errors import InputError

__all__ = ["NetworkFlows"]


@dataclass(frozen=True)
class NetworkFlows:
    """Flows and cell probability of a plane or a volume, as a network gives them.

    Attributes
    ----------
    dP
        Flows ``(2, Y, X)`` or ``(3, Z, Y, X)``, real: 5 times unit vectors. A tensor is taken as an array.
    cellprob
        Logits ``(Y, X)`` or ``(Z, Y, X)``, real.
    origin
        Row and column at which a plane begins that is part of a larger one: positions of pixels are rounded as they
        are when the larger one is followed, on the CPU.
    z_spacing
        Distance between planes divided by the size of a pixel, by which steps along z are shortened, in volumes.

    Raises
    ------
    InputError
        If the shapes do not fit, or the values are no real numbers.

    Examples
    --------
    >>> NetworkFlows(np.zeros((2, 40, 50)), np.zeros((40, 50))).shape
    (40, 50)
    """

    dP: npt.NDArray[Any]
    cellprob: npt.NDArray[Any]
    origin: tuple[int, int] = (0, 0)
    z_spacing: float = 1.0

    def __post_init__(self) -> None:
        flows, logits = as_array(self.dP), as_array(self.cellprob)
        if logits.ndim not in (2, 3) or flows.shape != (logits.ndim, *logits.shape):
            message = (
                f"flows of shape {flows.shape} and cell probability of shape {logits.shape} do not fit; "
                "give (2, Y, X) and (Y, X), or (3, Z, Y, X) and (Z, Y, X)"
            )
            raise InputError(message)
        if {flows.dtype.kind, logits.dtype.kind} - set("biuf"):
            message = (
                f"flows of dtype {flows.dtype} and cell probability of dtype {logits.dtype}; both must be real numbers"
            )
            raise InputError(message)
        for name, value in (("dP", flows), ("cellprob", logits), ("origin", _corner(self.origin))):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image, ([Z,] Y, X)."""
        return self.cellprob.shape


def _corner(origin: Any) -> tuple[int, int]:
    corner = np.asarray(origin)
    if corner.shape != (2,) or corner.dtype.kind not in "iu" or abs(corner).max() > 2**40:
        message = f"origin={origin!r} is not allowed; give a row and a column, two whole numbers"
        raise InputError(message)
    return int(corner[0]), int(corner[1])
