"""The version of this distribution, and the block of versions that the command line prints."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

version = "4.3.0"


def version_block() -> str:
    """Versions of cellpose, the platform, Python and torch, one per line, as programs that drive cellpose parse them.

    torch is not imported: its version is read from its metadata, so that the answer comes at once.
    """
    try:
        torch_version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch_version = "not installed"
    return (
        f"\ncellpose version: \t{version} \n"
        f"platform:       \t{sys.platform} \n"
        f"python version: \t{platform.python_version()} \n"
        f"torch version:  \t{torch_version}"
    )
