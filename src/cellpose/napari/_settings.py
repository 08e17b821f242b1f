"""The user's settings for a segmentation, and the keywords of ``eval`` that express them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cellpose.options import Masking

__all__ = ["MODES", "SegmentSettings", "modes_for"]

#: Ways to treat planes and times, by the names under which they are saved.
MODES = {
    "plane": "The plane that is shown",
    "planes": "Each plane and frame by itself",
    "stitch": "Planes joined where cells overlap",
    "volume": "Volume (3D)",
}


def modes_for(axes: str) -> list[str]:
    """The keys of `MODES` that make sense for an image with these axes.

    Examples
    --------
    >>> modes_for("YX"), modes_for("TYX")
    (['plane'], ['plane', 'planes'])
    """
    if "Z" in axes:
        return list(MODES)
    return ["plane", "planes"] if "T" in axes else ["plane"]


@dataclass(frozen=True)
class SegmentSettings:
    """The settings of the widget that segments.

    Attributes
    ----------
    model
        Name of a model or path of its file; empty: the default model.
    diameter
        Of the cells in pixels; 0: as the model expects.
    flow_threshold, cellprob_threshold, min_size, niter
        As in ``CellposeModel.eval``.
    mode
        A key of `MODES`.
    stitch_threshold
        Overlap (IoU) above which cells of neighboring planes become one.
    anisotropy
        Distance between planes divided by the pixel size.
    invert
        Whether cells are darker than the background.
    """

    model: str = ""
    diameter: float = 0.0
    flow_threshold: float = 0.4
    cellprob_threshold: float = 0.0
    min_size: int = 15
    niter: int = 0
    mode: str = "plane"
    stitch_threshold: float = 0.25
    anisotropy: float = 1.0
    invert: bool = False

    def masking(self) -> dict[str, Any]:
        """Keywords of the step from flows to masks."""
        return {
            "flow_threshold": self.flow_threshold,
            "cellprob_threshold": self.cellprob_threshold,
            "min_size": self.min_size,
            "niter": self.niter or None,
        }

    def keywords(self) -> dict[str, Any]:
        """Keywords of ``eval``.

        Examples
        --------
        >>> words = SegmentSettings(diameter=25, mode="volume", anisotropy=2).keywords()
        >>> words["diameter"], words["do_3D"], words["anisotropy"], "stitch_threshold" in words
        (25, True, 2, False)

        Raises
        ------
        OptionError
            If a threshold is outside its range.
        """
        masking = self.masking()
        Masking(masking["cellprob_threshold"], masking["flow_threshold"], masking["min_size"], niter=masking["niter"])
        words = masking | {"diameter": self.diameter or None, "invert": self.invert}
        if self.mode == "volume":
            words |= {"do_3D": True, "anisotropy": self.anisotropy}
        elif self.mode == "stitch":
            words["stitch_threshold"] = self.stitch_threshold
        return words
