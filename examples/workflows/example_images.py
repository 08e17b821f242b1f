"""Writes the images that the workflows begin with, so that each can be run as it is; yours take their place.

Real ones are those of the folder above; images with several stains, stacks and spots are synthetic.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cellpose import io, synthetic

FOLDER = Path(__file__).resolve().parent.parent


def _real(name: str) -> NDArray[np.uint8]:
    return io.imread(FOLDER / f"{name}.png")


def _eight_bits(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.uint8(255 * image.clip(0, 1))


def _two_stains(seed: int, diameter: float) -> synthetic.Sample:
    """Cells and, as the second channel, their nuclei."""
    return synthetic.sample(seed, (256, 256), "cytoplasm", diameter=diameter)


def _piezo1() -> NDArray[np.float32]:
    """Spots of a few pixels, nine of ten of them in cells; the cells; their nuclei. Intensities 0..1."""
    cells = _two_stains(11, 40)
    random = np.random.default_rng(0)
    inside = np.argwhere(cells.masks > 0)
    spots = np.concatenate([random.permutation(inside)[:180], random.integers(0, 256, (20, 2))])
    light = np.zeros((256, 256))
    np.add.at(light, tuple(spots.T), random.uniform(6, 12, len(spots)))
    channel = gaussian_filter(light, 1.3) + 0.08 + 0.06 * (cells.masks > 0) + random.normal(0, 0.01, light.shape)
    return np.stack([channel.clip(0, 1), *cells.image]).astype(np.float32)


def _stack() -> NDArray[np.uint8]:
    return _eight_bits(synthetic.sample_volume(4, (14, 88, 88), "nuclei", 1, diameter=26, anisotropy=2).image[0])


IMAGES: dict[str, Callable[[], NDArray[np.generic]]] = {
    "dapi.tif": lambda: _real("nuclei_dense"),
    "cells.tif": lambda: _real("phase_cells_1"),
    "cells_2ch.tif": lambda: _eight_bits(_two_stains(6, 30).image),
    "multichannel.tif": lambda: np.stack([_real("phase_cells_1"), gaussian_filter(_real("phase_cells_1"), 4)]),
    "piezo1_multichannel.tif": _piezo1,
    "confocal_zstack.tif": _stack,
}


def write(*names: str) -> None:
    """Write images of these names into the current folder, each as a TIFF file."""
    for name in names:
        tifffile.imwrite(name, IMAGES[name](), photometric="minisblack")


def write_folder(folder: str, *names: str) -> None:
    """Copy images of the folder above, by their names without ending, into a folder of their own."""
    Path(folder).mkdir(exist_ok=True)
    for name in names:
        shutil.copy(FOLDER / f"{name}.png", folder)


def drawn_by_hand(name: str) -> NDArray[np.uint16]:
    """The labels that belong to an image of the folder above."""
    return _real(f"{name}_masks")
