"""Images segmented one after another or several at once, and how far they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cellpose.errors import OptionError
from cellpose.models._inputs import Images, Layout, as_image, one_number
from cellpose.models._segment import Network, Report, Result, segment
from cellpose.options import Evaluation
from cellpose.utils._pipeline import Room, Tell, in_order, worker_count

__all__ = ["reporter", "segment_images"]

logger = logging.getLogger("cellpose.models")

# Intensities of images that are worked on at once: larger ones keep all cores busy alone, and take memory.
_VALUES_AT_ONCE = 2**23


def segment_images(
    network: Network,
    images: Images,
    layout: Layout,
    options: Evaluation,
    sizes: tuple[Any, Any],
    report: Report | None,
) -> list[tuple[Result, float]]:
    """The result of each image in order, and the seconds that it took.

    Parameters
    ----------
    network
        What is run.
    images, layout, options
        What it is run on, and how.
    sizes
        ``diameter`` and ``rescale``, each a number for all images or one an image.
    report
        Called with the fraction that is done.
    """
    room = Room(_VALUES_AT_ONCE)

    def one(numbered: tuple[int, Any], tell: Tell | None) -> tuple[Result, float]:
        index, item = numbered
        started = time.perf_counter()
        diameter, rescale = (
            one_number(name, value, index, images.count, many=images.many)
            for name, value in zip(("diameter", "rescale"), sizes, strict=True)
        )
        own = replace(options, diameter=diameter or None, rescale=rescale or None)
        image = as_image(item)
        with room.of(image.size):
            result = segment(network, image, layout.of(index, images.count), own, tell)
        seconds = time.perf_counter() - started
        logger.info("%s: %.2f s", f"image {index + 1}" if images.many else "image", seconds)
        return result, seconds

    workers = worker_count() if images.many else 1
    numbered = enumerate(images.items)
    if workers > 1:
        return list(in_order(one, numbered, workers, _of_many(report, images.count)))
    return [one(item, _of_all(report, item[0], images.count)) for item in numbered]


def reporter(progress: Any) -> Report | None:
    """A function that tells ``progress`` the percentage of a fraction."""
    if progress is None:
        return None
    tell: Callable[[int], Any] | None = getattr(progress, "setValue", progress if callable(progress) else None)
    if tell is None:
        message = f"progress={progress!r} is not allowed; give an object with setValue(percent), or a function"
        raise OptionError(message)

    def report(fraction: float) -> None:
        tell(round(100 * fraction))

    return report


def _of_many(report: Report | None, count: int | None) -> Report | None:
    """Progress of images that are worked on at the same time, from the number of those done."""
    return None if report is None or not count else lambda number: report(number / count)


def _of_all(report: Report | None, index: int, count: int | None) -> Report | None:
    """Progress of one image as part of all."""
    if report is None or not count:
        return report
    return lambda fraction: report((index + fraction) / count)
