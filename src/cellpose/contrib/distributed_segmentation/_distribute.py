"""From the file of an image to OME-Zarr labels, by the workers of a cluster."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io, weights
from cellpose.contrib.distributed_segmentation._blocks import get_block_crops
from cellpose.contrib.distributed_segmentation._clusters import client_of
from cellpose.contrib.distributed_segmentation._process import Job, Steps, segmenting_file
from cellpose.contrib.distributed_segmentation._run import Report, job_of, run_calls, run_job
from cellpose.contrib.distributed_segmentation._source import spatial
from cellpose.errors import AxesError, FileWriteError, OptionError
from cellpose.io import OmeZarr, finish_labels, is_outdated_copy, place_of_axis, tiff_layout, tiff_to_zarr
from cellpose.nets import family_named
from cellpose.transforms import Channels, choose_channels, fill_nonfinite, scale_of, tell_of_sparse

__all__ = ["Plan", "distribute", "plan"]

logger = logging.getLogger("cellpose.contrib")

# Default sides of blocks: with the network they take some 2 GB.
_SIDES = {2: 2048, 3: 256}
_SAMPLE = 2**22  # intensities from which the scale of a whole image is taken


@dataclass(frozen=True)
class Plan:
    """The plan of a run over an image.

    Attributes
    ----------
    job
        The image and how its blocks are segmented.
    axes
        Of the labels.
    pixel_size_um
        Along (z, y, x); None if unknown.
    blocks
        Number of blocks, and how many of them are done.
    copy
        The Zarr that was made of a TIFF for this plan; None if there was one before, or the image is Zarr.
    """

    job: Job
    axes: str
    pixel_size_um: tuple[float | None, float | None, float | None]
    blocks: tuple[int, int]
    copy: Path | None = None

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.job.blocksize))
        n, done = self.blocks
        more = f", {done} of them done" if done else ""
        normalize = self.job.eval_kwargs.get("normalize", True)
        size, blocks = " x ".join(map(str, self.job.shape)), f"{n} block{'s' * (n != 1)}"
        return (
            f"{size} pixels, axes {self.axes}: {blocks} of {sides}{more}; each sees {self.job.overlap} pixels around "
            f"it; normalize={normalize}"
        )

    def drop(self) -> None:
        """Remove what was made for this plan, of which no run will come."""
        _remove(self.copy)


def plan(
    image: str | os.PathLike[str],
    target: str | os.PathLike[str],
    blocksize: Sequence[int] | None = None,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    frame: int | None = None,
    mask: npt.ArrayLike | None = None,
    preprocessing_steps: Steps = (),
    model_kwargs: Mapping[str, Any] | None = None,
    eval_kwargs: Mapping[str, Any] | None = None,
    temporary_directory: str | os.PathLike[str] | None = None,
    restart: bool = False,
    replace: bool = False,
) -> Plan:
    """See what a run over an image will do; parameters as in `distribute`.

    TIFF is converted to Zarr for it, which stays for the run; `Plan.drop` removes it. Blocks that are done stay also
    with ``restart``. A Zarr that an earlier plan or run made of another image, of another state of it or with other
    axes stays, and the new one lies beside it, unless ``replace``.

    Raises
    ------
    AxesError, OptionError, FileReadError
        If the image cannot be segmented so.
    FileWriteError
        If there is something at ``target``.
    """
    if Path(target).exists():
        message = f"could not write {target}: it exists already; delete it, or choose another name"
        raise FileWriteError(message)
    name, folder = Path(target).name, Path(temporary_directory or Path(target).parent).absolute()
    given, keywords = (axes, channel_axis), dict(eval_kwargs or {})
    copy = None
    if Path(image).is_dir():
        opened = io.open_ome_zarr(image)
    else:
        letters, shape = tiff_layout(image, *given)
        # What does not fit is said before all pixels are copied.
        _layout(OmeZarr(np.broadcast_to(np.uint8(0), shape), letters), (None, None), frame, blocksize, keywords)
        converted = folder / f"{name}.source.zarr"
        if not replace and is_outdated_copy(image, converted, *given):
            converted = folder / f"{name}.plan.zarr"
        copy = None if converted.exists() else converted
        opened = io.open_ome_zarr(tiff_to_zarr(image, converted, *given))
        given = (None, None)
    try:
        source, letters, sides, keywords = _layout(opened, given, frame, blocksize, keywords)
        steps = _with_scale(source, letters, keywords, preprocessing_steps, model_kwargs or {})
        job = job_of(source, sides, keywords, steps, model_kwargs, folder / f"{name}.parts")
        indices, _ = get_block_crops(job.shape, job.blocksize, job.overlap, mask)
    except BaseException:
        _remove(copy)
        raise
    done = 0 if restart else sum(job.is_done(index) for index in indices)
    return Plan(job, letters.replace("C", ""), opened.pixel_size_um, (len(indices), done), copy)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _layout(
    opened: OmeZarr,
    named: tuple[str | None, int | None],
    frame: int | None,
    blocksize: Sequence[int] | None,
    keywords: dict[str, Any],
) -> tuple[Any, str, list[int], dict[str, Any]]:
    """The axes of space and channels, their letters, the sides of blocks, and the keywords of ``eval`` for them."""
    source, letters = _selected(opened, *named, frame)
    sides = _sides(blocksize, [n for n, letter in zip(source.shape, letters, strict=True) if letter != "C"])
    return source, letters, sides, _keywords(letters, dict(keywords))


def _selected(opened: OmeZarr, axes: str | None, channel_axis: int | None, frame: int | None) -> tuple[Any, str]:
    """The axes of space and channels, and their letters."""
    shape = tuple(opened.array.shape)
    letters = axes.upper() if axes else opened.axes
    if "Y" not in letters:  # a plain array
        ndim = len(shape) - (channel_axis is not None)
        if ndim not in (2, 3):
            message = f"an array of shape {shape} does not name its axes; name them, such as axes='ZYX'"
            raise AxesError(message)
        rest = iter("ZYX"[-ndim:])
        channels = None if channel_axis is None else channel_axis % len(shape)
        letters = "".join("C" if k == channels else next(rest) for k in range(len(shape)))
    elif channel_axis is not None:
        place_of_axis("C", channel_axis, letters, shape, None)  # a number that contradicts the names is refused
    if len(letters) != len(shape):
        message = f"axes={letters!r} does not fit an array of shape {shape}; give one letter for each axis"
        raise AxesError(message)
    source, left = spatial(OmeZarr(opened.array, letters), frame)
    if "".join(a for a in left if a != "C") not in ("YX", "ZYX"):
        message = f"an image of shape {shape}, axes {letters}, is not one of axes [Z,] Y, X and channels"
        raise AxesError(message)
    return source, left


def _keywords(letters: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords of ``eval`` for blocks of these axes."""
    if "C" in letters:
        keywords["channel_axis"] = letters.index("C")
    if "Z" in letters:
        if not keywords.get("do_3D") and not keywords.get("stitch_threshold"):
            message = (
                f"an image of axes {letters} has planes; use do_3D, or a stitch_threshold above 0, so that cells "
                "extend through them"
            )
            raise OptionError(message)
        keywords["z_axis"] = letters.index("Z")
    elif keywords.get("do_3D"):
        message = f"an image of axes {letters} has no planes; leave out do_3D"
        raise OptionError(message)
    return keywords


