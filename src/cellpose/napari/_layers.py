"""From layers to images with named axes, and the placement of results in the world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, InputError
from cellpose.io import Image

__all__ = [
    "LARGE_PIXELS",
    "Source",
    "Taken",
    "check_axes",
    "chosen",
    "guess_axes",
    "is_kind",
    "is_large",
    "levels",
    "sources",
    "take",
]

Array = npt.NDArray[Any]

#: Planes with more pixels are segmented band by band, in memory that grows only with their width.
LARGE_PIXELS = 64_000_000

_COLORS = ("red", "green", "blue", "alpha")
_MOST_CHANNELS = 4  # a longer first axis holds planes or times
_WORDS = {"time": "T", "t": "T", "frame": "T", "z": "Z", "plane": "Z", "c": "C", "channel": "C", "y": "Y", "x": "X"}


@dataclass(frozen=True)
class Source:
    """The intensities of a layer, or of one of its channels.

    Attributes
    ----------
    layer
        An Image layer.
    channel
        Number of the channel, from 0; None: the whole layer.
    text
        The text that the user sees.
    """

    layer: Any
    channel: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Taken:
    """An image read from layers.

    Attributes
    ----------
    image
        With named axes; channels are last if two layers were joined.
    channels
        For U-Nets: the channels of cells and nuclei, 1-based; [0, 0]: gray.
    kept_shape
        Shape of results before they become a layer: axes of length 1 stand for the selected plane.
    placing
        Layer keywords that place results where the source lies: ``scale``, ``translate`` ...
    nuclei
        Name of the layer of nuclei; empty if there is none.
    """

    image: Image
    channels: tuple[int, int]
    kept_shape: tuple[int, ...]
    placing: dict[str, Any]
    nuclei: str = ""


def is_kind(layer: Any, kind: str) -> bool:
    """Whether a layer is an "Image" or a "Labels" layer, judged by its class names, so napari is not needed."""
    return any(known.__name__ == kind for known in type(layer).__mro__)


def sources(layers: Iterable[Any]) -> list[Source]:
    """What can be segmented: Image layers, and each channel of multichannel layers."""
    found = []
    for layer in layers:
        if not is_kind(layer, "Image"):
            continue
        found.append(Source(layer, None, layer.name))
        axes, shape = guess_axes(layer), levels(layer)[0].shape
        if "C" in axes:
            count = shape[axes.index("C")]
            names = _COLORS if layer.rgb else [f"channel {number + 1}" for number in range(count)]
            found += [Source(layer, number, f"{layer.name}: {names[number]}") for number in range(min(count, 8))]
    return found


def chosen(source: Source | None) -> Source:
    """The choice; raises InputError if there is nothing to choose from."""
    if source is None:
        message = "there is no image layer; open an image, or File > Open Sample > Cellpose"
        raise InputError(message)
    return source


def levels(layer: Any) -> list[Any]:
    """The arrays of a layer, finest first; a single one for single-scale layers."""
    return list(layer.data) if getattr(layer, "multiscale", False) else [layer.data]


def guess_axes(layer: Any) -> str:
    """One letter of TZCYX per axis: from the layer's axis labels, else the usual axes for its shape.

    Examples
    --------
    >>> from types import SimpleNamespace as Layer
    >>> guess_axes(Layer(data=np.zeros((30, 64, 64)), rgb=False))
    'ZYX'
    >>> guess_axes(Layer(data=np.zeros((64, 64, 3)), rgb=True))
    'YXC'
    >>> guess_axes(Layer(data=np.zeros((9, 64, 64)), rgb=False, axis_labels=("time", "y", "x")))
    'TYX'
    """
    shape = levels(layer)[0].shape
    ndim = len(shape) - bool(layer.rgb)
    named = "".join(_WORDS.get(str(label).lower(), "?") for label in getattr(layer, "axis_labels", ()))
    if len(named) == ndim and "?" not in named and named.endswith("YX") and len(set(named)) == ndim:
        axes = named
    elif ndim == 3 and shape[0] <= _MOST_CHANNELS:
        axes = "CYX"
    elif ndim == 4 and shape[0] <= _MOST_CHANNELS:
        axes = "CZYX"
    else:
        axes = "CTZYX"[5 - ndim :] if ndim <= 5 else "?" * ndim
    return axes + "C" * bool(layer.rgb)


def check_axes(axes: str, layer: Any) -> str:
    """The axes named by the user, in capitals.

    Raises
    ------
    AxesError
        If they do not fit the layer.
    """
    names, shape = axes.strip().upper(), levels(layer)[0].shape
    letters_fit = len(names) == len(shape) and set(names) <= set("TZCYX") and len(set(names)) == len(names)
    plain = names.replace("C", "")
    if not letters_fit or not plain.endswith("YX") or names.find("C") not in (-1, 0, len(names) - 1):
        message = (
            f"axes {axes!r} do not fit layer {layer.name!r} of shape {tuple(shape)}; give one letter for each axis: "
            "T time, Z plane, Y, X; C channel first or last. Channels elsewhere: split the stack into layers first"
        )
        raise AxesError(message)
    return names


def is_large(layer: Any, level: int = 0) -> bool:
    """Whether a plane of a layer is large enough to be processed band by band."""
    shape = levels(layer)[level].shape
    height, width = shape[-3:-1] if layer.rgb else shape[-2:]
    return bool(height * width > LARGE_PIXELS)


def take(
    cells: Source,
    nuclei: Source | None = None,
    *,
    axes: str | None = None,
    level: int = 0,
    position: Sequence[float] | None = None,
    lazy: bool = False,
) -> Taken:
    """Read the image to segment.

    Parameters
    ----------
    cells, nuclei
        The source that shows the cells, and the source that shows their nuclei.
    axes
        Axes of the layer of cells; None: guess.
    level
        Level of a multiscale layer; 0 is the finest.
    position
        Coordinates in the finest level of the layer of cells: use only the plane there. None: use all.
    lazy
        Keep a single layer as its Dask, Zarr or memory-mapped array; else read it into memory.

    Raises
    ------
    AxesError, InputError
        If the axes do not fit, or the shapes of nuclei and cells differ.
    """
    names = check_axes(axes or guess_axes(cells.layer), cells.layer)
    array, letters = _part(cells, names, level, position)
    channels = (0, 0)
    if nuclei is not None:
        same = names if levels(nuclei.layer)[0].ndim == len(names) else guess_axes(nuclei.layer)
        other, other_letters = _part(nuclei, check_axes(same, nuclei.layer), level, position)
        array, other = (_one_channel(*each) for each in ((array, letters), (other, other_letters)))
        if array.shape != other.shape:
            message = (
                f"{cells.text or cells.layer.name!r} has shape {array.shape} and {nuclei.text or nuclei.layer.name!r} "
                f"{other.shape}; choose a nuclei layer of the same shape, or none"
            )
            raise InputError(message)
        array, letters, channels = np.stack([array, other], axis=-1), letters.replace("C", "") + "C", (1, 2)
    plain = letters.replace("C", "")
    kept = tuple(array.shape[letters.index(letter)] for letter in plain)
    if position is not None:
        kept = (1,) * (len(names.replace("C", "")) - 2) + kept[-2:]
    placing = _placing(cells.layer, names, level, position)
    array = array if lazy else np.asarray(array)
    other_name = "" if nuclei is None else nuclei.layer.name
    return Taken(Image(array, letters, name=cells.layer.name), channels, kept, placing, other_name)


def _part(source: Source, axes: str, level: int, position: Sequence[float] | None) -> tuple[Array, str]:
    """The pixels of a source, with the letters of the remaining axes."""
    array = levels(source.layer)[min(level, len(levels(source.layer)) - 1)]
    index: list[Any] = [slice(None)] * len(axes)
    if source.channel is not None and "C" in axes:
        index[axes.index("C")] = source.channel
    if position is not None:
        spots = dict(zip(axes if not source.layer.rgb else axes[:-1], position, strict=False))
        for axis, letter in enumerate(axes):
            if letter in "TZ":
                step = array.shape[axis] / levels(source.layer)[0].shape[axis]
                index[axis] = min(max(0, round(float(spots[letter]) * step)), array.shape[axis] - 1)
    left = "".join(letter for letter, at in zip(axes, index, strict=True) if isinstance(at, slice))
    return array[tuple(index)], left


def _one_channel(array: Array, letters: str) -> Array:
    """Colors as gray: the mean of at most three."""
    if "C" not in letters:
        return array
    axis = letters.index("C")
    mean: Array = np.take(np.asarray(array), range(min(3, array.shape[axis])), axis).mean(axis, dtype=np.float32)
    return mean


def _placing(layer: Any, axes: str, level: int, position: Sequence[float] | None) -> dict[str, Any]:
    """Keywords for a layer of results: without channels, at the scale of the level, at the selected plane."""
    first = 1 if axes[0] == "C" and not layer.rgb else 0
    all_levels = levels(layer)
    plain = axes[first : -1 if layer.rgb else None]
    sides = np.asarray(getattr(layer, "scale", np.ones(first + len(plain))), float)[first:]
    begin = np.asarray(getattr(layer, "translate", np.zeros(first + len(plain))), float)[first:]
    shapes = [all_levels[number].shape[first : first + len(plain)] for number in (0, level)]
    factor = np.asarray(shapes[0], float) / np.asarray(shapes[1], float)
    begin = begin + sides * (factor - 1) / 2
    if position is not None:
        spots = np.round(np.asarray(position, float)[first : first + len(plain) - 2] / factor[:-2])
        begin[:-2] += sides[:-2] * factor[:-2] * spots
    placing: dict[str, Any] = {"scale": tuple(sides * factor), "translate": tuple(begin)}
    if not first:
        names = ("rotate", "shear", "affine", "units", "axis_labels")
        placing |= {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    return placing
