"""The work on one block: segment it, compare it with its neighbors, write it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import weights
from cellpose._labels.arrays import bounding_boxes
from cellpose._machine.reading import fingerprint, reading
from cellpose._machine.temporary import temporary_beside
from cellpose.contrib.distributed_segmentation._blocks import (
    Crop,
    Index,
    core_of,
    get_nblocks,
    global_segment_ids,
    neighbours,
    remove_overlaps,
)
from cellpose.contrib.distributed_segmentation._merge import block_faces, match_labels
from cellpose.io import create_array, open_zarr

__all__ = ["Job", "match_block", "model_files", "process_block", "segment_block", "segmenting_file", "write_block"]

Labels = npt.NDArray[Any]
Steps = Sequence[tuple[Any, Mapping[str, Any]]]

_CHUNK = 128  # side of the chunks in which labels of a block are kept, so that its overlaps can be read alone
_MODEL = "_cellpose_model"  # where a worker keeps its model
_NAMING = ("pretrained_model", "model_type", "pretrained_model_ortho", "model")  # keywords that name a model


@dataclass(frozen=True)
class Job:
    """What all blocks of a run have in common.

    Attributes
    ----------
    source
        Zarr array of the image.
    shape, blocksize, overlap
        Of the axes of space.
    channel_axis
        Axis of ``source`` that holds the channels, None if there is none.
    folder
        Where labels of blocks are kept.
    """

    source: Any
    shape: tuple[int, ...]
    blocksize: tuple[int, ...]
    overlap: int
    channel_axis: int | None
    preprocessing_steps: Steps
    model_kwargs: dict[str, Any]
    eval_kwargs: dict[str, Any]
    folder: Path

    def crop(self, index: Index) -> Crop:
        """The part of the array that the block sees."""
        return core_of(index, self.shape, self.blocksize, self.overlap)

    def core(self, index: Index) -> Crop:
        """The part of the array that the block fills."""
        return core_of(index, self.shape, self.blocksize)

    def labels_path(self, index: Index) -> Path:
        """Where the labels of all that a block sees are kept."""
        return self.folder / "blocks" / ("_".join(map(str, index)) + ".zarr")

    def table_path(self, index: Index) -> Path:
        """Where the numbers of the cells of a block are kept."""
        return self.folder / "tables" / ("_".join(map(str, index)) + ".npy")

    def is_done(self, index: Index) -> bool:
        """Whether a block is segmented. Its folder gets its name when it is whole."""
        return self.labels_path(index).is_dir()


def segment_block(job: Job, index: Index) -> Index:
    """Segment all that a block sees, and keep the labels; nothing to do where that is done."""
    if not job.is_done(index):
        labels = _eval(job.source, job.crop(index), job.channel_axis, job.preprocessing_steps, *_kwargs(job))
        _keep(job.labels_path(index), labels.astype(np.uint32))
    return index


def _kwargs(job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    return job.model_kwargs, job.eval_kwargs


def _eval(
    source: Any,
    crop: Crop,
    channel_axis: int | None,
    steps: Steps,
    model_kwargs: dict[str, Any],
    eval_kwargs: dict[str, Any],
) -> Labels:
    where: list[Any] = list(crop)
    if channel_axis is not None:
        where.insert(channel_axis, slice(None))
    from cellpose.models import doubts_untold

    image = np.asarray(source[tuple(where)])
    for function, keywords in steps:
        image = function(image, **{**keywords, "crop": tuple(where)})
    with doubts_untold():
        labels: Labels = np.asarray(_model(model_kwargs).eval(image, **{"progress": False, **eval_kwargs})[0])
    # axes of length 1 may have been squeezed
    return labels.reshape([part.stop - part.start for part in crop])


def _model(model_kwargs: dict[str, Any]) -> Any:
    """The model: loaded once per worker; outside of workers, loaded each time."""
    from cellpose.models import CellposeModel

    try:
        from distributed import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        return CellposeModel(**model_kwargs)
    # A file may be replaced while the worker lives, such as by a training.
    files = [(str(file.path), fingerprint(file.path)) for file in model_files(model_kwargs)]
    key = json.dumps([model_kwargs, files], sort_keys=True, default=repr)
    held = getattr(worker, _MODEL, None)
    if held is None or held[0] != key:
        held = (key, CellposeModel(**model_kwargs))
        setattr(worker, _MODEL, held)
    return held[1]


def model_files(model_kwargs: Mapping[str, Any], steps: Steps = ()) -> list[weights.ModelFile]:
    """The weight files of a model and of steps before it; those that are on this machine."""
    named = _models_named(model_kwargs)
    for _, keywords in steps:
        named += _models_named(keywords, default=False)
    found = (weights.find(each) for each in named)
    return [file for file in found if file is not None]


def segmenting_file(model_kwargs: Mapping[str, Any]) -> weights.ModelFile:
    """The weight file of the model that segments, downloaded if it has to be.

    Raises
    ------
    UnknownModelError, DownloadError
        As ``weights.resolve``.
    """
    return weights.resolve(next(iter(_models_named(model_kwargs)), None))


def _models_named(keywords: Mapping[str, Any], *, default: bool = True) -> list[Any]:
    """Names and paths of models among keywords, the one that segments first."""
    if default and not any(name in keywords for name in _NAMING):
        return [weights.default_model()]
    named: list[Any] = []
    for given in (keywords.get(name) for name in _NAMING):
        named += given if isinstance(given, (list, tuple)) else [given]
    return [each for each in named if isinstance(each, (str, os.PathLike))]


def _keep(path: Path, labels: Labels) -> None:
    temporary = temporary_beside(path)
    create_array(temporary, labels.shape, (_CHUNK,) * labels.ndim, labels.dtype)[...] = labels
    try:
        os.replace(temporary, path)
    except OSError:
        # Another worker did the same block meanwhile, which schedulers allow; its labels are as good.
        shutil.rmtree(temporary, ignore_errors=True)
        if not path.is_dir():
            raise


def match_block(
    job: Job, index: Index, later: Sequence[Index]
) -> tuple[Index, npt.NDArray[np.int64], list[tuple[Index, npt.NDArray[np.float64]]]]:
    """Labels with a pixel in what a block fills, and those it shares with later neighbors, see `number_cells`."""
    crop, labels = job.crop(index), open_zarr(job.labels_path(index))
    core = labels[_inside(job.core(index), crop)]
    present = np.unique(core).astype(np.int64)
    found: list[tuple[Index, npt.NDArray[np.float64]]] = []
    for other in later:
        theirs = job.crop(other)
        common = _common(crop, theirs)
        ours = labels[_inside(common, crop)]
        matches = match_labels(ours, open_zarr(job.labels_path(other))[_inside(common, theirs)]) if ours.any() else []
        if matches:
            found.append((other, np.array(matches, np.float64)))
    return index, present[present > 0], found


def write_block(
    job: Job, index: Index, processed: set[Index], target: str
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Write the cells in what a block fills; their ids, and their boxes (n, axis, 2) in the array.

    Its own labels come first. Where it sees nothing, the cells of its neighbors continue, so that none is cut.
    """
    import zarr

    core = job.core(index)
    out = np.zeros([part.stop - part.start for part in core], np.uint32)
    if index in processed:
        labels = open_zarr(job.labels_path(index))[_inside(core, job.crop(index))]
        out = _table(job, index)[labels]
    mine = np.unique(out)
    for other in neighbours(index, processed):
        crop = job.crop(other)
        common = _common(core, crop)
        if any(part.start >= part.stop for part in common):
            continue
        table = _table(job, other)
        theirs = _numbered(open_zarr(job.labels_path(other))[_inside(common, crop)], table)
        theirs[np.isin(theirs, mine)] = 0
        place = out[_inside(common, core)]
        place[...] = np.where(place == 0, theirs, place)
    if out.any():
        zarr.open(target, mode="r+")[core] = out
    ids, local = np.unique(out, return_inverse=True)
    boxes = bounding_boxes(local.reshape(out.shape) + int(len(ids) > 0 and ids[0] != 0))
    boxes = boxes + np.array([part.start for part in core])[:, np.newaxis]
    return ids[ids > 0], boxes.astype(np.int64)


