"""Training of segmentation networks and size models."""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.train._channels import pad_to_rgb
from cellpose.train._checks import LabelReport, check_labels
from cellpose.train._legacy import _get_batch, _process_train_test, _reshape_norm, convert_to_rgb
from cellpose.train._loss import _loss_fn_class, _loss_fn_seg
from cellpose.train._score import score_seg
from cellpose.train._seg import train_seg
from cellpose.train._size import correlation, train_size
from cellpose.train._slices import Slice, cut_slices, make_slices

__all__ = [
    "LabelReport",
    "Slice",
    "_get_batch",
    "_loss_fn_class",
    "_loss_fn_seg",
    "_process_train_test",
    "_reshape_norm",
    "check_labels",
    "convert_to_rgb",
    "correlation",
    "cut_slices",
    "make_slices",
    "pad_to_rgb",
    "score_seg",
    "train_seg",
    "train_size",
]

guard(globals())
__getattr__ = other_names("train")
