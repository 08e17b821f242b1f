"""Tiles as arrays, by names that older scripts call; nothing of the package itself does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, InputError
from cellpose.transforms._tiles import _TAPER_WIDTH, Array, Float32, TileGrid, _taper, _unflip

__all__ = [
    "_taper_mask",
    "average_tiles",
    "make_tiles",
    "unaugment_tiles",
]


def make_tiles(
    imgi: npt.ArrayLike, bsize: int = 224, augment: bool = False, tile_overlap: float = 0.1
) -> tuple[Float32, list[list[int]], list[list[int]], int, int]:
    """Cut an image into overlapping tiles.

    Parameters
    ----------
    imgi
        ``(C, Ly, Lx)``.
    bsize
        Side of a tile in pixels.
    augment
        Half-overlapping tiles, flipped along y in every second column and along x in every second row.
    tile_overlap
        Fraction by which tiles overlap without ``augment``, limited to 0.05 to 0.5.

    Returns
    -------
    tiles
        float32 ``(ny, nx, C, rows, columns)``.
    ysub, xsub
        ``[first, last + 1]`` row and column of each tile, row-major.
    Ly, Lx
        Size that the tiles cover: that of the image, or with ``augment`` of the image padded to one tile.

    Raises
    ------
    AxesError
        An array that has not three axes.

    Examples
    --------
    >>> import numpy as np
    >>> tiles, ysub, xsub, Ly, Lx = make_tiles(np.zeros((2, 260, 330), np.float32))
    >>> tiles.shape, ysub[2], xsub[1]
    ((2, 2, 2, 224, 224), [36, 260], [106, 330])
    """
    image = np.asarray(imgi)
    if image.ndim != 3:
        message = f"an image of shape {image.shape} cannot be tiled; give (C, Ly, Lx)"
        raise AxesError(message)
    grid = TileGrid(image.shape[1], image.shape[2], int(bsize), float(tile_overlap), bool(augment))
    tiles = grid._gather([(image, k) for k in range(len(grid))])
    windows = [grid.window(k) for k in range(len(grid))]
    ysub = [[rows.start, rows.stop] for rows, _ in windows]
    xsub = [[columns.start, columns.stop] for _, columns in windows]
    return tiles.reshape(*grid.shape, *tiles.shape[1:]), ysub, xsub, *grid.size


def unaugment_tiles(y: npt.ArrayLike) -> Array:
    """Flip the outputs of augmented tiles back; flows change their sign along the flipped axis.

    Parameters
    ----------
    y
        ``(ny, nx, nout, rows, columns)``. With three output channels or more the third and second from the end are
        the flows along y and x; with fewer there are no flows.

    Returns
    -------
    numpy.ndarray
        New array of the same shape and dtype.

    Raises
    ------
    AxesError
        An array that has not five axes.
    """
    out = np.array(y)
    if out.ndim != 5:
        message = f"tiles of shape {out.shape} are not allowed; give (ny, nx, nout, rows, columns)"
        raise AxesError(message)
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            if i % 2 or j % 2:
                out[j, i] = _unflip(out[j, i], i % 2 == 1, j % 2 == 1)
    return out


def average_tiles(
    y: npt.ArrayLike, ysub: Sequence[Sequence[int]], xsub: Sequence[Sequence[int]], Ly: int, Lx: int
) -> Float32:
    """Average overlapping tiles, with weights that fall towards the edges of each tile.

    Parameters
    ----------
    y
        ``(n, nout, rows, columns)``.
    ysub, xsub
        ``[first, last + 1]`` row and column of each tile.
    Ly, Lx
        Size of the whole in pixels.

    Returns
    -------
    numpy.ndarray
        float32 ``(nout, Ly, Lx)``; 0 where no tile lies.

    Raises
    ------
    InputError
        Lists that do not fit the tiles.
    """
    tiles = np.asarray(y)
    if tiles.ndim != 4 or not len(tiles) == len(ysub) == len(xsub):
        message = (
            f"tiles of shape {tiles.shape} with {len(ysub)} and {len(xsub)} places are not allowed; give "
            "(n, nout, rows, columns) and n places along y and x"
        )
        raise InputError(message)
    weight = _taper_mask(*tiles.shape[-2:])
    total = np.zeros((Ly, Lx), np.float32)
    out = np.zeros((tiles.shape[1], Ly, Lx), np.float32)
    for tile, (y0, y1), (x0, x1) in zip(tiles, ysub, xsub, strict=True):
        out[:, y0:y1, x0:x1] += tile * weight
        total[y0:y1, x0:x1] += weight
    return np.divide(out, total, out=out, where=total > 0)


def _taper_mask(ly: int = 224, lx: int = 224, sig: float = _TAPER_WIDTH) -> npt.NDArray[np.float64]:
    """Weights of a tile of ly x lx pixels: near 1 inside, falling as a sigmoid of width ``sig`` towards the edges.

    Smaller tiles get the middle of the mask of a tile of 224 x 224 pixels.
    """
    ty, tx = (_taper(n, max(ly, lx), sig) for n in (ly, lx))
    return np.outer(ty, tx)
