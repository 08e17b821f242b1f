"""Small movies with exact labels: nuclei that wander, push each other, grow and divide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.synthetic._camera import Optics, expose
from cellpose.synthetic._fluorescence import nuclei
from cellpose.synthetic._population import check_number, check_size
from cellpose.synthetic._sample import MIN_SIDE, generator
from cellpose.synthetic._scene import Labels

__all__ = ["Movie", "sample_movie"]

Floats = npt.NDArray[np.float64]

_CORNERS = 32  # of an outline
_MOST_CELLS = 2000
_PERSISTENCE = 0.8  # of the velocity from frame to frame
_HALF = 2**-0.5  # radius of a half of a disc


@dataclass(frozen=True, eq=False)
class Movie:
    """A movie with its truth.

    Attributes
    ----------
    image
        Float32 (T, Y, X), 0 to 1.
    masks
        Int32 (T, Y, X): each cell has one number through all frames; the halves of a cell get new ones.
    parents
        The cell that each half came from.
    """

    image: npt.NDArray[np.float32]
    masks: Labels
    parents: dict[int, tuple[int, ...]]


@dataclass
class _Colony:
    """Cells as they are now; all arrays have one row for each."""

    number: npt.NDArray[np.int64]
    centre: Floats
    velocity: Floats
    angle: Floats
    radius: Floats
    age: Floats
    cycle: Floats
    outline: Floats
    count: int
    parents: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def copies(self, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The arrays of some cells."""
        names = ("number", "centre", "velocity", "angle", "radius", "age", "cycle", "outline")
        return {name: getattr(self, name)[rows].copy() for name in names}


def sample_movie(
    seed: int | np.random.Generator,
    n_frames: int = 20,
    size: tuple[int, int] = (256, 256),
    *,
    cells: int = 20,
    diameter: float = 24.0,
    speed: float = 2.0,
    cycle: float = 30.0,
) -> Movie:
    """A synthetic movie of fluorescent nuclei, with their true masks and divisions.

    Parameters
    ----------
    seed
        Whole number, or a generator that is drawn from. The same seed and options give the same pixels.
    n_frames
        Frames, 1 to 10000.
    size
        Height and width, at least 16 each.
    cells
        In the first frame, 1 to 1000.
    diameter
        Of a cell that is about to divide, in pixels, 4 to 2000.
    speed
        Pixels that a cell goes from frame to frame, about, 0 to 1000.
    cycle
        Frames between two divisions, about, 2 or more.

    Raises
    ------
    OptionError
        If an option is not allowed.

    Examples
    --------
    >>> movie = sample_movie(1, 5, (64, 64), cells=4, diameter=16)
    >>> movie.image.shape, movie.masks.shape, int(movie.masks[0].max())
    ((5, 64, 64), (5, 64, 64), 4)
    """
    height, width = check_size(size, (MIN_SIDE, MIN_SIDE), "height and width")
    limits = {"n_frames": (1, 10000), "cells": (1, 1000), "diameter": (4, 2000), "speed": (0, 1000), "cycle": (2, 1e9)}
    given = {"n_frames": n_frames, "cells": cells, "diameter": diameter, "speed": speed, "cycle": cycle}
    for name, (low, high) in limits.items():
        check_number(name, given[name], low, high)
    if int(n_frames) != n_frames or int(cells) != cells:
        message = f"n_frames={n_frames!r}, cells={cells!r}: give whole numbers"
        raise OptionError(message)
    rng = generator(seed)
    colony = _first(rng, (height, width), int(cells), float(diameter), float(cycle))
    masks = np.empty((int(n_frames), height, width), np.int32)
    for frame in masks:
        frame[:] = _painted(colony, (height, width))
        _advance(rng, colony, (height, width), float(diameter), float(speed), float(cycle))
    present = set(np.unique(masks).tolist())
    parents = {child: old for child, old in colony.parents.items() if child in present and old[0] in present}
    return Movie(_photographed(rng, masks, float(diameter)), masks, parents)


def _first(rng: np.random.Generator, size: tuple[int, int], n: int, diameter: float, cycle: float) -> _Colony:
    cycles = cycle * np.exp(rng.normal(0, 0.15, n))
    colony = _Colony(
        number=np.arange(1, n + 1),
        centre=rng.uniform(0.5 * diameter, np.array(size) - 0.5 * diameter, (n, 2)),
        velocity=np.zeros((n, 2)),
        angle=rng.uniform(0, 2 * np.pi, n),
        radius=np.empty(n),
        age=rng.uniform(0, 0.9, n) * cycles,
        cycle=cycles,
        outline=_outlines(rng, n),
        count=n,
    )
    colony.radius[:] = _radii(colony, diameter)
    _push_apart(colony, size, 40)
    return colony


def _outlines(rng: np.random.Generator, n: int) -> Floats:
    """Distance from the middle to the outline in directions all round, in units of the radius."""
    turn = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    outline = np.ones((n, _CORNERS))
    for order, width in ((2, 0.12), (3, 0.04), (5, 0.02)):
        outline += width * rng.normal(0, 0.6, (n, 1)) * np.cos(order * turn + rng.uniform(0, 2 * np.pi, (n, 1)))
    return np.clip(outline, 0.6, 1.4)


