"""Training of restoration networks on noisy images alone: blind spots.

Source: Krull, Buchholz and Jug, "Noise2Void - learning denoising from single noisy images", CVPR 2019. A hidden pixel
is predicted from those around it. The image, which neighbors share, can be predicted; the noise, which differs from
pixel to pixel, cannot, so the network does not learn it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cellpose import transforms, weights
from cellpose._progress.display import Display, shown
from cellpose._progress.stages import stage
from cellpose.errors import InputError, OptionError

__all__ = ["CROP_SIDE", "hide_pixels", "train_self"]

logger = logging.getLogger("cellpose.denoise")

Floats = npt.NDArray[np.float32]

_HIDDEN = 0.02  # part of the pixels of a crop
_REACH = 2  # pixels; a hidden pixel shows the value of another one of its 5 x 5 neighborhood
CROP_SIDE = 96
_CROPS_PER_EPOCH = 64
# Pixels around an image, which are 0 when it is restored: networks that never saw them darken the rim of the image.
_FRAME = 16


@dataclass(frozen=True)
class _Run:
    """What stays the same during one run."""

    net: Any
    images: list[Floats]
    batch_size: int
    crops_per_epoch: int
    side: int
    rng: np.random.Generator
    path: Path

    def batches(self) -> Iterator[Floats]:
        """Crops of an epoch, (batch, 1, side, side), turned by quarters: pixels stay what they are.

        Pixels of the frame of an image are NaN.
        """
        areas = np.array([image.size for image in self.images], np.float64)
        chosen = self.rng.choice(len(self.images), self.crops_per_epoch, p=areas / areas.sum())
        for start in range(0, self.crops_per_epoch, self.batch_size):
            yield np.stack([self._crop(self.images[k]) for k in chosen[start : start + self.batch_size]])[:, np.newaxis]

    def _crop(self, image: Floats) -> Floats:
        y, x = (int(self.rng.integers(n - self.side + 1)) for n in image.shape)
        crop = np.rot90(image[y : y + self.side, x : x + self.side], int(self.rng.integers(4)))
        return np.ascontiguousarray(crop if self.rng.random() < 0.5 else crop[::-1])

    def epoch(self, optimiser: torch.optim.Optimizer) -> float:
        """One pass: the mean squared error of hidden pixels."""
        self.net.train()
        total, advance = 0.0, stage("training", self.crops_per_epoch, "crops")
        for crops in self.batches():
            shown_crops, hidden = hide_pixels(crops, self.rng)
            hidden &= ~np.isnan(crops)
            if not hidden.any():  # small crops may show nothing but the frame
                continue
            device = self.net.device
            told = self.net(torch.from_numpy(np.nan_to_num(shown_crops)).to(device))[0]
            mask = torch.from_numpy(hidden).to(device)
            loss = (told - torch.from_numpy(crops).to(device))[mask].square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += len(crops) * float(loss.detach())
            advance(len(crops))
        return total / self.crops_per_epoch

    def all_epochs(
        self, optimiser: torch.optim.Optimizer, rates: Sequence[float], display: Display
    ) -> npt.NDArray[np.float64]:
        """Train at these rates: the loss of each epoch."""
        losses: list[float] = []
        started = time.monotonic()
        for epoch, rate in enumerate(rates):
            for group in optimiser.param_groups:
                group["lr"] = rate
            with display.job(f"epoch {epoch + 1}"):
                losses.append(self.epoch(optimiser))
            display.advance(epoch + 1, f"loss {losses[-1]:0.4f}")
            if epoch < 10 or epoch % 5 == 0:
                spent = time.monotonic() - started
                logger.info(f"Epoch {epoch}, Time {spent:4.1f}s, Loss {losses[-1]:0.4f}, LR {rate:2.4f}")
        return np.array(losses, np.float64)

    def save(self) -> None:
        """Write the network as it is, with a card that says at which size it sees images."""
        logger.info(f"saving network parameters to {self.path}")
        self.net.save_model(self.path)
        weights.embed_card(self.path, {"task": "restoration", "trained": "self-supervised", "size": "native"})


def train_self(
    net: nn.Module,
    images: Sequence[Any],
    *,
    n_epochs: int = 100,
    crops_per_epoch: int = _CROPS_PER_EPOCH,
    learning_rate: float = 0.001,
    weight_decay: float = 1e-5,
    batch_size: int = 8,
    crop_side: int = CROP_SIDE,
    seed: int = 0,
    save_path: str | Path | None = None,
    model_name: str | None = None,
    progress: bool | None = None,
) -> tuple[Path, npt.NDArray[np.float64]]:
    """Train a network to remove noise from images that have no clean counterparts.

    The noise of each pixel must be independent, as photon noise and camera readout noise are. Noise that neighbors
    share (after a resize, a compression or a filter, in stripes) is taken for the image.

    Parameters
    ----------
    net
        The network to train, ``nets.CPnet`` of one channel and one output. It is changed.
    images
        Noisy images, each (Y, X); each is normalized to its 1st and 99th percentile.
    n_epochs
        Number of epochs.
    crops_per_epoch
        Crops drawn per epoch; larger images give more of them.
    learning_rate, weight_decay
        Of AdamW. The rate rises over 10 epochs and falls in the last third.
    batch_size
        Crops per step.
    crop_side
        Side of the crops in pixels; a multiple of 8.
    seed
        Of all that is random.
    save_path
        Folder for the model; None: the current one.
    model_name
        Name of the file; None: made of the time.
    progress
        Whether a bar shows epochs, the loss and the time left; None: where a person looks at a terminal or a notebook.

    Returns
    -------
    filename
        Path of the model, for ``DenoiseModel(pretrained_model=filename)``, which runs it at the size of the image.
    losses
        float64 (n_epochs,): mean squared error of hidden pixels. It does not fall below the variance of the noise.

    Raises
    ------
    InputError
        If images are too small, or not planes, or the network is not one for restoration.
    OptionError
        If an option is out of range, or `model_name` is no name of a file.

    Examples
    --------
    >>> from cellpose.nets import CPnet
    >>> filename, losses = train_self(CPnet([1, 32, 64, 128, 256], 1), images)  # doctest: +SKIP
    """
    for name, value, least in (
        ("n_epochs", n_epochs, 1), ("crops_per_epoch", crops_per_epoch, 1), ("batch_size", batch_size, 1),
        ("crop_side", crop_side, 16),
    ):  # fmt: skip
        if value < least:
            message = f"{name}={value} is not allowed; give at least {least}"
            raise OptionError(message)
    if crop_side % 8:
        message = f"crop_side={crop_side} is not allowed; give a multiple of 8, such as {CROP_SIDE}"
        raise OptionError(message)
    if (getattr(net, "nchan", None), getattr(net, "nout", None)) != (1, 1):
        message = (
            "this network cannot restore images; give one with one channel and one output, such as CPnet([1, 32, 64], "
            "1)"
        )
        raise InputError(message)
    planes = [_plane(image, index, crop_side) for index, image in enumerate(images)]
    if not planes:
        message = "there are no images to train on; give at least one"
        raise InputError(message)
    path = weights.new_model(save_path or ".", model_name or f"self_{datetime.now():%Y_%m_%d_%H_%M_%S.%f}")
    run = _Run(net, planes, batch_size, crops_per_epoch, crop_side, np.random.default_rng(seed), path)
    optimiser = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    logger.info(f">>> training a restoration network on {len(planes)} noisy planes; it will be saved to {path}")
    try:
        with shown(progress, "epochs", n_epochs) as display:
            losses = run.all_epochs(optimiser, _rates(learning_rate, n_epochs), display)
    finally:  # the weights learned before an interruption are kept as well
        run.save()
    return path, losses


def hide_pixels(crops: Floats, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Crops in which some pixels show the value of a neighbor.

    Parameters
    ----------
    crops
        float32 (batch, 1, Y, X). Not modified.
    rng
        Source of places and neighbors.

    Returns
    -------
    hiding, hidden
        The crops so changed, and where, bool, both of the shape of `crops`.
    """
    _, _, rows, columns = crops.shape
    hidden = rng.random(crops.shape) < _HIDDEN
    k, _, y, x = np.nonzero(hidden)
    # one of the places around, never the pixel itself
    around = np.array([(a, b) for a in _offsets() for b in _offsets() if (a, b) != (0, 0)])
    dy, dx = around[rng.integers(len(around), size=len(k))].T
    hiding = crops.copy()
    hiding[k, 0, y, x] = crops[k, 0, _inside(y, dy, rows), _inside(x, dx, columns)]
    return hiding, hidden


