"""How well a network segments held-out images, measured as its users will see it: masks against true masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import core, dynamics, metrics, transforms, utils
from cellpose.engines import as_engine
from cellpose.models import class_masks
from cellpose.options import Masking, Tiling
from cellpose.train._loss import FLOW_SCALE
from cellpose.train._network import n_classes_of
from cellpose.train._sets import ImageSet
from cellpose.train._targets import ignored_pixels

__all__ = ["THRESHOLDS", "Comparison", "Scores", "evaluate"]

Labels = npt.NDArray[np.int32]

#: Intersections over union at which average precision is measured.
THRESHOLDS = (0.5, 0.75, 0.9)

_SHOWN = 6


@dataclass(frozen=True)
class Scores:
    """Results on held-out images.

    ``ap`` are the average precisions at 0.5, 0.75 and 0.9, means over images; ``per_image`` those at 0.5 of each;
    ``flow_error`` is half the mean squared error of the flows, in the units of the loss. ``shown`` are some images
    (y, x) with true and predicted labels.
    """

    ap: tuple[float, ...]
    flow_error: float
    per_image: tuple[float, ...] = ()
    shown: tuple[tuple[Any, Labels, Labels], ...] = field(default=(), repr=False)

    @property
    def score(self) -> float:
        """One number to choose models by: the mean of the three average precisions."""
        return float(np.mean(self.ap))


def evaluate(net: Any, images: ImageSet, *, rescale: bool, batch_size: int = 8, most: int | None = None) -> Scores:
    """Segment images and compare with their labels.

    Parameters
    ----------
    net
        The network, put into evaluation mode.
    images
        Images with targets. Regions to ignore count neither for nor against a mask.
    rescale
        Bring the cells of each image from their own diameter to the mean diameter of the network first.
    batch_size
        Tiles run at once.
    most
        Number of images, evenly chosen; None: all.
    """
    engine = as_engine(net)
    n = len(images)
    chosen = np.arange(n) if most is None or most >= n else np.linspace(0, n - 1, most).astype(int)
    aps, errors = [], []
    shown: list[tuple[Any, Labels, Labels]] = []
    for i in chosen:
        image, targets = images.item(int(i))
        scale = float(net.diam_mean) / float(images.diameters[i]) if rescale else 1.0
        masks, flows = _segment(engine, image, scale, batch_size, classes=n_classes_of(net) > 0)
        ignored = ignored_pixels(targets)
        true = np.maximum(targets[0], 0).astype(np.int32)
        masks = _without_ignored(masks, ignored)
        aps.append(metrics.average_precision(true, masks, THRESHOLDS)[0])
        errors.append(
            float(np.mean((flows - FLOW_SCALE * targets[-2:])[:, ~ignored] ** 2)) / 2 if (~ignored).any() else 0.0
        )
        if len(shown) < _SHOWN:
            shown.append((np.asarray(image[0]), true, masks))
    means = np.mean(aps, axis=0)
    return Scores(tuple(map(float, means)), float(np.mean(errors)), tuple(float(ap[0]) for ap in aps), tuple(shown))


def _segment(
    engine: Any, image: Any, scale: float, batch_size: int, *, classes: bool
) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Labels and flows of a prepared image ``(C, Ly, Lx)``; networks of classes have flows of 0."""
    ly, lx = image.shape[-2:]
    height, width = transforms.scaled_shape((ly, lx), (scale, scale))
    stack = np.moveaxis(image, 0, -1)[np.newaxis]
    (output, _), *_ = core.run_planes(engine, stack, Tiling(batch_size=batch_size), (height, width))
    if output.shape[1:] != (ly, lx):
        planes = [np.ascontiguousarray(plane) for plane in output[-3:]]
        output = np.stack([transforms.resize_image(plane, Ly=ly, Lx=lx, no_channels=True) for plane in planes])
    if classes:
        found = utils.fill_holes_and_remove_small_masks(class_masks(output).astype(np.int32))
        return np.asarray(found, np.int32), np.zeros((2, ly, lx), np.float32)
    flows = dynamics.NetworkFlows(output[-3:-1], output[-1])
    return dynamics.flows_to_masks(flows, Masking().at_scale(scale), device=engine.device), flows.dP


def _without_ignored(masks: Labels, ignored: npt.NDArray[np.bool_]) -> Labels:
    """Masks that lie mostly in annotated parts of the image: for the others the truth is unknown."""
    if not ignored.any():
        return masks
    size = np.bincount(masks.ravel())
    hidden = np.bincount(masks[ignored], minlength=len(size))
    keep = hidden * 2 <= size
    keep[0] = False
    kept: Labels = np.where(keep[masks], masks, 0).astype(np.int32)
    return np.asarray(utils.fill_holes_and_remove_small_masks(kept, min_size=-1), dtype=np.int32)


@dataclass(frozen=True)
class Comparison:
    """The network before and after training, on the same held-out images."""

    base: Scores
    tuned: Scores

    @property
    def worse(self) -> int:
        """Images on which the tuned network finds clearly fewer cells: AP at 0.5 lower by more than 0.02."""
        return sum(b - t > 0.02 for b, t in zip(self.base.per_image, self.tuned.per_image, strict=True))

    @property
    def harmed(self) -> bool:
        """Whether training made the network worse on the whole."""
        return self.tuned.score < self.base.score - 0.005

    def lines(self, remedies: Sequence[str] = ()) -> list[str]:
        """The comparison in words, for the log and for people; ``remedies``: what may help, beside the usual."""
        n = len(self.base.per_image)
        rows = [
            f"AP@{threshold:g}: {before:.3f} before, {after:.3f} after training ({after - before:+.3f})"
            for threshold, before, after in zip(THRESHOLDS, self.base.ap, self.tuned.ap, strict=True)
        ]
        if self.harmed:
            verdict = (
                f"training made the model WORSE on the {n} held-out images ({self.worse} clearly): use the base "
                "model, or train with more images, a smaller learning rate, more epochs where the loss still falls"
                + "".join(f", {remedy}" for remedy in remedies)
            )
        elif self.tuned.score > self.base.score + 0.005:
            verdict = f"training improved the model on the {n} held-out images ({self.worse} of them are worse)"
        else:
            verdict = f"training changed little on the {n} held-out images ({self.worse} of them are worse)"
        return [*rows, verdict]

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON files."""
        return {
            "thresholds": list(THRESHOLDS), "ap_base": list(self.base.ap), "ap_tuned": list(self.tuned.ap),
            "flow_error_base": self.base.flow_error, "flow_error_tuned": self.tuned.flow_error,
            "images": len(self.base.per_image), "images_worse": self.worse, "harmed": self.harmed,
        }  # fmt: skip