def _radii(colony: _Colony, diameter: float) -> Floats:
    """Cells grow from half of their area to all of it."""
    grown: Floats = np.clip(colony.age / colony.cycle, 0, 1)
    return diameter / 2 * np.sqrt(0.5 + 0.5 * grown)


def _advance(
    rng: np.random.Generator, colony: _Colony, size: tuple[int, int], diameter: float, speed: float, cycle: float
) -> None:
    """One frame: cells move on, grow, divide and push each other."""
    noise = rng.normal(0, speed * (1 - _PERSISTENCE**2) ** 0.5 * 0.8, colony.velocity.shape)
    colony.velocity = _PERSISTENCE * colony.velocity + noise
    colony.centre += colony.velocity
    colony.angle += rng.normal(0, 0.05, colony.angle.size)
    colony.age += 1
    ripe = np.flatnonzero(colony.age >= colony.cycle)
    if ripe.size and colony.number.size + ripe.size <= _MOST_CELLS:
        _divide(rng, colony, ripe, cycle)
    colony.radius[:] = _radii(colony, diameter)
    _push_apart(colony, size, 12)


def _divide(rng: np.random.Generator, colony: _Colony, ripe: npt.NDArray[np.int64], cycle: float) -> None:
    """Put two halves in the place of each of these cells."""
    other = colony.copies(ripe)
    direction = rng.uniform(0, 2 * np.pi, ripe.size)
    aside = (0.9 * _HALF * colony.radius[ripe])[:, None] * np.column_stack([np.sin(direction), np.cos(direction)])
    mothers = colony.number[ripe].tolist()
    first = colony.count + 1 + 2 * np.arange(ripe.size)
    for mother, child in zip(mothers, first.tolist(), strict=True):
        colony.parents[child] = colony.parents[child + 1] = (mother,)
    colony.count += 2 * ripe.size
    colony.number[ripe], other["number"] = first, first + 1
    colony.centre[ripe] += aside
    other["centre"] -= aside
    for name, values in _newborn(rng, ripe.size, cycle).items():
        getattr(colony, name)[ripe] = values
    other |= _newborn(rng, ripe.size, cycle)
    for name, values in other.items():
        setattr(colony, name, np.concatenate([getattr(colony, name), values]))


def _newborn(rng: np.random.Generator, n: int, cycle: float) -> dict[str, Floats]:
    """Ages, cycles and outlines of newborn cells."""
    return {"age": np.zeros(n), "cycle": cycle * np.exp(rng.normal(0, 0.15, n)), "outline": _outlines(rng, n)}


def _push_apart(colony: _Colony, size: tuple[int, int], steps: int) -> None:
    """Overlapping cells push each other apart; those that would leave the field turn back."""
    from cellpose.synthetic._kernels import settle

    radii = colony.radius[:, None].copy()
    settle(colony.centre, colony.angle, np.zeros_like(radii), radii, 1.06, steps)
    low, high = colony.radius[:, None] * 0.8, np.array(size) - colony.radius[:, None] * 0.8
    out = (colony.centre < low) | (colony.centre > high)
    colony.velocity[out] *= -1
    np.clip(colony.centre, np.minimum(low, high), high, out=colony.centre)


def _painted(colony: _Colony, size: tuple[int, int]) -> Labels:
    """The labels of a frame, each in one piece."""
    from cellpose._labels.kernels import largest_pieces
    from cellpose.synthetic._kernels import paint_outlines

    labels, level = np.zeros(size, np.int32), np.full(size, np.inf, np.float32)
    turned = np.array([
        np.roll(line, round(angle / (2 * np.pi) * _CORNERS))
        for line, angle in zip(colony.outline, colony.angle, strict=True)
    ])  # fmt: skip
    places = np.arange(1, colony.number.size + 1)
    warp = np.zeros((2, *size), np.float32)
    paint_outlines(labels, level, warp, places, colony.centre, turned * colony.radius[:, None], 1.0)
    whole, old = largest_pieces(labels[None], colony.number.size, 4)
    numbers: Labels = np.concatenate([[0], colony.number]).astype(np.int32)[old[whole[0]]]
    return numbers


def _photographed(rng: np.random.Generator, masks: Labels, diameter: float) -> npt.NDArray[np.float32]:
    """Pictures of all frames: the cells keep their brightness, noise is new in each."""
    look = int(rng.integers(2**31))
    optics = Optics(
        blur=rng.uniform(0.8, 1.4), photons=rng.uniform(200, 1500), read_noise=rng.uniform(0.003, 0.012), gain=1.2
    )
    image = np.empty(masks.shape, np.float32)
    highest = int(masks.max())
    for frame, labels in zip(image, masks, strict=True):
        # a row below the picture holds the highest number, so that each frame draws the same number of brightnesses
        padded = np.pad(labels, ((0, 2), (0, 0)))
        padded[-1, 0] = highest
        light = nuclei(np.random.default_rng(look), padded, diameter, weak=False)[:-2]
        frame[:] = expose(rng, np.ascontiguousarray(light)[None], optics)[0]
    return image
