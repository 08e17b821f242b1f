"""The image of a run: an array on disk that all workers can read, of axes of space and perhaps one of channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellpose import io
from cellpose.errors import AxesError, OptionError
from cellpose.io import OmeZarr

__all__ = ["Selected", "open_source", "spatial"]


@dataclass(frozen=True)
class Selected:
    """A Zarr array at one place of the axes that a run does not go over, such as one time.

    Attributes
    ----------
    array
        The whole array.
    fixed
        For each of its axes the place, or None where the axis stays.
    """

    array: Any
    fixed: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the remaining axes."""
        return tuple(int(n) for n, place in zip(self.array.shape, self.fixed, strict=True) if place is None)

    @property
    def ndim(self) -> int:
        """Number of axes that stay."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the intensities."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def store(self) -> str:
        """The store that is read, for the record of a run."""
        return f"{getattr(self.array, 'store', '')} {getattr(self.array, 'path', '')} {self.fixed}"

    def __getitem__(self, key: Sequence[Any]) -> Any:
        rest = iter(key)
        return self.array[tuple(next(rest) if place is None else place for place in self.fixed)]


def open_source(path: str | os.PathLike[str]) -> Any:
    """The array at a path: a Zarr array as it is, of an OME-Zarr the finest resolution without axes of length 1."""
    image = io.open_ome_zarr(path)
    return spatial(image, None)[0] if "Y" in image.axes else image.array


def spatial(image: OmeZarr, frame: int | None) -> tuple[Any, str]:
    """The axes of space and channels of an image, and their letters.

    Parameters
    ----------
    image
        As it was opened.
    frame
        Which time, where there are several.

    Raises
    ------
    AxesError
        If a movie is given without a time.
    OptionError
        If there is no such time.
    """
    shape, axes = image.array.shape, image.axes
    fixed: list[int | None] = [
        0 if n == 1 and letter not in "YX" else None for n, letter in zip(shape, axes, strict=True)
    ]
    at = axes.find("T")
    if at >= 0 and (shape[at] > 1 or frame is not None):
        if frame is None:
            message = f"an image of shape {tuple(shape)}, axes {axes}, is a movie; choose one of its {shape[at]} frames"
            raise AxesError(message)
        if not 0 <= frame < shape[at]:
            message = f"frame {frame} is not in a movie of {shape[at]} frames; give 0 to {shape[at] - 1}"
            raise OptionError(message)
        fixed[at] = frame
    if all(place is None for place in fixed):
        return image.array, axes
    return Selected(image.array, tuple(fixed)), "".join(a for a, n in zip(axes, fixed, strict=True) if n is None)
