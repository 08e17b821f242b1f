"""``python -m cellpose``.

The command line and the rooms beside it do not import each other; this module connects them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cellpose import cli
from cellpose._face.also import other_names

__all__ = ["main"]

__getattr__ = other_names("__main__")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, see `cellpose.cli.main`."""
    return cli.main(argv, distributor=_distributor, window=_window, server=_server)


def _distributor() -> Any:
    from cellpose.contrib import distributed_segmentation

    return distributed_segmentation


def _window(stacks: bool) -> None:
    from cellpose.gui import gui, gui3d

    if stacks:
        gui3d.run()
    else:
        gui.run()


def _server() -> Any:
    from cellpose import serve

    return serve


if __name__ == "__main__":
    sys.exit(main())
