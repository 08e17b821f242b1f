"""Restoring a plane that does not fit in memory: rows of tiles in, rows of the restored plane out, into a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose._machine.writing import replacing_by_name
from cellpose._progress.stages import stage
from cellpose.denoise._restore import Restorer
from cellpose.errors import OptionError
from cellpose.io import open_plane
from cellpose.models import output_rows
from cellpose.options import Normalization, Tiling
from cellpose.transforms import Preparation

if TYPE_CHECKING:
    from cellpose.denoise._model import DenoiseModel

__all__ = ["restore_large"]

# Where offsets of 4 bytes may not suffice.
_CLASSIC_TIFF = 2**32 - 2**25


def restore_large(
    model: DenoiseModel,
    source: Any,
    target: str | os.PathLike[str],
    *,
    channels: Any = None,
    channel_axis: int | None = None,
    diameter: float | None = None,
    normalize: bool | dict[str, Any] = True,
    tile_overlap: float = 0.1,
    bsize: int | None = None,
    batch_size: int = 8,
    progress: Callable[[float], Any] | None = None,
) -> int:
    """Restore a plane of any size, with memory that grows only with its width.

    Parameters
    ----------
    model
        The model.
    source
        What ``io.open_plane`` opens: a TIFF, OME-Zarr, Zarr array or ``.npy``, or an array of one plane.
    target
        The TIFF to write, float32 ([channel,] y, x), not compressed.
    channels, channel_axis, diameter, normalize, tile_overlap, bsize, batch_size
        As in `DenoiseModel.eval`, which gives the same result. Filters and local normalization need the whole plane and
        are refused.
    progress
        Called with the fraction done, 0 to 1. An exception in it ends the run.

    Returns
    -------
    int
        Number of channels of the restored plane.

    Raises
    ------
    OptionError
        If the restored plane would be larger than the image, which needs the whole plane; or see `normalize`.
    InputError, AxesError, FileReadError, FileWriteError
        If the plane cannot be read, or the file cannot be written; then no partial file remains.
    """
    import tifffile

    restorer, plane = model.restorer(), open_plane(source, channel_axis)
    _require_same_size(restorer, diameter)
    tiling = restorer.tiles(Tiling(batch_size=batch_size, tile_overlap=tile_overlap, bsize=bsize))
    preparation = Preparation(channels, nchan=None, normalization=Normalization.of(normalize))
    stage("looking for the scale of intensities")
    rows = preparation.bands(plane)
    kept = _kept(rows, channels)
    height, width = rows.shape
    shape = (height, width) if kept == 1 else (kept, height, width)
    advance = stage("restoring", height * kept, "rows")
    with replacing_by_name(target) as temporary:
        # named like a TIFF: the library requires it
        written = tifffile.memmap(
            temporary, shape=shape, dtype=np.float32, bigtiff=4 * height * width * kept > _CLASSIC_TIFF,
            photometric="minisblack", metadata={"axes": "YX" if kept == 1 else "CYX"},
        )  # fmt: skip
        for c in range(kept):
            tell = partial(_tell, c, kept, progress, lambda part: advance(part * height * kept))
            _restore(restorer, rows, c, diameter, tiling, written if kept == 1 else written[c], tell)
        written.flush()
        del written
    return kept


def _tell(
    c: int, count: int, progress: Callable[[float], Any] | None, advance: Callable[[float], Any], fraction: float
) -> None:
    """Progress of one channel as part of all."""
    advance((c + fraction) / count)
    if progress is not None:
        progress((c + fraction) / count)


def _restore(
    restorer: Restorer,
    rows: Any,
    c: int,
    diameter: float | None,
    tiling: Tiling,
    out: Any,
    tell: Callable[[float], None],
) -> None:
    """Write one channel (y, x), restored."""
    if rows.bounds[c] is None:  # a channel without contrast is not restored
        out[...] = 0
        return
    size = Preparation(scale=restorer.seen_scale(diameter, None, c)).size(rows.shape)
    engine = restorer.engine_chan2 if c == 1 else restorer.engine

    def channel(start: int, stop: int) -> Any:
        return rows(start, stop)[..., c : c + 1]

    with restorer.turn:
        for first, band in output_rows(engine, channel, rows.shape, (size[0], size[1]), tiling, tell, count=1):
            out[first : first + band.shape[1]] = band[0]


def _kept(rows: Any, channels: Any) -> int:
    """How many channels the restored plane has: an empty second one, or one that was not asked for, is left out."""
    count = len(rows.bounds)
    chosen = channels is None or np.ravel(channels)[-1] != 0
    return 1 if count == 2 and not (chosen and rows.bounds[1] is not None) else count


def _require_same_size(restorer: Restorer, diameter: float | None) -> None:
    ratio = restorer.ratio(diameter)
    if ratio > 1:
        message = (
            f"cells of {diameter:g} pixels would be enlarged {ratio:g} times, which needs the whole image; leave out "
            "the diameter, or use a model that does not enlarge"
        )
        raise OptionError(message)
