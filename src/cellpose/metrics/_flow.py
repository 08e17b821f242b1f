"""How well flows of a network agree with the flows of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["flow_error"]


def flow_error(
    maski: ArrayLike, dP_net: ArrayLike, device: torch.device | str | None = None
) -> tuple[NDArray[np.float64], NDArray[Any]] | None:
    """Error between the flows of a network and the flows computed from masks.

    Another name of `cellpose.dynamics.flow_error`, kept here where version 3 has it; see there for arguments and
    results.
    """
    from cellpose import dynamics

    return dynamics.flow_error(maski, dP_net, device=device)
