"""What a population of cells is like, and where its cells lie and how they are turned."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError

__all__ = ["FORMS", "Bodies", "Population", "scatter"]

Floats = npt.NDArray[np.float64]

FORMS = ("round", "elongated", "spread", "branched", "sheet", "rods", "budding", "rosettes")
MAX_BODIES = 6000
LONGEST_CHAIN = 16
_LIMITS = {
    "diameter": (2.0, 2000.0), "variation": (0.0, 1.0), "coverage": (0.0, 2.0), "clump": (1.0, 1e4),
    "gap": (0.3, 3.0), "reach": (0.5, 10.0), "elongation": (1.0, 20.0), "wobble": (0.0, 0.6), "alignment": (0.0, 1.0),
    "missing": (0.0, 1.0), "chain": (1.0, 30.0),
}  # fmt: skip


@dataclass(frozen=True)
class Population:
    """Cells of one sort.

    Attributes
    ----------
    form
        One of ``FORMS``. "sheet" fills the plane with polygons, "rods" divide, "budding" cells carry smaller ones,
        "rosettes" are rings of wedges.
    diameter
        Of the disc that has the mean cell's area, in pixels.
    variation
        Standard deviation of the logarithm of the diameter.
    coverage
        Share of the plane that cells would cover without overlaps.
    clump
        Mean number of cells that lie together; 1 scatters them.
    gap
        Distance of the centers of touching cells in units of the sum of their radii; below 1 they press together.
    reach
        How far cells grow into free space, in units of their radius; 1 keeps their own outline.
    elongation
        Length by width.
    wobble
        Irregularity of the outline in units of the radius.
    alignment
        0 turns each cell at random, 1 gives all cells of a clump the same direction.
    missing
        Share of cells taken out again, which leaves holes in sheets.
    chain
        Mean number of rods that hang together end to end; 1 leaves them single or just divided.
    """

    form: str = "round"
    diameter: float = 30.0
    variation: float = 0.15
    coverage: float = 0.4
    clump: float = 1.0
    gap: float = 1.0
    reach: float = 1.0
    elongation: float = 1.2
    wobble: float = 0.05
    alignment: float = 0.0
    missing: float = 0.0
    chain: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            message = f"form is {self.form!r}; allowed: {', '.join(FORMS)}"
            raise OptionError(message)
        check_limits(self, _LIMITS)


def check_limits(options: Any, limits: dict[str, tuple[float, float]]) -> None:
    """Raise OptionError where a field of a dataclass is outside its limits."""
    for field in fields(options):
        if field.name in limits:
            check_number(f"{type(options).__name__}.{field.name}", getattr(options, field.name), *limits[field.name])


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise OptionError unless the value is a number from ``low`` to ``high``."""
    if not isinstance(value, numbers.Real) or not low <= float(value) <= high:
        message = f"{name} is {value!r}; allowed: {low:g} to {high:g}"
        raise OptionError(message)