def _numbered(labels: Labels, table: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Cells of labels; labels that are not the block's own have no number."""
    known = labels < len(table)
    return np.where(known, table[np.where(known, labels, 0)], 0).astype(np.uint32)


def _common(a: Crop, b: Crop) -> Crop:
    return tuple(slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))


def _inside(part: Crop, crop: Crop) -> Crop:
    """A part of the array as a part of a crop."""
    return tuple(slice(p.start - c.start, p.stop - c.start) for p, c in zip(part, crop, strict=True))


def process_block(
    block_index: Index,
    crop: Crop,
    input_zarr: Any,
    model_kwargs: dict[str, Any],
    eval_kwargs: dict[str, Any],
    blocksize: Sequence[int],
    overlap: int,
    output_zarr: Any = None,
    preprocessing_steps: Steps = (),
    worker_logs_directory: str | None = None,
    test_mode: bool = False,
) -> tuple[Any, list[tuple[slice, ...]], list[int]]:
    """Segment one block, to look at what a run would do with it.

    Parameters
    ----------
    block_index, crop
        Which block, and what it sees; see `get_block_crops`.
    input_zarr
        The image.
    model_kwargs, eval_kwargs
        Keywords of ``CellposeModel`` and of its ``eval``.
    blocksize, overlap
        Of the blocks.
    output_zarr
        Zarr array in which the labels are written, unless ``test_mode``.
    preprocessing_steps
        See `distributed_eval`.
    worker_logs_directory
        Without effect: workers log as Dask configures them.
    test_mode
        Return the labels instead of the faces of the block.

    Returns
    -------
    tuple
        Labels in what the block fills (``test_mode``), or the faces of it, two for each axis; boxes of the cells in
        the array; their ids, see `global_segment_ids`.
    """
    channel_axis = _channel_axis(input_zarr.ndim, eval_kwargs, len(crop))
    labels = _eval(input_zarr, tuple(crop), channel_axis, preprocessing_steps, dict(model_kwargs), dict(eval_kwargs))
    labels, outer = remove_overlaps(labels, tuple(crop), overlap, blocksize)
    shape = [n for axis, n in enumerate(input_zarr.shape) if axis != channel_axis]
    ids, names = global_segment_ids(labels, block_index, get_nblocks(shape, blocksize).tolist())
    offset = min(names) - 1 if names else 0
    local = np.where(ids > 0, ids.astype(np.int64) - offset, 0)
    start = [part.start for part in outer]
    boxes = [
        tuple(slice(int(a) + s, int(b) + s) for (a, b), s in zip(box, start, strict=True))
        for box in bounding_boxes(local)
    ]
    if test_mode:
        return ids, boxes, names
    if output_zarr is not None:
        output_zarr[tuple(outer)] = ids
    return block_faces(ids), boxes, names


def _channel_axis(ndim: int, eval_kwargs: Mapping[str, Any], n_space: int) -> int | None:
    axis = eval_kwargs.get("channel_axis")
    return None if axis is None or ndim == n_space else int(axis) % ndim


def _table(job: Job, index: tuple[int, ...]) -> npt.NDArray[Any]:
    """Numbers of the labels of a block in the whole."""
    with reading(job.table_path(index)):
        table: npt.NDArray[Any] = np.load(job.table_path(index), allow_pickle=False)
        return table