def _offsets() -> range:
    return range(-_REACH, _REACH + 1)


def _inside(at: npt.NDArray[np.intp], step: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Positions one step away; steps that leave the image are reversed."""
    moved = at + step
    return np.where((moved < 0) | (moved >= n), at - step, moved)


def _plane(image: Any, index: int, side: int) -> Floats:
    plane = np.squeeze(np.asarray(image))
    if plane.ndim != 2:
        message = f"image {index} has the shape {np.shape(image)}; give planes (Y, X), each channel by itself"
        raise InputError(message)
    if min(plane.shape) < side:
        message = f"image {index} has {plane.shape} pixels; crops of {side} do not fit in it, give a smaller crop_side"
        raise InputError(message)
    normalized = np.asarray(transforms.normalize99(plane.astype(np.float32)), np.float32)
    return np.pad(normalized, _FRAME, constant_values=np.nan)


def _rates(rate: float, n_epochs: int) -> list[float]:
    """Learning rate of each epoch: a rise, constant, and in the last third a fall to a tenth."""
    rise = np.minimum(1, np.arange(1, n_epochs + 1) / min(10, n_epochs))
    fall = np.interp(np.arange(n_epochs), [n_epochs * 2 / 3, n_epochs], [1, 0.1])
    return list(map(float, rate * rise * fall))
