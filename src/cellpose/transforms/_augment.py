"""Random flips, rotations, scalings and crops of images together with their flows.

A rotated image needs rotated flows: the vectors turn with the picture, not only their positions. Both
published recipes are here: the one of the U-Net models (affine warp of OpenCV, NumPy arrays) and the one of the
transformer models (sampling grid of PyTorch, tensors). They draw different random numbers in a different order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError, OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["random_rotate_and_resize"]

Floats = npt.NDArray[np.floating[Any]]

_CV2_LONGEST_SIDE = 32767  # OpenCV keeps coordinates in int16 when it warps


def random_rotate_and_resize(
    X: Sequence[Any] | None = None,
    Y: Sequence[Any] | None = None,
    scale_range: float | None = 1.0,
    xy: tuple[int, int] | int | None = None,
    do_3D: bool = False,
    zcrop: int = 48,
    do_flip: bool = True,
    rotate: bool = True,
    rescale: Any = None,
    unet: bool = False,
    random_per_image: bool = True,
    *,
    imgs: Sequence[Any] | None = None,
    lbls: Sequence[Any] | None = None,
    bsize: int | tuple[int, int] | None = None,
    device: Any = None,
    rng: np.random.RandomState | None = None,
) -> tuple[Any, Any, npt.NDArray[np.float32]]:
    """Random flip, rotation, scale and crop of each image and of its labels.

    Two forms share this name. Given ``imgs``, ``lbls``, ``bsize``, ``device`` or a single number for ``xy`` it is the
    recipe of the transformer models and returns tensors; otherwise the recipe of the U-Net models, with arrays.

    Parameters
    ----------
    X, imgs
        Images, each float ``(C, Ly, Lx)``, or ``(C, Lz, Ly, Lx)`` with ``do_3D``; none is modified.
    Y, lbls
        Labels of the same sizes, each ``(K, Ly, Lx)``: the last two channels are the flows ``(dY, dX)`` (with
        ``do_3D`` the last three, ``(dZ, dY, dX)``), which turn with the image; channels before the cell probability
        (label numbers, classes), and the first
        channel in the U-Net form, are sampled at the nearest pixel.
    scale_range
        Width of the range of random scales around 1, clipped to 0–2; None: scales between 1/4 and 4, uniform in
        their logarithm.
    xy
        ``(rows, columns)`` of the results in pixels, 224 × 224 if not given (U-Net form).
    do_3D, zcrop
        Crop ``zcrop`` planes of stacks as well (U-Net form).
    do_flip, rotate
        Allow flips along x and rotations (U-Net form).
    rescale
        One number per image by which the random scale is divided, such as diameter / mean diameter.
    unet
        The labels have no flow channels: nothing is turned (U-Net form).
    random_per_image
        Draw for each image; False: all images share the transformation of the first (U-Net form).
    bsize
        Side, or ``(rows, columns)``, of the results in pixels, 256 if not given (transformer form).
    device
        Device of the tensors (transformer form); None: CPU.
    rng
        Source of random numbers; None: NumPy's global one, so that ``np.random.seed`` rules.

    Returns
    -------
    images
        float32 ``(n, C, rows, columns)``.
    labels
        float32 ``(n, K, rows, columns)``; without labels an empty list (U-Net form) or None (transformer form).
    scales
        float32 ``(n,)``, the scale applied to each image, ``rescale`` included.

    Raises
    ------
    InputError
        Lists of different lengths, or images and labels of different sizes.
    OptionError
        An output size, crop or scale that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> images = [np.ones((2, 60, 80), np.float32)]
    >>> crops, labels, scales = random_rotate_and_resize(images, scale_range=0.5, xy=(32, 48))
    >>> crops.shape, labels, scales.shape
    ((1, 2, 32, 48), [], (1,))
    """
    transformer = any(a is not None for a in (imgs, lbls, bsize, device)) or isinstance(xy, (int, np.integer))
    images: Sequence[Any] = X if X is not None else imgs if imgs is not None else []
    labels = lbls if Y is None else Y
    _check_lists(images, labels, rescale)
    rng = rng or _global_rng()
    if transformer:
        size = bsize if bsize is not None else xy
        rows, columns = _output_size(256 if size is None else size)
        return _augment_transformer(images, labels, scale_range, (rows, columns), rescale, device, rng)
    recipe = _Recipe(
        _clipped(scale_range), _output_size(224 if xy is None else xy), zcrop if do_3D else None, do_flip, rotate, unet
    )
    return _augment_unet(images, labels, recipe, rescale, random_per_image, rng)


@dataclass(frozen=True)
class _Recipe:
    """The settings of the U-Net form."""

    scale_range: float | None
    size: tuple[int, int]
    zcrop: int | None
    do_flip: bool
    rotate: bool
    unet: bool

    def __post_init__(self) -> None:
        if self.zcrop is not None and self.zcrop < 1:
            message = f"zcrop={self.zcrop} is not allowed; give a number of planes, at least 1"
            raise OptionError(message)


@dataclass(frozen=True)
class _Draw:
    """The random transformation of one image: ``matrix`` maps source (x, y) to output (x, y)."""

    flip: bool
    angle: float
    scale: np.float32
    matrix: Floats
    flip_z: bool = False
    planes: tuple[int | None, int | None] = (None, None)


# ---------------------------------------------------------------------------------------------------------- checks


def _check_lists(images: Sequence[Any], labels: Sequence[Any] | None, rescale: Any) -> None:
    if len(images) == 0:
        message = "no images were given; give a list of arrays (C, Ly, Lx)"
        raise InputError(message)
    if labels is not None and len(labels) != len(images):
        message = f"{len(images)} images and {len(labels)} labels were given; give one label array per image"
        raise InputError(message)
    if rescale is not None and len(rescale) != len(images):
        message = f"{len(images)} images and {len(rescale)} values of rescale were given; give one value per image"
        raise InputError(message)
    if rescale is not None and not np.all(np.asarray(rescale) > 0):
        message = f"rescale={rescale!r} is not allowed; every value must be above 0"
        raise OptionError(message)


def _global_rng() -> np.random.RandomState:
    """NumPy's global source of random numbers, as seeded by ``np.random.seed``."""
    get_bit_generator: Any = getattr(np.random, "get_bit_generator")  # noqa: B009  (missing from NumPy's type stubs)
    return np.random.RandomState(get_bit_generator())


