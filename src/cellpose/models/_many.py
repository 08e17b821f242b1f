"""Segmenting images in turn or several at once, and their progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cellpose import transforms
from cellpose._machine.pipeline import Budget, Tell, in_order, worker_count
from cellpose._progress.bars import Fractions
from cellpose._progress.display import Display, shown
from cellpose._progress.stages import stage
from cellpose.errors import OptionError
from cellpose.models._assumed import assumption
from cellpose.models._doubt import doubt_of, doubts_left, on_request, signs_of, tell_doubt
from cellpose.models._inputs import Images, Layout, one_number, read_with_axes
from cellpose.models._segment import Network, Report, SegmentationResult, diameter_assumed, segment
from cellpose.options import Evaluation

__all__ = ["fraction_of", "name_of", "reporter", "segment_images"]

logger = logging.getLogger("cellpose.models")

# Intensities of images that are worked on at once: larger ones keep all cores busy alone, and take memory.
_VALUES_AT_ONCE = 2**23
_USUAL_CHANNELS = 4  # behind y and x


def segment_images(
    network: Network,
    images: Images,
    layout: Layout,
    options: Evaluation,
    sizes: Mapping[str, Any],
    progress: Any = None,
) -> list[tuple[SegmentationResult, float]]:
    """The result of each image in order, and the seconds that it took.

    Parameters
    ----------
    network
        The network to run.
    images, layout, options
        Its input, and how to run it.
    sizes
        Options (``diameter``, ``rescale``, ``anisotropy``) that are a number for all images or one per image.
    progress
        Takes the progress, or says whether to show it, see `reporter` and `cellpose._progress.display.shown`.
    """
    report = reporter(progress)
    with shown(progress, "images" if images.many and images.count != 1 else "", images.count) as display:
        return _segment_all(network, images, layout, options, sizes, report, display)


def _segment_all(
    network: Network,
    images: Images,
    layout: Layout,
    options: Evaluation,
    sizes: Mapping[str, Any],
    report: Report | None,
    display: Display,
) -> list[tuple[SegmentationResult, float]]:
    budget, left, estimates = Budget(_VALUES_AT_ONCE), doubts_left(), on_request()
    told: list[str] = []

    def one(numbered: tuple[int, Any], tell: Tell | None) -> tuple[SegmentationResult, float]:
        index, item = numbered
        with display.job(name_of(item, index, many=images.many)):
            return timed(index, item, tell)

    def timed(index: int, item: Any, tell: Tell | None) -> tuple[SegmentationResult, float]:
        started = time.perf_counter()
        numbers: dict[str, Any] = {
            name: one_number(name, value, index, images.count, many=images.many) or None
            for name, value in sizes.items()
        }
        own = replace(options, **numbers)
        stage("reading")
        by_name = network.family.channel_pair or own.do_3D or own.stitch_threshold > 0
        image, axes = read_with_axes(item, layout.of(index, images.count), planes_by_name=by_name)
        if not told:
            _tell_assumed(name_of(item, index, many=images.many), image, axes, network, own, told)
        with budget.of(image.size):
            result = segment(network, image, axes, own, tell)
        if left != [0]:
            doubt = _doubt(network, result, own, estimates=estimates, channels=image.ndim > result.masks.ndim)
            tell_doubt(doubt, name_of(item, index, many=images.many), left)
        seconds = time.perf_counter() - started
        logger.info("%s: %.2f s", f"image {index + 1}" if images.many else "image", seconds)
        return result, seconds

    workers = worker_count() if images.many else 1
    numbered = enumerate(images.items)
    if workers > 1:
        return list(in_order(one, numbered, workers, _both(_of_many(report, images.count), display.advance)))
    return [one(item, _both(fraction_of(report, item[0], images.count), display.part(item[0]))) for item in numbered]


def _doubt(network: Network, result: SegmentationResult, options: Evaluation, **known: bool) -> str | None:
    # no masks were asked for, there are no flows, or thresholds make no difference
    if result.masks.ndim < 2 or network.classes or result.blank:
        return None
    signs = signs_of(result.masks, result.flows[2], options.masking.cellprob_threshold)
    n_planes = result.masks.shape[0] if result.masks.ndim > 2 else 1
    return doubt_of(signs, options, diameter_assumed(network, options), n_planes, **known)


def _tell_assumed(
    name: str, image: Any, layout: Layout, network: Network, options: Evaluation, told: list[str]
) -> None:
    """Log once per call how an image without named axes is read; channels last are usual."""
    if image.ndim != 3 or layout.channel_axis is not None or layout.z_axis is not None:
        return
    if options.do_3D or options.stitch_threshold > 0:
        return  # planes come first, as documented
    choosing = layout.channels is not None
    many = not network.family.channel_pair
    letters = transforms.assumed_axes(image.shape, transformer=many, choosing=choosing, do_3D=False)
    usual = letters == "YXC" and image.shape[-1] <= _USUAL_CHANNELS
    if not usual:
        told.append(name)
    logger.log(logging.INFO if usual or "Z" in letters else logging.WARNING, assumption(name, image.shape, letters))


def name_of(item: Any, index: int, *, many: bool) -> str:
    """The name of an item in messages: that of its file, else its number."""
    if isinstance(item, (str, Path)):
        return Path(item).name
    return f"image {index + 1}" if many else "image"


def _both(report: Report | None, shown: Report) -> Report:
    """A function that calls both."""
    if report is None:
        return shown

    def tell(number: float) -> None:
        shown(number)
        report(number)

    return tell


def reporter(progress: Any) -> Report | None:
    """A function that gets fractions from ``eval`` and gives ``progress`` the percentage."""
    if progress is None or isinstance(progress, bool):  # whether to show a bar
        return None
    if isinstance(progress, Fractions):
        return progress.tell
    tell: Callable[[int], Any] | None = getattr(progress, "setValue", progress if callable(progress) else None)
    if tell is None:
        message = (
            f"progress={progress!r} is not allowed; give an object with setValue(percent), a function, True or False"
        )
        raise OptionError(message)

    def report(fraction: float) -> None:
        tell(round(100 * fraction))

    return report


def _of_many(report: Report | None, count: int | None) -> Report | None:
    """Progress of images that are worked on at the same time, from the number of those done."""
    return None if report is None or not count else lambda number: report(number / count)


def fraction_of(report: Report | None, index: int, count: int | None) -> Report | None:
    """Progress of one image as part of all."""
    if report is None or not count:
        return report
    return lambda fraction: report((index + fraction) / count)
