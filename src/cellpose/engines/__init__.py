"""Engines: whatever turns a batch of tiles into flows, cell probability and styles.

Everything above speaks to a network through :class:`Engine` alone, so that another library can run it.
"""

from cellpose.engines._protocol import Engine, is_transformer
from cellpose.engines._torch import TorchEngine, as_engine

__all__ = ["Engine", "TorchEngine", "as_engine", "is_transformer"]