def _with_scale(
    source: Any, letters: str, keywords: dict[str, Any], steps: Steps, model_kwargs: Mapping[str, Any]
) -> Steps:
    """Give ``eval``, in its keywords, or steps with ``normalize=None`` the scale of the image; the steps.

    A network sees the channels that are chosen, a step all that the file has. What comes after such a step sees 0 to 1.
    """
    asking = any("normalize" in given and given["normalize"] is None for _, given in steps)
    scale = keywords.get("normalize", True)
    options = dict(scale) if isinstance(scale, Mapping) else {}
    if scale and options.get("normalize", True) and options.get("lowhigh") is None:
        percentile = options.pop("percentile", None) or (1.0, 99.0)
        seen = None if asking else _seen(source, letters, keywords.get("channels"), model_kwargs)
        keywords["normalize"] = scale = {**options, "lowhigh": _scale(source, letters, percentile, seen)}
    if not asking:
        return steps
    keywords["normalize"] = {"lowhigh": (0.0, 1.0)} if scale else scale
    return [
        (step, {**given, "normalize": scale} if given.get("normalize", True) is None else given)
        for step, given in steps
    ]


def _seen(source: Any, letters: str, channels: Any, model_kwargs: Mapping[str, Any]) -> Channels | None:
    """Which channels of the image the network sees, in its order; None where the image has no axis of channels."""
    if "C" not in letters:
        return None
    network = weights.architecture(segmenting_file(model_kwargs))
    pair = family_named(network.name).channel_pair
    c = letters.index("C")
    shape = (*source.shape[:c], *source.shape[c + 1 :], source.shape[c])
    return choose_channels(shape, channels, channel_pair=pair, nchan=network.nchan)


