"""Pages that the code itself writes: the options of every command, and every error message.

    python docs/_site/reference.py FOLDER    writes options.md and errors.md there

It runs where the package is installed; the site is built in an environment of its own.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from cellpose import errors
from cellpose.__main__ import main as command_line
from cellpose.cli import get_arg_parser
from cellpose.cli._parser import SUBCOMMANDS

PACKAGE = Path(errors.__file__).parent

_OPTIONS = """\
# Options of the command line

All commands with all their options, as `--help` prints them. `cellpose` and `python -m cellpose` are the same.
How they are used: [Command line](../command_line.md).
"""

_ERRORS = """\
# Error messages

Every message says what is wrong, the value that was given, and what to do. Look for a part of your message with the
search or with `Ctrl+F`; *…* stands for a value. The headings are the classes of `cellpose.errors`,
which scripts can catch. If you do not know what is wrong yet, start with
[Troubleshooting](../troubleshooting.md).

"""


class _CaughtError(BaseException):
    """Carries the parser of a command out of the command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that a command uses."""

    def parse_args(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _CaughtError(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args):
        try:
            command_line([command])
        except _CaughtError as caught:
            return caught.parser
    message = f"cellpose {command} has no parser"
    raise LookupError(message)


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").split())


def _words(action: argparse.Action) -> str:
    """An option as it is typed."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    metavar = action.metavar or (None if action.nargs == 0 else action.dest.upper())
    values = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
        values = " or ".join(map(str, action.choices))
    return f"`{', '.join(action.option_strings)}{f' {values}' if values else ''}`"


def tables(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a parser, a table per group."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        actions = [
            action for action in actions if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        ]
        if not actions:
            continue
        title = {"options": "", "positional arguments": ""}.get(group.title or "", group.title or "")
        if title:
            yield f"\n**{title[0].upper()}{title[1:]}**\n"
        yield "\n| option | meaning |\n|---|---|"
        for action in actions:
            text = (action.help or "").replace("%%", "%")
            yield f"| {_words(action)} | {_cell(text)} |"
        yield ""


def _commands_in(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def options_page() -> str:
    """The page of all options."""
    lines = [_OPTIONS, "## cellpose", "", "Segments images, or trains a model.", *tables(get_arg_parser())]
    for command in SUBCOMMANDS:
        parser = parser_of(command)
        about = (parser.description or "").strip().rstrip(".")
        lines += [f"\n## cellpose {command}", "", f"{about[:1].upper()}{about[1:]}.", *tables(parser)]
        for name, sub in _commands_in(parser).items():
            text = (sub.description or "").strip().rstrip(".")
            lines += [f"\n### cellpose {command} {name}", "", f"{text[:1].upper()}{text[1:]}.", *tables(sub)]
    return "\n".join(lines) + "\n"


def _text_of(node: ast.expr, known: dict[str, ast.expr], depth: int = 0) -> str:
    """A message as far as the source says it; … where a value stands."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part, known, depth) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text_of(node.left, known, depth) + _text_of(node.right, known, depth)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    if isinstance(node, ast.Name) and node.id in known and depth < 3:
        return _text_of(known[node.id], known, depth + 1)
    return "…"


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.Module]:
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, without the functions in it, in the order of the source."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, ast.FunctionDef):
            yield node
            yield from _own(node)


def messages(source: str, classes: set[str]) -> Iterator[tuple[str, str]]:
    """Each (class, message) that a module makes of our errors."""
    for scope in _functions(ast.parse(source)):
        known: dict[str, ast.expr] = {}
        for node in _own(scope):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = node.value
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes and node.args:
                if node.func.id == "MissingExtraError":
                    library, extra, purpose = ([_text_of(arg, known) for arg in node.args] + ["…"] * 3)[:3]
                    text = str(errors.MissingExtraError(library, extra, purpose))
                else:
                    text = _text_of(node.args[0], known)
                text = " ".join(text.split())
                if len(text.replace("…", "").strip()) > 8:
                    yield node.func.id, text


def errors_page() -> str:
    """The page of all messages, by their class."""
    classes = {name for name in errors.__all__ if name != "CellposeError"}
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, text in messages(path.read_text(encoding="utf-8"), classes):
            found[name][text] = None
    lines = [_ERRORS]
    for name in sorted(found):
        about = inspect.getdoc(getattr(errors, name)).partition("\n\n")[0]
        lines += [f"## {name}", "", " ".join(about.split()), ""]
        lines += [f"- {_listed(text)}" for text in sorted(found[name], key=lambda text: text.lstrip("…'`( ").lower())]
        lines.append("")
    return "\n".join(lines)


def _listed(text: str) -> str:
    """A message as an item of a list."""
    for char in "\\`*_<[":
        text = text.replace(char, f"\\{char}")
    return text


PAGES = {"options.md": options_page, "errors.md": errors_page}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
