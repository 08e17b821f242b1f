"""Receivers of progress, as fractions 0 to 1, and progress bars that end in the log."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

__all__ = ["Fractions", "TqdmToLogger"]


class Fractions:
    """A ``progress`` of ``eval`` that gets fractions; objects of scripts get whole percentages.

    Parameters
    ----------
    tell
        Called with the fraction done, 0 to 1.

    Examples
    --------
    >>> Fractions(print)(25)  # as an ``eval`` that knows percentages only
    0.25
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self.tell = tell

    def __call__(self, percent: float) -> None:
        self.tell(percent / 100)


class TqdmToLogger(io.StringIO):
    """A file for progress bars whose text goes to a logger.

    Parameters
    ----------
    logger
        Where the text goes.
    level
        Its level; ``None`` is ``logging.INFO``.

    Examples
    --------
    >>> from tqdm import trange
    >>> for _ in trange(3, file=TqdmToLogger(logging.getLogger("cellpose"))):
    ...     pass
    """

    def __init__(self, logger: logging.Logger, level: int | None = None) -> None:
        super().__init__()
        self.logger = logger
        self.level = level or logging.INFO
        self.buf = ""

    def write(self, buf: str) -> int:
        """Keep the text, without the control characters of a progress bar, for the next flush."""
        self.buf = buf.strip("\r\n\t ")
        return len(buf)

    def flush(self) -> None:
        """Log the text that was written last."""
        # an interpreter that shuts down flushes what it deletes
        text, self.buf = self.buf, ""
        if text:
            self.logger.log(self.level, text)
