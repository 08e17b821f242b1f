"""One large plane, from its file to a file of labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics
from cellpose._progress.display import waiting
from cellpose._progress.stages import stage
from cellpose.errors import InputError, OptionError
from cellpose.io import LazyPlane, open_plane, write_label_bands
from cellpose.models._inputs import Layout
from cellpose.models._large._blocks import BlockSize, Follow, block_size, label_bands
from cellpose.models._large._stream import output_rows
from cellpose.models._segment import Network, preparation_of
from cellpose.options import Blocks, Evaluation, Masking, Normalization, Tiling

if TYPE_CHECKING:
    from cellpose.models._model import CellposeModel

__all__ = ["LargeResult", "segment_large"]

logger = logging.getLogger("cellpose.models")

Array = npt.NDArray[Any]
Report = Callable[[float], None]

# Share of the network in the progress; the rest is labels.
_NETWORK_PART = 0.9


@dataclass(frozen=True)
class LargeResult:
    """The result of a large plane.

    Attributes
    ----------
    n_cells
        Number of cells; their labels are 1 to ``n_cells``.
    shape
        Rows and columns.
    labels
        The labels, uint32 (y, x), if they were not written to a file; else None.
    """

    n_cells: int
    shape: tuple[int, int]
    labels: Array | None = None


def segment_large(
    model: CellposeModel,
    source: Any,
    target: str | os.PathLike[str] | None = None,
    *,
    channels: Any = None,
    channel_axis: int | None = None,
    diameter: float | None = None,
    normalize: bool | dict[str, Any] = True,
    invert: bool = False,
    flow_threshold: float | None = 0.4,
    cellprob_threshold: float = 0.0,
    min_size: int = 15,
    max_size_fraction: float = 0.4,
    niter: int | None = None,
    augment: bool = False,
    tile_overlap: float = 0.1,
    bsize: int | None = None,
    batch_size: int = 8,
    block: int = 1024,
    margin: int | None = None,
    overwrite: bool = False,
    progress: Callable[[float], Any] | bool | None = None,
) -> LargeResult:
    """Segment a plane of any size, with memory that grows only with its width.

    The plane streams through the network in rows of tiles, the flows of a band of rows are followed block by block, and
    finished rows of labels are written while the rest is computed. The masks equal those of :meth:`CellposeModel.eval`:
    no cell is cut where blocks meet.

    Parameters
    ----------
    model
        The model.
    source
        Path of a TIFF, OME-TIFF pyramid, OME-Zarr, Zarr array or ``.npy``, or an array, memory map or Zarr array of
        one plane (y, x), with or without an axis of channels.
    target
        Path of the labels to write: ``.zarr`` (OME-Zarr), ``.tif`` (BigTIFF if needed) or ``.npy``; None: return
        them.
    channels, diameter, normalize, invert, flow_threshold, cellprob_threshold, min_size, max_size_fraction, niter,
    augment, tile_overlap, bsize, batch_size
        As in :meth:`CellposeModel.eval`. Filters and local normalization need the whole plane and are refused.
    channel_axis
        Axis of the channels; None: from the file.
    block
        Side in pixels of the blocks in which flows are followed.
    margin
        Margin around a block in pixels, longer than cells; doubled up to four times for longer cells. None: from the
        diameter.
    overwrite
        Whether a Zarr folder at ``target`` may be replaced; files always are.
    progress
        Called with the fraction done, 0 to 1. An exception in it ends the run. None, True, False: whether to show a
        progress bar, as in :meth:`CellposeModel.eval`.

    Returns
    -------
    LargeResult
        Number of cells. Labels are unique in the whole plane; they are uint32, and numbered by blocks.

    Raises
    ------
    InputError, OptionError, FileReadError
        If the plane cannot be segmented in this way.
    FileWriteError
        If the labels cannot be written; then no partial file remains.
    """
    file = Path(source) if isinstance(source, (str, os.PathLike)) else None
    if file and target is not None and os.path.realpath(file) == os.path.realpath(target):
        message = f"the labels would overwrite the image {file}; give another target"
        raise InputError(message)
    plane = open_plane(source, channel_axis)
    options = Evaluation(
        diameter=diameter or None,
        normalization=Normalization.of(normalize, invert=invert),
        tiling=Tiling(batch_size, augment, tile_overlap, model._bsize if bsize is None else bsize),
        masking=Masking(cellprob_threshold, flow_threshold, min_size, max_size_fraction, niter),
    )
    network = model._network()
    if network.classes:
        message = (
            "a U-Net that predicts classes can only segment whole planes; use a model that predicts flows, or leave "
            "out large"
        )
        raise OptionError(message)
    blocks = block_size(network, options, Blocks(block, margin))
    shape = plane.shape[:2]
    report = progress if callable(progress) else None
    counted = _Counted(_labels(network, plane, channels, options, blocks, report))
    with waiting(file.name if file else "plane", progress):
        if target is None:
            labels = np.zeros(shape, np.uint32)
            for first, rows in counted:
                labels[first : first + len(rows)] = rows
            return LargeResult(counted.n_cells, shape, labels)
        write_label_bands(target, shape, counted, np.uint32, plane.pixel_size_um, overwrite)
    logger.info("%d cells in %d x %d pixels, written to %s", counted.n_cells, *shape, target)
    return LargeResult(counted.n_cells, shape)


class _Counted:
    """Bands of labels, and the number of cells in those already passed on."""

    def __init__(self, bands: Iterator[tuple[int, Array, int]]) -> None:
        self._bands = bands
        self.n_cells = 0

    def __iter__(self) -> Iterator[tuple[int, Array]]:
        for first, rows, count in self._bands:
            self.n_cells = count
            yield first, rows


def _labels(
    network: Network,
    plane: LazyPlane,
    channels: Any,
    options: Evaluation,
    blocks: BlockSize,
    progress: Callable[[float], Any] | None,
) -> Iterator[tuple[int, Array, int]]:
    shape = plane.shape[:2]
    preparation = preparation_of(network, Layout(channels), options)
    stage("finding the scale of intensities")
    rows = preparation.bands(plane)
    height, width = preparation.size(shape)
    network_part, blocks_part = _parts(progress, shape[0])
    flows = output_rows(network.engine, rows, shape, (height, width), options.tiling, network_part)
    blank = all(bounds is None for bounds in rows.bounds)
    follow = _follow(network, shape, preparation.scale, options, blank=blank)
    return label_bands(flows, shape, follow, blocks, blocks_part)


def _parts(progress: Callable[[float], Any] | None, n_rows: int) -> tuple[Report, Report]:
    """Functions that take the fractions of rows seen by the network, and of rows with labels, and report the whole."""
    advance = stage("running the network and following flows", n_rows, "rows")
    done = {"network": 0.0, "labels": 0.0}

    def part(name: str) -> Report:
        def tell(fraction: float) -> None:
            done[name] = fraction
            whole = _NETWORK_PART * done["network"] + (1 - _NETWORK_PART) * done["labels"]
            advance(whole * n_rows)
            if progress is not None:
                progress(whole)

        return tell

    return part("network"), part("labels")


def _follow(
    network: Network, shape: tuple[int, int], scale: float, options: Evaluation, *, blank: bool = False
) -> Follow:
    masking = options.masking.at_scale(scale)

    def follow(flows: Array, cellprob: Array, origin: tuple[int, int]) -> Array:
        if blank or not (cellprob > masking.cellprob_threshold).any():
            return np.zeros(cellprob.shape, np.int32)
        # The part of the plane that a mask may cover, as a part of this window.
        fraction = masking.max_size_fraction * shape[0] * shape[1] / cellprob.size
        window = dynamics.NetworkFlows(flows, cellprob, origin)
        return dynamics.flows_to_masks(window, replace(masking, max_size_fraction=fraction), device=network.device)

    return follow
