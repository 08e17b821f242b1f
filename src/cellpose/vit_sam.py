"""Cellpose-SAM under the name that scripts for Cellpose 4.0 import."""

from cellpose.nets import CPSAM as Transformer

__all__ = ["Transformer"]
