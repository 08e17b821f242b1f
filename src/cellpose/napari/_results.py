"""The result of a segmentation: kept with its flows, recomputed with other thresholds, and shown as layers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics, utils
from cellpose.errors import InputError
from cellpose.napari._settings import SegmentSettings

__all__ = ["KEY", "LAYERS", "Found", "LayerData", "finder_at", "is_edited", "layer_tuples", "masks_anew", "outlines_of"]

Array = npt.NDArray[Any]
LayerData = tuple[Any, dict[str, Any], str]

#: Key under which a layer's metadata keeps the result behind its cells.
KEY = "cellpose"

#: Optional further layers.
LAYERS = ("flows", "probability", "outlines")


@dataclass(frozen=True, eq=False)
class Found:
    """The result of a run.

    Attributes
    ----------
    masks
        Labels ([T,] [Z,] Y, X).
    rgb, dP, cellprob
        Flows as colors, uint8 (..., Y, X, 3); flows, float32 (2 or 3, ..., Y, X); logits, float32 (..., Y, X). None if
        they were not kept, as for large planes.
    model
        Name of the model.
    settings
        Settings of the run.
    source, nuclei
        Names of the layers that show the cells and their nuclei.
    """

    masks: Array
    rgb: Array | None = None
    dP: Array | None = None
    cellprob: Array | None = None
    model: str = ""
    settings: SegmentSettings = field(default_factory=SegmentSettings)
    source: str = ""
    nuclei: str = ""

    @property
    def has_flows(self) -> bool:
        """Whether flows, their colors and probabilities were kept at the resolution of the masks."""
        shapes = [None if array is None else array.shape for array in (self.dP, self.rgb, self.cellprob)]
        side = self.masks.shape
        return shapes[0] is not None and shapes == [(shapes[0][0], *side), (*side, 3), side]

    @property
    def is_live(self) -> bool:
        """Whether masks can be recomputed from what was kept."""
        return self.dP is not None and self.cellprob is not None and self.settings.mode != "volume"

    @cached_property
    def finder(self) -> dynamics.MaskFinder:
        """The mask finder for a single plane; it keeps what all thresholds share."""
        dP, cellprob = _kept_flows(self, "segment the image first")
        side = dP.shape[-2:]
        return dynamics.MaskFinder(dP.reshape(2, *side), cellprob.reshape(side), self.masks.shape[-2:])

    def shaped(self, shape: tuple[int, ...]) -> Found:
        """The same with axes of length 1 if only one plane of a stack was segmented."""
        dP = None if self.dP is None else self.dP.reshape(len(self.dP), *shape)
        rgb = None if self.rgb is None else self.rgb.reshape(*shape, 3)
        cellprob = None if self.cellprob is None else self.cellprob.reshape(shape)
        return replace(self, masks=self.masks.reshape(shape), rgb=rgb, dP=dP, cellprob=cellprob)

    def count(self) -> int:
        """Number of cells; in a movie, summed over the frames."""
        if self.settings.mode != "planes":
            return int(self.masks.max(initial=0))
        return sum(int(plane.max(initial=0)) for plane in _planes(self.masks))


def _planes(array: Array) -> Array:
    """All planes as one stack (n, Y, X)."""
    return array.reshape(-1, *array.shape[-2:])


def _kept_flows(found: Found, advice: str) -> tuple[Array, Array]:
    """Flows and logits of planes; raises InputError with ``advice`` if none were kept."""
    if found.dP is None or found.cellprob is None or not found.is_live:
        message = f"no flows were kept with these cells; {advice}"
        raise InputError(message)
    return found.dP, found.cellprob


def masks_anew(found: Found, settings: SegmentSettings) -> Array:
    """Labels from the kept flows with other thresholds, as a run would make them.

    Raises
    ------
    InputError
        If no flows were kept, or they belong to a volume.
    """
    dP, cellprob = _kept_flows(found, "run the segmentation again with the new thresholds")
    words, stitch = settings.masking(), found.settings.mode == "stitch"
    if stitch:
        words["min_size"] = -1
    flows, logits = dP.reshape(2, -1, *dP.shape[-2:]), _planes(cellprob)
    size = found.masks.shape[-2:]
    # a slider is dragged over a single plane; keeping the shared part for many planes would take too much memory
    finders = (dynamics.MaskFinder(flows[:, index], logits[index], size) for index in range(len(logits)))
    planes = [finder.masks(**words) for finder in (finders if len(logits) > 1 else [found.finder])]
    masks = np.stack([plane.astype(np.int32) for plane in planes]).reshape(found.masks.shape)
    if stitch and masks.ndim > 2:
        stacks = masks.reshape(-1, *masks.shape[-3:])
        for index, stack in enumerate(stacks):
            joined = utils.stitch3D(stack, stitch_threshold=settings.stitch_threshold)
            stacks[index] = utils.fill_holes_and_remove_small_masks(joined, min_size=settings.min_size)
        masks = stacks.reshape(found.masks.shape)
    return masks


def finder_at(found: Found, position: tuple[int, ...]) -> dynamics.CellFinder:
    """The cell finder for the plane at these leading coordinates.

    Raises
    ------
    InputError
        If no flows were kept, or they belong to a volume.
    """
    dP, cellprob = _kept_flows(found, "segment the image first")
    index: tuple[Any, ...] = (slice(None), *position)
    reach = max(128, math.ceil(3 * found.settings.diameter))
    return dynamics.CellFinder(dP[index], cellprob[position], reach_px=reach, niter=found.settings.niter or 200)


def outlines_of(masks: Array) -> Array:
    """The labels on the borders of cells, 0 elsewhere, plane by plane."""
    lines = np.stack([utils.masks_to_outlines(plane) for plane in _planes(masks)]).reshape(masks.shape)
    return np.where(lines, masks, 0).astype(masks.dtype)


def layer_tuples(found: Found, placing: Mapping[str, Any], wanted: Collection[str] = ()) -> list[LayerData]:
    """Layers in napari's form: flows and probability at the bottom, then labels, then outlines.

    Parameters
    ----------
    found
        The result, in the shape that the layers should have.
    placing
        Keywords of all layers: scale, translate ...
    wanted
        Which of `LAYERS` to make.
    """
    name, placing = found.source or "image", dict(placing)
    layers: list[LayerData] = []
    if "flows" in wanted and found.rgb is not None:
        layers.append((found.rgb, {"name": f"{name} flows", "rgb": True, **_of_pixels(found, placing)}, "image"))
    if "probability" in wanted and found.cellprob is not None:
        looks = {"colormap": "magma", "contrast_limits": (-6.0, 6.0), "blending": "additive"}
        layers.append((found.cellprob, {"name": f"{name} probability", **looks, **_of_pixels(found, placing)}, "image"))
    labels = np.array(found.masks, np.int32, order="C")  # a copy: napari's tools edit it in place
    known = {KEY: {"found": found, "sum": checksum(labels)}}
    layers.append((labels, {"name": f"{name} masks", "opacity": 0.5, "metadata": known, **placing}, "labels"))
    if "outlines" in wanted:
        layers.append((outlines_of(labels), {"name": f"{name} outlines", "opacity": 1.0, **placing}, "labels"))
    return layers


def _of_pixels(found: Found, placing: dict[str, Any]) -> dict[str, Any]:
    return {**placing, "metadata": {KEY: {"model": found.model}}}


def checksum(labels: Array) -> int:
    """A checksum that shows whether labels were edited."""
    return zlib.crc32(np.ascontiguousarray(labels).ravel().view(np.uint8).data)


def is_edited(layer: Any) -> bool:
    """Whether the labels of a layer differ from those that a run put there."""
    known = layer.metadata.get(KEY, {})
    return "sum" not in known or checksum(np.asarray(layer.data)) != known["sum"]
