"""The training loop of the segmentation networks.

Sources: Stringer et al., Nature Methods 18 (2021), Methods, "Training"; Stringer and Pachitariu, Nature Methods 22
(2025); Pachitariu et al., bioRxiv 2025.04.28.651001, for transformers.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cellpose._progress.display import Display
from cellpose._progress.stages import stage
from cellpose.nets import Family
from cellpose.options import Training
from cellpose.train import _checkpoint as checkpoints
from cellpose.train import _records as records
from cellpose.train._adapters import encoder_of
from cellpose.train._average import WeightMean, measure_statistics
from cellpose.train._card import save_network
from cellpose.train._checkpoint import Progress
from cellpose.train._crops import Batch, Crops
from cellpose.train._events import Events
from cellpose.train._loss import _loss_fn_class, _loss_fn_seg, class_entropy
from cellpose.train._network import n_classes_of
from cellpose.train._schedule import learning_rates
from cellpose.train._sets import ImageSet, JoinedSet
from cellpose.train._validate import THRESHOLDS, Scores, evaluate

__all__ = ["HALF_PRECISION_DEVICES", "OnEpoch", "OnStep", "Run", "train", "validate"]

logger = logging.getLogger("cellpose.train")

OnEpoch = Callable[[dict[str, float]], Any]
OnStep = Callable[[dict[str, int]], Any]

# Devices on which bfloat16 is faster than float32.
HALF_PRECISION_DEVICES = frozenset({"cuda"})

_TEST_SEED = 42
_LONG = 100  # seconds; longer times are shown in minutes
_STATISTICS_SEED = 43
_STATISTICS_BATCHES = 8
_CHECKPOINTS = 10  # in a run, by default
_MOST_VALIDATED = 50  # images that a validation segments at most


@dataclass(frozen=True)
class Run:
    """What stays the same during one run.

    ``folder`` is where records and checkpoints go, or None; ``run_id`` identifies this run; ``card`` is what
    the model file will say of itself.
    """

    net: Any
    options: Training
    family: Family
    device: torch.device
    train_set: ImageSet
    test_set: ImageSet | None
    path: Path
    folder: Path | None = None
    run_id: str = ""
    replay_set: ImageSet | None = None
    class_weights: Any = None
    card: dict[str, Any] = field(default_factory=dict)
    mean: WeightMean = field(default_factory=WeightMean)
    events: Events = field(default_factory=Events)
    on_epoch: OnEpoch | None = None
    on_step: OnStep | None = None
    display: Display = field(default_factory=lambda: Display("", visible=False))

    def loss(self, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar that gradients can be taken of."""
        # bfloat16 has the range of float32: gradients do not vanish, so the loss needs no scaling
        half = self.options.mixed_precision and self.device.type in HALF_PRECISION_DEVICES
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            y = self.net(batch.x)[0]
        if n_classes_of(self.net):
            return class_entropy(y, batch.target, self.class_weights, ignored=batch.ignored)
        loss = _loss_fn_seg(batch.target, y, self.device, ignored=batch.ignored)
        if y.shape[1] > 3:
            loss = loss + _loss_fn_class(batch.target, y, self.class_weights, ignored=batch.ignored)
        return loss

    def crops(self, images: ImageSet) -> Crops:
        """How crops of these images are made."""
        options = self.options
        return Crops(
            self.family.learning.as_tensors,
            self.device,
            options.bsize,
            options.batch_size,
            options.scale_range,
            diam_mean=float(self.net.diam_mean) if options.rescale else None,
            channels_last=is_unet(self.net),
        )

    def rng(self, epoch: int) -> np.random.RandomState:
        """Random numbers of an epoch."""
        return np.random.RandomState(epoch if self.options.seed is None else [self.options.seed, epoch])


def is_unet(net: Any) -> bool:
    """Whether a network is a 2D U-Net of this package, for which memory is best laid out channels last."""
    return hasattr(net, "downsample") and not getattr(net, "conv_3D", False)


