"""The network over a volume: planes of three directions, added up in place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellpose._progress.stages import stage
from cellpose.core._planes import Report, padded_grid, run_planes
from cellpose.engines import Engine
from cellpose.errors import InputError
from cellpose.options import Tiling
from cellpose.transforms import PLANE_VIEWS, PlaneView, Sampling, resize_plane

__all__ = ["VolumePlan", "run_volume"]

logger = logging.getLogger("cellpose.core")

_BETWEEN_PLANES = {"linear": Sampling.linear, "cubic": Sampling.cubic, "spline": Sampling.spline}

FloatArray = NDArray[np.float32]

# Planes that are added to the sums at once, so that those across x write whole lines of the processor's cache, and the
# most bytes of them.
_AT_ONCE = 16
_MOST_BYTES = 2**25


@dataclass(frozen=True)
class VolumePlan:
    """At which size a volume is run and added up, and how much each direction counts.

    Attributes
    ----------
    size
        Size ``(z, y, x)`` at which the network sees the volume; ``None``: as it is.
    out
        Size of the sums; ``None``: ``size``.
    weights
        Of the planes YX, ZX and ZY, 0 or more; those of weight 0 are not run. Only their ratios count.
    z_interpolation
        How planes are made between planes: ``"linear"``, as published; ``"cubic"`` or ``"spline"``, and outputs are
        brought back to the planes by means over all that lie in one.
    """

    size: tuple[int, int, int] | None = None
    out: tuple[int, int, int] | None = None
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    z_interpolation: str = "linear"


def run_volume(
    engine: Engine,
    volume: NDArray[np.generic],
    tiling: Tiling | None = None,
    engine_ortho: Engine | None = None,
    report: Report | None = None,
    plan: VolumePlan | None = None,
    flows: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Run a network over the planes of a volume in three directions and add up what they say.

    Neither the resized volume nor the outputs of a direction are ever held: planes are made as the network needs them
    and their outputs added to sums of the final size, so that beside the volume and the sums only some planes are held.
    Resizing is linear, so the sums are those of resized outputs.

    Parameters
    ----------
    engine
        The network.
    volume
        Prepared volume (z, y, x, channel), any real dtype.
    tiling
        Batch size, tile side, overlap, augmentation.
    engine_ortho
        Network for the planes that contain z; ``None``: ``engine``.
    report
        Called with the fraction done, 0 to 1. An exception in it ends the run.
    plan
        Sizes and weights; ``None``: the size of the volume, all directions alike.
    flows
        Array of zeros, float32 (4, z, y, x), to add to, such as a memory map; ``None``: a new one.

    Returns
    -------
    tuple
        Flow in z, y and x and cell probability, float32 (4, z, y, x): sums, so that a flow is up to 2 times and a
        probability 3 times those of a plane; styles of the planes of the last direction, float32 (plane, style).

    Raises
    ------
    InputError
        If the volume has not four axes, or the network has no flows.
    """
    if volume.ndim != 4:
        message = f"a volume of shape {volume.shape} cannot be run; it must be (z, y, x, channels)"
        raise InputError(message)
    plan = plan or VolumePlan()
    size = plan.size or (volume.shape[0], volume.shape[1], volume.shape[2])
    out = plan.out or size
    if flows is None:
        flows = np.zeros((4, *out), np.float32)
    styles: list[FloatArray] = []
    chosen = [(n, view) for n, view in enumerate(PLANE_VIEWS) if plan.weights[n] > 0]
    # The styles of the last direction are those of all its planes.
    directions = [
        _Direction(view, volume, (size, out), plan.z_interpolation, all_planes=n == chosen[-1][0]) for n, view in chosen
    ]
    engines = [engine_ortho if n and engine_ortho is not None else engine for n, _ in chosen]
    tiles = [
        len(direction) * len(padded_grid(one, direction.plane_size, tiling or Tiling())[1])
        for one, direction in zip(engines, directions, strict=True)
    ]
    shares = _shares(report, tiles)
    for (_, view), direction, one, share in zip(chosen, directions, engines, shares, strict=True):
        total = _Sum(direction, view.planes(np.moveaxis(flows, 0, -1)), _factors(view, plan.weights))
        logger.info("running %s: %d planes of %d x %d pixels", view.name, len(direction), *direction.plane_size)
        styles.clear()
        for output, style in run_planes(one, direction, tiling, direction.plane_size, share, what=None):
            _require_flows(output)
            total.add(output[-3:])
            styles.append(style)
        total.flush()
    return flows, np.stack(styles)


