"""Commands and their options, as the shell completion scripts need them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Command", "Option"]


@dataclass(frozen=True)
class Option:
    """An option, or, without a name, an argument that stands by itself.

    ``kind`` says what its values are: "none" (a switch), "folder", "file", "model" (a name, or a file) or "text".
    ``choices`` are words that a text may be; ``many`` is whether it takes several values.
    """

    name: str
    help: str
    kind: str
    choices: tuple[str, ...] = ()
    many: bool = False


@dataclass
class Command:
    """A command such as "measure" or "models pull"; "" segments and trains.

    ``commands`` are those within it, each with its help.
    """

    name: str
    help: str
    options: list[Option] = field(default_factory=list)
    places: list[Option] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
