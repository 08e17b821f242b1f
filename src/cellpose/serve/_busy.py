"""The server has enough to do: a request is refused now and may be tried again."""

from __future__ import annotations

from cellpose.errors import CellposeError

__all__ = ["Busy"]


class Busy(CellposeError):
    """There is no room now.

    Parameters
    ----------
    message
        What there is too much of.
    wait_s
        Seconds after which to try again.
    """

    def __init__(self, message: str, wait_s: float = 2.0) -> None:
        super().__init__(f"{message}; try again in {wait_s:.0f} s")
        self.wait_s = wait_s
