"""Training of restoration networks: degrade clean images, restore them, and ask a segmentation network how well.

Source: Stringer & Pachitariu, Nature Methods 2025, methods section "Training the restoration networks".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cellpose._progress.display import Display, shown
from cellpose._progress.stages import stage
from cellpose.denoise._batch import random_rotate_and_resize_noise
from cellpose.denoise._data import CleanImages
from cellpose.denoise._losses import one_chan_cellpose, test_loss, train_loss
from cellpose.errors import InputError, OptionError
from cellpose.weights import new_model

__all__ = ["train"]

logger = logging.getLogger("cellpose.denoise")

_TEST_SEED = 42
_WARM_UP, _BLOCKS, _BLOCK = 10, 10, 10  # epochs of rising rate; blocks of epochs with halved rates

Numbers = float | Sequence[float]


@dataclass(frozen=True)
class _Noise:
    """One way of degrading images; see `add_noise`."""

    poisson: float
    beta: float
    blur: float
    gblur: float
    downsample: float

    @classmethod
    def each(cls, **given: Numbers) -> list[_Noise]:
        """One object for each position of lists of equal length; plain numbers apply to all of them."""
        lengths = {name: len(np.atleast_1d(np.asarray(value, float))) for name, value in given.items()}
        n = max(lengths.values())
        if any(length not in {1, n} for length in lengths.values()):
            message = f"{lengths} numbers were given; give lists of equal length, or single numbers"
            raise OptionError(message)
        columns = {name: np.broadcast_to(np.asarray(value, float).ravel(), n) for name, value in given.items()}
        for name in ("poisson", "blur", "downsample"):
            if columns[name].min() < 0 or columns[name].max() > 1:
                message = (
                    f"{name}={given[name]} is not allowed; it is the share of images degraded in this way, from 0 to 1"
                )
                raise OptionError(message)
        return [cls(**{name: float(column[i]) for name, column in columns.items()}) for i in range(n)]


@dataclass(frozen=True)
class _Run:
    """What stays the same during one run."""

    net: Any
    judge: nn.Module | None
    noises: list[_Noise]
    lam: tuple[float, float, float]
    iso: bool
    uniform_blur: bool
    ds_max: int
    batch_size: int
    device: torch.device
    diam_mean: float
    images: CleanImages
    tests: CleanImages | None
    nimg_per_epoch: int | None
    nimg_test_per_epoch: int | None
    path: Path
    save_every: int
    save_each: bool

    def batches(
        self, images: CleanImages, order: npt.NDArray[np.intp], noises: Sequence[_Noise]
    ) -> Iterator[dict[str, Any]]:
        """Degraded images, clean ones and targets, as the losses take them; one kind of noise a batch, in turn."""
        for k, start in enumerate(range(0, len(order), self.batch_size)):
            chosen = order[start : start + self.batch_size]
            noise = noises[k % len(noises)]
            both, targets, _ = random_rotate_and_resize_noise(
                [images.image(i) for i in chosen],
                [images.targets[i] for i in chosen],
                images.diameters[chosen],
                **vars(noise),
                iso=self.iso,
                uniform_blur=self.uniform_blur,
                ds_max=self.ds_max,
                diam_mean=self.diam_mean,
                device=self.device,
            )
            yield {"X": both[:, :1], "img": both[:, 1:], "lbl": targets, "net1": self.judge, "lam": self.lam}

    def train_epoch(self, optimiser: torch.optim.Optimizer, epoch: int) -> tuple[float, float]:
        """One pass over the images: means of the loss and of its perceptual part."""
        _seed(epoch)
        order = self.images.draw(self.nimg_per_epoch)
        _seed(epoch)
        turns = np.random.permutation(len(self.noises)) if len(self.noises) > 1 else [0]  # noqa: NPY002
        self.net.train()
        sums, n_done = np.zeros(2), 0
        advance = stage("training", len(order), "crops")
        for batch in self.batches(self.images, order, [self.noises[turn] for turn in turns]):
            loss, perceptual = train_loss(self.net, **batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            n_done += len(batch["X"])
            advance(n_done)
            sums += len(batch["X"]) * np.array([float(loss.detach()), float(perceptual.detach())])
        return float(sums[0]) / len(order), float(sums[1]) / len(order)

    def test(self, epoch: int) -> float:
        """Mean loss over test images, the same crops each time; kinds of noise take turns from epoch to epoch."""
        if self.tests is None:
            return 0.0
        _seed(_TEST_SEED, torch_seed=0)
        order = self.tests.draw(self.nimg_test_per_epoch)
        batches = self.batches(self.tests, order, [self.noises[epoch % len(self.noises)]])
        losses = [len(batch["X"]) * float(test_loss(self.net, **batch)[0]) for batch in batches]
        return sum(losses) / len(order)

    def all_epochs(
        self, optimiser: torch.optim.Optimizer, rates: Sequence[float], display: Display
    ) -> list[tuple[float, float]]:
        """Train at these rates: losses of training and of test images whenever they are logged."""
        losses: list[tuple[float, float]] = []
        started = time.monotonic()
        for epoch, rate in enumerate(rates):
            for group in optimiser.param_groups:
                group["lr"] = rate
            with display.job(f"epoch {epoch + 1}"):
                loss, perceptual = self.train_epoch(optimiser, epoch)
            display.advance(epoch + 1, f"loss {loss:0.3f}")
            if epoch < 10 or epoch % 5 == 0:
                losses.append((loss, self.test(epoch)))
                logger.info(
                    f"Epoch {epoch}, Time {time.monotonic() - started:4.1f}s, Loss {loss:0.3f}, "
                    f"loss_per {perceptual:0.3f}, Loss Test {losses[-1][1]:0.3f}, LR {rate:2.4f}"
                )
            if epoch > 0 and epoch % self.save_every == 0 and epoch != len(rates) - 1:
                self.save(f"_epoch_{epoch:04d}" if self.save_each else "")
        return losses

    def save(self, ending: str = "") -> None:
        """Write the network as it is."""
        path = self.path.with_name(self.path.name + ending)
        logger.info(f"saving network parameters to {path}")
        self.net.save_model(path)


def train(
    net: Any,
    train_data: Any = None,
    train_labels: Any = None,
    train_files: Any = None,
    test_data: Any = None,
    test_labels: Any = None,
    test_files: Any = None,
    train_probs: Any = None,
    test_probs: Any = None,
    lam: Sequence[float] = (1.0, 1.5, 0.0),
    scale_range: float = 0.5,
    seg_model_type: str | Path = "cyto2",
    save_path: str | Path | None = None,
    save_every: int = 100,
    save_each: bool = False,
    poisson: Numbers = 0.7,
    beta: Numbers = 0.7,
    blur: Numbers = 0.7,
    gblur: Numbers = 1.0,
    iso: bool = True,
    uniform_blur: bool = False,
    downsample: Numbers = 0.0,
    ds_max: int = 7,
    learning_rate: float = 0.005,
    n_epochs: int = 500,
    weight_decay: float = 1e-5,
    batch_size: int = 8,
    nimg_per_epoch: int | None = None,
    nimg_test_per_epoch: int | None = None,
    model_name: str | None = None,
    progress: bool | None = None,
) -> tuple[Path, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Train a network to restore images such that a segmentation network finds the cells.

    Parameters
    ----------
    net
        The network to train, ``nets.CPnet`` of one channel and one output. It is changed.
    train_data, test_data
        Clean images, each (Y, X) or (channels, Y, X), of which the first channel counts; not negative, about 0 to 1.
    train_labels, test_labels
        Of each image labels (Y, X), or (4, Y, X): labels, cell or not, flow along Y, flow along X.
    train_files, test_files
        Paths of images instead, read when they are needed and normalized; beside each ``<name>_flows.tif`` (4, Y, X).
    train_probs, test_probs
        How often each image is drawn; None: all alike.
    lam
        Weights of the perceptual, the segmentation and the reconstruction loss.
    scale_range
        Not used; crops are scaled at random by a factor of 0.5 to 2.
    seg_model_type
        Name or path of the segmentation network of the first two losses; not loaded where their weights are 0.
    save_path
        Folder for the model; None: the current one.
    save_every
        Save the model after as many epochs.
    save_each
        Keep each of these under its own name.
    poisson, beta, blur, gblur, downsample
        How images are degraded, see `add_noise`. Lists of equal length: several ways, which take turns.
    iso, uniform_blur, ds_max
        See `add_noise`.
    learning_rate, weight_decay
        Of AdamW. The rate rises over 10 epochs and is halved every 10 of the last 100 epochs.
    n_epochs
        Number of epochs.
    batch_size
        Crops per step.
    nimg_per_epoch, nimg_test_per_epoch
        Images drawn an epoch; None or 0: as many as there are.
    model_name
        Name of the file; None: made of the weights `lam`, the kinds of noise and the time.
    progress
        Whether a bar shows epochs, the loss and the time left; None: where a person looks at a terminal or a notebook.

    Returns
    -------
    filename
        Path of the model.
    train_losses, test_losses
        float64, after epochs 0 to 9 and every fifth one; test losses are 0 without test images.

    Raises
    ------
    InputError
        If images and labels do not belong together, or the network is not one for restoration.
    OptionError
        If an option is out of range, or `model_name` is no name of a file.
    UnknownModelError, DownloadError, WeightsError
        If the segmentation network cannot be had.
    """
    weights = _loss_weights(lam)
    if getattr(net, "nout", None) != 1:
        message = (
            f"the network has {getattr(net, 'nout', '?')} outputs; a restoration network has 1, "
            "such as CPnet([1, 32, 64, 128, 256], 1)"
        )
        raise InputError(message)
    for name, value in (("n_epochs", n_epochs), ("batch_size", batch_size), ("save_every", save_every)):
        if value < 1:
            message = f"{name}={value} is not allowed; give at least 1"
            raise OptionError(message)
    noises = _Noise.each(poisson=poisson, beta=beta, blur=blur, gblur=gblur, downsample=downsample)
    device, diam_mean = torch.device(net.device), float(net.diam_mean)
    images = CleanImages.of(train_data, train_labels, train_files, train_probs, diam_mean=diam_mean, role="train")
    if images is None:
        message = "there are no images to train on; give train_data and train_labels, or train_files"
        raise InputError(message)
    tests = CleanImages.of(test_data, test_labels, test_files, test_probs, diam_mean=diam_mean, role="test")
    judge = one_chan_cellpose(device, pretrained_model=seg_model_type) if max(weights[:2]) > 0 else None
    path = new_model(save_path or ".", model_name or _name(weights, noises, iso))
    run = _Run(
        net, judge, noises, weights, iso, uniform_blur, ds_max, batch_size, device, diam_mean,
        images, tests, nimg_per_epoch, nimg_test_per_epoch, path, save_every, save_each,
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    logger.info(f">>> training a restoration network on {len(images)} images; it will be saved to {path}")
    with _generators_restored():
        rates = _learning_rates(learning_rate, n_epochs).tolist()
        try:
            with shown(progress, "epochs", n_epochs) as display:
                losses = np.array(run.all_epochs(optimiser, rates, display), np.float64)
        finally:  # the weights learned before an interruption are kept as well
            run.save()
    return path, losses[:, 0], losses[:, 1]


def _loss_weights(lam: Sequence[float]) -> tuple[float, float, float]:
    if len(lam) != 3 or min(lam) < 0 or max(lam) <= 0:
        message = (
            f"lam={list(lam)} is not allowed; give three weights, 0 or more and not all 0, for the perceptual, the "
            "segmentation and the reconstruction loss"
        )
        raise OptionError(message)
    return float(lam[0]), float(lam[1]), float(lam[2])


def _learning_rates(rate: float, n_epochs: int) -> npt.NDArray[np.float64]:
    """Learning rate of each epoch, float64 (n_epochs,)."""
    constant = np.full(max(0, n_epochs - _BLOCKS * _BLOCK), rate)
    halved = np.repeat(rate * 0.5 ** np.arange(1, _BLOCKS + 1), _BLOCK)
    return np.concatenate((np.linspace(0, rate, _WARM_UP), constant, halved))[:n_epochs]


def _name(lam: Sequence[float], noises: Sequence[_Noise], iso: bool) -> str:
    parts = [f"per_{lam[0]:.2f}_seg_{lam[1]:.2f}_rec_{lam[2]:.2f}"]
    parts += [] if iso else ["aniso"]
    parts += [kind for kind in ("poisson", "blur", "downsample") if any(getattr(noise, kind) > 0 for noise in noises)]
    return "_".join([*parts, datetime.now().strftime("%Y_%m_%d_%H_%M_%S.%f")])


def _seed(seed: int, torch_seed: int | None = None) -> None:
    """Seed the generators that degradation and crops draw from, as published."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed if torch_seed is None else torch_seed)


@contextmanager
def _generators_restored() -> Iterator[None]:
    """Leave the caller's random numbers as they were."""
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
