"""``cellpose completion``: a script that teaches a shell the words of the command line.

The script is written once from the parsers and contains everything, so that pressing Tab does not start Python. The
shell looks up only the names of user models, in the models folder.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import cache

from cellpose.cli._parser import SUBCOMMANDS, get_arg_parser
from cellpose.cli._shells import bash_script, fish_script, zsh_script
from cellpose.cli._words import Command, Option

__all__ = ["SHELLS", "completion_command", "script_of"]

SHELLS = ("bash", "zsh", "fish")

# The kind of a value, by the placeholder that the help shows for it, or by the name of the option.
_FOLDERS = ("FOLDER", "labels")
_FILES = ("FILE", "INPUT", "MOVIE", "CSV", "image", "like", "file")
_MODELS = ("pretrained_model", "pretrained_model_ortho", "name", "names")


def completion_command(words: Sequence[str]) -> int:
    """Print the script of a shell."""
    args = _parser().parse_args(list(words))
    sys.stdout.write(script_of(args.shell))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose completion",
        description="Print a script that lets a shell complete commands, options, models and files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="for which shell")
    return parser


_EPILOG = """\
permanently:
  bash   cellpose completion bash >> ~/.bash_completion
  zsh    cellpose completion zsh > ~/.zfunc/_cellpose      (a folder of $fpath, before compinit)
  fish   cellpose completion fish > ~/.config/fish/completions/cellpose.fish

for this terminal:
  bash   source <(cellpose completion bash)
  zsh    source <(cellpose completion zsh)
  fish   cellpose completion fish | source
"""


def script_of(shell: str) -> str:
    """The script of a shell, see `SHELLS`."""
    from cellpose import weights

    published = [name for name, info in weights.PUBLISHED.items() if info.task == "segmentation"]
    writer = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[shell]
    return writer(_commands(), [*weights.bundled_models(), *published])


def _commands() -> list[Command]:
    """All commands; the one without a name (images, training) comes first."""
    flat = Command("", "", *_words(get_arg_parser()))
    found = [flat]
    for name in SUBCOMMANDS:
        parser = importlib.import_module(f"cellpose.cli._{name}")._parser()
        command = _command(name, parser)
        flat.commands[name] = command.help
        found.append(command)
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                continue
            inner = {word: _command(f"{name} {word}", sub) for word, sub in action.choices.items()}
            command.commands.update({word: sub.help for word, sub in inner.items()})
            found.extend(inner.values())
    return found


def _command(name: str, parser: argparse.ArgumentParser) -> Command:
    return Command(name, (parser.description or "").partition("\n")[0], *_words(parser))


def _words(parser: argparse.ArgumentParser) -> tuple[list[Option], list[Option]]:
    """The options of a parser, and its arguments that stand by themselves."""
    options: list[Option] = []
    places: list[Option] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        many = action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 1)
        text = (action.help or "").replace("%%", "%").partition("\n")[0]
        names = action.option_strings or [""]
        (options if action.option_strings else places).extend(
            Option(name, text, _kind(action), _choices(action), many) for name in names
        )
    return options, places


def _kind(action: argparse.Action) -> str:
    """The kind of the values of an option, see `Option`."""
    shown = action.metavar or action.dest
    if action.nargs == 0:
        return "none"
    if action.dest in _MODELS and (action.dest not in ("name", "names") or not action.option_strings):
        return "model"
    if shown in _FOLDERS or action.dest.endswith("_dir"):
        return "folder"
    return "file" if shown in _FILES or action.dest in _FILES else "text"


def _choices(action: argparse.Action) -> tuple[str, ...]:
    """Words that an option allows, or some of them."""
    return tuple(map(str, action.choices)) if action.choices else _known_words().get(action.dest, ())


@cache
def _known_words() -> dict[str, tuple[str, ...]]:
    """Words of options whose parser accepts any text and leaves the check to a lower room."""
    from cellpose import weights
    from cellpose.cli._distribute import MACHINES
    from cellpose.engines import PRECISIONS, engine_names
    from cellpose.io import CELL_FORMATS
    from cellpose.measure import GROUPS
    from cellpose.options import Evaluation, describe

    published = tuple(name for name, info in weights.PUBLISHED.items() if info.task == "restoration")
    restoring = (*weights.RESTORATION_TASKS, *published)
    return {
        "engine": tuple(engine_names()),
        "precision": PRECISIONS,
        "cluster": MACHINES,
        "to": tuple(CELL_FORMATS),
        "form": tuple(CELL_FORMATS),
        "properties": tuple(GROUPS),
        "restore_type": restoring,
        "z_interpolation": tuple(describe(Evaluation)["z_interpolation"]["choices"]),
    }
