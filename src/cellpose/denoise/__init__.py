"""Image restoration: degrade, learn to restore, restore, and segment what was restored (Cellpose 3)."""

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.denoise._batch import random_rotate_and_resize_noise
from cellpose.denoise._cellpose import CellposeDenoiseModel
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
from cellpose.denoise._model import MODEL_NAMES, DenoiseModel
from cellpose.denoise._train import train

__all__ = [
    "MODEL_NAMES",
    "CellposeDenoiseModel",
    "DenoiseModel",
    "add_noise",
    "deterministic",
    "get_sigma",
    "img_norm",
    "imstats",
    "loss_fn_per",
    "loss_fn_rec",
    "loss_fn_seg",
    "one_chan_cellpose",
    "random_rotate_and_resize_noise",
    "test_loss",
    "train",
    "train_loss",
]

guard(globals())
__getattr__ = other_names("denoise")
