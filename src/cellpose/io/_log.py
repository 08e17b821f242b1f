"""The log: on stdout, and in a file that clients follow during a run."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler

__all__ = ["logger_setup"]

# clients read the progress from the file by this format; it is part of the interface
_FORMAT = "%(asctime)s [%(levelname)s] %(message)s"
_OURS = "_cellpose_handler"
_ESCAPES = "backslashreplace"


def logger_setup(
    cp_path: str | os.PathLike[str] = ".cellpose",
    logfile_name: str = "run.log",
    stdout_file_replacement: str | os.PathLike[str] | None = None,
) -> tuple[logging.Logger, Path | None]:
    """Show the log of cellpose on stdout and write it to a new file.

    A second call starts over; no line is logged twice.

    Parameters
    ----------
    cp_path
        Folder of the log file, below the home folder or absolute.
    logfile_name
        Name of the log file.
    stdout_file_replacement
        A file that receives the log instead of stdout.

    Returns
    -------
    logger : logging.Logger
        The logger named "cellpose".
    log_file : pathlib.Path or None
        The log file; None where none could be written (no home folder, or read-only).
    """
    logger = logging.getLogger("cellpose")
    for handler in list(logger.handlers):
        if getattr(handler, _OURS, False):
            logger.removeHandler(handler)
            handler.close()
    logger.setLevel(logging.DEBUG)
    # otherwise a program that configures the root logger would show every line twice
    logger.propagate = False
    _add(logger, _screen(stdout_file_replacement), logging.INFO)
    log_file, reason = _add_log_file(logger, Path(cp_path), logfile_name)
    if log_file is None:
        logger.warning(f"no log file is written: {reason}")
    else:
        logger.info(f"WRITING LOG OUTPUT TO {log_file}")
    from cellpose._version import version_block

    logger.info(version_block())
    return logger, log_file


def _screen(replacement: str | os.PathLike[str] | None) -> logging.Handler:
    if replacement is None:
        return _Screen(sys.stdout)
    return logging.FileHandler(replacement, encoding="utf-8", errors=_ESCAPES)


class _Screen(_StreamHandler):
    """A handler for terminals that cannot show all letters in names of files: these are written as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; what the encoding of the terminal lacks is escaped."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return super().format(record).encode(encoding, _ESCAPES).decode(encoding)


def _add(logger: logging.Logger, handler: logging.Handler, level: int) -> None:
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(_FORMAT))
    setattr(handler, _OURS, True)
    logger.addHandler(handler)


def _add_log_file(logger: logging.Logger, folder: Path, name: str) -> tuple[Path | None, str]:
    try:
        folder = Path.home() / folder
        folder.mkdir(parents=True, exist_ok=True)
        log_file = folder / name
        # removed rather than emptied: another run that still writes to the old one keeps it whole
        with suppress(OSError):
            log_file.unlink()
        _add(logger, logging.FileHandler(log_file, mode="w", encoding="utf-8", errors=_ESCAPES), logging.DEBUG)
    except (OSError, RuntimeError) as error:
        return None, str(error)
    return log_file, ""