def _clipped(scale_range: float | None) -> float | None:
    return None if scale_range is None else max(0.0, min(2.0, float(scale_range)))


def _output_size(size: int | Sequence[int]) -> tuple[int, int]:
    rows, columns = (size, size) if isinstance(size, (int, np.integer)) else (int(size[0]), int(size[1]))
    if rows < 1 or columns < 1:
        message = f"an output size of {size!r} is not allowed; give positive numbers of rows and columns"
        raise OptionError(message)
    return int(rows), int(columns)


def _check_sizes(image: Any, label: Any, index: int, spatial: int) -> None:
    if image.ndim != spatial + 1:
        axes = "(C, Lz, Ly, Lx)" if spatial == 3 else "(C, Ly, Lx)"
        message = f"image {index} has shape {tuple(image.shape)}; give {axes}"
        raise InputError(message)
    if 0 in image.shape:
        message = f"image {index} has shape {tuple(image.shape)}, which has no pixels; leave it out"
        raise InputError(message)
    if label is not None and label.shape[-spatial:] != image.shape[-spatial:]:
        message = (
            f"image {index} has shape {tuple(image.shape)} but its labels have {tuple(label.shape)}; "
            "their last axes must agree"
        )
        raise InputError(message)


def _draw_scale(scale_range: float | None, rescale: Any, rng: np.random.RandomState) -> np.float32:
    u = rng.random_sample()
    # rounded to float32 before and after the division, as the published code stores it in a float32 array
    scale: np.float32 = np.float32(
        2.0 ** (4.0 * u - 2.0) if scale_range is None else 1.0 - scale_range / 2.0 + scale_range * u
    )
    return scale if rescale is None else np.float32(float(scale) / float(rescale))


