"""The image after a filter or a restoration network: a picture beside the image, and the input of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.gui.model._picture import FULL, Picture

__all__ = ["FILTER", "Restored", "content_of_restored", "restored_image", "restored_of"]

FILTER = "filter"  # stands in a _seg.npy for a filter, in place of the name of a model
_MOST_RATIO = 100.0


@dataclass(frozen=True, eq=False)
class Restored:
    """The image after a filter or a restoration model.

    Parameters
    ----------
    picture
        Picture for display; ``ratio`` times as high and wide as the image.
    filters
        For a filter, keywords of ``Normalization`` from `SegmentationSettings.filters`: networks get the raw image and
        apply the filter themselves, so nothing is filtered twice.
    model
        Name of the restoration model; empty: a filter.
    stack
        Input of networks in place of the image, float32 (Z, C, Y, X), from the restoration model; None: a filter.
    ratio
        Its size relative to the image; cells stay at the size of the image.
    channels
        The restored 1-based pair, 0 for gray or none; None: each channel separately.
    """

    picture: Picture
    filters: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    stack: npt.NDArray[np.float32] | None = None
    ratio: float = 1.0
    channels: tuple[int, int] | None = None

    @classmethod
    def by_model(
        cls,
        model: str,
        stack: npt.NDArray[np.float32],
        ratio: float,
        channels: tuple[int, int] | None,
        n_channels: int,
    ) -> Restored:
        """The result of a restoration model for an image with this many channels."""
        return cls(Picture.of(_in_places(stack, channels, n_channels)), {}, model, stack, ratio, channels)

    def there(self, places: slice, axis: int) -> slice:
        """Convert a slice of the image along an axis of (Z, Y, X) to the restored image."""
        if axis == 0 or places.start is None:
            return places
        return slice(round(places.start * self.ratio), round(places.stop * self.ratio))


def _in_places(
    stack: npt.NDArray[np.float32], channels: tuple[int, int] | None, n_channels: int
) -> npt.NDArray[np.float32]:
    """Put restored channels at the positions of the image's channels, so both have the same colors."""
    if channels is None or channels[0] == 0 or n_channels == 1:
        return stack
    out = np.zeros((len(stack), n_channels, *stack.shape[2:]), np.float32)
    for restored, channel in zip(np.moveaxis(stack, 1, 0), channels, strict=False):
        if 0 < channel <= n_channels:
            out[:, channel - 1] = restored
    return out


def content_of_restored(restored: Restored | None) -> dict[str, Any]:
    """The keys ``restore``, ``ratio`` and ``img_restore`` of a ``_seg.npy``, as the original writes them.

    ``img_restore`` is float32 ([Z,] Y, X, C): for a model its output values, for a filter the displayed values, 0 to
    255.
    """
    if restored is None:
        return {}
    if restored.stack is None:
        low, high = restored.picture.low, restored.picture.high
        stack = (restored.picture.planes.astype(np.float32) - low) * np.float32(FULL / max(high - low, 1e-9))
    else:
        stack = restored.stack
    image = np.moveaxis(stack, 1, -1)
    return {
        "restore": restored.model or FILTER,
        "ratio": float(restored.ratio),
        "img_restore": image[0] if len(image) == 1 else image,
    }


def restored_of(
    content: Mapping[str, Any], shape: tuple[int, int, int], channels: tuple[int, int] | None, n_channels: int
) -> Restored | None:
    """The restored image from the content of a ``_seg.npy``; None: there is nothing usable.

    Parameters
    ----------
    content
        Content of the file.
    shape
        Shape of the labels, (Z, Y, X).
    channels
        The segmented pair of channels.
    n_channels
        Number of channels of the image.
    """
    model, image, ratio = content.get("restore"), content.get("img_restore"), content.get("ratio", 1.0)
    if not isinstance(model, str) or model in ("", FILTER) or not isinstance(image, np.ndarray):
        return None
    if not isinstance(ratio, (int, float, np.number)) or not 1 <= ratio <= _MOST_RATIO or image.dtype.kind not in "fiu":
        return None
    planes = image if shape[0] > 1 or image.ndim == 4 else image[None]
    planes = planes[..., None] if planes.ndim == 3 else planes
    if planes.ndim != 4 or len(planes) != shape[0] or not planes.size:
        return None
    wanted = [int(side * ratio) for side in shape[1:]]
    if any(abs(side - there) > 1 for side, there in zip(planes.shape[1:3], wanted, strict=True)):
        return None
    stack = np.ascontiguousarray(np.moveaxis(planes, -1, 1), np.float32)
    return Restored.by_model(model, stack, float(ratio), channels, n_channels)


def restored_image(
    content: Mapping[str, Any], shape: tuple[int, int, int], channels: tuple[int, int] | None, n_channels: int
) -> npt.NDArray[np.float32] | None:
    """The filtered or restored version of a single plane, for training in its place; None: nothing usable.

    Parameters
    ----------
    content
        With the keys of `content_of_restored`.
    shape, channels, n_channels
        As for `restored_of`.

    Returns
    -------
    image
        float32 (Y, X, C), ``ratio`` times as high and wide as the plane, with channels where those of the image stand.
    """
    if content.get("restore") == FILTER:
        image = content.get("img_restore")
        if not isinstance(image, np.ndarray) or image.dtype.kind not in "fiu" or image.ndim != 3:
            return None
        return image.astype(np.float32) if image.shape[:2] == shape[1:] else None
    restored = restored_of(content, shape, channels, n_channels)
    if restored is None or restored.stack is None:
        return None
    placed: npt.NDArray[np.float32] = np.moveaxis(_in_places(restored.stack, channels, n_channels)[0], 0, -1)
    return placed
