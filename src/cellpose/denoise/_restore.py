"""From an image to the restored one: one network per channel, over the tiles of one plane after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose import core, transforms
from cellpose.engines import Engine
from cellpose.options import Tiling
from cellpose.transforms import Preparation, has_contrast

__all__ = ["CELL_DIAMETER", "NUCLEUS_DIAMETER", "RestoredImage", "Restorer"]

FloatArray = NDArray[np.float32]
Report = Callable[[float], None]

#: Cells and nuclei are brought to these diameters in pixels.
CELL_DIAMETER, NUCLEUS_DIAMETER = 30.0, 17.0
# Cells smaller than this are noise, which no enlargement helps.
_SMALLEST_DIAMETER = 3.0


@dataclass(frozen=True)
class RestoredImage:
    """A restored image, float32 ([z,] y, x, channel), and how much larger than the image it is."""

    image: FloatArray
    ratio: float


@dataclass(frozen=True)
class Restorer:
    """The networks that restore, and how large they see cells.

    Attributes
    ----------
    engine, engine_chan2
        Engines that run the tiles of the first channel, and of the second.
    diam_mean
        Diameter in pixels to which cells are brought.
    enlarges
        Whether images of small cells are restored at a larger size.
    turn
        Held while a network runs, where it can run one image at a time only.
    native
        Whether the networks see images at their own size: those trained on noisy images alone know noise as the camera
        made it, not as resizing changes it.
    few_tiles
        Whether tiles are few and large if no side is given: those of the bundled network.
    """

    engine: Engine
    engine_chan2: Engine
    diam_mean: float
    enlarges: bool
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)
    native: bool = False
    few_tiles: bool = False

    def tiles(self, tiling: Tiling | None) -> Tiling:
        """The tiles to use."""
        tiling = tiling or Tiling()
        return replace(tiling, bsize=0) if self.few_tiles and tiling.bsize is None else tiling

    def ratio(self, diameter: float | None) -> float:
        """How much larger than the image the restored one is."""
        small = diameter and _SMALLEST_DIAMETER <= diameter < self.diam_mean
        return self.diam_mean / diameter if self.enlarges and diameter and small else 1.0

    def seen_scale(self, diameter: float | None, rescale: float | None, channel: int = 0) -> float:
        """The factor by which the networks see a channel larger than its restored size.

        The published models for small cells were made to see them enlarged a second time.
        """
        if self.native:
            return 1.0
        scale = self.diam_mean / diameter if diameter else rescale or 1.0
        return scale * (CELL_DIAMETER / NUCLEUS_DIAMETER if channel == 1 else 1.0)

    def __call__(
        self,
        image: NDArray[Any],
        preparation: Preparation,
        diameter: float | None = None,
        rescale: float | None = None,
        tiling: Tiling | None = None,
        report: Report | None = None,
    ) -> RestoredImage:
        """Restore an image or a stack, plane by plane.

        Beside the image one float32 array of the size of the result is held: its channels are prepared, run and
        written back in place.
        """
        ratio = self.ratio(diameter)
        stack = _enlarged(preparation.arranged(image), replace(preparation, scale=ratio))
        if _has_no_second_channel(stack, preparation.channels):
            stack = np.ascontiguousarray(stack[..., :1])
        channels, tiling = stack.shape[-1], self.tiles(tiling)
        for c in range(channels):
            part = None if report is None else _part(report, c, channels)
            seen = replace(preparation, scale=self.seen_scale(diameter, rescale, c))
            with self.turn:
                _restore(self.engine_chan2 if c == 1 else self.engine, stack[..., c : c + 1], seen, tiling, part)
        return RestoredImage(stack[0] if len(stack) == 1 else stack, ratio)


def _enlarged(stack: FloatArray, preparation: Preparation) -> FloatArray:
    """The planes of a stack (z, y, x, channel) at the size of the preparation."""
    if preparation.scale == 1:
        return stack
    height, width = preparation.size(stack.shape[1:3])
    out = np.empty((len(stack), height, width, stack.shape[3]), np.float32)
    for large, plane in zip(out, stack, strict=True):
        large[...] = transforms.resize_plane(plane, (height, width))
    return out


def _restore(
    engine: Engine, channel: FloatArray, preparation: Preparation, tiling: Tiling, report: Report | None
) -> None:
    """Restore one channel (plane, y, x, 1) in place."""
    planes = preparation.normalised(channel, own=True)
    if not planes.any():  # a channel without contrast is not restored
        channel[...] = 0
        return
    height, width = preparation.size(planes.shape[1:3])
    # a plane is written after its tiles were cut and run, so no tile is read afterwards
    for plane, (output, _) in zip(
        channel, core.run_planes(engine, planes, tiling, (height, width), report, "restoring"), strict=True
    ):
        plane[..., 0] = transforms.resize_plane(output[0], plane.shape[:2])


def _has_no_second_channel(stack: FloatArray, channels: Any) -> bool:
    """Whether the second channel is empty, or was not asked for."""
    if stack.shape[-1] != 2:
        return False
    flat = not has_contrast(float(stack[..., 1].min()), float(stack[..., 1].max()))
    return flat or (channels is not None and np.ravel(channels)[-1] == 0)


def _part(report: Report, index: int, count: int) -> Report:
    """Progress of one channel as part of all."""
    return lambda fraction: report((index + fraction) / count)
