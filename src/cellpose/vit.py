"""The transformers under the module name that scripts for Cellpose 4 import."""

from cellpose.nets import CPDINO, CPSAM

__all__ = ["CPDINO", "CPSAM"]
