"""Output for the user: with --verbose the log; else warnings, errors and, on a terminal, progress."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cellpose._progress.display import Display, can_show
from cellpose._progress.stages import TOLD, name_image
from cellpose.errors import CellposeError

__all__ = ["display_of", "is_watched", "logging_to_user", "say_at_end"]

logger = logging.getLogger("cellpose.cli")

# What the original says; programs that run `python -m cellpose` look for it.
_NOTICE = (
    ">>>> !LOGGING OFF BY DEFAULT! To see cellpose progress, set --verbose\nNo --verbose => no progress or info printed"
)


def is_watched() -> bool:
    """Whether a person watches a terminal, rather than a program reading pipes."""
    return can_show() and sys.stdout is not None and sys.stdout.isatty()


def display_of(what: str, total: int | None = None, *, verbose: bool) -> Display:
    """The bars of a command; where ``verbose`` the log counts, and for a single piece only its stage is shown."""
    return Display("" if verbose or total == 1 else what, total, visible=can_show())


def say_at_end(text: str) -> None:
    """Print the outcome of a run, also without a terminal."""
    logger.info(text, extra={**TOLD, "at_end": True})


class _ToUser(logging.Filter):
    """Lets warnings pass, and lines for the user; progress only on a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._told = "told" if terminal else "at_end"

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        return record.levelno >= logging.WARNING or getattr(record, self._told, False)


class _Lines(logging.Formatter):
    """Warnings and errors say that they are such."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with its level in front from WARNING on."""
        line = super().format(record)
        return f"{record.levelname}: {line}" if record.levelno >= logging.WARNING else line


@contextmanager
def logging_to_user(*, verbose: bool, notice: bool = False) -> Iterator[None]:
    """Show the log while a command runs, and give back the handlers afterwards.

    With ``verbose`` the log goes to stdout and to ``~/.cellpose/run.log``, which clients follow. Without it warnings,
    errors and the outcome of the run go to stderr, and on a terminal the progress too. Elsewhere, with ``notice``, the
    two lines that the original prints go to stdout.
    """
    ours = logging.getLogger("cellpose")
    before, level, propagate = list(ours.handlers), ours.level, ours.propagate
    if verbose:
        from cellpose import io

        io.logger_setup()
    else:
        if notice and not is_watched():
            print(_NOTICE, flush=True)
        lines = logging.StreamHandler(sys.stderr)
        lines.addFilter(_ToUser(terminal=can_show()))
        lines.setFormatter(_Lines())
        ours.addHandler(lines)
        ours.setLevel(logging.INFO)
    for handler in ours.handlers:
        if handler not in before:
            handler.addFilter(name_image)
    try:
        yield
    except CellposeError as error:
        if verbose:  # programs that follow the log file look for the reason there
            logger.error(str(error))
        raise
    finally:
        for handler in [h for h in ours.handlers if h not in before]:
            ours.removeHandler(handler)
            handler.close()
        for handler in [h for h in before if h not in ours.handlers]:
            ours.addHandler(handler)
        ours.setLevel(level)
        ours.propagate = propagate