def _rotate_flows(dy: Any, dx: Any, sin: float, cos: float) -> tuple[Any, Any]:
    """Flow components after the image has been turned by the angle of ``sin`` and ``cos``."""
    return dx * sin + dy * cos, dx * cos - dy * sin


# ------------------------------------------------------------------------------------------------------ U-Net form


def _augment_unet(
    images: Sequence[Any],
    labels: Sequence[Any] | None,
    recipe: _Recipe,
    rescale: Any,
    random_per_image: bool,
    rng: np.random.RandomState,
) -> tuple[Floats, Any, npt.NDArray[np.float32]]:
    spatial = 2 if recipe.zcrop is None else 3
    out_images, out_labels, scales = [], [], []
    draw: _Draw | None = None
    for i, given in enumerate(images):
        image = _with_channels(given, spatial)
        label = None if labels is None else _with_channels(labels[i], spatial)
        _check_sizes(image, label, i, spatial)
        if draw is None or random_per_image:
            draw = _draw_unet(image.shape, recipe, None if rescale is None else rescale[i], rng)
        out_images.append(_apply(image, draw, recipe))
        if label is not None:
            out_labels.append(_apply_to_labels(label, draw, recipe))
        scales.append(draw.scale)
    _same_channels(out_images, "images")
    _same_channels(out_labels, "labels")
    return np.stack(out_images), np.stack(out_labels) if labels is not None else [], np.array(scales, np.float32)


def _with_channels(array: Any, spatial: int) -> Floats:
    floats: Floats = np.asarray(array, dtype=np.float32)
    return floats[np.newaxis] if floats.ndim == spatial else floats


def _same_channels(arrays: list[Floats], what: str) -> None:
    channels = sorted({a.shape[0] for a in arrays})
    if len(channels) > 1:
        message = f"the {what} have different numbers of channels {channels}; convert them to the same number first"
        raise InputError(message)


def _draw_unet(shape: tuple[int, ...], recipe: _Recipe, rescale: Any, rng: np.random.RandomState) -> _Draw:
    Ly, Lx = shape[-2:]
    flip = rng.random_sample() > 0.5
    angle = 2.0 * np.pi * rng.random_sample() if recipe.rotate else 0.0
    scale = _draw_scale(recipe.scale_range, rescale, rng)
    room = np.maximum(0, np.array([Lx * scale - recipe.size[1], Ly * scale - recipe.size[0]]))
    shift = room * (rng.random_sample(2) - 0.5)
    matrix = _affine((Ly, Lx), recipe.size, angle, scale, shift)
    if recipe.zcrop is None:
        return _Draw(flip and recipe.do_flip, angle, scale, matrix)
    flip_z = rng.random_sample() > 0.5
    Lz = shape[-3]
    n = round(recipe.zcrop / float(scale))
    n = max(1, min(n, Lz))
    start = rng.randint(0, Lz - n) if n < Lz else 0
    return _Draw(flip and recipe.do_flip, angle, scale, matrix, flip_z and recipe.do_flip, (start, start + n))


def _affine(shape: tuple[int, int], size: tuple[int, int], angle: float, scale: np.float32, shift: Floats) -> Floats:
    """Matrix (2, 3) of the map of source (x, y) to output (x, y): turn and scale about the centers, then shift."""
    (Ly, Lx), (H, W) = shape, size
    centre = np.array([Lx / 2, Ly / 2])
    moved = centre - np.array([Lx - W, Ly - H]) / 2 + shift
    unit_x = scale * np.array([np.cos(angle), np.sin(angle)])
    unit_y = scale * np.array([np.cos(angle + np.pi / 2), np.sin(angle + np.pi / 2)])
    source = (centre + np.array([[0, 0], [1, 0], [0, 1]])).astype(np.float32)
    target = np.array([moved, moved + unit_x, moved + unit_y], dtype=np.float32)
    return np.asarray(cv2.getAffineTransform(source, target))


