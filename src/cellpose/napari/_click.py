"""Adding and removing single cells with a click."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from cellpose.errors import InputError
from cellpose.napari._results import KEY, finder_at

__all__ = ["Clicks", "cell_at"]


def cell_at(labels: Any, finder: Any, index: tuple[int, ...], threshold: float) -> tuple[tuple[Any, ...], int] | None:
    """The change made by a click on a pixel: pixel indices and their new label; None if there is nothing to change.

    Parameters
    ----------
    labels
        (..., Y, X).
    finder
        Cell finder for the plane of the pixel.
    index
        The pixel.
    threshold
        Pixels with higher logits belong to the cell.

    Examples
    --------
    >>> cell_at(np.array([[0, 7], [7, 7]]), None, (1, 1), 0.0)
    ((array([0, 1, 1]), array([1, 0, 1])), 0)
    """
    lead, (y, x) = index[:-2], index[-2:]
    plane = np.asarray(labels[lead])
    number = int(plane[y, x])
    if number:
        rows, columns = np.nonzero(plane == number)
        return _leading(lead, rows, columns), 0
    found = finder.at(y, x, threshold)
    if found is None:
        return None
    (top, left), mask = found
    free = mask & (plane[top : top + mask.shape[0], left : left + mask.shape[1]] == 0)
    rows, columns = np.nonzero(free)
    return _leading(lead, rows + top, columns + left), int(np.max(labels)) + 1


def _leading(lead: tuple[int, ...], rows: Any, columns: Any) -> tuple[Any, ...]:
    return (*(np.full(len(rows), at) for at in lead), rows, columns)


class Clicks:
    """Clicks in the viewer that add and remove cells in the layer made by a run.

    Parameters
    ----------
    viewer
        The napari viewer.
    layer, threshold
        Functions that return the layer and the probability threshold at the time of a click.
    tell
        Function that shows a message.
    """

    def __init__(
        self, viewer: Any, layer: Callable[[], Any], threshold: Callable[[], float], tell: Callable[[str], None]
    ) -> None:
        self._viewer, self._layer, self._threshold, self._tell = viewer, layer, threshold, tell
        self._finders: tuple[Any, dict[tuple[int, ...], Any]] = (None, {})

    def turn(self, on: bool) -> None:
        """Start or stop listening."""
        callbacks = self._viewer.mouse_drag_callbacks
        if self._pressed in callbacks:
            callbacks.remove(self._pressed)
        if on:
            callbacks.append(self._pressed)
            layer = self._layer()
            if layer is not None:
                self._viewer.layers.selection.active = layer
                layer.mode = "pan_zoom"
            self._tell(
                "while the layer of cells is selected, click on the background to add the cell there, on a cell to "
                "remove it; Ctrl+Z undoes"
            )

    def _is_meant(self, event: Any) -> bool:
        """Whether a press is not one for napari's tools, menus or other layers."""
        layer = self._layer()
        active = self._viewer.layers.selection.active
        ours = layer is None or (active is layer and layer.mode == "pan_zoom")
        return bool(ours and event.button == 1 and not event.modifiers)

    def _pressed(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        if not self._is_meant(event):
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            self.click(event.position)

    def click(self, position: Any) -> None:
        """Add or remove the cell at a position in world coordinates."""
        layer = self._layer()
        if layer is None:
            self._tell("segment the image first; then a click adds and removes cells")
            return
        index = tuple(round(float(at)) for at in layer.world_to_data(position))
        if any(not 0 <= at < size for at, size in zip(index, layer.data.shape, strict=True)):
            return
        try:
            change = cell_at(layer.data, self._finder(layer, index[:-2]), index, self._threshold())
        except InputError as error:
            self._tell(str(error))
            return
        if change is None:
            self._tell("no cell was found there; lower the probability threshold to find more")
            return
        indices, number = change
        layer.data_setitem(indices, number)
        self._tell(f"added cell {number}" if number else "removed a cell")

    def _finder(self, layer: Any, lead: tuple[int, ...]) -> Any:
        found = layer.metadata[KEY]["found"]
        if self._finders[0] is not found:
            self._finders = (found, {})
        if lead not in self._finders[1]:
            self._finders[1][lead] = finder_at(found, lead)
        return self._finders[1][lead]