def _scale(source: Any, letters: str, percentile: tuple[float, float], seen: Channels | None) -> Any:
    """Intensities that become 0 and 1, the same in all blocks: percentiles of chunks from all over the image.

    One pair, or one pair for each channel that is seen; None: for each of the file.
    """
    c = letters.find("C")
    chunks = _chunks_of(source)
    corners = [range(0, n, chunk) for n, chunk in zip(source.shape, chunks, strict=True)]
    if c >= 0:
        chunks[c], corners[c] = source.shape[c], range(1)
    count = int(np.prod([len(starts) for starts in corners]))
    wanted = max(1, min(count, 4 * _SAMPLE // max(1, int(np.prod(chunks)))))
    samples = []
    for n in np.linspace(0, count - 1, max(wanted, min(count, 27))).round().astype(int):
        at = np.unravel_index(n, [len(starts) for starts in corners])
        where = tuple(slice(starts[k], starts[k] + chunk) for starts, k, chunk in zip(corners, at, chunks, strict=True))
        part = np.moveaxis(np.asarray(source[where]), c, 0) if c >= 0 else np.asarray(source[where])[np.newaxis]
        step = max(1, part[0].size * count // max(_SAMPLE, 1) // 4)
        samples.append(part.reshape(len(part), -1)[:, :: min(step, 64)])
    pixels = fill_nonfinite(np.concatenate(samples, axis=1).T.astype(np.float32))
    values = np.ascontiguousarray((pixels if seen is None else seen(pixels)).T)
    scales = [scale_of(channel, *percentile) for channel in values]
    tell_of_sparse(scales, len(scales), percentile)
    pairs = [(s.low, s.high) if s else (float(v[0]), float(v[0]) + 1) for s, v in zip(scales, values, strict=True)]
    return pairs if c >= 0 else pairs[0]


def _chunks_of(source: Any) -> list[int]:
    whole = getattr(source, "array", source)
    fixed = getattr(source, "fixed", (None,) * whole.ndim)
    return [int(n) for n, place in zip(whole.chunks, fixed, strict=True) if place is None]


def _sides(blocksize: Sequence[int] | None, shape: Sequence[int]) -> list[int]:
    if blocksize is None:
        blocksize = [_SIDES[len(shape)]]
    sides = list(blocksize) * len(shape) if len(blocksize) == 1 else list(blocksize)
    if len(sides) != len(shape) or min(sides) < 1:
        message = f"blocksize={tuple(blocksize)} does not fit {len(shape)} axes; give one side, or one for each axis"
        raise OptionError(message)
    return [min(side, n) for side, n in zip(sides, shape, strict=True)]


def distribute(
    image: str | os.PathLike[str],
    target: str | os.PathLike[str],
    blocksize: Sequence[int] | None = None,
    *,
    mask: npt.ArrayLike | None = None,
    cluster: Any = None,
    cluster_kwargs: Mapping[str, Any] | None = None,
    report: Report | None = None,
    say: Callable[[str], Any] | None = None,
    **options: Any,
) -> int:
    """Segment the file of an image on the workers of a cluster, and write OME-Zarr labels.

    Beside `distributed_eval`, which takes arrays as they are: axes and channels are those that the file names, all
    blocks are scaled alike, TIFF is converted first, and labels have all resolutions. Called again after it was
    stopped, it continues.

    Parameters
    ----------
    image
        OME-Zarr, Zarr array (version 2 or 3) or TIFF.
    target
        Folder of the labels; it must not exist yet.
    blocksize
        Side of a block in pixels, one for all axes of space or one for each; None: 2048, in 3D 256.
    mask
        Foreground, in any resolution; blocks without any are left out.
    cluster, cluster_kwargs
        As in `distributed_eval`.
    report
        Called with what is done to the blocks, how many of them are done, and how many there are.
    say
        Called with what a user may want to know before work begins; None: it is logged.
    **options
        ``axes`` and ``channel_axis``: of an array that does not name its axes; ``frame``: which time of a movie;
        ``preprocessing_steps``, ``model_kwargs``, ``eval_kwargs`` and ``temporary_directory``: as in
        `distributed_eval`, where a step of which ``normalize`` is None gets the scale of the image;
        ``restart``: forget the blocks that are done.

    Returns
    -------
    int
        Number of cells; their labels are 1 to that number.

    Raises
    ------
    AxesError, OptionError, FileReadError, FileWriteError, MissingExtraError
        As `plan` and `distributed_eval` do.
    """
    say = say or logger.info
    planned = plan(image, target, blocksize, mask=mask, replace=True, **options)
    say(str(planned))
    job, folder = planned.job, Path(target)
    if options.get("restart"):
        shutil.rmtree(job.folder, ignore_errors=True)
    staged = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(staged, ignore_errors=True)
    with client_of(cluster, cluster_kwargs or {}) as client:
        if client.dashboard_link:
            say(f"dashboard of the workers: {client.dashboard_link}")
        boxes = run_job(client, job, staged / "0", mask, report)
        finish_labels(staged, planned.axes, planned.pixel_size_um, lambda f, calls: run_calls(client, f, calls))
    os.replace(staged, folder)
    shutil.rmtree(job.folder, ignore_errors=True)
    for kind in ("source", "plan"):
        _remove(job.folder.with_name(f"{folder.name}.{kind}.zarr"))
    return len(boxes)
