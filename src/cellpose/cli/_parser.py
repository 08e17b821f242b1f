"""The parser, built from the table of options."""

from __future__ import annotations

import argparse
from typing import Any

from cellpose.cli._table import FLAGS, GROUPS, Flag

__all__ = ["get_arg_parser"]

_EPILOG = """\
further commands:
  cellpose models list|pull|add|remove|info|path     the models on this machine and those that can be downloaded
  cellpose doctor [--json]                           what is installed, what is wrong and how to mend it

exit code: 0 all is well; 1 an image, the training or a download failed; 2 the command line is wrong; 130 Ctrl-C
"""


def get_arg_parser() -> argparse.ArgumentParser:
    """The parser of the flat command line (segmentation, training, window).

    Examples
    --------
    >>> get_arg_parser().parse_args(["--dir", "images", "--anis", "2"]).anisotropy
    2.0
    """
    parser = argparse.ArgumentParser(
        prog="cellpose",
        description="Segment cells and nuclei in microscope images. Without --dir and --image_path the window opens.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = {key: parser.add_argument_group(title) for key, title in GROUPS.items()}
    for flag in FLAGS:
        _add(groups[flag.group], flag)
    return parser


def _add(group: Any, flag: Flag) -> None:
    text = flag.help.replace("%", "%%")
    if flag.kind is None:
        group.add_argument(f"--{flag.name}", action="store_true", help=text)
        return
    if flag.default is not None:
        text += f" (default: {flag.default})"
    group.add_argument(
        f"--{flag.name}", type=flag.kind, default=flag.default, nargs=flag.nargs, metavar=flag.metavar, help=text
    )
