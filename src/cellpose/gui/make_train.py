"""``python -m cellpose.gui.make_train``, the older name of ``cellpose slices``."""

from __future__ import annotations

import runpy
import sys

__all__ = ["main"]


def main() -> None:
    """Run ``cellpose slices`` with the words of this command line."""
    sys.argv[1:1] = ["slices"]
    runpy.run_module("cellpose", run_name="__main__")


if __name__ == "__main__":
    main()
