"""The training loop of the segmentation networks.

Sources: Stringer et al., Nature Methods 18 (2021), Methods, "Training"; Stringer and Pachitariu, Nature Methods 22
(2025); Pachitariu et al., bioRxiv 2025.04.28.651001, for transformers.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cellpose import transforms
from cellpose.errors import OptionError
from cellpose.options import Training
from cellpose.train._channels import Preparation
from cellpose.train._data import ImageSet, Sources, build_sets
from cellpose.train._loss import _loss_fn_class, _loss_fn_seg
from cellpose.train._schedule import learning_rates

__all__ = ["train_seg"]

logger = logging.getLogger("cellpose.train")

_TEST_SEED = 42


def generation_of(net: Any) -> str:
    """``"transformer"`` for networks whose backbone is a vision transformer, else ``"unet"``."""
    return "transformer" if str(getattr(net, "backbone", "")).startswith(("sam", "dino")) else "unet"


def device_of(net: Any) -> torch.device:
    device = getattr(net, "device", None)
    return torch.device(device) if device is not None else next(net.parameters()).device


@dataclass(frozen=True)
class _Run:
    """What stays the same during one run."""

    net: Any
    options: Training
    generation: str
    device: torch.device
    class_weights: Any

    def crops(self, images: ImageSet, indices: npt.NDArray[np.intp], rng: np.random.RandomState) -> tuple[Tensor, Any]:
        """Randomly turned and scaled crops of some images, with their targets."""
        data, labels = images.batch(indices)
        rescale = None
        if self.options.rescale:
            rescale = (images.diameters[indices] / float(self.net.diam_mean)).astype(np.float32)
        common: dict[str, Any] = {"scale_range": self.options.scale_range, "rescale": rescale, "rng": rng}
        side = self.options.bsize
        if self.generation == "transformer":
            x, target, _ = transforms.random_rotate_and_resize(
                imgs=data, lbls=labels, bsize=side, device=self.device, **common
            )
            return x, target
        x, target, _ = transforms.random_rotate_and_resize(data, Y=labels, xy=(side, side), **common)
        return torch.from_numpy(x).to(self.device), target

    def loss(self, x: Tensor, target: Any) -> Tensor:
        y = self.net(x)[0]
        loss = _loss_fn_seg(target, y, self.device)
        if y.shape[1] > 3:
            loss = loss + _loss_fn_class(target, y, self.class_weights)
        return loss


def _optimiser(net: nn.Module, options: Training) -> torch.optim.Optimizer:
    if options.SGD:
        logger.info(f">>> SGD, learning_rate={options.learning_rate:0.5f}, weight_decay={options.weight_decay:0.5f}")
        return torch.optim.SGD(
            net.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, momentum=options.momentum
        )
    logger.info(f">>> AdamW, learning_rate={options.learning_rate:0.5f}, weight_decay={options.weight_decay:0.5f}")
    return torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)


def _train_epoch(run: _Run, images: ImageSet, optimiser: torch.optim.Optimizer, epoch: int) -> tuple[float, int]:
    """One pass over the training images: the sum of the losses of its crops, and their number."""
    rng = np.random.RandomState(epoch)
    order = images.draw(run.options.nimg_per_epoch, rng)
    run.net.train()
    total = 0.0
    for start in range(0, len(order), run.options.batch_size):
        indices = order[start : start + run.options.batch_size]
        loss = run.loss(*run.crops(images, indices, rng))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(indices)
    return total, len(order)


@torch.no_grad()
def _test_loss(run: _Run, images: ImageSet) -> float:
    """Mean loss over the test images; the same crops at every evaluation."""
    rng = np.random.RandomState(_TEST_SEED)
    order = images.draw(run.options.nimg_test_per_epoch, rng)
    run.net.eval()
    total = 0.0
    for start in range(0, len(order), run.options.batch_size):
        indices = order[start : start + run.options.batch_size]
        total += float(run.loss(*run.crops(images, indices, rng))) * len(indices)
    return total / len(order)


def save_network(net: Any, path: Path) -> None:
    """Write the weights; networks that know their own file format use it."""
    logger.info(f"saving network parameters to {path}")
    if hasattr(net, "save_model"):
        net.save_model(str(path))
    else:
        torch.save(net.state_dict(), path)


def _model_path(save_path: Any, model_name: Any) -> Path:
    folder = (Path.cwd() if save_path is None else Path(save_path)) / "models"
    folder.mkdir(exist_ok=True)
    return folder / (f"cellpose_{time.time()}" if model_name is None else str(model_name))


def _epochs(run: _Run, train_set: ImageSet, test_set: ImageSet | None, path: Path) -> tuple[Any, Any]:
    """All epochs, with their log lines and saved models."""
    options, n = run.options, run.options.n_epochs
    rates = learning_rates(options.learning_rate, n, run.generation)
    optimiser = _optimiser(run.net, options)
    logger.info(f">>> saving model to {path}")
    train_losses, test_losses = np.zeros(n), np.zeros(n)
    started, since_log, crops_since_log = time.monotonic(), 0.0, 0
    for epoch in range(n):
        for group in optimiser.param_groups:
            group["lr"] = float(rates[epoch])
        total, n_crops = _train_epoch(run, train_set, optimiser, epoch)
        train_losses[epoch] = total / n_crops
        since_log, crops_since_log = since_log + total, crops_since_log + n_crops
        if epoch == 5 or epoch % 10 == 0:
            if test_set is not None:
                test_losses[epoch] = _test_loss(run, test_set)
            # programs that drive the command line parse this line
            logger.info(
                f"{epoch}, train_loss={since_log / crops_since_log:.4f}, test_loss={test_losses[epoch]:.4f}, "
                f"LR={rates[epoch]:.6f}, time {time.monotonic() - started:.2f}s"
            )
            since_log, crops_since_log = 0.0, 0
        last = epoch == n - 1
        if last or (epoch > 0 and epoch % options.save_every == 0):
            each = options.save_each and not last
            save_network(run.net, path.with_name(f"{path.name}_epoch_{epoch:04d}") if each else path)
    return train_losses, test_losses


def _training_options(net: Any, generation: str, given: dict[str, Any]) -> Training:
    if generation == "transformer":
        if given["SGD"]:
            logger.warning("SGD is for U-Nets; AdamW is used")
            given["SGD"] = False
        side = int(getattr(net, "default_bsize", 256))
        bsize = given["bsize"]
        if bsize is None:
            given["bsize"] = side
        elif bsize != side and hasattr(net, "default_bsize"):
            message = f"bsize={bsize} is not allowed; this network takes crops of {side} pixels only"
            raise OptionError(message)
    return Training.of(generation, **given)


def train_seg(
    net: Any,
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
    batch_size: int | None = None,
    learning_rate: float | None = None,
    n_epochs: int | None = None,
    weight_decay: float | None = None,
    momentum: float = 0.9,
    SGD: bool = False,
    channels: Any = None,
    channel_axis: int | None = None,
    rgb: bool = False,
    normalize: Any = True,
    compute_flows: bool = False,
    save_path: Any = None,
    save_every: int = 100,
    save_each: bool = False,
    nimg_per_epoch: int | None = None,
    nimg_test_per_epoch: int | None = None,
    rescale: bool | None = None,
    scale_range: float | None = None,
    bsize: int | None = None,
    min_train_masks: int = 5,
    model_name: Any = None,
    class_weights: Any = None,
    *,
    train_batch_size: int | None = None,
) -> tuple[Path, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Train a segmentation network on images and masks.

    Arguments left at None get the value with which this generation of networks is trained by default
    (:class:`cellpose.options.Training`): U-Nets batches of 8 crops of 224 pixels, 2000 epochs, learning rate 0.005,
    weight decay 1e-5, images brought to ``net.diam_mean``; transformers one crop, 100 epochs, 1e-5, 0.1, images at
    their own size.

    Parameters
    ----------
    net
        The network, for example ``CellposeModel(...).net``. It is trained in place; its ``diam_labels`` becomes the
        mean diameter of the training images.
    train_data, train_labels
        Lists of images, ``(Ly, Lx)`` or with channels, and of masks ``(Ly, Lx)``, 0 background; or of masks with
        flows, ``(4 or more, Ly, Lx)``: masks, [classes,] cell mask, dY, dX.
    train_files, train_labels_files
        Paths, in place of arrays: label files hold flows, by default ``<image>_flows.tif``, or masks with
        ``compute_flows``. With arrays, ``train_files`` are where ``<image>_flows.tif`` are written.
    train_probs
        How often each image is drawn, relative; of effect with ``nimg_per_epoch`` only.
    test_data, test_labels, test_files, test_labels_files, test_probs
        The same for the images on which the loss is measured every ten epochs.
    load_files
        Read all files into memory; False: read those of each batch.
    batch_size, train_batch_size
        Crops in one step (two names of one option).
    learning_rate, n_epochs, weight_decay, momentum, SGD
        Of the optimiser: AdamW, or for U-Nets stochastic gradient descent with ``SGD=True``.
    channels, channel_axis, rgb
        Which channels U-Nets see, as in ``eval``; ``rgb``: three channels.
    normalize
        Percentiles 1 and 99 of each channel become 0 and 1; False: images as they are; a
        :class:`cellpose.options.Normalization`: as it says.
    compute_flows
        Label files hold masks: compute the flows and write them next to the images.
    save_path, model_name, save_every, save_each
        The model is saved as ``<save_path>/models/<model_name>`` (current directory, ``cellpose_<time>``) every
        ``save_every`` epochs and at the end; ``save_each`` keeps each as ``<model_name>_epoch_<epoch>``.
    nimg_per_epoch, nimg_test_per_epoch
        Crops an epoch, drawn with repetition; None: each image once.
    rescale, scale_range, bsize
        Bring cells to the mean diameter; width of the range of random scales around 1; side of the crops in pixels.
    min_train_masks
        Training images with fewer masks are left out.
    class_weights
        Weights of the classes, for networks with a class head.

    Returns
    -------
    tuple
        Path of the model; training loss of each epoch, float64 ``(n_epochs,)``; test loss alike, 0 where not measured.

    Raises
    ------
    InputError
        If images and labels do not fit each other, or no image has enough masks.
    OptionError
        If an option is outside its range.
    FileReadError
        If a file is missing or cannot be read.
    """
    generation = generation_of(net)
    if train_batch_size is not None:
        batch_size = train_batch_size
    given = {
        "batch_size": batch_size, "learning_rate": learning_rate, "n_epochs": n_epochs, "weight_decay": weight_decay,
        "momentum": momentum, "SGD": SGD, "save_every": save_every, "save_each": save_each,
        "nimg_per_epoch": nimg_per_epoch, "nimg_test_per_epoch": nimg_test_per_epoch, "rescale": rescale,
        "scale_range": scale_range, "bsize": bsize, "min_train_masks": min_train_masks,
    }  # fmt: skip
    options = _training_options(net, generation, given)
    preparation = Preparation.of(
        generation, normalize, channels=channels, channel_axis=channel_axis, rgb=rgb, nchan=_input_channels(net)
    )
    device = device_of(net)
    train_set, test_set = build_sets(
        Sources(train_data, train_labels, train_files, train_labels_files, train_probs),
        Sources(test_data, test_labels, test_files, test_labels_files, test_probs),
        preparation,
        device=device,
        load_files=load_files,
        compute_flows=compute_flows,
        min_train_masks=options.min_train_masks,
    )
    net.diam_labels.data = torch.tensor([train_set.diameters.mean()], dtype=torch.float32, device=device)
    n_test = 0 if test_set is None else len(test_set)
    logger.info(f">>> n_epochs={options.n_epochs}, n_train={len(train_set)}, n_test={n_test}")
    path = _model_path(save_path, model_name)
    run = _Run(net, options, generation, device, class_weights)
    losses = _in_float32(run, train_set, test_set, path)
    return path, *losses


def _input_channels(net: Any) -> int:
    return int(getattr(net, "nchan", None) or getattr(net, "nbase", [2])[0])


def _in_float32(run: _Run, train_set: ImageSet, test_set: ImageSet | None, path: Path) -> tuple[Any, Any]:
    """Train in float32, in which small steps are not rounded away; half precision comes back at the end."""
    dtype = getattr(run.net, "dtype", torch.float32)
    if dtype != torch.float32:
        run.net.dtype = torch.float32
    try:
        return _epochs(run, train_set, test_set, path)
    finally:
        if dtype != torch.float32:
            run.net.dtype = dtype
        run.net.eval()