def _apply(array: Floats, draw: _Draw, recipe: _Recipe, nearest: int = 0) -> Floats:
    """Array (C, [Lz,] Ly, Lx) warped to (C, [zcrop,] rows, columns); the first ``nearest`` channels unblended."""
    if recipe.zcrop is None:
        return _warp_planes(array, draw, recipe.size, nearest)
    stack = array[:, slice(*draw.planes)][:, :: -1 if draw.flip_z else 1]
    warped = np.stack([_warp_planes(stack[:, z], draw, recipe.size, nearest) for z in range(stack.shape[1])], axis=1)
    if warped.shape[1] == recipe.zcrop:
        return warped
    resized = [_resize_z(c, recipe.zcrop, nearest=k < nearest) for k, c in enumerate(warped)]
    return np.stack(resized)


def _warp_planes(planes: Floats, draw: _Draw, size: tuple[int, int], nearest: int) -> Floats:
    out = np.empty((planes.shape[0], *size), np.float32)
    for k, plane in enumerate(planes):
        source = np.ascontiguousarray(plane[:, ::-1] if draw.flip else plane)
        out[k] = _warp(source, draw.matrix, size, cv2.INTER_NEAREST if k < nearest else cv2.INTER_LINEAR)
    return out


def _warp(plane: Floats, matrix: Floats, size: tuple[int, int], interpolation: int) -> Floats:
    if max(plane.shape) >= _CV2_LONGEST_SIDE:
        plane, matrix = _cut_to_view(plane, matrix, size)
    return np.asarray(cv2.warpAffine(plane, matrix, (size[1], size[0]), flags=interpolation))


