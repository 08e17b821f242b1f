"""2D training images cut from 3D stacks, in the three directions in which volumes are segmented."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellpose import io, transforms, utils
from cellpose._labels.arrays import compact, renumber
from cellpose._machine.writing import make_folder
from cellpose._progress.stages import stage
from cellpose.errors import InputError, OptionError
from cellpose.io import SiblingFiles, read_labels
from cellpose.options import Normalization
from cellpose.train._earlier_slices import replacing_earlier
from cellpose.transforms import PLANE_VIEWS, Preparation

__all__ = ["Slice", "cut_slices", "make_slices"]

logger = logging.getLogger("cellpose.train")

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

# Pieces of cells with fewer pixels are not useful examples.
_LEAST_PIXELS = 5


@dataclass(frozen=True)
class Slice:
    """A training image cut from a stack.

    Attributes
    ----------
    view
        Axes of the plane: ``"YX"``, ``"ZY"`` or ``"ZX"``.
    image
        (y, x, channel), of the dtype of the stack.
    masks
        Labels 1..n (y, x), uint16 or uint32, each one connected piece; None if the stack has none.
    """

    view: str
    image: Array
    masks: Array | None


def cut_slices(
    stack: Array,
    masks: Array | None = None,
    *,
    per_view: int = 10,
    crop_size: int = 512,
    anisotropy: float = 1.0,
    seed: int = 0,
) -> Iterator[Slice]:
    """Cut planes of a stack in random order, as training images for networks that segment volumes.

    Parameters
    ----------
    stack
        (z, y, x, channel), any real dtype.
    masks
        True labels (z, y, x); if given, only planes with labels are used.
    per_view
        Maximum number of planes in each of the directions YX, ZY and ZX.
    crop_size
        Longest side in pixels; larger planes are cropped at a random place.
    anisotropy
        Distance between planes divided by the size of a pixel; planes that contain z are stretched by it.
    seed
        Seed of the random choices.

    Yields
    ------
    Slice
        A cell that a plane cuts into several pieces becomes several cells.

    Raises
    ------
    InputError
        If the stack does not have four axes, or the masks have another shape.
    OptionError
        If a number is not allowed.

    Examples
    --------
    >>> stack = np.zeros((4, 30, 40, 1), np.uint8)
    >>> [(s.view, s.image.shape) for s in cut_slices(stack, per_view=1, anisotropy=2)]
    [('YX', (30, 40, 1)), ('ZY', (8, 30, 1)), ('ZX', (8, 40, 1))]
    """
    _check(stack, masks, per_view, crop_size, anisotropy)
    rng = np.random.default_rng(seed)
    for view in (PLANE_VIEWS[0], PLANE_VIEWS[2], PLANE_VIEWS[1]):
        planes = view.planes(stack)
        labels = None if masks is None else view.planes(masks)
        numbers = rng.permutation(len(planes))
        if labels is not None:
            numbers = np.array([n for n in numbers if labels[n].any()], np.int64)
        # All crops of a direction are cut at one place.
        part = rng.random(2)
        stretch = anisotropy if view.name.startswith("Z") else 1.0
        for n in numbers[:per_view]:
            image = _crop(_stretched(planes[n], stretch, cv2.INTER_LINEAR), crop_size, part)
            true = None
            if labels is not None:
                true = _pieces(_crop(_stretched(labels[n], stretch, cv2.INTER_NEAREST), crop_size, part))
            yield Slice(view.name, image, true)


def make_slices(
    files: Sequence[PathLike],
    folder: PathLike,
    *,
    channel_axis: int | None = None,
    z_axis: int | None = None,
    channels: Sequence[int] | None = None,
    normalization: Normalization | None = None,
    per_view: int = 10,
    crop_size: int = 512,
    anisotropy: float = 1.0,
    mask_filter: str = "_masks",
    seg: bool = False,
    on_error: Callable[[Path, Exception], None] | None = None,
) -> list[Path]:
    """Cut training images from files of stacks, with their masks if there are any.

    Parameters
    ----------
    files
        Stacks. Masks are searched beside each: ``<name><mask_filter>.tif`` (or .npy, .png), else ``<name>_seg.npy``.
    folder
        Where ``<name>_<view>_<number>.tif`` and ``..._masks.tif`` are written; created if missing. Stacks of equal
        names get the names of their folders, too, and those of a movie ``_t<time>`` behind the name. Slices that an
        earlier run cut of the same stack are replaced. Those that were changed since stay as they are, with a warning,
        also in place of new ones of their names.
    channel_axis, z_axis
        Axes of channels and planes, counted in the axes of the file; None: from the file, else inferred from the shape.
        Of a movie the stack of each time is cut.
    channels
        Two channels to keep, counted from 1, as U-Nets take them; None: up to three in their order.
    normalization
        How to scale intensities before cutting, to float32; None: unchanged.
    per_view, crop_size, anisotropy
        As in `cut_slices`.
    mask_filter
        Ending of mask names.
    seg
        Also write each slice with masks as ``_seg.npy``, for the window.
    on_error
        Called with each stack that cannot be cut and the reason, before the others continue; None: raise the error.

    Returns
    -------
    list of Path
        The images that were written; not those that stay.

    Raises
    ------
    InputError
        If a file holds no stack, or only planes through time, or its masks have another shape, or two stacks would have
        slices of the same names.
    FileReadError, FileWriteError
        If a file cannot be read or written.
    """
    target = make_folder(folder)
    stacks = [Path(file) for file in dict.fromkeys(map(os.path.abspath, files))]
    names = _names(stacks)
    written: list[Path] = []
    advance = stage("cutting", len(files), "stacks")

    def cut(file: Path, name: str) -> None:
        masks = _masks_of(file, mask_filter)
        images: list[Path] = []
        image = io.read_image(file)
        with replacing_earlier(target, name) as (stay, made):
            for time, (stack, axes, labels) in enumerate(_stacks(image, masks, channel_axis, z_axis)):
                preparation = Preparation(channels, channel_axis=axes["C"], z_axis=axes["Z"], stack=True)
                view = preparation.view(stack) if channels is None else preparation.arranged(stack)
                if normalization is not None:
                    view = transforms.apply_normalization(view, normalization)
                slices = cut_slices(
                    view, labels, per_view=per_view, crop_size=crop_size, anisotropy=anisotropy, seed=time
                )
                of_time = "" if stack is image.data else f"_t{time}"
                for number, one in enumerate(slices):
                    path = target / f"{name}{of_time}_{one.view}_{number}.tif"
                    if path.stem not in stay:
                        _write(path, one, made, seg=seg)
                        images.append(path)
        written.extend(images)
        logger.info("%s: %d slices %s masks", file.name, len(images), "without" if masks is None else "with")

    for index, (file, name) in enumerate(zip(stacks, names, strict=True)):
        advance(index)
        try:
            cut(file, name)
        except OptionError:  # of all stacks
            raise
        except Exception as error:
            if on_error is None:
                raise
            on_error(file, error)
    return written


def _names(stacks: Sequence[Path]) -> list[str]:
    """How the names of each stack's slices begin: with its own, after those of its folders where others have it."""
    shared = {stem for stem, count in Counter(stack.stem for stack in stacks).items() if count > 1}
    folders = [stack.absolute().parent for stack in stacks]
    pairs = list(zip(folders, stacks, strict=True))
    above = os.path.commonpath([folder for folder, stack in pairs if stack.stem in shared]) if shared else ""
    names = [
        "_".join((*(folder.relative_to(above).parts if stack.stem in shared else ()), stack.stem))
        for folder, stack in pairs
    ]
    first: dict[str, Path] = {}
    for stack, name in zip(stacks, names, strict=True):
        if first.setdefault(name, stack) is not stack:
            message = f"the slices of {first[name]} and {stack} would both be named {name}_...; rename one of them"
            raise InputError(message)
    return names


