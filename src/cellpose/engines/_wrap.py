"""Turning whatever runs tiles into an engine."""

from __future__ import annotations

import sys
from typing import Any

from cellpose.engines._protocol import Engine
from cellpose.errors import InputError

__all__ = ["as_engine"]


def as_engine(net: Any, backbone: str | None = None) -> Engine:
    """``net`` if it is an engine, a torch module wrapped into one.

    Raises
    ------
    InputError
        If it is neither.
    """
    # If torch is not loaded there are no modules, and it need not be imported to find out.
    torch = sys.modules.get("torch")
    # Modules first: some have all attributes of an engine, but take and return tensors.
    if torch is not None and isinstance(net, torch.nn.Module):
        from cellpose.engines._torch import TorchEngine

        return TorchEngine(net, backbone)
    if isinstance(net, Engine):
        return net
    message = f"net is a {type(net).__name__}; give a torch.nn.Module or a cellpose.engines.Engine"
    raise InputError(message)
