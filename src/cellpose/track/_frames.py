"""The label images of a movie."""

from __future__ import annotations

from typing import Any

from cellpose._labels.arrays import Labels
from cellpose._labels.check import check_labels
from cellpose.errors import InputError

__all__ = ["Frames", "as_frames"]

Frames = list[Labels]


def as_frames(masks: Any) -> Frames:
    """The label images of a movie, from a stack ``(T, [Z,] Y, X)`` or a sequence of images of one shape.

    Raises
    ------
    InputError
        If there is no frame, or frames differ in shape or hold no labels.
    """
    frames = [check_labels(frame, name=f"frame {t}") for t, frame in enumerate(masks)]
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        told = ", ".join(map(str, sorted(shapes))) or "none"
        message = f"all frames of a movie must have the same shape, but these have: {told}; give masks (T, [Z,] Y, X)"
        raise InputError(message)
    return frames
