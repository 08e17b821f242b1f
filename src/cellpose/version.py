"""Version strings under the module name from which programs import them.

``cellpose.version`` itself stays the string, which is what most programs ask for.
"""

from __future__ import annotations

from cellpose._version import version, version_block

__all__ = ["version", "version_str"]  # noqa: F822  (version_str is made when it is asked for)


def __getattr__(name: str) -> str:
    if name == "version_str":
        return version_block()
    message = f"module 'cellpose.version' has no attribute {name!r}"
    raise AttributeError(message)