def check_size(size: Any, least: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The sides as whole numbers; OptionError if they are not as many as ``least``, or one is smaller or broken."""
    sides = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else ()
    whole = all(isinstance(side, numbers.Real) and float(side).is_integer() for side in sides)
    if len(sides) != len(least) or not whole or any(side < low for side, low in zip(sides, least, strict=True)):
        message = f"size is {size!r}; give {what}: whole numbers of at least {', '.join(map(str, least))}"
        raise OptionError(message)
    return tuple(int(side) for side in sides)


@dataclass(frozen=True)
class Bodies:
    """Rigid bodies after packing: a row of discs each, as ``settle`` takes them.

    ``centres`` (n, 2) y, x; ``angles`` (n,) from x to y; ``radii`` (n,) of the disc of equal area; ``elongation`` (n,)
    length by width; ``buds`` (n,) radius of the bud that lies in the direction of the angle, 0 for none; ``links`` (n,)
    number of rods in the body.
    """

    centres: Floats
    angles: Floats
    radii: Floats
    elongation: Floats
    buds: Floats
    links: npt.NDArray[np.int64]


def scatter(rng: np.random.Generator, size: tuple[int, int], population: Population) -> Bodies:
    """Centres, angles and sizes of the cells of a population, clumped and packed as it says.

    The plane is extended by a cell on each side, so that its border cuts cells as in a real field of view.
    """
    radius = population.diameter / 2
    rosettes = population.form == "rosettes"
    margin = population.diameter * (0.7 if not rosettes else 1.5)
    height, width = (side + 2 * margin for side in size)
    members = {"rosettes": 5.0, "budding": 1.25, "rods": population.chain}.get(population.form, 1.0)
    one = np.pi * radius**2 * np.exp(2 * population.variation**2) * members
    count = population.coverage * height * width / one
    n = int(min(max(1, np.floor(count + rng.random())), MAX_BODIES))
    radii = radius * np.exp(rng.normal(0, population.variation, n))
    if rosettes:
        radii *= 2.2
    groups = max(1, round(n / population.clump)) if population.clump > 1 else n
    member = rng.integers(0, groups, n) if groups < n else np.arange(n)
    middles = rng.uniform(0, 1, (groups, 2)) * (height, width) - margin
    middles[0] = rng.uniform(0, 1, 2) * size  # one is in the plane, or nearly so
    width_of = 0.75 * radius * np.sqrt(np.bincount(member, minlength=groups))[member]
    centres = middles[member]
    if groups < n:
        centres = centres + rng.normal(0, 1, (n, 2)) * width_of[:, None]
    order = np.argsort(centres[:, 0], kind="stable")  # the order that packing sorts later is then almost right
    centres, member = centres[order], member[order]
    own = (rng.uniform(0, np.pi, groups) if population.clump > 1 else np.full(groups, rng.uniform(0, np.pi)))[member]
    angles = own + (1 - population.alignment) * rng.uniform(-np.pi / 2, np.pi / 2, n)
    angles += np.pi * rng.integers(0, 2, n)
    elongation = np.maximum(1.0, 1 + (population.elongation - 1) * np.exp(rng.normal(0, 0.25, n)))
    if population.form == "rods":
        elongation = np.maximum(1.2, population.elongation * rng.uniform(0.7, 1.5, n))
    buds = np.zeros(n)
    if population.form == "budding":
        buds = radii * rng.uniform(0.35, 0.9, n) * (rng.random(n) < 0.6)
    links = np.ones(n, np.int64)
    if population.form == "rods" and population.chain > 1:
        links += np.minimum(rng.poisson(population.chain - 1, n), LONGEST_CHAIN - 1)
        radii, elongation = radii * np.sqrt(links), elongation * links
    bodies = Bodies(centres, angles, radii, elongation, buds, links)
    _settle(bodies, population)
    return bodies


def half_axes(bodies: Bodies, form: str) -> tuple[Floats, Floats]:
    """Half of the length and half of the width of each body, so that its area is that of its disc."""
    if form == "rods":  # a capsule: pi w^2 + 4 w (l - w) = pi r^2
        half_width = bodies.radii * np.sqrt(np.pi / (np.pi + 4 * (bodies.elongation - 1)))
        return half_width * bodies.elongation, half_width
    root = np.sqrt(bodies.elongation)
    return bodies.radii * root, bodies.radii / root


def _settle(bodies: Bodies, population: Population) -> None:
    """Pack the bodies, in place."""
    from cellpose.synthetic._kernels import settle

    long, wide = half_axes(bodies, population.form)
    aspect = float((long / wide).max())
    most = 11 if population.chain == 1 else 41
    discs = 1 if aspect < 1.3 else min(most, 2 * int(np.ceil(aspect / 2)) + 1)
    places = np.linspace(-1, 1, discs) if discs > 1 else np.zeros(1)
    offsets = places[None] * (long - wide)[:, None]
    # an ellipse is narrower towards its ends, a capsule is not
    slim = np.ones(discs) if population.form == "rods" else 1 - 0.15 * places**2
    radii = (wide if discs > 1 else bodies.radii)[:, None] * slim[None]
    if population.form == "spread":
        radii = radii * 0.75
    if population.form == "budding":
        offsets = np.stack([np.zeros(len(bodies.radii)), 0.97 * (bodies.radii + bodies.buds)], axis=1)
        offsets[bodies.buds == 0] = 0
        radii = np.stack([bodies.radii, bodies.buds], axis=1)
    steps = 60 if population.clump > 1 or population.coverage > 0.3 else 25
    settle(bodies.centres, bodies.angles, offsets, radii, population.gap, steps)
