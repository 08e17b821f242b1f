"""Training images from pairs of an Image and a Labels layer."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError
from cellpose.napari._layers import is_kind, levels
from cellpose.napari._measuring import same_shape
from cellpose.napari._results import KEY, Found

__all__ = ["Pair", "examples", "pairs"]

Array = npt.NDArray[Any]


class Pair(NamedTuple):
    """A Labels layer, and the Image layer that shows its cells."""

    image: Any
    labels: Any

    @property
    def text(self) -> str:
        """The text that the user sees."""
        return f"{self.labels.name}  on  {self.image.name}"


def pairs(layers: Iterable[Any]) -> list[Pair]:
    """Each Labels layer with its image: the one it was made from, else the most similarly named one of its shape."""
    layers, found = list(layers), []
    for place, labels in enumerate(layers):
        if not is_kind(labels, "Labels") or labels.name.endswith(" outlines"):
            continue
        below = [*layers[:place][::-1], *layers[place + 1 :]]
        fitting = [one for one in below if is_kind(one, "Image") and KEY not in one.metadata and _fits(one, labels)]
        if fitting:
            known = labels.metadata.get(KEY, {}).get("found")
            name = known.source if isinstance(known, Found) else labels.name
            found.append(Pair(max(fitting, key=lambda one: SequenceMatcher(None, one.name, name).ratio()), labels))
    return found


def _fits(image: Any, labels: Any) -> bool:
    array = levels(image)[0]
    return same_shape(levels(labels)[0], array[..., 0] if image.rgb else array)


def examples(chosen: Iterable[Pair]) -> tuple[list[Array], list[Array]]:
    """Images (Y, X) or (Y, X, channel), and labels (Y, X); stacks and movies give all planes that have cells.

    Raises
    ------
    InputError
        If they contain no labels.
    """
    images: list[Array] = []
    labels: list[Array] = []
    for pair in chosen:
        masks, image = np.asarray(levels(pair.labels)[0]), np.asarray(levels(pair.image)[0])
        side = masks.shape[-2:]
        planes = masks.reshape(-1, *side)
        pictures = image.reshape(-1, *side, image.shape[-1]) if pair.image.rgb else image.reshape(-1, *side)
        for plane, picture in zip(planes, pictures, strict=True):
            if plane.any():
                labels.append(np.ascontiguousarray(plane, np.int32))
                images.append(np.ascontiguousarray(picture[..., :3] if pair.image.rgb else picture))
    if not images:
        message = "the chosen layers have no cells; draw some in a Labels layer, or correct those of a run"
        raise InputError(message)
    return images, labels