def make_optimiser(net: nn.Module, options: Training) -> torch.optim.Optimizer:
    """AdamW or stochastic gradient descent over all trainable weights."""
    part = options.freeze_encoder or options.adapter_rank is not None
    parameters = [p for p in net.parameters() if p.requires_grad] if part else list(net.parameters())
    rates = f"learning_rate={options.learning_rate:0.5f}, weight_decay={options.weight_decay:0.5f}"
    logger.info(f">>> {'SGD' if options.SGD else 'AdamW'}, {rates}")
    common: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if options.SGD:
        return torch.optim.SGD(parameters, **common, momentum=options.momentum)
    return torch.optim.AdamW(parameters, **common)


def _groups(batches: Iterator[Batch], n: int) -> Iterator[list[Batch]]:
    while group := list(itertools.islice(batches, n)):
        yield group


def _train_epoch(run: Run, optimiser: torch.optim.Optimizer, epoch: int) -> tuple[float, int, bool]:
    """One pass over the training images: the summed losses of its crops, their number, and whether it was stopped."""
    rng = run.rng(epoch)
    images = run.train_set
    order = images.draw(run.options.nimg_per_epoch, rng)
    if run.replay_set is not None:
        share = run.options.replay_fraction
        n = round(len(order) * share / (1 - share))
        replayed = len(images) + rng.choice(len(run.replay_set), size=n)
        order = rng.permutation(np.concatenate([order, replayed]))
        images = JoinedSet.of(images, run.replay_set)
    _to_training(run)
    total, n_done = 0.0, 0
    advance = stage("training", len(order), "crops")
    for group in _groups(run.crops(images).batches(images, order, rng), run.options.accumulate):
        n_crops = sum(batch.n for batch in group)
        optimiser.zero_grad()
        for batch in group:
            loss = run.loss(batch)
            part = loss if len(group) == 1 else loss * (batch.n / n_crops)
            part.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach()) * batch.n
        optimiser.step()
        n_done += n_crops
        advance(n_done)
        if run.on_step is not None and run.on_step({"epoch": epoch, "crops": n_done, "n_crops": len(order)}) is False:
            return total, n_done, True
    return total, len(order), False


def _to_training(run: Run) -> None:
    run.net.train()
    if run.options.freeze_encoder:
        encoder_of(run.net).eval()


def _measure_statistics(run: Run) -> None:
    """Statistics of batch norms for the weights as they are, from the same training crops at every call."""
    rng = np.random.RandomState(_STATISTICS_SEED)
    n = _STATISTICS_BATCHES * run.options.batch_size
    order = rng.choice(len(run.train_set), size=n, p=run.train_set.probs)
    training = run.net.training
    _to_training(run)
    measure_statistics(run.net, (batch.x for batch in _counted(run, run.train_set, order, rng, "averaging weights")))
    run.net.train(training)


def _counted(run: Run, images: ImageSet, order: Any, rng: np.random.RandomState, name: str) -> Iterator[Batch]:
    """Batches of a stage of this name."""
    advance, done = stage(name, len(order), "crops"), 0
    for batch in run.crops(images).batches(images, order, rng):
        yield batch
        done += batch.n
        advance(done)


@torch.no_grad()
def _test_loss(run: Run, images: ImageSet) -> float:
    """Mean loss over the test images; the same crops at every evaluation."""
    rng = np.random.RandomState(_TEST_SEED)
    order = images.draw(run.options.nimg_test_per_epoch, rng)
    run.net.eval()
    total = sum(float(run.loss(batch)) * batch.n for batch in _counted(run, images, order, rng, "test loss"))
    return total / len(order)


def validate(run: Run) -> Scores:
    """Segment the test images with the network as it is."""
    if run.test_set is None:
        message = "validation needs test images; give some, or leave out validate_every"
        raise ValueError(message)
    stage("segmenting test images")
    most = run.options.nimg_test_per_epoch or _MOST_VALIDATED
    return evaluate(run.net, run.test_set, rescale=run.options.rescale, most=most)


