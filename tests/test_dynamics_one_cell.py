"""The cell at one place, as a click finds it."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import dynamics
from cellpose.errors import InputError


def touching_disks(shape: tuple[int, int] = (300, 420), pitch: int = 30, radius: int = 16) -> np.ndarray:
    """Disks that press on each other: label k lies at row k // columns, column k % columns of a grid."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    rows, columns = shape[0] // pitch, shape[1] // pitch
    row, column = np.minimum(y // pitch, rows - 1), np.minimum(x // pitch, columns - 1)
    inside = np.hypot(y - (row + 0.5) * pitch, x - (column + 0.5) * pitch) <= radius
    return np.where(inside, row * columns + column + 1, 0).astype(np.int32)


CELLS = touching_disks()
FLOWS = 5 * dynamics.masks_to_flows(CELLS)
LOGITS = np.where(CELLS, 4.0, -9.0).astype(np.float32)


def test_each_cell_is_that_of_the_whole_image() -> None:
    masks = dynamics.compute_masks(FLOWS, LOGITS)
    assert masks.max() == CELLS.max()
    finder = dynamics.CellFinder(FLOWS, LOGITS, reach_px=40)
    rng = np.random.default_rng(0)
    for label in rng.choice(np.arange(1, masks.max() + 1), 40, replace=False):
        y, x = rng.choice(np.argwhere(masks == label))
        found = finder.at(int(y), int(x))
        assert found is not None
        (top, left), mask = found
        whole = np.zeros(masks.shape, bool)
        whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        assert np.count_nonzero(whole & (masks == label)) / np.count_nonzero(whole | (masks == label)) > 0.97


def test_the_threshold_makes_cells_smaller_and_larger() -> None:
    y, x = np.mgrid[: CELLS.shape[0], : CELLS.shape[1]]
    logits = (16 - np.hypot((y % 30) - 15, (x % 30) - 15)).astype(np.float32)  # falls by 1 per pixel from the middle
    finder = dynamics.CellFinder(FLOWS, logits)
    sizes = []
    for threshold in (0.0, 4.0, 8.0):
        found = finder.at(45, 45, threshold)
        assert found is not None
        sizes.append(int(found[1].sum()))
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2] > 0
    assert finder.at(45, 45, 20.0) is None


def test_background_and_places_outside_have_no_cell() -> None:
    logits = np.where(CELLS, 4.0, -9.0)
    logits[:60] = -9.0
    finder = dynamics.CellFinder(FLOWS, logits)
    assert finder.at(15, 15) is None
    for place in ((-1, 5), (5, 420), (300, 0)):
        assert finder.at(*place) is None
    assert finder.at(75, 75) is not None


def test_cells_across_squares_are_whole() -> None:
    finder = dynamics.CellFinder(FLOWS, LOGITS)
    found = [finder.at(255, 255 + step) for step in (-3, -1, 0, 1, 3)]
    assert len({place[0] for place in found if place}) == 1
    assert len({int(place[1].sum()) for place in found if place}) == 1


def test_holes_are_filled() -> None:
    logits = LOGITS.copy()
    logits[44:46, 44:46] = -9.0
    found = dynamics.CellFinder(FLOWS, logits).at(40, 40)
    assert found is not None
    assert found[1][45 - found[0][0], 45 - found[0][1]]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 5, 5\)"):
        dynamics.CellFinder(np.zeros((3, 5, 5)), np.zeros((5, 5)))
