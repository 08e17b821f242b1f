"""From one prepared image to masks, flows and styles: the stages, each a function of arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose import core, dynamics, io, plot, transforms, utils
from cellpose._labels.arrays import compact
from cellpose._progress.stages import stage
from cellpose.engines import Engine
from cellpose.errors import InputError, OptionError
from cellpose.models._classes import class_scores, masks_of_planes, picture_of_scores
from cellpose.models._inputs import Layout
from cellpose.models._retired import warn_once
from cellpose.nets import Family, family_named
from cellpose.options import Evaluation
from cellpose.transforms import Preparation

__all__ = ["Network", "SegmentationResult", "check_options", "segment"]

logger = logging.getLogger("cellpose.models")

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
Report = Callable[[float], None]

# Pixels of an enlarged plane above which the diameter must be wrong: its flows alone would take 24 GiB.
_MOST_PIXELS = 2**31
# Share of the network in the progress; the rest is the masks.
_NETWORK_PART = 0.9


@dataclass(frozen=True)
class Network:
    """A network and what has to be known to prepare images for it.

    Attributes
    ----------
    engine, engine_ortho
        Engines that run tiles; the second one those of planes that contain z.
    nchan
        Channels of the images it takes (U-Nets).
    diam_mean, diam_labels
        Diameters in pixels: to which cells are brought, and the mean one of the images it was trained on.
    device
        Where the flows are followed; ``None``: the CPU.
    turn
        Held while the network runs, where it can run one image at a time only.
    """

    engine: Engine
    engine_ortho: Engine | None
    nchan: int
    diam_mean: float
    diam_labels: float
    device: Any = None
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @property
    def family(self) -> Family:
        """The family of the network: what its kind can do."""
        return family_named(self.engine.backbone)

    @property
    def classes(self) -> bool:
        """Whether it is a plain U-Net, of classes instead of flows; only torch runs these."""
        return bool(getattr(getattr(self.engine, "module", None), "classes", False))


@dataclass(frozen=True)
class SegmentationResult:
    """The result of one image.

    Attributes
    ----------
    masks
        Labels ([z,] y, x), uint16 or uint32; an empty array where masks were not asked for.
    flows
        ``[rgb, flows, cellprob]``: uint8 ([z,] y, x, 3); float32 (2 or 3, [z,] y, x); float32 ([z,] y, x).
    styles
        Float32 ([plane,] style).
    blank
        Whether the image has no contrast, and so no cells, whatever the thresholds.
    """

    masks: Array
    flows: list[Array]
    styles: FloatArray
    blank: bool = False


def segment(
    network: Network, image: Array, layout: Layout, options: Evaluation, report: Report | None = None
) -> SegmentationResult:
    """Segment one image or stack.

    Parameters
    ----------
    network
        The network to run.
    image
        Any real dtype, 2 to 4 axes; not modified.
    layout
        Its axes and channels.
    options
        All other options.
    report
        Called with the fraction done, 0 to 1. An exception in it ends the run.
    """
    check_options(network, options)
    stage("scaling intensities")
    preparation = preparation_of(network, layout, options)
    stack, scale = preparation(image), preparation.scale
    _check_size(stack.shape, scale)
    if network.classes:
        return _segment_classes(network, stack, scale, options, report)
    run = run_volume if options.do_3D else run_stack
    with network.turn:
        flows, styles = run(network, stack, preparation, options, _part(report, 0, _NETWORK_PART))
    # One plane has no z axis; other axes of length 1 are those of the image and stay.
    one_plane = stack.shape[0] == 1
    shape = stack.shape[:3]
    blank = [not plane.any() for plane in stack]
    # The stack is as large as the flows and no longer needed while they are followed.
    del stack
    masks = masks_of(network, flows, shape, scale, options, _part(report, _NETWORK_PART, 1), blank)
    stage("coloring flows")
    if one_plane:
        flows = flows[:, 0]
        masks = masks[0] if masks.ndim > 1 else masks
        styles = styles[0] if len(styles) == 1 else styles
    dP, cellprob = flows[:-1], flows[-1]
    labels = compact(masks) if options.compute_masks else masks
    return SegmentationResult(labels, [plot.dx_to_circ(dP), dP, cellprob], styles, all(blank))


def _segment_classes(
    network: Network, stack: FloatArray, scale: float, options: Evaluation, report: Report | None
) -> SegmentationResult:
    """As :func:`segment`; the flows are zeros, the cell probability is the margin of cells over other classes."""
    scores, styles = class_scores(network.engine, stack, scale, options, report)
    masks = masks_of_planes(scores, options) if options.compute_masks else np.zeros(0, np.int32)
    cellprob = scores[1] - np.delete(scores, 1, axis=0).max(axis=0)
    flows = [picture_of_scores(scores), np.zeros((2, *cellprob.shape), np.float32), cellprob]
    if stack.shape[0] == 1:
        masks = masks[0] if masks.ndim > 1 else masks
        flows, styles = [flows[0][0], flows[1][:, 0], flows[2][0]], styles[0]
    return SegmentationResult(compact(masks), flows, styles)


def preparation_of(network: Network, layout: Layout, options: Evaluation) -> Preparation:
    """How images of this layout become network inputs."""
    together = options.do_3D or options.stitch_threshold > 0
    normalization = replace(options.normalization, norm3D=True) if options.do_3D else options.normalization
    scale = scale_of(network, options)
    return Preparation(
        layout.channels,
        layout.channel_axis,
        layout.z_axis,
        channel_pair=network.family.channel_pair,
        nchan=network.nchan,
        stack=together,
        planes_apart=not together,
        normalization=normalization,
        scale=scale,
        z_scale=(options.anisotropy or 1.0) * scale,
    )


def scale_of(network: Network, options: Evaluation) -> float:
    """The factor by which the image is resized for the network."""
    fixed = network.family.diameter_px
    if fixed is not None:
        if options.rescale is not None and not options.diameter:
            warn_once("rescale has no effect with transformer weights: give the diameter of the cells")
        return fixed / options.diameter if options.diameter else 1.0
    if options.diameter:
        return network.diam_mean / options.diameter
    if options.rescale:
        return options.rescale
    return network.diam_mean / network.diam_labels


def diameter_assumed(network: Network, options: Evaluation) -> float | None:
    """The assumed diameter of the cells in pixels; None where images without a given one are not resized."""
    if network.family.diameter_px is not None:
        return options.diameter
    return network.diam_mean / scale_of(network, options)


def run_stack(
    network: Network, stack: FloatArray, preparation: Preparation, options: Evaluation, report: Report | None
) -> tuple[FloatArray, FloatArray]:
    """Flow in y and x and cell probability, float32 (3, plane, y, x), of planes run one by one; and their styles."""
    ly, lx = stack.shape[1:3]
    height, width = preparation.size((ly, lx))
    size = (height, width)
    out = (ly, lx) if options.resample else size
    flows = np.empty((3, len(stack), *out), np.float32)
    styles: list[FloatArray] = []
    for index, (output, style) in enumerate(core.run_planes(network.engine, stack, options.tiling, size, report)):
        _require_flows(len(output))
        for c in range(3):
            flows[c, index] = transforms.resize_plane(output[c - 3], out)
        styles.append(style)
    return flows, np.stack(styles)


def run_volume(
    network: Network, stack: FloatArray, preparation: Preparation, options: Evaluation, report: Report | None
) -> tuple[FloatArray, FloatArray]:
    """Flow in z, y and x and cell probability, float32 (4, z, y, x), and the styles of the last direction."""
    z, y, x = stack.shape[:3]
    size = preparation.size((z, y, x))
    if size != (z, y, x):
        logger.info("running the stack of %s at %s", (z, y, x), size)
    out = (z, y, x) if options.resample else (size[0], size[1], size[2])
    plan = core.VolumePlan((size[0], size[1], size[2]), out, options.plane_weights, options.z_interpolation)
    flows = io.roomy_zeros((4, *out))
    flows, styles = core.run_volume(network.engine, stack, options.tiling, network.engine_ortho, report, plan, flows)
    return _smoothed(flows, options.flow_sigmas), styles


def _smoothed(flows: FloatArray, sigmas: tuple[float, float, float]) -> FloatArray:
    """The flows (not the cell probability, which is last) after a Gaussian of ``sigmas`` pixels along z, y, x."""
    if not any(sigmas):
        return flows
    from scipy.ndimage import gaussian_filter

    stage("smoothing flows")
    for flow in flows[:-1]:
        gaussian_filter(flow, sigmas, output=flow)
    return flows


def masks_of(
    network: Network,
    flows: FloatArray,
    shape: tuple[int, ...],
    scale: float,
    options: Evaluation,
    report: Report | None,
    blank: Sequence[bool],
) -> Array:
    """Labels (z, y, x), int32, of the size of the image, ``shape``; an empty array where masks were not asked for.

    ``blank`` marks planes whose network input is all zeros: they have no cells, whatever the thresholds.
    """
    if not options.compute_masks:
        return np.zeros(0)
    if all(blank):
        return np.zeros(shape, np.int32)
    masking = options.masking.at_scale(scale if options.resample else 1.0)
    if options.do_3D:
        # Flows at the size of the network are isotropic.
        isotropic = not options.isotropic_steps or flows.shape[1:] != shape
        given = dynamics.NetworkFlows(flows[:3], flows[3], z_spacing=1.0 if isotropic else options.anisotropy or 1.0)
        stage("following flows")
        return dynamics.flows_to_masks(given, masking, shape, network.device)
    stitch = options.stitch_threshold > 0 and shape[0] > 1
    if shape[0] > 1 and not stitch:
        logger.warning("a stack with do_3D=False and stitch_threshold=0: each plane is segmented separately")
    # Masks that are joined between planes are checked for size after joining.
    by_plane = replace(masking, min_size=-1) if stitch else masking
    masks = np.zeros(shape, np.int32)
    advance = stage("following flows", shape[0], "planes") if shape[0] > 1 else stage("following flows")
    for index in range(shape[0]):
        if blank[index]:
            continue
        plane = dynamics.NetworkFlows(flows[:2, index], flows[2, index])
        masks[index] = dynamics.flows_to_masks(plane, by_plane, shape[1:], network.device)
        advance(index + 1)
        if report is not None:
            report((index + 1) / shape[0])
    if stitch:
        stage("stitching planes")
        masks = utils.stitch3D(masks, stitch_threshold=options.stitch_threshold)
        masks = utils.fill_holes_and_remove_small_masks(masks, min_size=masking.min_size)
    return masks


def check_options(network: Network, options: Evaluation) -> None:
    """Refuse a network that cannot segment, and options that it cannot run, before any work is done."""
    bsize, family = options.tiling.bsize, network.family
    if not network.classes:
        _require_flows(network.engine.nout)
    if family.one_side and bsize not in (None, family.tile_side):
        message = (
            f"bsize={bsize} is not allowed; {network.engine.backbone} runs only on tiles of {family.tile_side} "
            "pixels; leave out bsize"
        )
        raise OptionError(message)
    core.padded_grid(network.engine, (1, 1), options.tiling)  # refuses sides that are no multiple of what it needs


def _check_size(shape: tuple[int, ...], scale: float) -> None:
    """Refuse an enlargement that no memory holds: it means a diameter in other units than pixels."""
    height, width = (scale * side for side in shape[1:3])
    if scale > 1 and height * width > _MOST_PIXELS:
        message = (
            f"planes of {shape[1]} x {shape[2]} pixels would be enlarged {scale:g} times, to {height:.0f} x "
            f"{width:.0f} pixels; give a larger diameter (in pixels) or a smaller rescale"
        )
        raise OptionError(message)


def _require_flows(n_outputs: int) -> None:
    if n_outputs < 3:
        outputs = "1 output" if n_outputs == 1 else f"{n_outputs} outputs"
        message = (
            f"this network has {outputs} and no flows: it cannot segment. For networks that restore images, use "
            "cellpose.denoise.DenoiseModel"
        )
        raise InputError(message)


def _part(report: Report | None, low: float, high: float) -> Report | None:
    """Progress of a stage as part of the whole."""
    return None if report is None else lambda fraction: report(low + (high - low) * fraction)
