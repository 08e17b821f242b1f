"""Image restoration: degrade, learn to restore, restore, and segment what was restored (Cellpose 3)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cellpose._face.also import other_names
from cellpose._face.door import door, guard
from cellpose.denoise._block import restore_block
from cellpose.denoise._cellpose import CellposeDenoiseModel
from cellpose.denoise._large import restore_large
from cellpose.denoise._model import MODEL_NAMES, DenoiseModel
from cellpose.denoise._sizes import at_image_size

if TYPE_CHECKING:
    from cellpose.denoise._batch import random_rotate_and_resize_noise
    from cellpose.denoise._degrade import add_noise, img_norm
    from cellpose.denoise._legacy import deterministic
    from cellpose.denoise._losses import (
        get_sigma,
        imstats,
        loss_fn_per,
        loss_fn_rec,
        loss_fn_seg,
        one_chan_cellpose,
        test_loss,
        train_loss,
    )
    from cellpose.denoise._self import train_self
    from cellpose.denoise._train import train

__all__ = [
    "MODEL_NAMES",
    "CellposeDenoiseModel",
    "DenoiseModel",
    "add_noise",
    "at_image_size",
    "deterministic",
    "get_sigma",
    "img_norm",
    "imstats",
    "loss_fn_per",
    "loss_fn_rec",
    "loss_fn_seg",
    "one_chan_cellpose",
    "random_rotate_and_resize_noise",
    "restore_block",
    "restore_large",
    "test_loss",
    "train",
    "train_loss",
    "train_self",
]

guard(globals())

# Training needs torch; restoring does without it where another engine runs the network.
_LATER = {
    "add_noise": "_degrade",
    "deterministic": "_legacy",
    "get_sigma": "_losses",
    "img_norm": "_degrade",
    "imstats": "_losses",
    "loss_fn_per": "_losses",
    "loss_fn_rec": "_losses",
    "loss_fn_seg": "_losses",
    "one_chan_cellpose": "_losses",
    "random_rotate_and_resize_noise": "_batch",
    "test_loss": "_losses",
    "train": "_train",
    "train_loss": "_losses",
    "train_self": "_self",
}
_other = other_names("denoise")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        return _other(name)
    found = door(getattr(importlib.import_module(f"cellpose.denoise.{_LATER[name]}"), name), __name__)
    globals()[name] = found
    return found
