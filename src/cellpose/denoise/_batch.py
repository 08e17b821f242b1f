"""Batches for training a restoration network: crops at a random scale, degraded, with the clean image and targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from cellpose.denoise._degrade import add_noise
from cellpose.transforms import random_rotate_and_resize

_CROP_SIDE = 340  # pixels; noise is added before the rotation, so the crop must hold the rotated result


def random_rotate_and_resize_noise(
    data: Sequence[npt.NDArray[np.float32]],
    labels: Sequence[npt.NDArray[np.float32]] | None = None,
    diams: Any = None,
    poisson: float = 0.7,
    blur: float = 0.7,
    downsample: float = 0.0,
    beta: float = 0.7,
    gblur: float = 1.0,
    diam_mean: float = 30,
    ds_max: int = 7,
    uniform_blur: bool = False,
    iso: bool = True,
    rotate: bool = True,
    device: torch.device | str = "cpu",
    xy: tuple[int, int] = (224, 224),
    nchan_noise: int = 1,
    keep_raw: bool = True,
) -> tuple[torch.Tensor, torch.Tensor | None, npt.NDArray[np.float32]]:
    """Crops at random scales and angles, with noise of the strength that fits the scale.

    Parameters
    ----------
    data
        Images, each float32 (channels, Y, X), normalized.
    labels
        Targets of each image, float32 (3, Y, X): cell or not, flow along Y, flow along X.
    diams
        Diameter in pixels of the cells, one for all images or one per image; None: `diam_mean`.
    poisson, blur, downsample, beta, gblur, ds_max, uniform_blur, iso
        See `add_noise`.
    diam_mean
        Diameter in pixels around which the cells are scaled, at random between half and twice of it.
    rotate
        Rotate at random; only done where `iso`, since a blur along one axis has a direction.
    device
        Where the results lie.
    xy
        Rows and columns of the results.
    nchan_noise
        Number of leading channels that are degraded.
    keep_raw
        Append the clean channels behind the degraded ones.

    Returns
    -------
    images
        (batch, channels, rows, columns) float32: degraded channels, then with `keep_raw` the clean ones.
    labels
        (batch, 3, rows, columns) float32, or None without labels.
    scale
        float32 (batch,): by how much the second step scaled each crop.
    """
    n = len(data)
    diameters = np.broadcast_to(np.asarray(diam_mean if diams is None else diams, np.float64), (n,))
    targets = diam_mean * 2 ** (2 * np.random.rand(n) - 1)  # noqa: NPY002  (the published stream of draws)
    crops, label_crops = [], []
    for i in range(n):
        matrix = _random_crop_matrix(data[i].shape[-2:], targets[i] / diameters[i])
        crops.append(np.maximum(_warp(data[i], matrix), 0))
        if labels is not None:
            label_crops.append(_warp(labels[i], matrix, nearest_first=True))

    clean = torch.from_numpy(np.stack(crops))[:, :nchan_noise]
    noisy = torch.cat(
        [
            add_noise(
                channel, poisson=poisson, blur=blur, downsample=downsample, beta=beta, gblur=gblur, ds_max=ds_max,
                diams=torch.from_numpy(targets).float(), uniform_blur=uniform_blur, iso=iso,
            )
            for channel in torch.split(clean, 1, dim=1)
        ],
        dim=1,
    )  # fmt: skip
    images = torch.cat([noisy, clean], dim=1) if keep_raw else noisy
    turned, turned_labels, scale = random_rotate_and_resize(
        list(images.numpy()),
        Y=label_crops or None,
        xy=xy,
        rotate=rotate and iso,
        rescale=targets / diam_mean,
        scale_range=0.5,
    )
    out = torch.from_numpy(turned).to(device)
    return out, torch.from_numpy(turned_labels).to(device) if label_crops else None, scale


def _random_crop_matrix(shape: Sequence[int], scale: float) -> npt.NDArray[np.float64]:
    """Affine map (2, 3) that scales an image and puts a random part of it into the crop, or the whole at its center."""
    centre = np.array([shape[1] / 2, shape[0] / 2])
    size = np.array([shape[1], shape[0]])
    room = np.maximum(0, size * scale - _CROP_SIDE) * (np.random.rand(2) - 0.5)  # noqa: NPY002
    shift = _CROP_SIDE / 2 + room - scale * centre
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _warp(
    image: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64], *, nearest_first: bool = False
) -> npt.NDArray[np.float32]:
    """The crop of each channel; the first one, where it separates cells from background, without interpolation."""
    side = (_CROP_SIDE, _CROP_SIDE)
    flags = [cv2.INTER_NEAREST if nearest_first and c == 0 else cv2.INTER_LINEAR for c in range(len(image))]
    crop: npt.NDArray[np.float32] = np.stack(
        [cv2.warpAffine(channel, matrix, side, flags=flag) for channel, flag in zip(image, flags, strict=True)]
    )
    return crop
