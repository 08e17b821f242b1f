"""Scenes: the labels of a population of cells and of their nuclei, and what renderings take from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.synthetic._noise import Field, blur, smooth_noise
from cellpose.synthetic._population import Bodies, Floats, Population, check_size, half_axes, scatter

__all__ = ["Labels", "Scene", "add_nuclei", "populate"]

Labels = npt.NDArray[np.int32]

TURNS = np.linspace(0, 2 * np.pi, 96, endpoint=False)
MIN_AREA = 12


@dataclass(frozen=True)
class Cells:
    """Cells 1..n in the order of their labels.

    ``centres`` (n, 2) y, x; ``angles`` (n,) from x to y; ``radii`` (n,) of the disc of equal area; ``elongation`` (n,)
    length by width.
    """

    centres: Floats
    angles: Floats
    radii: Floats
    elongation: Floats

    def take(self, which: npt.NDArray[Any]) -> Cells:
        """The cells of these places."""
        return Cells(self.centres[which], self.angles[which], self.radii[which], self.elongation[which])


@dataclass(frozen=True)
class Scene:
    """The content of an image.

    Attributes
    ----------
    labels
        int32 (Y, X): 0 background, 1..n cells, each one piece.
    nuclei
        int32 (Y, X): the number of the cell at its nucleus, else 0.
    cells
        Where the cells lie.
    population
        Their properties.
    walls
        bool (Y, X): where the walls of a device are; None without one.
    """

    labels: Labels
    nuclei: Labels
    cells: Cells
    population: Population
    walls: npt.NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def diameter(self) -> float:
        """Mean diameter of the cells in pixels."""
        return self.population.diameter

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """True in cells."""
        return self.labels > 0

    @cached_property
    def depth(self) -> Field:
        """Distance of each pixel of a cell to its edge, in pixels; 0 outside."""
        return edge_distance(self.labels)

    @cached_property
    def outside(self) -> Field:
        """Distance of each pixel of the background to the nearest cell, in pixels; 0 inside."""
        free = (self.labels == 0).astype(np.uint8)
        if free.all():
            return np.full(self.shape, 1e3, np.float32)
        return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 3), np.float32)

    @cached_property
    def rise(self) -> Field:
        """Depth in units of the greatest of the same cell, 0..1."""
        return relative_depth(self.labels, self.depth)

    @cached_property
    def dome(self) -> Field:
        """Height 0..1 of a ball over the cell: steep at the edge, flat in the middle."""
        return dome(self.rise)

    def per_cell(self, values: npt.NDArray[Any]) -> Field:
        """A plane with the value of each cell in its pixels; ``values`` (n,), 0 outside."""
        return np.concatenate([[0], values]).astype(np.float32)[self.labels]

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.cells.radii)


def edge_distance(labels: Labels) -> Field:
    """Distance of each labeled pixel to the edge of its own label, in pixels, at least 0.5; 0 outside."""
    plane = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    inner = (labels > 0) & (cv2.dilate(plane, kernel) == plane) & (cv2.erode(plane, kernel) == plane)
    distance = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 3)
    return np.where(labels > 0, distance + 0.5, 0).astype(np.float32)


def relative_depth(labels: Labels, depth: Field) -> Field:
    """Depth in units of the greatest depth of the same label, 0..1."""
    n = int(labels.max())
    flat = labels.ravel()
    area = np.maximum(np.bincount(flat, minlength=n + 1), 1)
    # in a disc the mean distance to the edge is a third of the greatest
    greatest = 3 * np.bincount(flat, depth.ravel(), minlength=n + 1) / area
    return np.asarray(np.minimum(depth / np.maximum(greatest, 1).astype(np.float32)[labels], 1), np.float32)


def dome(rise: Field) -> Field:
    """Height 0..1 of a ball at these depths relative to the deepest."""
    return np.asarray(np.sqrt(1 - (1 - rise) ** 2), np.float32)


def erode(mask: npt.NDArray[np.bool_], distance: float) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that lie deeper than ``distance`` pixels."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) > distance)


def outlines(
    rng: np.random.Generator, angles: Floats, elongation: Floats, wobble: float, *, spikes: bool = False
) -> Floats:
    """Distances (n, K) from the center to the outline for the directions ``TURNS``; the area is that of the unit disc.

    Ellipses turned by ``angles``, with waves of random height, and with pointed processes if ``spikes``.
    """
    n = len(angles)
    turn = TURNS[None] - angles[:, None]
    root = np.sqrt(elongation)[:, None]
    radius = 1 / np.sqrt((np.cos(turn) / root) ** 2 + (np.sin(turn) * root) ** 2)
    for k in range(2, 7):
        height = wobble * 1.6 / k * rng.normal(0, 1, (n, 1))
        radius = radius * np.exp(height * np.cos(k * turn + rng.uniform(0, 2 * np.pi, (n, 1))))
    if spikes:
        tips = rng.choice([2, 2, 3, 3, 4, 5], (n, 1))
        for k in range(5):
            place = (k + rng.uniform(-0.3, 0.3, (n, 1))) * 2 * np.pi / tips
            away = np.abs((turn - place + np.pi) % (2 * np.pi) - np.pi)
            height = (k < tips) * rng.uniform(0.0, 1.6, (n, 1))
            width = rng.uniform(0.45, 1.1, (n, 1))
            radius = radius + height * np.maximum(0, 1 - away / width) ** rng.uniform(1.0, 2.0, (n, 1))
    return np.asarray(radius / np.sqrt((radius**2).mean(axis=1, keepdims=True)))


def _warp(rng: np.random.Generator, size: tuple[int, int], population: Population) -> npt.NDArray[np.float32]:
    """Displacements (2, Y, X) in pixels that bend cells and roughen their outlines."""
    strength = population.wobble * population.diameter * 0.4
    if strength < 0.15:
        return np.zeros((2, *size), np.float32)
    scale = max(3.0, population.diameter * 0.7)
    field = np.stack([smooth_noise(rng, size, scale) for _ in range(2)])
    if population.form in {"spread", "branched"}:
        field += 0.35 * np.stack([smooth_noise(rng, size, max(2.5, scale / 5)) for _ in range(2)])
    return np.asarray(field * np.float32(strength), np.float32)


def populate(rng: np.random.Generator, size: tuple[int, int], population: Population) -> Scene:
    """A plane of cells.

    Parameters
    ----------
    rng
        Source of all chance.
    size
        Height and width in pixels.
    population
        What the cells are like.

    Returns
    -------
    Scene
        Pieces of cells smaller than an eighth of the mean cell are left out. Without nuclei; ``add_nuclei`` adds them.

    Raises
    ------
    OptionError
        If the size is not two whole numbers of at least 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = add_nuclei(rng, populate(rng, (96, 96), Population("sheet", diameter=24, coverage=1.0, reach=4.0)))
    >>> scene.labels.shape, bool((scene.labels > 0).all())
    ((96, 96), True)
    """
    from cellpose._labels.kernels import largest_pieces
    from cellpose.synthetic._kernels import close_gaps

    height, width = check_size(size, (1, 1), "height and width in pixels")
    size = (height, width)
    bodies = scatter(rng, size, population)
    painter = {"rods": _paint_rods, "budding": _paint_budding, "rosettes": _paint_rosettes}
    labels, cells = painter.get(population.form, _paint_stars)(rng, size, population, bodies)
    n = len(cells.radii)
    if population.missing > 0:
        lost = np.concatenate([[False], rng.random(n) < population.missing])
        labels[lost[labels]] = 0
    whole, old = largest_pieces(labels[None], n, smallest_piece(population))
    if population.reach > 1.5:  # sheets have no gaps but where cells were taken out
        close_gaps(whole[0], labels)
    return Scene(whole[0], np.zeros(size, np.int32), cells.take(old[1:] - 1), population)


def smallest_piece(population: Population) -> int:
    """Pixels below which a piece of a cell is left out: an eighth of the mean cell."""
    return max(MIN_AREA, int(0.12 * population.diameter**2 * 0.785))


def _blank(size: tuple[int, int]) -> tuple[Labels, Field]:
    return np.zeros(size, np.int32), np.full(size, np.inf, np.float32)


def _paint_stars(
    rng: np.random.Generator, size: tuple[int, int], population: Population, bodies: Bodies
) -> tuple[Labels, Cells]:
    from cellpose.synthetic._kernels import paint_bones, paint_outlines

    labels, level = _blank(size)
    warp = _warp(rng, size, population)
    cells = Cells(bodies.centres, bodies.angles, bodies.radii, bodies.elongation)
    spikes = population.form == "spread"
    radii = outlines(rng, cells.angles, cells.elongation, population.wobble, spikes=spikes) * cells.radii[:, None]
    numbers = np.arange(1, len(radii) + 1, dtype=np.int32)
    paint_outlines(labels, level, warp, numbers, cells.centres, radii, population.reach)
    if population.form == "branched":
        owners, bones = _neurites(rng, cells)
        paint_bones(labels, level, warp, owners, bones, 0.5)
    return labels, cells


def _neurites(rng: np.random.Generator, cells: Cells) -> tuple[Labels, Floats]:
    """Owners (m,) and capsules (m, 6) of the processes of branched cells."""
    owners, bones = [], []
    for i, ((y, x), radius) in enumerate(zip(cells.centres, cells.radii, strict=True), start=1):
        for _ in range(int(rng.integers(2, 6))):
            angle, thick = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.12, 0.32)
            parts = int(rng.integers(3, 9))
            step = radius * rng.uniform(0.5, 1.1)
            at = (y + 0.6 * radius * np.sin(angle), x + 0.6 * radius * np.cos(angle))
            for part in range(parts):
                angle += rng.normal(0, 0.35)
                to = (at[0] + step * np.sin(angle), at[1] + step * np.cos(angle))
                r0, r1 = (max(0.8, thick * (1 - 0.8 * (part + k) / parts)) for k in (0, 1))
                owners.append(i)
                bones.append((*at, r0, *to, r1))
                at = to
    return np.array(owners, np.int32), np.array(bones, np.float64).reshape(-1, 6)


def _paint_rods(
    rng: np.random.Generator, size: tuple[int, int], population: Population, bodies: Bodies
) -> tuple[Labels, Cells]:
    """Bent capsules in chains; long single ones have divided into two that lie end to end."""
    from cellpose.synthetic._kernels import paint_bones

    labels, level = _blank(size)
    long, wide = half_axes(bodies, "rods")
    divided = (bodies.elongation > 1.05 * population.elongation) & (rng.random(len(long)) < 0.8)
    links = np.where((bodies.links == 1) & divided, 2, bodies.links)
    bend = rng.normal(0, 0.12, len(long)) * (1 + population.wobble * 4)
    owners: list[int] = []
    bones: list[tuple[float, ...]] = []
    found: list[tuple[float, ...]] = []
    for i, count in enumerate(links):
        length = 2 * long[i] / count
        kinks = np.cumsum(rng.normal(0, 0.15, count)) if count > 1 else np.zeros(1)
        # four places in each cell, the caps of neighbors meet at the septum
        inset = min(wide[i], length / 2)
        places = (np.linspace(inset, length - inset, 4) + length * np.arange(count)[:, None]).ravel() - long[i]
        turn = bodies.angles[i] + bend[i] * places / long[i] + np.repeat(kinks - kinks.mean(), 4)
        steps = np.diff(places, prepend=places[0])
        y, x = np.cumsum(steps * np.sin(turn)), np.cumsum(steps * np.cos(turn))
        y, x = y - y.mean() + bodies.centres[i, 0], x - x.mean() + bodies.centres[i, 1]
        for first in range(0, 4 * count, 4):
            number = len(found) + 1
            for a in range(first, first + 3):
                owners.append(number)
                bones.append((y[a], x[a], wide[i], y[a + 1], x[a + 1], wide[i]))
            middle = (y[first + 1] + y[first + 2]) / 2, (x[first + 1] + x[first + 2]) / 2
            found.append((*middle, turn[first + 1], np.sqrt(wide[i] * length / 2), length / 2 / wide[i]))
    warp = np.zeros((2, *size), np.float32)
    paint_bones(labels, level, warp, np.array(owners, np.int32), np.array(bones), 0.0)
    table = np.array(found)
    return labels, Cells(table[:, :2], table[:, 2], table[:, 3], table[:, 4])


def _paint_budding(
    rng: np.random.Generator, size: tuple[int, int], population: Population, bodies: Bodies
) -> tuple[Labels, Cells]:
    """Mothers, and at the side of some a bud of any smaller size."""
    mothers = Cells(bodies.centres, bodies.angles, bodies.radii, bodies.elongation)
    budding = np.flatnonzero(bodies.buds)
    parent, radii = mothers.take(budding), bodies.buds[budding]
    away = (parent.radii + radii) * 0.97
    centres = parent.centres + away[:, None] * np.stack([np.sin(parent.angles), np.cos(parent.angles)], 1)
    buds = Cells(centres, parent.angles, radii, np.full(len(budding), 1.1))
    cells = Cells(*(np.concatenate([getattr(mothers, f), getattr(buds, f)]) for f in mothers.__dataclass_fields__))
    return _paint_cells(rng, size, population, cells)


def _paint_rosettes(
    rng: np.random.Generator, size: tuple[int, int], population: Population, bodies: Bodies
) -> tuple[Labels, Cells]:
    """Rings of cells that point to a common middle."""
    rows = []
    for centre, radius in zip(bodies.centres, bodies.radii, strict=True):
        n = int(rng.integers(5, 11))
        turns = (np.arange(n) + rng.uniform(-0.25, 0.25, n)) * 2 * np.pi / n + rng.uniform(0, 2 * np.pi)
        for turn in turns:
            away = radius * rng.uniform(0.5, 0.62)
            own = radius * np.sqrt(0.9 / n) * rng.uniform(0.85, 1.15)
            rows.append((centre[0] + away * np.sin(turn), centre[1] + away * np.cos(turn), turn, own, 1.4))
    table = np.array(rows)
    return _paint_cells(rng, size, population, Cells(table[:, :2], table[:, 2], table[:, 3], table[:, 4]))


def _paint_cells(
    rng: np.random.Generator, size: tuple[int, int], population: Population, cells: Cells
) -> tuple[Labels, Cells]:
    from cellpose.synthetic._kernels import paint_outlines

    labels, level = _blank(size)
    radii = outlines(rng, cells.angles, cells.elongation, population.wobble) * cells.radii[:, None]
    numbers = np.arange(1, len(radii) + 1, dtype=np.int32)
    paint_outlines(labels, level, _warp(rng, size, population), numbers, cells.centres, radii, population.reach)
    return labels, cells


def add_nuclei(rng: np.random.Generator, scene: Scene, share: float = 0.4, *, off_centre: float = 0.15) -> Scene:
    """The scene with a nucleus in each cell that has room for it.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells.
    share
        Diameter of the nucleus in units of the cell's.
    off_centre
        Distance of the nucleus from the middle of the cell in units of the cell's radius.
    """
    from cellpose.synthetic._kernels import paint_outlines

    cells = scene.cells
    n = len(cells.radii)
    if n == 0:
        return scene
    nuclei, level = _blank(scene.shape)
    # where a cell is thin, so is its nucleus
    slim = 1 / np.maximum(1, cells.elongation) ** 0.25
    radii = cells.radii * share * slim * np.exp(rng.normal(0, 0.1, n))
    centres = cells.centres + rng.normal(0, off_centre, (n, 2)) * cells.radii[:, None]
    stretch = np.minimum(cells.elongation, 1.8) ** 0.6 * np.exp(rng.uniform(0, 0.2, n))
    tables = outlines(rng, cells.angles, np.maximum(1.0, stretch), 0.04) * radii[:, None]
    warp = np.zeros((2, *scene.shape), np.float32)
    paint_outlines(nuclei, level, warp, np.arange(1, n + 1, dtype=np.int32), centres, tables, 1.0)
    own = (nuclei == scene.labels) & (scene.depth > min(1.5, 0.06 * scene.diameter))
    return replace(scene, nuclei=np.where(own, nuclei, 0).astype(np.int32))


def soft(mask: npt.NDArray[Any], sigma: float) -> Field:
    """A mask with soft edges."""
    return blur(mask.astype(np.float32), sigma)
