"""Images in turn, with a progress bar; one that fails is named and does not stop the others."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path

from cellpose._face.words import listed
from cellpose._progress.stages import about_image
from cellpose.cli._images import name_of
from cellpose.cli._logging import display_of
from cellpose.cli._summary import count_of

__all__ = ["each_image", "failed_in_words", "tell_failures"]

logger = logging.getLogger("cellpose.cli")

_MOST_NAMES = 20  # failed images named again in the last line; all reasons stand in the log and in the manifest


def each_image(
    files: Sequence[Path], one: Callable[[Path], None], failed: MutableMapping[str, str], args: Namespace
) -> None:
    """Call ``one`` with each file; why it failed is logged, and put into ``failed`` by its name (`name_of`)."""
    with display_of("images", len(files), verbose=args.verbose) as display:
        for index, file in enumerate(files):
            name = name_of(file, args)
            with display.job(name), about_image(name):
                try:
                    one(file)
                except Exception as error:  # whatever is wrong with one image must not stop the batch
                    logger.error(f"{file} failed: {type(error).__name__}: {error}")
                    logger.debug(f"{file} failed", exc_info=True)
                    failed[name] = str(error)
            display.advance(index + 1)


def failed_in_words(failed: Sequence[str], n_files: int) -> str:
    """The images that failed, for the last line, where they are not overlooked."""
    return f"{len(failed)} of {n_files} images failed, for the reasons above: {listed(failed, _MOST_NAMES)}"


def tell_failures(n_files: int, n_done: int, failed: MutableMapping[str, str], done: str) -> int:
    """Name the images that failed, or say that none could be processed ("measured"); returns the exit code."""
    if not n_done:
        logger.error(f"none of {count_of(n_files, 'image')} could be {done}, for the reasons above")
    elif failed:
        logger.error(failed_in_words(list(failed), n_files))
    return 1 if failed or not n_done else 0
