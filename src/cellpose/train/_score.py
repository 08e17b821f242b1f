"""How well a network segments images with known cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.train._channels import SetPreparation
from cellpose.train._data import Reading, Sources, build_set
from cellpose.train._network import device_of, family_of, input_channels
from cellpose.train._validate import evaluate

__all__ = ["score_seg"]


def score_seg(
    net: Any, images: Sequence[Any], labels: Sequence[Any], *, channels: Any = None, normalize: Any = True
) -> npt.NDArray[np.float64]:
    """Average precision at an intersection over union of 0.5 of each image.

    Parameters
    ----------
    net
        The network, for example ``CellposeModel(...).net``.
    images
        ``(Ly, Lx)`` or with channels.
    labels
        ``(Ly, Lx)``: 0 background, negative where the truth is unknown, which counts neither for nor against a mask.
    channels, normalize
        As in `train_seg`.

    Returns
    -------
    ndarray
        float64 ``(n images,)``, 0 to 1; NaN for images that cannot be used, which the log names. U-Nets see each image
        at the size of its own cells, so that only the network counts, not an estimate of the diameter.
    """
    pair = family_of(net).channel_pair
    preparation = SetPreparation.of(pair, normalize, channels=channels, nchan=input_channels(net))
    usable = build_set(
        Sources(images, labels), preparation, Reading(device_of(net), diam_mean=float(net.diam_mean)), "validation"
    )
    scores = evaluate(net, usable, rescale=family_of(net).learning.rescale)
    found = np.full(len(images), np.nan)
    found[[int(name) for name in usable.names]] = scores.per_image
    return found
