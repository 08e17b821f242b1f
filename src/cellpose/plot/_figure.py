"""One figure of a segmentation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.check import check_labels
from cellpose._machine.writing import replacing
from cellpose.errors import FileWriteError, InputError
from cellpose.plot._color import channels_last, image_to_rgb, mask_overlay
from cellpose.plot._outline import three_channels
from cellpose.transforms import normalize99
from cellpose.utils import masks_to_outlines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["show_segmentation"]

_RED = (255, 0, 0)


def show_segmentation(
    fig: Figure,
    img: ArrayLike,
    maski: ArrayLike,
    flowi: ArrayLike,
    channels: Sequence[int] | None = (0, 0),
    file_name: str | os.PathLike[str] | None = None,
) -> None:
    """Draw an image, its outlines, its masks and its flows side by side.

    Parameters
    ----------
    fig
        Figure to draw on, for example ``matplotlib.figure.Figure(figsize=(12, 3))`` or one of pyplot. Nothing is shown
        or saved, and no figure is made current.
    img
        Image (Ly, Lx), (Ly, Lx, C) or (C, Ly, Lx). Three channels or more are shown as RGB, fewer as
        :func:`image_to_rgb` shows them.
    maski
        Labels (Ly, Lx), 0 is background.
    flowi
        Flows as RGB (Ly, Lx, 3), as :func:`dx_to_circ` makes them.
    channels
        As in :func:`image_to_rgb`.
    file_name
        Also write the panels as ``<file_name without its extension>_overlay.jpg``, ``_outlines.jpg``, ``_flows.jpg``.

    Raises
    ------
    InputError
        If the arrays are not of one image.
    FileWriteError
        If a file cannot be written.
    """
    labels = check_labels(maski, ndim=(2,), name="maski")
    image = _displayed(np.asarray(img), channels)
    flows = np.asarray(flowi)
    for name, array in (("img", image), ("flowi", flows)):
        if array.shape[:2] != labels.shape:
            message = f"{name} has shape {array.shape} and maski {labels.shape}; they must belong to the same image"
            raise InputError(message)
    outlined = image.copy()
    outlined[masks_to_outlines(labels)] = _RED
    overlay = mask_overlay(image, labels)
    panels = {
        "original image": image,
        "predicted outlines": outlined,
        "predicted masks": overlay,
        "predicted cell pose": flows,
    }
    for k, (title, picture) in enumerate(panels.items(), start=1):
        axes = fig.add_subplot(1, len(panels), k)
        axes.imshow(picture)
        axes.set_title(title)
        axes.axis("off")
    if file_name is not None:
        base = os.path.splitext(os.fspath(file_name))[0]
        for suffix, picture in (("overlay", overlay), ("outlines", outlined), ("flows", flows)):
            _write_jpg(Path(f"{base}_{suffix}.jpg"), picture)


def _displayed(img: NDArray[Any], channels: Sequence[int] | None) -> NDArray[np.uint8]:
    """An image as uint8 RGB: three channels as they are, where their range allows it."""
    image = channels_last(img)
    if image.shape[-1] < 3:
        return image_to_rgb(image, channels)
    rgb = three_channels(image)
    if rgb.dtype == np.uint8:
        return rgb
    values: NDArray[np.floating[Any]] = rgb.astype(np.float32)
    top = values.max() if values.size else 0.0
    if top > 255:
        values = normalize99(values)
    elif top > 1:
        values = values / 255
    displayed: NDArray[np.uint8] = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return displayed


def _write_jpg(path: Path, picture: NDArray[Any]) -> None:
    """Write an RGB picture; the file appears only when it is complete."""
    import cv2

    done, code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8, copy=False))
    if not done:
        message = f"could not write {path}: the picture of shape {picture.shape} cannot be a JPEG"
        raise FileWriteError(message)
    with replacing(path) as file:
        file.write(code.tobytes())