def _stacks(
    image: io.Image, masks: Array | None, channel_axis: int | None, z_axis: int | None
) -> Iterator[tuple[Array, dict[str, int | None], Array | None]]:
    """The stack of each time, where its channels and planes are, and its masks; the image itself if it has no times."""
    axes = {"C": _axis(image, "C", channel_axis), "Z": _axis(image, "Z", z_axis)}
    t = image.axis("T") if image.declares("T") else None
    if t is None or t in axes.values():
        yield image.data, axes, masks
        return
    count = image.data.shape[t]
    if axes["Z"] is None:
        message = (
            f"an image with axes {image.axes} of shape {image.data.shape} has time points but no planes; train on its "
            f"frames as they are, or, if the time points are planes, give --z_axis {t} (z_axis={t})"
        )
        raise InputError(message)
    if masks is not None and (masks.ndim != 4 or len(masks) != count):
        message = f"masks of shape {masks.shape} do not fit {count} times; they must be (t, z, y, x)"
        raise InputError(message)
    axes = {letter: None if axis is None else axis - (axis > t) for letter, axis in axes.items()}
    for time in range(count):
        yield image.data.take(time, t), axes, None if masks is None else masks[time]


def _axis(image: io.Image, letter: str, number: int | None) -> int | None:
    """The axis that the caller gives, else the one that the file declares."""
    if number is not None:
        return image.place(letter, number)
    return image.axis(letter) if image.declares(letter) else None


