"""A run over all blocks, which can be continued."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.keywords import check_keywords
from cellpose._machine.temporary import temporary_beside
from cellpose.contrib.distributed_segmentation._blocks import (
    Index,
    get_block_crops,
    get_nblocks,
    later_neighbours,
    neighbours,
)
from cellpose.contrib.distributed_segmentation._clusters import client_of
from cellpose.contrib.distributed_segmentation._merge import as_slices, merged_boxes, number_cells
from cellpose.contrib.distributed_segmentation._process import (
    Job,
    Steps,
    _channel_axis,
    match_block,
    model_files,
    segment_block,
    write_block,
)
from cellpose.contrib.distributed_segmentation._source import open_source
from cellpose.errors import FileWriteError, OptionError
from cellpose.io import array_identity, create_array, open_zarr, write_text

__all__ = ["distributed_eval", "job_of", "run_calls", "run_job"]

logger = logging.getLogger("cellpose.contrib")
Report = Callable[[str, int, int], None]

_DIAMETER = 30
_OVERLAP_DIAMETERS = 2
_TOGETHER = 8  # blocks compared or written by one task: this takes seconds, segmenting takes minutes
_PAUSE = 0.05  # seconds in which results are collected: a message for each would cost more than most calls do
_WAITING = 2000  # blocks handed to the scheduler at a time: enough for any cluster, few enough for its memory


def distributed_eval(
    input_zarr: Any,
    blocksize: Sequence[int],
    write_path: str | os.PathLike[str],
    mask: npt.ArrayLike | None = None,
    preprocessing_steps: Steps = (),
    model_kwargs: Mapping[str, Any] | None = None,
    eval_kwargs: Mapping[str, Any] | None = None,
    cluster: Any = None,
    cluster_kwargs: Mapping[str, Any] | None = None,
    temporary_directory: str | os.PathLike[str] | None = None,
) -> tuple[Any, list[tuple[slice, ...]]]:
    """Segment an array of any size, block by block, on the workers of a Dask cluster.

    Parameters
    ----------
    input_zarr
        Zarr array, or its path, that all workers can read: two or three spatial axes, and one of channels if
        ``eval_kwargs`` has a ``channel_axis``.
    blocksize
        Sides of a block in pixels, one for each spatial axis. A margin of twice the diameter is added.
    write_path
        Folder for the labels, a new Zarr array.
    mask
        Foreground mask, in any resolution; blocks without foreground are skipped.
    preprocessing_steps
        ``[(function, keywords), ...]``, each called as ``function(block, **keywords, crop=slices)``; it returns the
        block for the next step.
    model_kwargs, eval_kwargs
        Keywords of ``CellposeModel`` and of its ``eval``. The default ``diameter`` is 30. Intensities are scaled block
        by block; ``normalize={"lowhigh": (low, high)}`` gives all blocks one scale.
    cluster
        A Dask cluster or client, or the address of a scheduler.
    cluster_kwargs
        Without ``cluster``: keywords of the cluster to start, see `cluster_of`; default: one worker on this machine.
    temporary_directory
        Folder for the blocks until all are done. An interrupted run continues from them if you call it again with the
        same arguments. None: beside ``write_path``. All workers must be able to use it.

    Returns
    -------
    tuple
        The labels, a Zarr array open for reading: uint32, 1 to n without gaps, with the spatial axes; the bounding box
        of each cell, as slices, in the order of the labels.

    Raises
    ------
    OptionError
        If the sides of a block do not fit, or the temporary folder holds blocks of another run.
    FileWriteError
        If ``write_path`` exists.
    MissingExtraError
        If Dask or Zarr is not installed.
    """
    target = Path(write_path)
    source = open_source(input_zarr) if isinstance(input_zarr, (str, os.PathLike)) else input_zarr
    folder = Path(temporary_directory or target.parent) / f"{target.name}.parts"
    job = job_of(source, blocksize, eval_kwargs, preprocessing_steps, model_kwargs, folder)
    with client_of(cluster, cluster_kwargs or {}) as client:
        boxes = run_job(client, job, target, mask)
    shutil.rmtree(job.folder, ignore_errors=True)
    return open_zarr(target), as_slices(boxes)


def run_job(
    client: Any, job: Job, write_path: Path, mask: npt.ArrayLike | None = None, report: Report | None = None
) -> npt.NDArray[np.int64]:
    """Segment all blocks, number their cells and write them; the boxes (cell, axis, 2) of the cells 1..n.

    ``report`` is called with what is done to the blocks, how many of them are done, and how many there are. The folder
    of the blocks stays.
    """
    if write_path.exists():
        message = f"could not write {write_path}: it exists already; delete it, or choose another name"
        raise FileWriteError(message)
    report = report or _log
    indices, _ = get_block_crops(job.shape, job.blocksize, job.overlap, mask)
    _begin(job, indices)
    if client.dashboard_link:
        logger.info("dashboard of the workers: %s", client.dashboard_link)
    left = [index for index in indices if not job.is_done(index)]
    logger.info("%d blocks, %d of them already done", len(indices), len(indices) - len(left))
    for done, _ in enumerate(_map(client, segment_block, ((job, index) for index in left)), 1):
        report("segmented", done, len(left))
    n_cells = _number(client, job, indices, report)
    boxes = _write(client, job, indices, write_path, report)
    logger.info("%d cells, written to %s", n_cells, write_path)
    return boxes


def _log(what: str, done: int, count: int) -> None:
    logger.info("block %d of %d %s", done, count, what)


def job_of(
    source: Any,
    blocksize: Sequence[int],
    eval_kwargs: Mapping[str, Any] | None,
    steps: Steps,
    model_kwargs: Mapping[str, Any] | None,
    folder: Path,
) -> Job:
    """A run, its arguments checked.

    Raises
    ------
    OptionError
        If the sides of a block do not fit the array, or a keyword is unknown.
    """
    from cellpose.models import CellposeModel

    check_keywords(model_kwargs or {}, CellposeModel, "model_kwargs")
    check_keywords(eval_kwargs or {}, CellposeModel.eval, "eval_kwargs")
    eval_kwargs = {"diameter": _DIAMETER, **(eval_kwargs or {})}
    n_space = source.ndim - (eval_kwargs.get("channel_axis") is not None)
    channel_axis = _channel_axis(source.ndim, eval_kwargs, n_space)
    if len(blocksize) == source.ndim and channel_axis is not None:
        blocksize = [side for axis, side in enumerate(blocksize) if axis != channel_axis]
    shape = tuple(int(n) for axis, n in enumerate(source.shape) if axis != channel_axis)
    get_nblocks(shape, blocksize)
    if len(shape) not in (2, 3):
        message = (
            f"an array of shape {tuple(source.shape)} has {len(shape)} spatial axes; give 2 or 3, and channel_axis in "
            "eval_kwargs if one holds channels"
        )
        raise OptionError(message)
    diameter = eval_kwargs.get("diameter") or _DIAMETER
    overlap = round(_OVERLAP_DIAMETERS * float(diameter))
    sides = tuple(int(side) for side in blocksize)
    return Job(
        source,
        shape,
        sides,
        overlap,
        channel_axis,
        tuple(steps),
        dict(model_kwargs or {}),
        eval_kwargs,
        folder.absolute(),
    )


def _begin(job: Job, indices: Sequence[Index]) -> None:
    """Make the folder of the blocks, or check that the existing one belongs to the same run."""
    described = json.dumps(
        {
            "source": [str(getattr(job.source, "store", "")), str(getattr(job.source, "path", ""))],
            "content": array_identity(getattr(job.source, "array", job.source)),
            "shape": job.shape,
            "dtype": str(job.source.dtype),
            "blocksize": job.blocksize,
            "overlap": job.overlap,
            "model": repr(sorted(job.model_kwargs.items())),
            "weights": [file.sha256 for file in model_files(job.model_kwargs, job.preprocessing_steps)],
            "eval": repr(sorted(job.eval_kwargs.items())),
            "steps": [(getattr(f, "__qualname__", repr(f)), repr(k)) for f, k in job.preprocessing_steps],
            "blocks": hashlib.sha256(repr(list(indices)).encode()).hexdigest(),
        },
        indent=1,
    )
    record = job.folder / "run.json"
    if record.is_file():
        if record.read_text(encoding="utf-8") != described:
            message = (
                f"{job.folder} holds blocks of a run with other arguments, or of an image or a model that has changed "
                "since; delete it (`cellpose distribute --restart` does), or choose another folder"
            )
            raise OptionError(message)
        return
    for name in ("blocks", "tables"):
        (job.folder / name).mkdir(parents=True, exist_ok=True)
    write_text(record, described)


@dataclass(frozen=True)
class _Calls:
    """Arguments of some calls. Dask does not search it for results of other calls, as it would search tuples."""

    arguments: list[tuple[Any, ...]]


def _called(calls: _Calls, function: Callable[..., Any]) -> list[Any]:
    return [function(*arguments) for arguments in calls.arguments]


def _map(
    client: Any, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], together: int = 1
) -> Iterator[Any]:
    """Results as they come; a limited number of calls is with the scheduler at a time.

    Where many calls or results are ready, one message carries them: a message each would take longer than most of these
    calls do. ``together`` calls are one task, which costs about a millisecond.
    """
    from distributed import as_completed

    rest = iter(calls)

    def submit(count: int) -> list[Any]:
        tasks = [_Calls(some) for _ in range(count) if (some := list(itertools.islice(rest, together)))]
        return list(client.map(_called, tasks, pure=False, function=function)) if tasks else []

    waiting = as_completed(submit(max(1, _WAITING // together)))
    for done in waiting.batches():
        results = client.gather(done)
        for future in done:
            future.release()
        waiting.update(submit(len(done)))
        yield from itertools.chain.from_iterable(results)
        time.sleep(_PAUSE)


def run_calls(client: Any, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> None:
    """Calls whose results are not needed."""
    for _ in _map(client, function, calls, _TOGETHER):
        pass


def _number(client: Any, job: Job, indices: Sequence[Index], report: Report) -> int:
    """Find the cells that blocks share, and keep a table of their numbers for each block."""
    processed = set(indices)
    calls = ((job, index, list(later_neighbours(index, processed))) for index in indices)
    present: dict[Index, npt.NDArray[np.int64]] = {}
    matches: list[tuple[Index, Index, npt.NDArray[np.float64]]] = []
    for done, (index, labels, found) in enumerate(_map(client, match_block, calls, _TOGETHER), 1):
        present[index] = labels
        matches += [(index, other, pairs) for other, pairs in found]
        report("compared", done, len(indices))
    tables, n_cells = number_cells(present, matches)
    for index, table in tables.items():
        np.save(job.table_path(index), table)
    return n_cells


def _write(client: Any, job: Job, indices: Sequence[Index], write_path: Path, report: Report) -> npt.NDArray[np.int64]:
    """Write all blocks; boxes (cell, axis, 2) of the cells 1..n."""
    write_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(write_path.absolute())
    create_array(temporary, job.shape, job.blocksize, np.uint32)
    processed = set(indices)
    touched = [
        index
        for index in (tuple(int(i) for i in at) for at in np.ndindex(*get_nblocks(job.shape, job.blocksize)))
        if index in processed or next(neighbours(index, processed), None) is not None
    ]
    ids = [np.empty(0, np.uint32)]
    boxes = [np.empty((0, len(job.shape), 2), np.int64)]
    try:
        calls = ((job, index, _around(index, processed), str(temporary)) for index in touched)
        for done, (some, theirs) in enumerate(_map(client, write_block, calls, _TOGETHER), 1):
            ids.append(some)
            boxes.append(theirs)
            report("written", done, len(touched))
        os.replace(temporary, write_path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return merged_boxes(np.concatenate(ids), np.concatenate(boxes))[1]


def _around(index: Index, processed: set[Index]) -> set[Index]:
    """What a worker has to know about the processed blocks."""
    return {*neighbours(index, processed), *({index} & processed)}
