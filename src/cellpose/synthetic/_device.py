"""Microfluidic devices: pillars, traps and channels between which cells grow, and which are not cells themselves."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.synthetic._noise import Field, blur
from cellpose.synthetic._scene import Scene, smallest_piece

__all__ = ["DEVICES", "add_device", "wall_thickness"]

Mask = npt.NDArray[np.bool_]

# A cell that would lie in a wall by more than this share is left out.
_MOST_HIDDEN = 0.3
# How square posts are: at 2 they would be ellipses, which cannot be distinguished from cells.
_SQUARE = (4.0, 10.0)


def add_device(rng: np.random.Generator, scene: Scene, kind: str | None = None) -> Scene:
    """The scene with the walls of a device: cells in walls are gone, those beside them pressed flat.

    Parameters
    ----------
    rng
        Source of all chance.
    scene
        Cells with or without nuclei.
    kind
        "pillars" in rows, "traps" of two or three pillars with a slit for a cell, "channels" that are closed at one
        end, or the "wall" of a chamber; None draws one.

    Returns
    -------
    Scene
        With ``walls``; cells are renumbered.

    Raises
    ------
    OptionError
        If the kind is unknown.
    """
    from cellpose._labels.kernels import largest_pieces

    if kind is not None and kind not in _WALLS:
        message = f"kind of device is {kind!r}; allowed: {', '.join(DEVICES)}, or None for any"
        raise OptionError(message)
    walls = _WALLS[str(rng.choice(DEVICES)) if kind is None else kind](rng, scene)
    area = np.bincount(scene.labels.ravel(), minlength=scene.n + 1)
    hidden = np.bincount(scene.labels[walls], minlength=scene.n + 1)
    stays = hidden <= _MOST_HIDDEN * area
    stays[0] = False
    labels = np.where(stays[scene.labels] & ~walls, scene.labels, 0).astype(np.int32)
    whole, old = largest_pieces(labels[None], scene.n, smallest_piece(scene.population))
    nuclei = np.where(scene.nuclei > 0, whole[0], 0).astype(np.int32)
    return replace(scene, labels=whole[0], nuclei=nuclei, cells=scene.cells.take(old[1:] - 1), walls=walls)


def wall_thickness(rng: np.random.Generator, walls: Mask, diameter: float) -> Field:
    """Optical thickness of walls: flat on top, steep and often beveled at the side, now and then with a seam."""
    depth = cv2.distanceTransform(walls.astype(np.uint8), cv2.DIST_L2, 3)
    bevel = max(1.0, rng.uniform(0.02, 0.25) * diameter)
    top = np.clip(depth / bevel, 0, 1)
    if rng.random() < 0.4:
        seam = rng.uniform(1.5, 4.0) * bevel
        top = top + rng.uniform(-0.5, 0.5) * np.exp(-(((depth - seam) / bevel) ** 2)) * (depth > 0)
    return np.asarray(rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.8) * blur(top, 0.5), np.float32)


def _turned(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Field, Field]:
    """Coordinates along and across the device, which lies nearly straight in most images."""
    angle = rng.uniform(-0.06, 0.06) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    angle += np.pi / 2 * rng.integers(0, 4)
    y, x = np.ogrid[: shape[0], : shape[1]]
    along = np.cos(angle) * x + np.sin(angle) * y
    return along.astype(np.float32), (np.cos(angle) * y - np.sin(angle) * x).astype(np.float32)


def _post(u: Field, v: Field, half: tuple[float, float], corner: float) -> Mask:
    """A box around the origin, the less rounded the greater ``corner`` is."""
    return np.asarray((np.abs(u) / half[0]) ** corner + (np.abs(v) / half[1]) ** corner < 1)


def _lattice(rng: np.random.Generator, scene: Scene, cell: tuple[float, float]) -> tuple[Field, Field]:
    """Coordinates relative to the middle of the nearest place of a lattice; every other row may be shifted."""
    u, v = _turned(rng, scene.shape)
    u, v = u + np.float32(rng.uniform(0, 2 * cell[0])), v + np.float32(rng.uniform(0, 2 * cell[1]))
    row = np.floor(v / cell[1])
    if rng.random() < 0.5:
        u = u + np.float32(cell[0] / 2) * (row % 2)
    return (u % cell[0] - cell[0] / 2).astype(np.float32), (v - (row + 0.5) * cell[1]).astype(np.float32)


def _pillars(rng: np.random.Generator, scene: Scene) -> Mask:
    d = scene.diameter
    half = d * rng.uniform(0.5, 1.5), d * rng.uniform(0.5, 2.0)
    free = rng.uniform(0.8, 4.0, 2) * d
    u, v = _lattice(rng, scene, (2 * half[0] + free[0], 2 * half[1] + free[1]))
    return _post(u, v, half, rng.uniform(*_SQUARE))


def _traps(rng: np.random.Generator, scene: Scene) -> Mask:
    """Two posts side by side with a slit between them, often closed by a third."""
    d = scene.diameter
    half = d * rng.uniform(0.2, 0.9), d * rng.uniform(0.5, 1.8)
    slit, lean = d * rng.uniform(0.5, 1.5), rng.uniform(-0.25, 0.25)
    free = rng.uniform(1.5, 5.0, 2) * d
    u, v = _lattice(rng, scene, (4 * half[0] + slit + free[0], 2 * half[1] + free[1]))
    corner, away = rng.uniform(*_SQUARE), slit / 2 + half[0]
    # posts lean towards each other, so that trapped cells stay
    walls = _post(u - away - lean * v, v, half, corner) | _post(u + away + lean * v, v, half, corner)
    if rng.random() < 0.4:
        walls |= _post(u, v - half[1], (away, half[0] * rng.uniform(0.3, 1.0)), corner)
    return walls


def _channels(rng: np.random.Generator, scene: Scene) -> Mask:
    """Parallel channels, as wide as a cell or a little wider, that open into a trench."""
    d = scene.diameter
    elongation = float(np.median(scene.cells.elongation)) if scene.n else 1.0
    width = d / np.sqrt(elongation) * rng.uniform(0.9, 1.6)
    pitch = width + d * rng.uniform(0.3, 3.0)
    u, v = _turned(rng, scene.shape)
    u, v = (u + np.float32(rng.uniform(0, pitch))) % pitch - pitch / 2, v - v.flat[rng.integers(v.size)]
    length = d * rng.uniform(3, 12)
    return np.asarray((v < 0) & ((np.abs(u) > width / 2) | (v < -length)), bool)


def _wall(rng: np.random.Generator, scene: Scene) -> Mask:
    """Everything beyond a straight or curved line."""
    u, v = _turned(rng, scene.shape)
    side = float(max(scene.shape))
    bend = rng.uniform(-0.3, 0.3) * ((u - u.mean()) / side) ** 2 * side
    place = np.quantile(v, rng.choice([rng.uniform(0.05, 0.35), rng.uniform(0.65, 0.95)]))
    beyond = v + bend > place
    return np.asarray(beyond if beyond.mean() < 0.5 else ~beyond)


_WALLS = {"pillars": _pillars, "traps": _traps, "channels": _channels, "wall": _wall}
DEVICES = tuple(_WALLS)
