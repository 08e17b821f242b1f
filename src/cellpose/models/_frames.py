"""Images whose axes are known: the file or the caller says which are planes, channels and times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cellpose._progress.bars import Fractions
from cellpose._progress.display import shown
from cellpose._progress.stages import part_of_job
from cellpose.errors import AxesError, InputError
from cellpose.io import Image, read_image
from cellpose.models._doubt import one_doubt
from cellpose.models._many import fraction_of, reporter

__all__ = ["segment_image"]


def segment_image(
    model: Any,
    image: Image | str | os.PathLike[str],
    *,
    channel_axis: int | None = None,
    z_axis: int | None = None,
    planes_by_name: bool = True,
    **keywords: Any,
) -> tuple[Any, ...]:
    """Segment an image with named axes; the frames of a movie in turn.

    Plain arrays do not distinguish planes, time and channels. Files do, and so does ``io.Image``.

    Parameters
    ----------
    model
        A `CellposeModel`, or another object with the same ``eval``.
    image
        The result of ``io.read_image``, or the path of a file.
    channel_axis, z_axis
        Axes of channels and planes, counted in the axes of the file, if the file does not name them.
    planes_by_name
        Whether to use the axis named Z as planes; else planes are inferred from the shape.
    **keywords
        Other arguments of ``eval``.

    Returns
    -------
    tuple
        The result of ``eval``. For a movie masks are (T, [Z,] Y, X), numbered separately in each frame; colors and cell
        probabilities have T first, flows have it second, (axis, T, [Z,] Y, X); all others are stacked along T; styles
        of stacks whose diameters differ are a list.

    Raises
    ------
    InputError
        If the diameters of the frames differ, and so the sizes of their flows with ``resample=False``.
    AxesError
        If there are more axes than those of one stack with channels, if a movie without planes should be segmented in
        3D, or if axis numbers contradict the image.

    Examples
    --------
    >>> from cellpose.models import CellposeModel
    >>> model = CellposeModel(pretrained_model="nuclei-cells")
    >>> movie = Image(np.zeros((3, 40, 50), np.uint8), "TYX")
    >>> masks, flows, styles = segment_image(model, movie)
    >>> masks.shape, flows[1].shape
    ((3, 40, 50), (2, 3, 40, 50))
    """
    if not isinstance(image, Image):
        image = read_image(image)
    axes = {"C": image.place("C", channel_axis), "Z": image.place("Z", z_axis)}
    t = image.axis("T")
    if t is None or t in axes.values():
        return _one(model, image, axes, planes_by_name, keywords)
    # given axes are counted in the movie, and a frame has one axis less
    if image.axis("Z") is None and _as_stack(keywords):
        message = (
            f"an image with axes {image.axes} of shape {image.data.shape} has time points but no planes; if the time "
            f"points are planes, set axes {image.axes.replace('T', 'Z')}, or z_axis={t}"
        )
        raise AxesError(message)
    axes = {letter: None if axis is None else axis - (axis > t) for letter, axis in axes.items()}
    return _stacked(_of_movie(model, image, axes, planes_by_name, keywords))


def _of_movie(
    model: Any, image: Image, axes: dict[str, int | None], planes_by_name: bool, keywords: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The results of each frame; its progress is part of that of the movie."""
    count = image.data.shape[image.axes.index("T")]
    report = reporter(progress := keywords.get("progress"))
    done = []
    with shown(progress, "frames", count) as display, one_doubt():
        for index, frame in enumerate(image.frames()):
            part = fraction_of(report, index, count)
            own = keywords if part is None else {**keywords, "progress": Fractions(part)}
            with display.job("movie"), part_of_job(f"frame {index + 1} of {count}"):
                done.append(_one(model, frame, axes, planes_by_name, own))
            _check_flows_fit(done)
            display.advance(index + 1)
    return done


def _one(
    model: Any, image: Image, axes: dict[str, int | None], planes_by_name: bool, keywords: dict[str, Any]
) -> tuple[Any, ...]:
    channel_axis, z_axis = axes["C"], axes["Z"]
    if z_axis is None and planes_by_name:
        z_axis = image.axis("Z")
        z_axis = None if z_axis == channel_axis else z_axis
    if (z_axis, channel_axis) == (None, None) and _as_stack(keywords) and _may_be_planes(image):
        z_axis = _beside_y_and_x(image)
    elif channel_axis is None and image.data.ndim > 2:
        channel_axis = image.axis("C")
        channel_axis = None if channel_axis == z_axis else channel_axis
        if z_axis is None and channel_axis == 0 and _as_stack(keywords) and image.data.ndim == 3:
            message = (
                f"an image with axes {image.axes} of shape {image.data.shape} has channels but no planes; if the "
                f"channels are planes, set axes {image.axes.replace('C', 'Z')}, or z_axis={channel_axis}"
            )
            raise AxesError(message)
    found: tuple[Any, ...] = model.eval(image.data, channel_axis=channel_axis, z_axis=z_axis, **keywords)
    if isinstance(found[0], list):
        message = (
            f"an image with axes {image.axes} of shape {image.data.shape} is more than one stack or movie; name its "
            "axes (T for time), or split it into files with at most four axes"
        )
        raise AxesError(message)
    return found


def _as_stack(keywords: dict[str, Any]) -> bool:
    return bool(keywords.get("do_3D")) or (keywords.get("stitch_threshold") or 0) > 0


def _may_be_planes(image: Image) -> bool:
    """Whether the only axis beside Y and X is called channels, but not by the file."""
    return image.data.ndim == 3 and not image.declares("C")


def _beside_y_and_x(image: Image) -> int | None:
    """The only axis beside Y and X, whose place does not depend on the lengths of the axes."""
    others = [place for place, letter in enumerate(image.axes) if letter not in "YX"]
    return others[0] if len(others) == 1 else None


def _stacked(frames: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    masks = np.stack([frame[0] for frame in frames])
    parts = zip(*(frame[1] for frame in frames), strict=True)
    # of [colors, flows, cell probability] the flows have the axis of their components first
    flows = [np.stack(part, axis=1 if k == 1 else 0) for k, part in enumerate(parts)]
    return (masks, flows, *(_one_array(part) for part in zip(*(frame[2:] for frame in frames), strict=True)))


def _one_array(part: Sequence[Any]) -> Any:
    """The results of all frames as one array; a list where their shapes differ."""
    return np.stack(part) if len({np.shape(each) for each in part}) == 1 else list(part)


def _check_flows_fit(frames: list[tuple[Any, ...]]) -> None:
    """Refuse frames at different sizes of the network as soon as there are two."""
    first, last = (np.shape(frame[1][1]) for frame in (frames[0], frames[-1]))
    if first != last:
        message = (
            f"the flows of the frames have different shapes, {first} and {last}, as their diameters differ; give one "
            "diameter for all, or leave out resample=False (--no_resample)"
        )
        raise InputError(message)
