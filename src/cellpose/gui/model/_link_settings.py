"""How cells are linked through time: the options of ``cellpose track``. Each field has an event of its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psygnal import SignalGroupDescriptor

__all__ = ["LinkSettings"]


@dataclass
class LinkSettings:
    """Options of `cellpose.track.track`, except merges: in the window a cell comes from one cell.

    Parameters
    ----------
    max_distance
        Most pixels a cell moves from frame to frame; 0: the diameter of the median cell.
    max_gap
        Number of frames a cell may be missing before its track ends.
    divisions
        Find cells that divide.
    min_overlap
        Cells of two frames are the same if they overlap by at least this fraction, and with no other cell as much.
    fill_gaps
        Put cells back into frames where they are missing.
    """

    events = SignalGroupDescriptor()

    max_distance: float = 0.0
    max_gap: int = 2
    divisions: bool = True
    min_overlap: float = 0.3
    fill_gaps: bool = False

    def options(self) -> dict[str, Any]:
        """Keywords of `cellpose.track.track`."""
        return {
            "max_distance": self.max_distance or None,
            "max_gap": int(self.max_gap),
            "divisions": self.divisions,
            "min_overlap": self.min_overlap,
        }
