"""Tables of the cells of Labels layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import measure
from cellpose.errors import InputError
from cellpose.napari._results import KEY, Found

__all__ = ["images_of", "measure_labels", "same_shape"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]


def same_shape(labels: Array, array: Any) -> bool:
    """Whether image and labels match pixel for pixel; leading axes of length 1 do not count."""
    return _without_ones(np.shape(labels)) == _without_ones(np.shape(array))


def images_of(labels: Any, images: Sequence[Any], active: Any = None) -> list[Any]:
    """The images that the cells were found in; if unknown, the active image, else the first.

    Parameters
    ----------
    labels
        A Labels layer.
    images
        The Image layers of its shape.
    active
        The active layer of the viewer.
    """
    found = labels.metadata.get(KEY, {}).get("found")
    names = (found.source, found.nuclei) if isinstance(found, Found) else ()
    seen = [image for image in images if KEY not in image.metadata]  # not flows and probabilities
    return (
        [image for image in seen if image.name in names] or [image for image in images if image is active] or seen[:1]
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def measure_labels(
    labels: Array,
    images: Sequence[Array] = (),
    properties: Sequence[str] = ("shape", "intensity"),
    *,
    planes: bool = False,
    pixel_size_um: Sequence[float] | None = None,
    nuclei: Array | None = None,
    flows: Sequence[Array] | None = None,
    model: str | None = None,
) -> Columns:
    """Measure cells; for planes or frames that are labeled separately, adds a column ``frame``.

    Parameters
    ----------
    labels
        (Y, X), (Z, Y, X), or with ``planes`` any number of axes before Y and X.
    images
        Channels of the same shape.
    properties
        As in ``measure.table``; intensities are left out if there are no images.
    planes
        Whether each plane has its own numbering.
    pixel_size_um
        Along the axes of ``labels``; None: pixels only.
    nuclei
        Labels of nuclei.
    flows, model
        The flows and cell probability that the labels come from, and the model; adds scores.

    Raises
    ------
    InputError
        If shapes do not match.
    CellposeError
        As raised by ``measure.table``.

    Examples
    --------
    >>> movie = np.zeros((2, 6, 6), int); movie[0, :2, :3] = 1; movie[1, 1:5, 1:5] = 1
    >>> columns = measure_labels(movie, properties=["area"], planes=True)
    >>> {name: column.tolist() for name, column in columns.items()}
    {'frame': [0, 1], 'label': [1, 1], 'area': [6.0, 16.0]}
    """
    shape = _without_ones(labels.shape)
    labels = labels.reshape(shape)
    others = [*images, *([] if nuclei is None else [nuclei])]
    wrong = [np.shape(other) for other in others if not same_shape(labels, other)]
    if wrong:
        message = f"layers of shapes {wrong} do not fit labels of shape {shape}; choose layers of the same shape"
        raise InputError(message)
    if len(shape) > 3 and not planes:
        message = f"labels of shape {shape} are not a stack; measure each plane separately"
        raise InputError(message)
    spacing = None if pixel_size_um is None else list(pixel_size_um)[-len(shape) :]
    channels = [np.asarray(image).reshape(shape) for image in images]
    wanted = [name for name in properties if channels or name not in ("intensity", "texture")]
    if not planes or len(shape) == 2:
        image = None if not channels else channels[0] if len(channels) == 1 else np.stack(channels, -1)
        columns: Columns = measure.table(
            labels, image, wanted, pixel_size_um=spacing, flows=flows, model=model,
            nuclei=None if nuclei is None else np.asarray(nuclei).reshape(shape),
        )  # fmt: skip
        return columns
    side = shape[-2:]
    stacks = [channel.reshape(-1, *side) for channel in channels]
    nucleus_planes = None if nuclei is None else np.asarray(nuclei).reshape(-1, *side)
    tables = []
    for index, plane in enumerate(labels.reshape(-1, *side)):
        part = measure_labels(
            plane, [stack[index] for stack in stacks], properties, pixel_size_um=spacing and spacing[-2:],
            nuclei=None if nucleus_planes is None else nucleus_planes[index],
        )  # fmt: skip
        tables.append({"frame": np.full(len(part["label"]), index), **part})
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
