"""``cellpose models …``: the models on this machine and those that can be downloaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from cellpose.cli._logging import logging_to_user
from cellpose.errors import OptionError

__all__ = ["add", "models_command"]

# Published models that are shown before they are here; with --all the rest.
_RECOMMENDED = ("cpsam", "cpsam_v2", "cyto3", "nuclei", "denoise_cyto3")


def models_command(argv: Sequence[str]) -> int:
    """Run one of the sub-commands list, pull, add, remove, info, path."""
    args = _parser().parse_args(list(argv))
    with logging_to_user(verbose=False):
        return int(args.run(args))


def add(file: str) -> int:
    """Copy a model file to the models folder and list it."""
    from cellpose import weights

    added = weights.add_model(file)
    print(f"{file} copied to models folder {added.path.parent}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellpose models", description="List and manage models.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("list", _list, "list the models on this machine and the recommended ones")
    sub.add_argument("--all", action="store_true", help="also list rarely used published models")
    sub.add_argument("--installed", action="store_true", help="list only models on this machine")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = command("pull", _pull, "download published models")
    sub.add_argument("names", nargs="+", help="names of published models")
    sub.add_argument("--force", action="store_true", help="download again even if the model is here")
    sub = command("add", lambda args: add(args.file), "copy a model file to the models folder and list it")
    sub.add_argument("file")
    sub = command("remove", _remove, "remove one of your models from the list")
    sub.add_argument("name")
    sub.add_argument("--delete", action="store_true", help="also delete the file; works for downloaded models, too")
    sub = command("info", _info, "show the facts about a model")
    sub.add_argument("name", help="name or file of a model")
    sub = command("path", _path, "print the models folder, or the file of a model")
    sub.add_argument("name", nargs="?", help="name of a model")
    return parser


def _list(args: argparse.Namespace) -> int:
    from cellpose import weights

    rows = [row for row in weights.list_models() if row.installed or not args.installed]
    shown = rows if args.all else [row for row in rows if row.installed or row.name in _RECOMMENDED]
    default = weights.default_model()
    if args.json:
        print(json.dumps([_facts(row, default) for row in rows], indent=1))
        return 0
    for row in shown:
        mark = "*" if row.name == default else " "
        size = row.info.size_mib if row.info else (row.n_bytes or 0) / 2**20
        print(f"{mark} {row.name:<28} {row.kind:<9} {_where(row):<17} {size:>7.1f} MiB  {_note(row)}".rstrip())
    if len(shown) < len(rows):
        print(f"\n{len(rows) - len(shown)} more can be downloaded: cellpose models list --all")
    print(f"\n* is used without --pretrained_model; models folder: {weights.model_dir()}")
    return 0


def _where(row: Any) -> str:
    if row.info is not None and not row.info.supported:
        return "not supported"
    return "here" if row.installed else "can be downloaded"


def _note(row: Any) -> str:
    """The published note on a model, else what its card says."""
    from cellpose import weights

    if row.info is not None:
        return str(row.info.note)
    return str(weights.ModelFile(row.name, row.path).card.get("summary", "")) if row.path else "its file is missing"


def _facts(row: Any, default: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "installed": row.installed,
        "supported": row.info is None or row.info.supported,
        "default": row.name == default,
        "path": None if row.path is None else str(row.path),
        "bytes": row.n_bytes,
        "note": _note(row) or None,
    }


def _pull(args: argparse.Namespace) -> int:
    from cellpose import weights

    for name in args.names:
        for file in weights.pull(name, force=args.force):
            print(file.path)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from cellpose import weights

    weights.remove_model(args.name, delete=args.delete)
    print(f"{args.name} is removed from the list{' and deleted' if args.delete else ''}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from cellpose import weights

    file, published = weights.find(args.name), weights.lookup(args.name)
    if file is None and published is None:
        weights.resolve(args.name, download=False)  # says what is wrong with the name
        message = f"{args.name} is not a model; `cellpose models list --all` shows all names"
        raise OptionError(message)
    info = file.info if file is not None else published[0] if published else None
    card = file.card if file is not None else {}
    facts: dict[str, Any] = {"name": file.name if file else args.name, "installed": file is not None}
    if file is not None:
        facts |= {"path": str(file.path), "sha256": file.sha256, "bytes": file.path.stat().st_size}
        facts |= {key: value for key, value in card.items() if isinstance(value, (str, int, float))}
    if info is not None:
        facts |= {
            "family": info.family,
            "task": info.task,
            "channels": info.nchan,
            "diam_mean": info.diam_mean,
            "size model": info.size_file or "-",
            "published": info.url,
            "note": info.note,
        }
    elif file is not None:
        facts |= _facts_of_file(file)
    for key, value in facts.items():
        print(f"{key:<12} {value}")
    for key, value in card.items():
        if isinstance(value, (dict, list)):
            print("\n".join(["", key, *_outline(value, 1)]))
    return 0


def _outline(value: Any, depth: int) -> list[str]:
    """Lines of a part of a card, indented by level; a part of single values takes one line."""
    indent = "  " * depth
    if isinstance(value, list):
        return [f"{indent}{item}" for item in value]
    lines = []
    for key, part in value.items():
        if not isinstance(part, dict):
            lines.append(f"{indent}{key}: {part}")
        elif any(isinstance(inner, (dict, list)) for inner in part.values()):
            lines += [f"{indent}{key}", *_outline(part, depth + 1)]
        else:
            lines.append(f"{indent}{key}: " + ", ".join(f"{name} {inner}" for name, inner in part.items()))
    return lines


def _facts_of_file(file: Any) -> dict[str, Any]:
    from cellpose import nets, weights

    network = nets.detect_architecture(weights.load_state_dict(file.path))
    return {"family": network.name, "task": network.task, "channels": network.nchan}


def _path(args: argparse.Namespace) -> int:
    from cellpose import weights

    print(weights.resolve(args.name, download=False).path if args.name else weights.model_dir())
    return 0
