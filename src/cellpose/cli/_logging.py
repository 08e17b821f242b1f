"""What the user sees: the log with --verbose, only warnings and errors without it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cellpose.errors import CellposeError

__all__ = ["logging_to_user"]

logger = logging.getLogger("cellpose.cli")

_NOTICE = (
    ">>>> !LOGGING OFF BY DEFAULT! To see cellpose progress, set --verbose\nNo --verbose => no progress or info printed"
)


@contextmanager
def logging_to_user(*, verbose: bool) -> Iterator[None]:
    """Show the log while a command runs, and give back the handlers afterwards.

    With ``verbose`` the log goes to stdout and to ``~/.cellpose/run.log``, which clients follow. Without it two lines
    say so, and warnings and errors go to stderr.
    """
    ours = logging.getLogger("cellpose")
    before, level, propagate = list(ours.handlers), ours.level, ours.propagate
    if verbose:
        from cellpose import io

        io.logger_setup()
    else:
        print(_NOTICE, flush=True)
        warnings = logging.StreamHandler(sys.stderr)
        warnings.setLevel(logging.WARNING)
        warnings.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        ours.addHandler(warnings)
    try:
        yield
    except CellposeError as error:
        if verbose:  # programs that follow the log file are to find the reason there
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
