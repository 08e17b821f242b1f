"""The parser, built from the table of options."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from typing import Any, NoReturn

from cellpose.cli._table import FLAGS, GROUPS, UNABBREVIATED, Flag

__all__ = ["SUBCOMMANDS", "add_flag", "get_arg_parser"]

SUBCOMMANDS = (
    "models", "doctor", "distribute", "slices", "measure", "track", "styles", "convert", "serve", "contributions",
    "completion",
)  # fmt: skip

_USAGE = """\
cellpose --dir FOLDER [options]          segment the images of a folder
       cellpose --image_path FILE [options]     segment one image
       cellpose --train --dir FOLDER [options]  train a model; also: cellpose train ...
       cellpose models ... | cellpose doctor    models, and the state of the installation
       cellpose distribute IMAGE LABELS ...     one image that is too large for one machine
       cellpose slices --dir FOLDER ...         cut training images from stacks
       cellpose measure --dir FOLDER ...        a table of the cells of segmented images
       cellpose track MOVIE ...                 link cells through time
       cellpose styles --dir FOLDER ...         a map of images that look alike
       cellpose convert PATH ...                convert masks to files of other programs, and back
       cellpose serve ...                       a page for the browser, and a REST API
       cellpose contributions ...               what others contributed, and models retrained on it
       cellpose completion SHELL                a script for Tab completion in bash, zsh and fish
       cellpose --version                       versions of the program, of Python and of torch"""

# Placeholders for the value of an option in the help.
_PLACEHOLDERS: dict[type, str] = {int: "N", float: "X", str: "TEXT"}

_EPILOG = """\
examples:
  cellpose --dir images --save_tif --save_outlines --verbose
  cellpose --dir images --pretrained_model cyto3 --diameter 30 --chan 2 --chan2 3 --save_png
  cellpose --dir stacks --do_3D --anisotropy 2 --save_tif
  cellpose --dir images --savedir results --save_tif --resume

further commands:
  cellpose models list|pull|add|remove|info|path     the models on this machine and those that can be downloaded
  cellpose doctor [--json]                           what is installed, what is wrong and how to fix it
  cellpose distribute IMAGE LABELS [--cluster slurm]  an image in blocks, on this machine, SLURM, LSF or Dask
  cellpose slices --dir stacks                       2D training images from annotated stacks, for segmenting in 3D
  cellpose measure --dir images                      sizes, shapes, intensities, neighbors: a table and a report
  cellpose track movie --save_ctc                    the cells of a movie, linked through time
  cellpose styles --dir images                       a map of images, and which to annotate first
  cellpose convert images --to geojson               masks to ROIs, GeoJSON, COCO, CSV, SVG, OME-Zarr ..., and back
  cellpose serve [--host 0.0.0.0]                    a page for the browser, and a REST API
  cellpose contributions list|retrain|rollback|...   what others contributed, and models retrained on it
  cellpose completion bash|zsh|fish                  a script for Tab completion of commands, options and models

exit code: 0 success; 1 an image, the training or a download failed; 2 the command line is wrong; 130 Ctrl-C
"""


def get_arg_parser() -> argparse.ArgumentParser:
    """The parser of the flat command line (segmentation, training, window).

    Examples
    --------
    >>> get_arg_parser().parse_args(["--dir", "images", "--anis", "2"]).anisotropy
    2.0
    """
    parser = _Parser(
        prog="cellpose",
        usage=_USAGE,
        description="Segment cells and nuclei in microscope images.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    groups = {key: parser.add_argument_group(title) for key, title in GROUPS.items()}
    for flag in FLAGS:
        add_flag(groups[flag.group], flag)
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Room for the longest option beside its text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with what may have been meant, instead of a page of options."""

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Options that an abbreviation may mean; newer options must not make an older abbreviation ambiguous."""
        found: list[Any] = super()._get_option_tuples(option_string)
        older = [match for match in found if match[0].dest not in UNABBREVIATED]
        return older or found

    def error(self, message: str) -> NoReturn:
        """End with status 2 and a message that suggests the option that was meant."""
        self.exit(2, f"cellpose: error: {message}.{_meant(message)} See `cellpose --help`\n")


def _meant(message: str) -> str:
    """The options that unknown words may have been meant for."""
    found = re.match("unrecognized arguments: (.*)", message)
    for word in found.group(1).split() if found else ():
        name = word.partition("=")[0]
        known = [f"--{flag.name}" for flag in FLAGS] if name.startswith("-") else SUBCOMMANDS
        near = difflib.get_close_matches(name, known, n=1)
        if near:
            return f" Did you mean {near[0]}?"
        if os.path.isdir(word):
            return f" Did you mean --dir {word}?"
        if os.path.isfile(word):
            return f" Did you mean --image_path {word}?"
    return ""


def add_flag(group: Any, flag: Flag) -> None:
    """Add an option of the table to a group of the parser."""
    text = flag.help.replace("%", "%%")
    if flag.kind is None:
        group.add_argument(f"--{flag.name}", action="store_true", help=text)
        return
    if flag.default is not None:
        text += f" (default: {flag.default})"
    group.add_argument(
        f"--{flag.name}",
        type=flag.kind,
        default=flag.default,
        nargs=flag.nargs,
        metavar=flag.metavar or _PLACEHOLDERS[flag.kind],
        help=text,
    )