def _cut_to_view(plane: Floats, matrix: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The part of a plane that the output sees, and the matrix for it."""
    H, W = size
    corners = np.array([[0, 0, 1], [W, 0, 1], [0, H, 1], [W, H, 1]], dtype=np.float64)
    seen = corners @ np.asarray(cv2.invertAffineTransform(matrix)).T
    x0, y0 = np.clip(np.floor(seen.min(axis=0)).astype(int) - 2, 0, None)
    x1, y1 = np.clip(np.ceil(seen.max(axis=0)).astype(int) + 3, 1, None)
    x0, y0 = min(x0, plane.shape[1] - 1), min(y0, plane.shape[0] - 1)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([x0, y0])
    return np.ascontiguousarray(plane[y0:y1, x0:x1]), moved


def _resize_z(stack: Floats, n: int, *, nearest: bool) -> Floats:
    Lz, Ly, Lx = stack.shape
    flat = np.ascontiguousarray(stack.reshape(Lz, Ly * Lx).T)  # OpenCV's limits are on columns and channels, not rows
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    resized: Floats = np.asarray(cv2.resize(flat, (n, Ly * Lx), interpolation=interpolation), np.float32)
    return np.ascontiguousarray(resized.T).reshape(n, Ly, Lx)


def _apply_to_labels(label: Floats, draw: _Draw, recipe: _Recipe) -> Floats:
    targets = 3 if recipe.zcrop is None else 4  # cell probability and flows; label and class numbers stand before them
    out = _apply(label, draw, recipe, nearest=max(1, label.shape[0] - targets))
    if recipe.unet or label.shape[0] < 2:
        return out
    dx = -out[-1] if draw.flip else out[-1]
    sin, cos = float(np.sin(draw.angle)), float(np.cos(draw.angle))
    out[-2], out[-1] = _rotate_flows(out[-2].copy(), dx, sin, cos)
    if draw.flip_z and label.shape[0] > 2:
        out[-3] *= -1
    return out


# ------------------------------------------------------------------------------------------------ transformer form


def _augment_transformer(
    images: Sequence[Any],
    labels: Sequence[Any] | None,
    scale_range: float | None,
    size: tuple[int, int],
    rescale: Any,
    device: Any,
    rng: np.random.RandomState,
) -> tuple[torch.Tensor, torch.Tensor | None, npt.NDArray[np.float32]]:
    import torch

    scale_range = _clipped(scale_range)
    out_images, out_labels, scales = [], [], []
    for i, given in enumerate(images):
        image = _as_tensor(given, device)
        label = None if labels is None else _as_tensor(labels[i], device)
        _check_sizes(image, label, i, 2)
        Ly, Lx = image.shape[-2:]
        scale = _draw_scale(scale_range, None if rescale is None else rescale[i], rng)
        angle = float(np.deg2rad(float(np.float32(360.0 * rng.random_sample() - 180.0))))
        room = np.maximum(0, np.array([Ly * scale - size[0], Lx * scale - size[1]]))
        flip = rng.random_sample() > 0.5
        # the published recipe swaps the room along y and x; the same numbers are wanted here
        shift_x, shift_y = room * rng.random_sample(2) - room / 2
        grid = _sampling_grid(size, (Ly, Lx), angle, float(scale), (float(shift_x), float(shift_y))).to(image.device)
        out_images.append(_sample(image.flip(-1) if flip else image, grid))
        if label is not None:
            out_labels.append(_sample_labels(label, grid, angle, flip))
        scales.append(scale)
    stacked = torch.stack(out_labels) if labels is not None else None
    return torch.stack(out_images), stacked, np.array(scales, np.float32)


def _as_tensor(array: Any, device: Any) -> torch.Tensor:
    import torch

    if not isinstance(array, torch.Tensor):
        array = torch.from_numpy(np.array(array, dtype=np.float32))
    tensor: torch.Tensor = array.to(device=device, dtype=torch.float32)
    return tensor[None] if tensor.ndim == 2 else tensor


def _sampling_grid(
    size: tuple[int, int], shape: tuple[int, int], angle: float, scale: float, shift: tuple[float, float]
) -> torch.Tensor:
    """Grid (1, H, W, 2) of the places, in the units of ``grid_sample``, where the pixels of the output come from.

    It inverts this map: turn by ``angle`` and scale about the center, then shift by ``shift`` = (x, y) pixels.
    """
    import torch

    (H, W), (Ly, Lx), (tx, ty) = size, shape, shift
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    inverse = torch.tensor([[cos, sin, -cos * tx - sin * ty], [-sin, cos, sin * tx - cos * ty]], dtype=torch.float32)
    x = torch.linspace(-W * 0.5 + 0.5, W * 0.5 - 0.5, W)
    y = torch.linspace(-H * 0.5 + 0.5, H * 0.5 - 0.5, H)
    places = torch.stack([x.expand(H, W), y[:, None].expand(H, W), torch.ones(H, W)], dim=-1)
    half = torch.tensor([0.5 * Lx, 0.5 * Ly])
    grid: torch.Tensor = places.view(-1, 3) @ (inverse.T / half)
    return grid.view(1, H, W, 2)


def _sample(channels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Channels (C, Ly, Lx) at the grid, bilinear, fading to 0 outside."""
    import torch

    inside = torch.ones_like(channels[:1])
    sampled = torch.nn.functional.grid_sample(
        torch.cat([channels, inside])[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]
    return sampled[:-1] * sampled[-1:]


def _sample_labels(label: torch.Tensor, grid: torch.Tensor, angle: float, flip: bool) -> torch.Tensor:
    import torch

    source = label.flip(-1) if flip else label
    numbers, targets = source[:-3], source[-3:]
    out = _sample(targets, grid)
    if out.shape[0] >= 2:
        dx = -out[-1] if flip else out[-1]
        sin, cos = float(np.sin(angle)), float(np.cos(angle))
        dy, dx = _rotate_flows(out[-2], dx, sin, cos)
        out = torch.cat([out[:-2], dy[None], dx[None]])
    if not len(numbers):
        return out
    # label and class numbers have no values between them
    nearest = torch.nn.functional.grid_sample(
        numbers[None], grid, mode="nearest", padding_mode="zeros", align_corners=False
    )[0]
    return torch.cat([nearest, out])
