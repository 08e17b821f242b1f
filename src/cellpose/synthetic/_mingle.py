"""Scenes of two sorts of cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError
from cellpose.synthetic._noise import smooth_noise
from cellpose.synthetic._population import check_number
from cellpose.synthetic._scene import Cells, Scene, smallest_piece

__all__ = ["mingle"]

# A cell of which the other sort would hide more than this share is left out.
_MOST_HIDDEN = 1 / 3


def mingle(rng: np.random.Generator, one: Scene, other: Scene, share: float) -> Scene:
    """Cells of one scene in patches that fill a share of the plane, those of the other between them.

    Cells of ``other`` that would be hidden by more than a third are left out. The result has the population of ``one``
    and no nuclei.

    Parameters
    ----------
    rng
        Source of all chance.
    one, other
        Scenes of the same size without nuclei.
    share
        Part of the plane that belongs to ``one``, 0 to 1.

    Raises
    ------
    InputError
        If the scenes differ in size.
    OptionError
        If the share is not a number from 0 to 1.
    """
    if one.shape != other.shape:
        message = f"the scenes have {one.shape} and {other.shape} pixels; give two of the same size"
        raise InputError(message)
    check_number("share", share, 0, 1)
    from cellpose._labels.kernels import largest_pieces

    size = np.array(one.shape)
    field = smooth_noise(rng, one.shape, rng.uniform(2, 6) * max(one.diameter, other.diameter))
    patches = field > np.quantile(field, 1 - share) if 0 < share < 1 else np.full(one.shape, share == 1)

    def lie_in_patches(cells: Cells) -> npt.NDArray[np.bool_]:
        y, x = np.clip(np.round(cells.centres), 0, size - 1).astype(int).T
        inside: npt.NDArray[np.bool_] = patches[y, x]
        return inside

    above = np.concatenate([[False], lie_in_patches(one.cells)])[one.labels]
    below = np.concatenate([[False], ~lie_in_patches(other.cells)])
    area, hidden = (
        np.bincount(labels, minlength=other.n + 1) for labels in (other.labels.ravel(), other.labels[above])
    )
    below &= hidden <= area / 3
    labels = np.where(above, one.labels, np.where(below[other.labels], other.labels + one.n, 0)).astype(np.int32)
    fields = one.cells.__dataclass_fields__
    cells = Cells(*(np.concatenate([getattr(scene.cells, name) for scene in (one, other)]) for name in fields))
    least = min(smallest_piece(scene.population) for scene in (one, other))
    whole, old = largest_pieces(labels[None], one.n + other.n, least)
    return Scene(whole[0], np.zeros(one.shape, np.int32), cells.take(old[1:] - 1), one.population)
