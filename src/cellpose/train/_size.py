"""Training of the size model: cell diameter from the style of an image, by linear regression.

Source: Stringer et al., Nature Methods 18 (2021), Methods, "Size model".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose import transforms, utils
from cellpose._machine.writing import replacing
from cellpose._progress.display import Display, shown
from cellpose._progress.stages import stage
from cellpose.errors import InputError, OptionError
from cellpose.train._channels import SetPreparation
from cellpose.train._data import Reading, Sources, build_sets
from cellpose.train._network import check_flows, device_of, input_channels
from cellpose.train._sets import ImageSet
from cellpose.weights import bundled_models

__all__ = ["train_size"]

logger = logging.getLogger("cellpose.train")

Floats = npt.NDArray[np.floating[Any]]

_SMALLEST_DIAMETER_PX = 5.0


def _check_target(model: Any) -> None:
    if model is not None and Path(model).resolve() in {path.resolve() for path in bundled_models().values()}:
        message = (
            f"{model} is a bundled model: its size model is part of the installation and is not replaced; train a copy "
            "of the model, or the model that a training on your images gives"
        )
        raise OptionError(message)


@dataclass(frozen=True)
class _Crops:
    """How images are shown to the network."""

    net: Any
    device: torch.device
    batch_size: int
    scale_range: float
    bsize: int

    @torch.no_grad()
    def styles(
        self, images: ImageSet, order: npt.NDArray[np.intp], rng: np.random.RandomState, *, with_labels: bool = False
    ) -> tuple[Floats, Floats, list[Any]]:
        """Styles ``(n, style length)``, scales ``(n,)`` and, if wanted, the cut label images of random crops."""
        styles, scales = [], []
        cut: list[Any] = []
        advance = stage("styles", len(order), "crops")
        for start in range(0, len(order), self.batch_size):
            advance(start)
            data, labels = images.batch(order[start : start + self.batch_size], numbers=True)
            crops, numbers, scale = transforms.random_rotate_and_resize(
                data,
                Y=[label[:1] for label in labels] if with_labels else None,
                scale_range=self.scale_range,
                xy=(self.bsize, self.bsize),
                rng=rng,
            )
            styles.append(self.net(torch.from_numpy(crops).to(self.device))[1].float().cpu().numpy())
            scales.append(scale)
            cut.extend(number[0] for number in numbers)
        return np.concatenate(styles), np.concatenate(scales), cut


def _regress(styles: Floats, targets: Floats, l2: float) -> tuple[Floats, Floats, float]:
    """Ridge regression of centered targets on centered styles: weights, mean style, mean target."""
    mean_style, mean_target = styles.mean(axis=0), targets.mean()
    X = (styles - mean_style).T.astype(np.float64)
    A = np.linalg.solve(X @ X.T + l2 * np.eye(X.shape[0]), X @ (targets - mean_target))
    return A, mean_style, mean_target


def correlation(a: Floats | Sequence[float], b: Floats | Sequence[float]) -> float:
    """Pearson correlation of two rows of numbers; NaN for fewer than two, or if all of one are equal."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def train_size(
    net: Any,
    pretrained_model: Any,
    train_data: Any = None,
    train_labels: Any = None,
    train_files: Any = None,
    train_labels_files: Any = None,
    train_probs: Any = None,
    test_data: Any = None,
    test_labels: Any = None,
    test_files: Any = None,
    test_labels_files: Any = None,
    test_probs: Any = None,
    load_files: bool = True,
    min_train_masks: int = 5,
    channels: Any = None,
    channel_axis: int | None = None,
    rgb: bool = False,
    normalize: Any = True,
    nimg_per_epoch: int | None = None,
    nimg_test_per_epoch: int | None = None,
    batch_size: int = 64,
    scale_range: float = 1.0,
    bsize: int = 512,
    l2_regularization: float = 1.0,
    n_epochs: int = 10,
    progress: bool | None = None,
    *,
    compute_flows: bool = False,
) -> dict[str, Any]:
    """Train the size model of a U-Net: it estimates cell diameters from styles.

    Parameters
    ----------
    net
        The trained network; it is not changed.
    pretrained_model
        Path of its weights; the size model is written to ``<pretrained_model>_size.npy``. None: nothing is written.
    train_data, train_labels, train_files, train_labels_files, train_probs
        As in :func:`train_seg`; also for ``test_*``, whose correlation is logged.
    load_files, min_train_masks, channels, channel_axis, rgb, normalize, nimg_per_epoch, nimg_test_per_epoch
        As for :func:`train_seg`.
    batch_size
        Number of crops that the network runs at once.
    scale_range
        Width of the range around 1 for the random scales of the crops.
    bsize
        Side of the crops in pixels.
    l2_regularization
        Weight of the squared length of the regression weights.
    n_epochs
        Number of passes over the images, each with new crops.
    progress
        Whether to show a progress bar, as in :func:`train_seg`.
    compute_flows
        Label files hold masks, as for :func:`train_seg`.

    Returns
    -------
    dict
        ``A`` (style length,), ``smean`` (style length,), ``diam_mean`` (pixels), ``ymean``: the diameter is
        ``diam_mean * exp(A . (style - smean) + ymean)``.

    Raises
    ------
    InputError
        If images and labels do not match, or no image has enough masks.
    OptionError
        If the model is a bundled one, whose own size model is part of the installation.
    """
    check_flows(net)
    _check_target(pretrained_model)
    device = device_of(net)
    preparation = SetPreparation.of(
        True, normalize, channels=channels, channel_axis=channel_axis, rgb=rgb, nchan=input_channels(net)
    )
    train_set, test_set = build_sets(
        Sources(train_data, train_labels, train_files, train_labels_files, train_probs),
        Sources(test_data, test_labels, test_files, test_labels_files, test_probs),
        preparation,
        Reading(device, load_files, compute_flows, diam_mean=float(net.diam_mean)),
        min_train_masks,
    )
    if n_epochs < 1 or batch_size < 1:
        message = f"n_epochs={n_epochs} and batch_size={batch_size} are not allowed; both must be at least 1"
        raise InputError(message)
    net.eval()
    crops = _Crops(net, device, batch_size, scale_range, bsize)
    diam_mean = float(net.diam_mean)
    with shown(progress, "passes for the size model", n_epochs) as display:
        styles, targets = _collect(crops, train_set, nimg_per_epoch, n_epochs, diam_mean, display)
    A, smean, ymean = _regress(styles, targets, l2_regularization)
    logger.info(f"train correlation: {correlation((styles - smean) @ A + ymean, targets):.4f}")
    params = {"A": A, "smean": smean, "diam_mean": diam_mean, "ymean": ymean}
    if test_set is not None:
        _log_test(crops, test_set, nimg_test_per_epoch, params)
    if pretrained_model is not None:
        path = Path(f"{pretrained_model}_size.npy")
        with replacing(path) as file:
            np.save(file, np.array(params, dtype=object), allow_pickle=True)
        logger.info(f"model saved to {path}")
    return params


