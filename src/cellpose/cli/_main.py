"""Entry point of the command line: chooses the command and turns its errors into exit codes."""

from __future__ import annotations

import importlib
import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellpose._machine.streams import guard_streams, is_output_lost
from cellpose.cli._parser import SUBCOMMANDS, get_arg_parser
from cellpose.cli._retired import split_retired
from cellpose.errors import CellposeError, FileMissingError, InputError, OptionError, UnknownModelError

if TYPE_CHECKING:
    from cellpose.cli._distribute import Distributor
    from cellpose.cli._serve import Server

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_OK", "EXIT_USAGE", "main"]

logger = logging.getLogger("cellpose.cli")

# Commands with a module and a function named after them, imported where they are called; those whose result is printed.
_COMMANDS = tuple(name for name in SUBCOMMANDS if name not in ("distribute", "serve"))
_PRINTING = ("models", "doctor", "contributions", "completion")

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(
    argv: Sequence[str] | None = None,
    distributor: Callable[[], Distributor] | None = None,
    window: Callable[[bool], None] | None = None,
    server: Callable[[], Server] | None = None,
) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        The arguments without the program's name; None: those of this process.
    distributor
        Gives what runs ``cellpose distribute``; None: there is no such command.
    window
        Opens the window, for stacks or for planes, for a command line without images; None: there is none, and the
        help is printed.
    server
        Gives what runs ``cellpose serve``; None: there is no such command.

    Returns
    -------
    int
        0: success; 1: an image, the training or a download failed; 2: the command line is wrong; 130: Ctrl-C.
    """
    if argv is None:
        guard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _command(words, distributor, window, server)
    except SystemExit as stop:  # argparse exits this way, after --help and after an error
        return _printed(stop.code if isinstance(stop.code, int) else EXIT_USAGE)
    except KeyboardInterrupt:
        return _say("interrupted", EXIT_INTERRUPTED)
    except (OptionError, UnknownModelError, InputError, FileMissingError) as error:
        return _say(_in_one_line(error), EXIT_USAGE)
    except CellposeError as error:
        return _say(_in_one_line(error), EXIT_FAILED)
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()


def _printed(code: int) -> int:
    """The exit code of a command that prints its result."""
    return EXIT_FAILED if code == EXIT_OK and is_output_lost() else code


def _in_one_line(error: CellposeError) -> str:
    message = str(error)
    # some messages begin as they always have, for programs that look for them
    return message if message.startswith("ERROR: ") else f"cellpose: error: {message}"


def _command(
    words: list[str],
    distributor: Callable[[], Distributor] | None,
    window: Callable[[bool], None] | None,
    server: Callable[[], Server] | None,
) -> int:
    name = words[0] if words else ""
    if name in _COMMANDS:
        command = getattr(importlib.import_module(f"cellpose.cli._{name}"), f"{name}_command")
        code: int = command(words[1:])
        return _printed(code) if name in _PRINTING else code
    if name == "distribute" and distributor is not None:
        from cellpose.cli._distribute import distribute_command

        return distribute_command(words[1:], distributor)
    if name == "serve" and server is not None:
        from cellpose.cli._serve import serve_command

        return serve_command(words[1:], server)
    # "cellpose train ..." reads like the other commands
    return _flat(["--train", *words[1:]] if name == "train" else words, window)


def _say(message: str, code: int) -> int:
    logger.debug(message, exc_info=code == EXIT_FAILED)
    print(message, file=sys.stderr, flush=True)
    return code


def _flat(words: list[str], window: Callable[[bool], None] | None) -> int:
    words, retired = split_retired(words)
    args = get_arg_parser().parse_args(words)
    if args.version:
        from cellpose._version import version_block

        print(version_block())
        return _printed(EXIT_OK)
    for name in ("dir", "image_path", "savedir"):
        if getattr(args, name) == "":  # an unset variable of a shell
            message = f"--{name} is empty; give a path, or leave it out"
            raise OptionError(message)
    if not (args.dir or args.image_path or args.train or args.train_size):
        return _without_images(args, window)
    from cellpose.cli._logging import logging_to_user

    with logging_to_user(verbose=args.verbose, notice=True):
        for row in retired:
            logger.warning(row.warning)
        if args.train or args.train_size:
            from cellpose.cli._train import train_command

            return train_command(args)
        from cellpose.cli._segment import segment_command

        code = segment_command(args)
        return _printed(code) if args.estimate_memory else code


def _without_images(args: Namespace, window: Callable[[bool], None] | None) -> int:
    if args.add_model:
        from cellpose.cli._logging import logging_to_user
        from cellpose.cli._models import add

        with logging_to_user(verbose=args.verbose):
            return add(args.add_model)
    if args.contributions:
        message = "--contributions is for training: cellpose train --contributions FOLDER"
        raise OptionError(message)
    if window is None:
        get_arg_parser().print_help()
        return EXIT_USAGE
    from cellpose.cli._gui import open_window

    return open_window(window, three_d=args.Zstack)