def train(run: Run, *, resume: bool = False) -> Progress:
    """All epochs, with their log lines, saved models, records and checkpoints."""
    optimiser = make_optimiser(run.net, run.options)
    run.mean.follow(run.net, optimiser, lambda: _measure_statistics(run))
    logger.info(f">>> saving model to {run.path}")
    progress = _begin(run, optimiser, resume=resume)
    run.display.first = progress.epoch
    run.display.advance(progress.epoch)
    rates = learning_rates(run.options.learning_rate, run.options.n_epochs, run.family.name)
    try:
        while progress.epoch < run.options.n_epochs and not _stops(run, progress):
            with run.display.job(f"epoch {progress.epoch + 1}"):
                _epoch(run, optimiser, float(rates[progress.epoch]), progress)
            run.display.advance(progress.epoch, _losses_in_words(progress))
    except KeyboardInterrupt:
        if run.folder is not None and progress.epoch and not records.checkpoint_file(run.path).is_file():
            # Before the first one was due. In the middle of an epoch, that epoch begins anew from these weights.
            _checkpoint(run, optimiser, progress)
        run.mean.apply()
        save_network(run.net, run.path, run.card)
        logger.warning(f"interrupted in epoch {progress.epoch}: the current model was saved to {run.path}")
        raise
    with run.display.job("the last steps"):
        _end(run, optimiser, progress)
    return progress


def _begin(run: Run, optimiser: torch.optim.Optimizer, *, resume: bool) -> Progress:
    path = records.checkpoint_file(run.path)
    content = checkpoints.read_checkpoint(path, run.run_id) if resume else None
    if content is None:
        if resume:
            logger.warning("there is no checkpoint to resume from: training starts anew")
        checkpoints.forget_finished(path)
        return Progress()
    progress = checkpoints.restore(path, content, run.net, optimiser, run.mean)
    logger.info(f">>> the run of {run.path.name} continues with epoch {progress.epoch}")
    return progress


def _epoch(run: Run, optimiser: torch.optim.Optimizer, rate: float, progress: Progress) -> None:
    """One epoch and all that follows it; afterwards a checkpoint holds everything."""
    options, epoch = run.options, progress.epoch
    started = time.monotonic()
    for group in optimiser.param_groups:
        group["lr"] = rate
    total, n_crops, stopped = _train_epoch(run, optimiser, epoch)
    row: dict[str, float] = {"epoch": epoch, "train_loss": total / n_crops, "learning_rate": rate}
    progress.train_losses.append(total / n_crops)
    progress.test_losses.append(0.0)
    progress.sums = (progress.sums[0] + total, progress.sums[1] + n_crops)
    logged = epoch == 5 or epoch % 10 == 0
    if run.test_set is not None and not stopped and (logged or _validation_due(run, epoch)):
        with run.mean.applied():
            if logged:
                row["test_loss"] = progress.test_losses[-1] = _test_loss(run, run.test_set)
            _validate_if_due(run, progress, row)
    progress.seconds += time.monotonic() - started
    row["seconds"] = progress.seconds
    if logged:
        _log_line(progress, rate, options.n_epochs)
    progress.rows.append(row)
    run.events.add(row)
    progress.epoch += 1
    _save_if_due(run, optimiser, progress)
    if run.on_epoch is not None:
        left = progress.seconds / progress.epoch * (options.n_epochs - progress.epoch)
        stopped |= run.on_epoch({**row, "n_epochs": options.n_epochs, "seconds_left": left}) is False
    if stopped:
        logger.info(f"training stops after epoch {epoch}")
        progress.epoch = options.n_epochs


def _log_line(progress: Progress, rate: float, n_epochs: int) -> None:
    total, n_crops = progress.sums
    # programs that drive the command line parse this line
    logger.info(
        f"{progress.epoch}, train_loss={total / n_crops:.4f}, test_loss={progress.test_losses[-1]:.4f}, "
        f"LR={rate:.6f}, time {progress.seconds:.2f}s"
    )
    done = progress.epoch + 1
    if done < n_epochs and done > 1:
        left = progress.seconds / done * (n_epochs - done)
        words = f"{left / 60:.0f} min" if left > _LONG else f"{left:.0f} s"
        logger.info(f"epoch {done} of {n_epochs} is done, about {words} left")
    progress.sums = (0.0, 0)


def _losses_in_words(progress: Progress) -> str:
    """The last losses, for the bar."""
    words = f"loss {progress.train_losses[-1]:.4f}"
    measured = [loss for loss in progress.test_losses if loss]
    return f"{words}, test {measured[-1]:.4f}" if measured else words


