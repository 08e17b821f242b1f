"""``cellpose serve``: the page for the browser and its REST API.

``cellpose.__main__`` passes in the server, since rooms of one floor do not import each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cellpose.cli._logging import logging_to_user
from cellpose.options import Serving, describe

__all__ = ["Server", "serve_command"]

_KINDS = {"str": str, "int": int, "float": float}
_EPILOG = """\
On this machine alone the page needs no token. With another --host it does: the address that is printed holds one.
Images and results are deleted when nobody has used them for a while, and when the server ends.

examples:
  cellpose serve
  cellpose serve --examples my_images --port 8000
  cellpose serve --host 0.0.0.0 --token "$(openssl rand -hex 16)"
  cellpose serve --contributions my_contributions
  cellpose serve --prefix /cellpose --public_host lab.example.org
"""


class Server(Protocol):
    """The server: `cellpose.serve`."""

    def run(self, options: Serving, **more: Any) -> int:
        """Serve until it is interrupted; an exit code."""


def serve_command(words: Sequence[str], server: Callable[[], Server]) -> int:
    """Run the command line ``cellpose serve`` with these words; 0 where it ends well.

    Raises
    ------
    CellposeError
        If it does not.
    """
    args = vars(_parser().parse_args(list(words)))
    options = Serving(**{name: args.pop(name) for name in describe(Serving)})
    verbose = args.pop("verbose")
    with logging_to_user(verbose=verbose):
        return server().run(options, **args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose serve",
        description="Show a page for the browser that segments images, and a REST API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = Serving.__annotations__
    for name, about in describe(Serving).items():
        default = f" (default: {about['default']})" if about["default"] != "" else ""
        kind = _KINDS[kinds[name]]
        metavar = {str: "TEXT", int: "N", float: "X"}[kind]
        text = (about["help"] + default).replace("%", "%%")
        parser.add_argument(f"--{name}", type=kind, default=about["default"], metavar=metavar, help=text)
    parser.add_argument("--token", metavar="TEXT", help="what users must give; default: made where --host needs one")
    parser.add_argument("--no_token", action="store_true", help="let everyone in who reaches the server")
    parser.add_argument(
        "--public_host", action="append", default=[], metavar="NAME", help="name under which a proxy shows the page"
    )
    parser.add_argument(
        "--frame", action="append", default=[], metavar="ORIGIN", help="site that may show the page in a frame"
    )
    parser.add_argument(
        "--trusted_proxy", action="append", default=[], metavar="ADDRESS",
        help="proxy that says who asks, beside those of this machine; *: any",
    )  # fmt: skip
    parser.add_argument("--examples", metavar="FOLDER", help="images that the page offers to try")
    parser.add_argument(
        "--contributions", metavar="FOLDER", help="collect contributions in this folder, and show a page to review them"
    )
    parser.add_argument("--review_token", metavar="TEXT", help="of reviewers; default: made once, kept in that folder")
    parser.add_argument("--use_gpu", action="store_true", help="run models on the GPU")
    parser.add_argument("--verbose", action="store_true", help="show the log")
    return parser
