"""The network over whole stacks and volumes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.core._planes import Report, run_planes
from cellpose.engines import Engine, as_engine
from cellpose.errors import InputError
from cellpose.options import Tiling
from cellpose.transforms import PLANE_VIEWS, scaled_shape

__all__ = ["_forward", "run_3D", "run_net", "run_volume"]

logger = logging.getLogger("cellpose.core")

FloatArray = NDArray[np.float32]


def run_net(
    net: Any,
    imgi: NDArray[np.generic],
    batch_size: int = 8,
    augment: bool = False,
    tile_overlap: float = 0.1,
    bsize: int | None = None,
    rsz: float | Sequence[float] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Run a network over a stack of planes.

    Parameters
    ----------
    net
        A torch module that returns ``(outputs, style, ...)``, or an engine.
    imgi
        Prepared planes (plane, y, x, channel); a single plane (y, x, channel) is taken as a stack of one.
    batch_size
        Number of tiles run at once.
    augment
        Average over flipped, half-overlapping tiles.
    tile_overlap
        Fraction by which tiles overlap, kept between 0.05 and 0.5.
    bsize
        Side of a tile in pixels; ``None``: what the network was made for (224 for U-Nets).
    rsz
        Factor by which planes are resized first, or one for y and one for x.

    Returns
    -------
    tuple
        Outputs, float32 (plane, y, x, channel) at the resized size; styles, float32 (plane, style).

    Raises
    ------
    InputError, OptionError
        See :func:`run_planes`.

    Examples
    --------
    >>> from cellpose.nets import CPnet
    >>> outputs, styles = run_net(CPnet([2, 4, 8], nout=3), np.zeros((2, 20, 30, 2)), rsz=0.5)
    >>> outputs.shape, styles.shape
    ((2, 10, 15, 3), (2, 8))
    """
    stack = imgi[np.newaxis] if imgi.ndim == 3 else imgi
    tiling = Tiling(batch_size=batch_size, augment=augment, tile_overlap=tile_overlap, bsize=bsize)
    size = None if rsz is None else _scaled(stack.shape[1:3], rsz)
    results: FloatArray | None = None
    styles: list[FloatArray] = []
    for index, (output, style) in enumerate(run_planes(as_engine(net), stack, tiling, size)):
        if results is None:
            results = np.empty((len(stack), *output.shape[1:], len(output)), np.float32)
        results[index] = output.transpose(1, 2, 0)
        styles.append(style)
    if results is None:  # pragma: no cover  (run_planes refuses an empty stack)
        message = f"a stack of shape {stack.shape} has no planes"
        raise InputError(message)
    return results, np.stack(styles)


def run_3D(
    net: Any,
    imgs: NDArray[np.generic],
    batch_size: int = 8,
    augment: bool = False,
    tile_overlap: float = 0.1,
    bsize: int | None = None,
    net_ortho: Any = None,
    progress: Any = None,
) -> tuple[FloatArray, FloatArray]:
    """Run a network over the planes of a volume in three directions and add up what they say.

    Parameters
    ----------
    net, batch_size, augment, tile_overlap, bsize
        See :func:`run_net`.
    imgs
        Prepared volume (z, y, x, channel).
    net_ortho
        Network for the planes that contain z; ``None``: ``net``.
    progress
        An object with ``setValue(percent)``, such as a Qt progress bar.

    Returns
    -------
    tuple
        Flow in z, y and x and cell probability, float32 (z, y, x, 4): sums, so that a flow is up to 2 times and a
        probability 3 times those of a plane; styles of the planes of the last direction, float32 (x, style).
    """
    tiling = Tiling(batch_size=batch_size, augment=augment, tile_overlap=tile_overlap, bsize=bsize)
    report = None if progress is None else (lambda fraction: progress.setValue(int(100 * fraction)))
    flows, styles = run_volume(
        as_engine(net), imgs, tiling, None if net_ortho is None else as_engine(net_ortho), report
    )
    return np.ascontiguousarray(flows.transpose(1, 2, 3, 0)), styles


def run_volume(
    engine: Engine,
    volume: NDArray[np.generic],
    tiling: Tiling | None = None,
    engine_ortho: Engine | None = None,
    report: Report | None = None,
) -> tuple[FloatArray, FloatArray]:
    """What :func:`run_3D` computes, channels first.

    Returns
    -------
    tuple
        Flow in z, y and x and cell probability, float32 (4, z, y, x); styles of the last direction (x, style).
    """
    if volume.ndim != 4:
        message = f"a volume of shape {volume.shape} cannot be run; it must be (z, y, x, channels)"
        raise InputError(message)
    flows = np.zeros((4, *volume.shape[:3]), np.float32)
    styles: list[FloatArray] = []
    for n, view in enumerate(PLANE_VIEWS):
        planes = view.planes(volume)
        logger.info("running %s: %d planes of %d x %d pixels", view.name, *planes.shape[:3])
        one = engine_ortho if n and engine_ortho is not None else engine
        # The part of the sums that belongs to a plane: (plane, component, first axis, second axis).
        into = np.moveaxis(flows, view.permutation[0] + 1, 0)
        styles.clear()
        for index, (output, style) in enumerate(run_planes(one, planes, tiling, report=_part(report, n))):
            _require_flows(output)
            for channel, component in zip((-3, -2, -1), (*view.components, 3), strict=True):
                into[index, component] += output[channel]
            styles.append(style)
    return flows, np.stack(styles)


def _forward(net: Any, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Outputs and styles of one batch of tiles (n, channel, y, x)."""
    return as_engine(net)(x)


def _require_flows(output: FloatArray) -> None:
    if len(output) < 3:
        message = f"the network has {len(output)} outputs; segmentation needs 3: flow in y, flow in x, cell probability"
        raise InputError(message)


def _part(report: Report | None, direction: int) -> Report | None:
    """Progress of one of three directions as part of the whole."""
    return None if report is None else lambda fraction: report((direction + fraction) / len(PLANE_VIEWS))


def _scaled(shape: Sequence[int], rsz: float | Sequence[float]) -> tuple[int, int]:
    ly, lx = scaled_shape(shape, np.broadcast_to(np.asarray(rsz, float), (2,)).tolist())
    return ly, lx