def _validation_due(run: Run, epoch: int) -> bool:
    every = run.options.validate_every
    return every is not None and ((epoch + 1) % every == 0 or epoch == run.options.n_epochs - 1)


def _validate_if_due(run: Run, progress: Progress, row: dict[str, float]) -> None:
    """Measure the score that models are chosen by, and keep the best weights."""
    score = -row["test_loss"] if "test_loss" in row and run.options.validate_every is None else None
    if _validation_due(run, progress.epoch):
        scores = validate(run)
        row |= {f"ap{100 * t:.0f}": ap for t, ap in zip(THRESHOLDS, scores.ap, strict=True)}
        row["flow_error"] = scores.flow_error
        score = scores.score
        aps = ", ".join(f"AP@{t:g}={ap:.3f}" for t, ap in zip(THRESHOLDS, scores.ap, strict=True))
        logger.info(f"validation after epoch {progress.epoch}: {aps}, flow_error={scores.flow_error:.4f}")
        if run.folder is not None:
            records.write_pictures(run.folder, scores)
    if score is None or (progress.best_score is not None and score <= progress.best_score):
        return
    progress.best_score, progress.best_epoch = score, progress.epoch
    if run.options.keep_best and run.folder is not None:
        checkpoints.write_best(run.folder / "best.pt", run.net, progress.best_epoch)


def _stops(run: Run, progress: Progress) -> bool:
    patience = run.options.patience
    if patience is None or progress.best_epoch < 0 or progress.epoch - 1 - progress.best_epoch < patience:
        return False
    logger.info(f"no better validation since epoch {progress.best_epoch}: training stops after {progress.epoch} epochs")
    return True


def _save_if_due(run: Run, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    options, epoch = run.options, progress.epoch - 1
    last = progress.epoch == options.n_epochs
    if last or (epoch > 0 and epoch % options.save_every == 0):
        each = options.save_each and not last
        stage("saving")
        path = run.path.with_name(f"{run.path.name}_epoch_{epoch:04d}") if each else run.path
        with run.mean.applied():
            save_network(run.net, path, run.card)
    if run.folder is None:
        return
    records.write_table(run.folder, progress.rows)
    every = options.checkpoint_every or max(1, options.n_epochs // _CHECKPOINTS)
    if progress.epoch % every == 0 and not last:
        _checkpoint(run, optimiser, progress)


def _checkpoint(run: Run, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    path = records.checkpoint_file(run.path)
    checkpoints.write_checkpoint(path, run.run_id, run.net, optimiser, progress, run.mean)


def _end(run: Run, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Restore the best weights if requested, and mark the run as finished."""
    run.mean.apply()
    stopped_early = len(progress.rows) < run.options.n_epochs
    best = _best_weights(run, progress)
    if best is not None:
        run.net.load_state_dict(best)
        logger.info(f"the weights of epoch {progress.best_epoch}, the best ones, are kept")
        save_network(run.net, run.path, {**run.card, "best_epoch": progress.best_epoch})
    elif stopped_early:
        save_network(run.net, run.path, run.card)
    progress.finished = True
    if run.folder is not None:
        (run.folder / "best.pt").unlink(missing_ok=True)
        _checkpoint(run, optimiser, progress)
        records.write_plot(run.folder, progress.rows)


def _best_weights(run: Run, progress: Progress) -> dict[str, Any] | None:
    """The weights to keep instead of the last ones; None: keep these."""
    measured, last = progress.best_epoch >= 0, progress.best_epoch == len(progress.rows) - 1
    if not run.options.keep_best or run.folder is None or not measured or last:
        return None
    best = checkpoints.read_best(run.folder / "best.pt", progress.best_epoch)
    if best is None:
        logger.warning(
            f"the weights of epoch {progress.best_epoch}, the best ones, are not in {run.folder / 'best.pt'} any more: "
            "the last ones are kept"
        )
    return best


def losses_of(progress: Progress, n_epochs: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Training and test losses, float64 (n_epochs,), 0 where not measured or not reached."""
    train_losses, test_losses = np.zeros(n_epochs), np.zeros(n_epochs)
    train_losses[: len(progress.train_losses)] = progress.train_losses
    test_losses[: len(progress.test_losses)] = progress.test_losses
    return train_losses, test_losses