def _check(stack: Array, masks: Array | None, per_view: int, crop_size: int, anisotropy: float) -> None:
    if stack.ndim != 4 or 0 in stack.shape:
        message = f"a stack of shape {stack.shape} cannot be cut; give (z, y, x, channel), all above 0"
        raise InputError(message)
    if masks is not None and masks.shape != stack.shape[:3]:
        message = (
            f"masks of shape {masks.shape} do not fit a stack of {stack.shape[:3]}; both must be (z, y, x) of equal "
            "size"
        )
        raise InputError(message)
    if per_view < 1 or crop_size < 16 or not 0 < anisotropy < np.inf:
        message = (
            f"per_view={per_view}, crop_size={crop_size}, anisotropy={anisotropy:g} are not allowed; give at least 1 "
            "slice, 16 pixels, and an anisotropy above 0"
        )
        raise OptionError(message)


def _stretched(plane: Array, factor: float, interpolation: int) -> Array:
    """A plane whose first axis is z, with square pixels."""
    if factor == 1:
        return plane
    height = transforms.scaled_shape(plane.shape[:1], (factor,))[0]
    stretched: Array = transforms.resize_safe(np.ascontiguousarray(plane), height, plane.shape[1], interpolation)
    return stretched


def _crop(plane: Array, side: int, part: NDArray[np.float64]) -> Array:
    y, x = (int(p * (max(0, n - side) + 1)) for p, n in zip(part, plane.shape[:2], strict=True))
    return plane[y : y + side, x : x + side]


def _pieces(labels: Array) -> Array:
    """Each connected piece of each label with its own number, without the smallest pieces."""
    from scipy import ndimage

    cells, _ = renumber(labels)
    numbers, count = np.zeros(labels.shape, np.int32), 0
    for cell, box in enumerate(ndimage.find_objects(cells), 1):
        pieces, n = ndimage.label(cells[box] == cell)
        for piece in range(1, n + 1):
            inside = pieces == piece
            if inside.sum() >= _LEAST_PIXELS:
                count += 1
                numbers[box][inside] = count
    return compact(numbers)


def _masks_of(file: Path, mask_filter: str) -> Array | None:
    """The labels (z, y, x) beside an image; None if there are none."""
    beside, stem = SiblingFiles(), str(file.with_suffix(""))
    path = beside.one_of(stem, [mask_filter + suffix for suffix in (".tif", ".tiff", ".npy", ".png")])
    if path is not None:
        return np.asarray(read_labels(path))
    path = beside.one_of(stem, ("_seg.npy",))
    return None if path is None else io.read_seg(path).masks


def _write(path: Path, one: Slice, made: list[Path], *, seg: bool) -> None:
    """Write a slice over one that nobody has changed, and enter its files in ``made``."""
    masks_path, seg_path = (path.with_name(path.stem + ending) for ending in ("_masks.tif", "_seg.npy"))
    for earlier in (masks_path, seg_path):  # would be taken for the truth of this image, also if the run stops here
        earlier.unlink(missing_ok=True)
    image = one.image[..., 0] if one.image.shape[-1] == 1 else one.image
    made.append(path)
    io.imsave(str(path), np.ascontiguousarray(image))
    if one.masks is None:
        return
    made.append(masks_path)
    io.imsave(str(masks_path), one.masks)
    if seg:
        content = {
            "outlines": one.masks * utils.masks_to_outlines(one.masks),
            "masks": one.masks,
            "ismanual": np.ones(int(one.masks.max(initial=0)), bool),  # training data counts as corrected
            "filename": str(path),
        }
        made.append(seg_path)
        io.write_seg(seg_path, content)
