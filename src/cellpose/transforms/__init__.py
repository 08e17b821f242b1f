"""Images on their way to the network and back: axes, normalisation, resizing, tiles, augmentation.

Pure functions on arrays: none writes into what it is given.
"""

from __future__ import annotations

from cellpose.transforms._augment import random_rotate_and_resize

__all__ = ["random_rotate_and_resize"]
