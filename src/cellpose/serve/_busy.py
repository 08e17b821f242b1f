"""The error of a server at its limit: it refuses the request for now, and the client may try again."""

from __future__ import annotations

from cellpose.errors import CellposeError

__all__ = ["Busy"]


class Busy(CellposeError):
    """The server has no capacity right now.

    Parameters
    ----------
    message
        Which limit was reached.
    wait_s
        Seconds after which to try again.
    """

    def __init__(self, message: str, wait_s: float = 2.0) -> None:
        super().__init__(f"{message}; try again in {wait_s:.0f} s")
        self.wait_s = wait_s
