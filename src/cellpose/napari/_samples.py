"""Sample data: synthetic images with their true cells, generated on demand."""

from __future__ import annotations

import numpy as np

from cellpose import synthetic
from cellpose.napari._results import LayerData

__all__ = ["cells_with_nuclei", "movie", "nuclei", "volume"]


def cells_with_nuclei() -> list[LayerData]:
    """A layer of cells, one of their nuclei, and the true labels."""
    made = synthetic.sample(5, (384, 384), "cytoplasm", channels=2, diameter=36)
    return [
        (made.image[0], {"name": "cells", "colormap": "green", "blending": "additive"}, "image"),
        (made.image[1], {"name": "nuclei", "colormap": "magenta", "blending": "additive"}, "image"),
        (made.masks, {"name": "true cells", "visible": False}, "labels"),
    ]


def nuclei() -> list[LayerData]:
    """A layer of nuclei, and the true labels."""
    made = synthetic.sample(3, (384, 384), "nuclei", channels=1, diameter=20)
    return [
        (made.image[0], {"name": "nuclei"}, "image"),
        (made.masks, {"name": "true nuclei", "visible": False}, "labels"),
    ]


def volume() -> list[LayerData]:
    """A stack of planes, spaced at twice the pixel size, and the true labels."""
    made = synthetic.sample_volume(2, (20, 160, 160), "nuclei", channels=1, diameter=22, anisotropy=2.0)
    place = {"scale": (2.0, 1.0, 1.0), "axis_labels": ("z", "y", "x")}
    return [
        (made.image[0], {"name": "volume", **place}, "image"),
        (made.masks, {"name": "true nuclei", "visible": False, **place}, "labels"),
    ]


def movie() -> list[LayerData]:
    """Six frames in which all cells drift."""
    made = synthetic.sample(11, (256, 300), "nuclei", channels=1, diameter=22)
    frames = [slice(7 * step, 7 * step + 256) for step in range(6)]
    place = {"axis_labels": ("time", "y", "x")}
    images = np.stack([made.image[0][:, part] for part in frames])
    labels = np.stack([made.masks[:, part] for part in frames])
    return [
        (images, {"name": "movie", **place}, "image"),
        (labels, {"name": "true nuclei", "visible": False, **place}, "labels"),
    ]
