"""``--flatfield``: the illumination of the microscope, by which images are divided first of all."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellpose import io
from cellpose.cli._logging import display_of
from cellpose.errors import CellposeError, InputError, OptionError
from cellpose.io import Image

__all__ = ["ESTIMATE", "Light", "light_of"]

logger = logging.getLogger("cellpose.cli")

#: The word given instead of a file.
ESTIMATE = "estimate"
_MOST_IMAGES = 64  # more add nothing new


@dataclass(frozen=True, eq=False)
class Light:
    """Divides images by a flat field, (Y, X) or (channel, Y, X)."""

    flat: np.ndarray

    def __call__(self, image: Image) -> Image:
        """The evenly lit image, float32, with its axes unchanged."""
        from cellpose.transforms import correct_flatfield

        axes = _axes(image)
        planes = np.moveaxis(image.data, axes, range(-len(axes), 0))
        even = correct_flatfield(planes, self.flat)
        return replace(image, data=np.moveaxis(even, range(-len(axes), 0), axes))


def light_of(args: Namespace, files: Sequence[Path]) -> Light | None:
    """The light that the command line asks for; None: nothing.

    Raises
    ------
    OptionError
        If the flat field cannot be read as one.
    InputError
        If it cannot be made of these images. Those that cannot be read are left out.
    """
    if args.flatfield is None:
        return None
    if args.flatfield != ESTIMATE:
        image = io.read_image(args.flatfield)
        flat = np.moveaxis(image.data, _axes(image), range(-len(_axes(image)), 0))
        if flat.ndim != len(_axes(image)):
            message = (
                f"--flatfield {args.flatfield} must be a single plane, but has axes {image.axes} of {image.data.shape}"
            )
            raise OptionError(message)
        return Light(flat)
    from cellpose.transforms import estimate_flatfield

    chosen = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(len(files), _MOST_IMAGES)).astype(int))]
    broken: set[Path] = set()
    first = next(_readable(chosen, broken), None)
    if first is None:
        message = f"--flatfield {ESTIMATE}: none of the images looked at can be read, such as {chosen[0]}"
        raise InputError(message)
    channels = first.data.shape[axis] if (axis := first.axis("C")) is not None else 1
    with display_of("", None, verbose=False) as display, display.job("estimating the flat field"):
        flat = np.stack([estimate_flatfield(_planes(_readable(chosen, broken), c)) for c in range(channels)])
    low, high = float(flat.min()), float(flat.max())
    logger.info(f">>>> flat field of {len(chosen) - len(broken)} images: {low:.2f} to {high:.2f} of the mean light")
    return Light(flat if channels > 1 else flat[0])


def _readable(files: Sequence[Path], broken: set[Path]) -> Iterator[Image]:
    """The images of files; those that cannot be read are named once, join ``broken``, and fail in their turn."""
    for file in files:
        if file in broken:
            continue
        try:
            yield io.read_image(file)
        except CellposeError as error:
            logger.warning(f"{file} is left out of the flat field: {error}")
            broken.add(file)


def _planes(images: Iterable[Image], channel: int) -> Iterator[Any]:
    """One channel of all planes and times of some images."""
    for image in images:
        axes = _axes(image)
        stack = np.moveaxis(image.data, axes, range(-len(axes), 0))
        stack = stack[..., channel, :, :] if len(axes) > 2 else stack
        yield from stack.reshape(-1, *stack.shape[-2:])


def _axes(image: Image) -> list[int]:
    """Where channels, if there are any, Y and X are; the last two axes where none has a name."""
    y, x = image.axis("Y"), image.axis("X")
    if y is None or x is None:
        return [image.data.ndim - 2, image.data.ndim - 1]
    c = image.axis("C")
    return [y, x] if c is None else [c, y, x]
