"""``python -m cellpose``."""

from __future__ import annotations

import sys

from cellpose.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
