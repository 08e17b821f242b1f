"""Planes in several files that make up one array, to be used like a series of tifffile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellpose._machine.reading import reading
from cellpose.io._image import ImageArray

__all__ = ["OmeSeries", "file_of"]


@dataclass(eq=False)
class OmeSeries:
    """Planes in several files that make up one array; to be used like a series of tifffile.

    Attributes
    ----------
    pages
        In order; None where a named plane is missing.
    keyframe
        A page that all others are like.
    full_axes, full_shape
        With axes of length 1.
    pixels
        The element of the OME-XML that describes them.
    n_images
        Images of which the file holds planes.
    """

    pages: list[Any]
    keyframe: Any
    full_axes: str
    full_shape: tuple[int, ...]
    pixels: Any
    n_images: int = 1
    dataoffset: None = None
    axes: str = field(init=False)
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        kept = [k for k, n in enumerate(self.full_shape) if n > 1 or self.full_axes[k] in "YX"]
        self.axes = "".join(self.full_axes[k] for k in kept)
        self.shape = tuple(self.full_shape[k] for k in kept)

    @property
    def levels(self) -> list[OmeSeries]:
        """The finest resolution, which is all that is read."""
        return [self]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a pixel."""
        dtype: np.dtype[Any] = self.keyframe.dtype
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def get_axes(self, squeeze: bool = True) -> str:
        """One letter for each axis."""
        return self.axes if squeeze else self.full_axes

    def get_shape(self, squeeze: bool = True) -> tuple[int, ...]:
        """Length of each axis."""
        return self.shape if squeeze else self.full_shape

    def asarray(self) -> ImageArray:
        """All planes; a file is open only while its own are read."""
        out = np.empty((len(self.pages), *self.keyframe.shape), self.dtype)
        for plane, page in zip(out, self.pages, strict=True):
            with file_of(page):
                plane[...] = page.asarray()
        return out.reshape(self.shape)


@contextmanager
def file_of(page: Any) -> Iterator[None]:
    """A context in which the file of a page is open; files of a set, maybe thousands, are open only while read."""
    handle = page.parent.filehandle
    with reading(handle.path):
        was_closed = handle.closed
        if was_closed:
            handle.open()
        try:
            yield
        finally:
            if was_closed:
                handle.close()
