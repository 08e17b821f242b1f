"""Settings of a segmentation: model, diameter, channels, thresholds. Each field has an event of its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psygnal import SignalGroupDescriptor

from cellpose.options import Masking, Normalization, describe

__all__ = ["SegmentationSettings", "filters_something"]

_MASKING = describe(Masking)


@dataclass
class SegmentationSettings:
    """Parameters of a run, named like those of ``CellposeModel.eval``.

    Parameters
    ----------
    model
        Name or path; empty: the default model.
    diameter
        In pixels; 0: the training diameter of the model.
    channels
        1-based channel to segment and channel of nuclei, 0 for gray or none; for U-Nets.
    gpu
        Whether to run on a GPU.
    lower, upper
        Percentiles that become 0 and 1.
    niter
        Number of iterations; 0: from the diameter.
    background_radius, sharpen_radius, smooth_radius, tile_norm_blocksize, tile_norm_smooth3D, invert
        Parameters of the filter; in effect once the image is filtered.
    stitch_threshold
        For volumes: overlap from which the masks of neighboring planes become one cell; 0: 3D flows instead.
    flow3D_smooth
        For volumes: sigma in pixels for smoothing 3D flows.
    anisotropy
        For volumes: distance between planes in pixels.
    isotropic_steps
        For volumes: follow 3D flows by true distances. In the published method, a step along z covers as many planes as
        it covers pixels along y and x, and cells of thick planes fall apart.
    restorer
        Restoration models to use: ``"bundled"``, those trained on the images of ``"cyto3"``, ``"cyto2"`` or
        ``"nuclei"``, or the path of a file.
    keep_corrected
        Whether cells drawn or corrected by hand survive another run.
    """

    events = SignalGroupDescriptor()

    model: str = ""
    diameter: float = 30.0
    channels: tuple[int, int] = (0, 0)
    gpu: bool = False
    flow_threshold: float = _MASKING["flow_threshold"]["default"]
    cellprob_threshold: float = _MASKING["cellprob_threshold"]["default"]
    min_size: int = _MASKING["min_size"]["default"]
    niter: int = 0
    lower: float = 1.0
    upper: float = 99.0
    norm3D: bool = True
    invert: bool = False
    background_radius: float = 0.0
    sharpen_radius: float = 0.0
    smooth_radius: float = 0.0
    tile_norm_blocksize: float = 0.0
    tile_norm_smooth3D: float = 0.0
    stitch_threshold: float = 0.0
    flow3D_smooth: float = 0.0
    anisotropy: float = 1.0
    isotropic_steps: bool = False
    restorer: str = "bundled"
    keep_corrected: bool = True

    @property
    def percentiles_valid(self) -> bool:
        """Whether the lower percentile is below the upper."""
        return 0 <= self.lower < self.upper <= 100

    def filters(self) -> dict[str, Any]:
        """Keywords of ``Normalization`` that filter the image."""
        return {
            "background_radius": self.background_radius,
            "sharpen_radius": self.sharpen_radius,
            "smooth_radius": self.smooth_radius,
            "tile_norm_blocksize": self.tile_norm_blocksize,
            "tile_norm_smooth3D": self.tile_norm_smooth3D,
            "invert": self.invert,
        }

    def normalization(self, filters: Mapping[str, Any] | None = None) -> Normalization:
        """Normalization of the raw image, with the filters in effect; raises `OptionError`."""
        return Normalization(percentile=(self.lower, self.upper), norm3D=self.norm3D, **(filters or {}))

    def told(self) -> dict[str, Any]:
        """Diameter, thresholds and normalization without filters, as plain values, for the history of a file."""
        return {
            "diameter": self.diameter or None,
            **self.masking(),
            "percentile": [self.lower, self.upper],
            "norm3D": self.norm3D,
        }

    @property
    def do_3D(self) -> bool:
        """Whether volumes are segmented by 3D flows; else plane by plane, with stitching."""
        return self.stitch_threshold <= 0

    def volume(self) -> dict[str, Any]:
        """Keywords of ``eval`` for a volume, in addition to those for a plane."""
        if not self.do_3D:
            return {"stitch_threshold": self.stitch_threshold}
        smooth = {"flow3D_smooth": self.flow3D_smooth} if self.flow3D_smooth else {}
        steps = {"isotropic_steps": True} if self.isotropic_steps else {}
        return {"do_3D": True, "anisotropy": self.anisotropy, **smooth, **steps}

    @property
    def z_spacing(self) -> float:
        """Distance between planes, by which steps along z are shortened; 1: not shortened."""
        return self.anisotropy if self.isotropic_steps else 1.0

    def masking_of(self, is_volume: bool) -> dict[str, Any]:
        """As `masking`, but 3D flows have no flow threshold."""
        return {**self.masking(), **({"flow_threshold": None} if is_volume and self.do_3D else {})}

    def masking(self) -> dict[str, Any]:
        """Keywords of ``dynamics.resize_and_compute_masks`` that make masks from flows."""
        return {
            "cellprob_threshold": self.cellprob_threshold,
            "flow_threshold": self.flow_threshold,
            "min_size": self.min_size,
            "niter": self.niter or None,
        }


def filters_something(filters: Mapping[str, Any]) -> bool:
    """Whether a filter from `SegmentationSettings.filters` changes an image."""
    names = ("background_radius", "sharpen_radius", "smooth_radius", "tile_norm_blocksize", "invert")
    return any(filters.get(name) for name in names)