def _collect(
    crops: _Crops, images: ImageSet, n: int | None, n_epochs: int, diam_mean: float, display: Display
) -> tuple[Floats, Floats]:
    """Styles and logarithms of relative diameters of all crops of all epochs."""
    styles, targets = [], []
    for epoch in range(n_epochs):
        rng = np.random.RandomState(epoch)
        order = images.draw(n, rng)
        with display.job(f"pass {epoch + 1}"):
            style, scale, _ = crops.styles(images, order, rng)
        display.advance(epoch + 1)
        styles.append(style)
        targets.append(np.log(images.diameters[order]) - np.log(diam_mean) + np.log(scale))
        logger.info(f"epoch {epoch + 1} of {n_epochs}: {len(order)} styles")
    return np.concatenate(styles), np.concatenate(targets)


def _log_test(crops: _Crops, images: ImageSet, n: int | None, params: dict[str, Any]) -> None:
    """Log how well diameters of test crops that have cells are predicted."""
    rng = np.random.RandomState(0)
    style, _, cut = crops.styles(images, images.draw(n, rng), rng, with_labels=True)
    log_diameter = (style - params["smean"]) @ params["A"] + np.log(params["diam_mean"]) + params["ymean"]
    predicted = np.maximum(_SMALLEST_DIAMETER_PX, np.exp(log_diameter))
    true = np.array([utils.diameters(numbers.astype(np.int32))[0] for numbers in cut])
    known = true > 0
    logger.info(f"test correlation: {correlation(predicted[known], true[known]):.4f}")
