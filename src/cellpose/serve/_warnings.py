"""The warnings of a segmentation, which the command line prints, in the words of the page and the API."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["NONE_FOUND", "collected", "in_words_of_api"]

#: The warning where there are no cells.
NONE_FOUND = "no cells were found; try a lower threshold of cell probability, another channel, diameter or model"

_MOST = 10  # warnings of a run: every frame of a movie may have its own
# options of the command line, as the API has them; those that it has not are left out
_WORDS = (
    (r"--diameter 0 \(it is estimated\)(, | or )?", ""),
    (r"\. To choose the scale, give .*", ""),
    (r" \(--chan\)", ""),
    (r" or --do_3D", " or mode volume"),
    (r" --do_3D", " mode volume"),
    (r"--stitch_threshold ([\d.]+)", r"mode stitch with stitch_threshold \1"),
    (r"--(\w+)", r"\1"),
)


def in_words_of_api(warning: str) -> str:
    """A warning with the options of the API in place of those of the command line.

    Examples
    --------
    >>> in_words_of_api("image: try --diameter 0 (it is estimated), --diameter 20 if the cells found are right")
    'try diameter 20 if the cells found are right'
    """
    text = warning.removeprefix("image: ")
    for pattern, word in _WORDS:
        text = re.sub(pattern, word, text)
    return text


@contextmanager
def collected(into: list[str]) -> Iterator[None]:
    """A context in which warnings of this thread are collected: each once, and not more than can be read."""
    handler = _Collector(into)
    logger = logging.getLogger("cellpose")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._into, self._thread = into, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning of the thread that made this handler."""
        if record.thread != self._thread or record.levelno > logging.WARNING or len(self._into) >= _MOST:
            return
        text = in_words_of_api(record.getMessage())
        if text not in self._into:
            self._into.append(text)