class _Direction:
    """The planes of one direction of a volume, at another distance, made one by one: a stack (plane, a, b, channel)."""

    ndim = 4

    def __init__(
        self,
        view: PlaneView,
        volume: NDArray[np.generic],
        sizes: tuple[tuple[int, int, int], tuple[int, int, int]],
        z_interpolation: str,
        *,
        all_planes: bool,
    ) -> None:
        size, out = sizes
        self.planes = view.planes(volume)
        across, first, second = (size[axis] for axis in view.permutation)
        self.plane_size = first, second
        self.out_size = out[view.permutation[1]], out[view.permutation[2]]
        z_across, z_first = view.permutation[0] == 0, view.permutation[1] == 0
        linear = z_interpolation == "linear" or size[0] == volume.shape[0]
        there, back = (
            (Sampling.linear, Sampling.linear) if linear else (_BETWEEN_PLANES[z_interpolation], Sampling.area)
        )
        self.sampling = (there if z_across else Sampling.linear)(self.planes.shape[0], across)
        self.back = (back if z_across else Sampling.linear)(across, out[view.permutation[0]])
        self.first = there(self.planes.shape[1], first) if z_first and not linear else None
        self.first_back = back(first, self.out_size[0]) if z_first and not linear else None
        # Where planes are resized back and lie closer than needed, some would be ignored.
        self.wanted = np.ones(across, bool) if all_planes else self.back.used
        rows = first if self.first is not None else self.planes.shape[1]
        self.shape: tuple[int, ...] = (int(self.wanted.sum()), rows, *self.planes.shape[2:])

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[FloatArray]:
        for plane in self.sampling.samples(self.planes, self.wanted):
            yield plane if self.first is None else self.first.apply(plane)

    def resized_back(self, output: FloatArray) -> FloatArray:
        """One channel of an output (a, b) at the size of the sums."""
        if self.first_back is not None:
            output = self.first_back.apply(output)
        resized: FloatArray = resize_plane(output, self.out_size)
        return resized


class _Sum:
    """Adds the outputs of the planes of one direction, in their order, to the sums.

    Parameters
    ----------
    direction
        Where the planes come from.
    into
        View of the sums as planes of that direction (plane, a, b, component).
    factors
        ``(component, factor)`` of the three outputs.
    """

    def __init__(self, direction: _Direction, into: FloatArray, factors: Sequence[tuple[int, float]]) -> None:
        self.direction, self.into, self.factors = direction, into, factors
        self._numbers = iter(np.flatnonzero(direction.wanted))
        self._open: dict[int, FloatArray] = {}
        self._next = 0
        self._first = 0
        self._ready: list[FloatArray] = []

    def add(self, output: FloatArray) -> None:
        """The output (3, a, b) of the next plane."""
        back, number = self.direction.back, int(next(self._numbers))
        parts = np.stack([self.direction.resized_back(channel) for channel in output])
        taps = back.weights.shape[1]
        while self._next < len(back) and back.first[self._next] <= number:
            self._open[self._next] = np.zeros_like(parts) if taps > 1 else parts
            self._next += 1
        for i in sorted(self._open):
            k = number - int(back.first[i])
            if taps > 1 and back.weights[i, k]:
                self._open[i] += back.weights[i, k] * parts
            if k == taps - 1 or not back.weights[i, k + 1 :].any():
                self._ready.append(self._open.pop(i))
        if len(self._ready) >= _AT_ONCE or len(self._ready) * parts.nbytes >= _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Add the planes that are complete to the sums."""
        if not self._ready:
            return
        block = np.stack(self._ready)
        planes = slice(self._first, self._first + len(block))
        for channel, (component, factor) in enumerate(self.factors):
            part = block[:, channel]
            self.into[planes, ..., component] += part if factor == 1 else part * np.float32(factor)
        self._first += len(block)
        self._ready.clear()


def _factors(view: PlaneView, weights: Sequence[float]) -> list[tuple[int, float]]:
    """Component of the sums and factor of each output of a plane of this direction.

    A flow is the mean of two directions times 2, the probability that of three times 3, whatever the weights are.
    """
    own = weights[PLANE_VIEWS.index(view)]
    factors = []
    for component in (*view.components, 3):
        others = [w for v, w in zip(PLANE_VIEWS, weights, strict=True) if component in (*v.components, 3)]
        factors.append((component, len(others) * own / sum(others)))
    return factors


def _require_flows(output: FloatArray) -> None:
    if len(output) < 3:
        message = f"the network has {len(output)} outputs; segmentation needs 3: flow in y, flow in x, cell probability"
        raise InputError(message)


def _shares(report: Report | None, tiles: Sequence[int]) -> list[Report]:
    """Progress of each direction, of so many tiles, as part of the whole."""
    advance = stage("running the network", sum(tiles), "tiles")

    def share(before: int, own: int) -> Report:
        def tell(fraction: float) -> None:
            advance(before + fraction * own)
            if report is not None:
                report((before + fraction * own) / sum(tiles))

        return tell

    return [share(sum(tiles[:n]), own) for n, own in enumerate(tiles)]
