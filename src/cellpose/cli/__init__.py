"""The command line: ``cellpose`` and ``python -m cellpose``.

Importing this package loads neither torch nor numba, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

from cellpose.cli._main import main
from cellpose.cli._parser import get_arg_parser

__all__ = ["get_arg_parser", "main"]
