"""Names of core that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose.core._planes import run_planes
from cellpose.core._volumes import run_volume
from cellpose.engines import as_engine
from cellpose.errors import InputError
from cellpose.options import Tiling
from cellpose.transforms import scaled_shape

__all__ = [
    "_forward",
    "check_mkl",
    "run_3D",
    "run_net",
]

FloatArray = NDArray[np.float32]


def check_mkl(use_torch: bool = True) -> bool:
    """Whether torch has its fast CPU kernels (oneDNN, once called MKL-DNN)."""
    import torch

    return use_torch and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


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
        Fraction by which tiles overlap, limited to 0.05 to 0.5.
    bsize
        Side of a tile in pixels; ``None``: what the network was made for (224 for U-Nets); 0: few large ones.
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
        message = f"a stack of shape {stack.shape} has no planes; give at least one"
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


def _forward(net: Any, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Outputs and styles of one batch of tiles (n, channel, y, x)."""
    return as_engine(net)(x)


def _scaled(shape: Sequence[int], rsz: float | Sequence[float]) -> tuple[int, int]:
    ly, lx = scaled_shape(shape, np.broadcast_to(np.asarray(rsz, float), (2,)).tolist())
    return ly, lx
