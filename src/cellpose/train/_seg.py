"""`train_seg`: the arguments of a caller become one run."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellpose import nets, weights
from cellpose._machine.writing import make_folder
from cellpose._progress.display import shown, waiting
from cellpose.errors import FileMissingError, OptionError
from cellpose.options import Training
from cellpose.train import _records
from cellpose.train._adapters import trained_part
from cellpose.train._average import WeightMean
from cellpose.train._card import base_facts, base_of, family_name, save_network, software
from cellpose.train._channels import SetPreparation
from cellpose.train._checkpoint import Progress, check_options, fingerprint, finished_run
from cellpose.train._classes import with_classes
from cellpose.train._data import Reading, Sources, build_set, build_sets
from cellpose.train._events import Events
from cellpose.train._loop import HALF_PRECISION_DEVICES, OnEpoch, OnStep, Run, is_unet, losses_of, train, validate
from cellpose.train._memory import memory_is_kept
from cellpose.train._network import (
    check_flows,
    crop_multiple,
    device_of,
    family_of,
    input_channels,
    n_classes_of,
    network_facts,
)
from cellpose.train._sets import ImageSet
from cellpose.train._validate import Comparison, Scores

__all__ = ["train_seg"]

logger = logging.getLogger("cellpose.train")

_RGB = 3  # channels of images with rgb=True

# Options that may change from a run to its continuation: they do not change its results.
_NEUTRAL = {"save_every", "save_each", "checkpoint_every", "records", "tensorboard", "cache_gb", "workers"}


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
    resume: bool = False,
    seed: int | None = None,
    deterministic: bool = False,
    accumulate: int = 1,
    mixed_precision: bool = False,
    validate_every: int | None = None,
    keep_best: bool = False,
    average_weights: float = 0.0,
    patience: int | None = None,
    checkpoint_every: int | None = None,
    records: bool = False,
    tensorboard: bool = False,
    report: bool = False,
    freeze_encoder: bool = False,
    adapter_rank: int | None = None,
    replay_data: Any = None,
    replay_labels: Any = None,
    replay_files: Any = None,
    replay_labels_files: Any = None,
    replay_fraction: float = 0.25,
    cache_gb: float = 1.0,
    workers: int = 0,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    progress: bool | None = None,
) -> tuple[Path, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Train a segmentation network on images and masks.

    Arguments that are None get the training defaults of the network's family (:class:`cellpose.options.Training`).
    U-Nets: batches of 8 crops of 224 pixels, 2000 epochs, learning rate 0.005, weight decay 1e-5, images rescaled to
    ``net.diam_mean``. Transformers: one crop, 100 epochs, 1e-5, 0.1, images not rescaled.

    Parameters
    ----------
    net
        The network, for example ``CellposeModel(...).net``. It is trained in place; its ``diam_labels`` becomes the
        mean diameter of the training images that have cells.
    train_data, train_labels
        Lists of images, ``(Ly, Lx)`` or with channels, and of masks ``(Ly, Lx)``, 0 background; or of masks with flows,
        ``(4 or more, Ly, Lx)``: masks, [classes,] cell mask, dY, dX. Negative masks mark pixels without known truth,
        which the loss ignores. Images whose masks cannot be used are reported in the log and left out.
    train_files, train_labels_files
        Paths instead of arrays. Label files hold flows, by default ``<image>_flows.tif``; with ``compute_flows`` they
        hold masks. With arrays, ``<image>_flows.tif`` is written beside each of ``train_files``.
    train_probs
        Relative frequency with which each image is drawn; only used with ``nimg_per_epoch``.
    test_data, test_labels, test_files, test_labels_files, test_probs
        The same for test images, on which the loss is measured every ten epochs.
    load_files
        Read all files into memory; False: read the files of each batch when needed.
    batch_size, train_batch_size
        Crops in one step (two names of one option).
    learning_rate, n_epochs, weight_decay, momentum, SGD
        Settings of the optimizer, each one number (no list of rates): AdamW, or for U-Nets stochastic gradient descent
        with ``SGD=True``.
    channels, channel_axis, rgb
        Channels that U-Nets use, as in ``eval``; ``rgb``: three channels.
    normalize
        True: percentiles 1 and 99 of each channel become 0 and 1; False: images are unchanged; or a
        :class:`cellpose.options.Normalization`.
    compute_flows
        Label files hold masks: compute the flows and write them next to the images.
    save_path, model_name, save_every, save_each
        The model is saved as ``<save_path>/models/<model_name>`` (current directory, ``cellpose_<time>``) every
        ``save_every`` epochs and at the end; ``save_each`` keeps each as ``<model_name>_epoch_<epoch>``.
    nimg_per_epoch, nimg_test_per_epoch
        Crops per epoch, drawn with repetition; None: each image once.
    rescale, scale_range, bsize
        Rescale cells to the mean diameter; width of the range of random scales around 1; side of the crops in pixels.
    min_train_masks
        Training images with fewer masks are left out.
    class_weights
        Weights of the classes, for networks with a class head.
    resume
        Continue from the checkpoint of a run with this ``model_name``, base model, data and options (without a
        name: the newest run). Results equal those of an uninterrupted run; of a finished one the model is loaded.
    seed, deterministic
        Seed of all random numbers, torch's included; operations that give the same result in every run.
    accumulate, mixed_precision
        Batches whose gradients make one step; bfloat16 on CUDA GPUs.
    validate_every, keep_best, patience
        Number of epochs between segmentations of the test images (AP at 0.5, 0.75, 0.9); keep the best weights instead
        of the last; number of epochs without improvement before training stops. Without ``validate_every`` the test
        loss decides.
    average_weights
        Test, validate and save the mean of the weights over this last share of the steps, for example 0.2. While steps
        are large, the mean is better than any single weights. 0: use the last weights.
    records, checkpoint_every, report
        Keep losses, pictures and checkpoints in ``<save_path>/training/<model_name>``; compare the network before and
        after training on the test images, in the log and in ``report.json`` there.
    tensorboard
        Also write the losses there for TensorBoard (``tensorboard --logdir <save_path>/training``).
    freeze_encoder, adapter_rank
        Train only the rest of the network; or train low-rank adapters in a transformer's attention, which are merged
        into its weights.
    replay_data, replay_labels, replay_files, replay_labels_files, replay_fraction
        Images from the training data of the base model, and their share in each epoch, so that the model does not
        forget them.
    cache_gb, workers
        Memory for images, with ``load_files=False``; threads that read them.
    on_epoch
        Called after every epoch with its losses; training stops if it returns False.
    on_step
        Called after every step with its epoch, the ``"crops"`` done in this epoch and ``"n_crops"``, those of the whole
        epoch; training stops at once if it returns False, and the current model is saved.
    progress
        Whether to show a progress bar with epochs, losses and the time left; None: in terminals and notebooks.

    Returns
    -------
    tuple
        Path of the model; training loss of each epoch, float64 ``(n_epochs,)``; test loss in the same form, 0 where not
        measured.

    Raises
    ------
    InputError
        If images and labels do not match, no image has enough masks, or the network restores images.
    OptionError
        If an option is outside its range, or ``model_name`` is no name of a file.
    FileReadError
        If a file is missing or cannot be read; also the model of a finished run that is resumed.
    MissingExtraError
        If ``tensorboard`` is True, but TensorBoard is not installed.
    KeyboardInterrupt
        After the current model was saved.
    """
    training = Sources(train_data, train_labels, train_files, train_labels_files, train_probs)
    test = Sources(test_data, test_labels, test_files, test_labels_files, test_probs)
    replay = Sources(replay_data, replay_labels, replay_files, replay_labels_files)
    check_flows(net)
    if rgb and family_of(net).channel_pair and input_channels(net) != _RGB:
        message = f"rgb=True needs a network of {_RGB} channels; this one takes {input_channels(net)}: leave out rgb"
        raise OptionError(message)
    with waiting("images to train on", progress):
        options = _options(
            net, resume=resume, batch_size=batch_size if train_batch_size is None else train_batch_size,
            learning_rate=learning_rate, n_epochs=n_epochs, weight_decay=weight_decay, momentum=momentum, SGD=SGD,
            save_every=save_every, save_each=save_each, nimg_per_epoch=nimg_per_epoch,
            nimg_test_per_epoch=nimg_test_per_epoch, rescale=rescale, scale_range=scale_range, bsize=bsize,
            min_train_masks=min_train_masks, seed=seed, deterministic=deterministic, accumulate=accumulate,
            mixed_precision=mixed_precision, validate_every=validate_every, keep_best=keep_best,
            average_weights=average_weights, patience=patience, checkpoint_every=checkpoint_every, records=records,
            tensorboard=tensorboard, freeze_encoder=freeze_encoder, adapter_rank=adapter_rank,
            replay_fraction=replay_fraction, cache_gb=cache_gb, workers=workers,
        )  # fmt: skip
        if not test:
            _warn_of_no_tests(options)
        path = _model_path(save_path, model_name, resume=resume)
        preparation = SetPreparation.of(
            family_of(net).channel_pair, normalize, channels=channels, channel_axis=channel_axis, rgb=rgb,
            nchan=input_channels(net),
        )  # fmt: skip
        facts = _facts(net, options, preparation, class_weights, path)
        if resume:
            check_options(_records.checkpoint_file(path), facts)
        reading = Reading(
            device_of(net), load_files, compute_flows, options.cache_gb, options.workers, float(net.diam_mean)
        )
        sets = _image_sets(net, (training, test, replay), preparation, reading, options.min_train_masks)
        run = _run_of(
            net, options, sets, path, run_id=_run_id(facts, sets), card=_card(net, options, preparation, sets.train)
        )
    net.diam_labels.data = torch.tensor([sets.train.diameters.mean()], dtype=torch.float32, device=run.device)
    with shown(progress, "epochs", options.n_epochs) as display:
        run = dataclasses.replace(
            run, class_weights=class_weights, on_epoch=on_epoch, on_step=on_step, display=display
        )  # fmt: skip
        done = _carried_out(run, resume=resume, report=report)
    return run.path, *losses_of(done, options.n_epochs)


def _warn_of_no_tests(options: Training) -> None:
    names = ("nimg_test_per_epoch", "validate_every", "keep_best", "patience")
    given = [name for name in names if getattr(options, name)]
    if given:
        have = "have" if len(given) > 1 else "has"
        logger.warning(f"{', '.join(given)} {have} no effect without test images (--test_dir)")


def _options(net: Any, *, resume: bool, **chosen: Any) -> Training:
    """The checked options of a run; ``chosen`` are the fields of `Training`, None for the default of the network."""
    family = family_of(net)
    if chosen["SGD"] and not family.learning.sgd:
        logger.warning("SGD is for U-Nets only; AdamW is used")
        chosen["SGD"] = False
    side = int(getattr(net, "default_bsize", family.tile_side))
    if chosen["bsize"] is None:
        chosen["bsize"] = side
    elif chosen["bsize"] != side and family.one_side and hasattr(net, "default_bsize"):
        message = f"bsize={chosen['bsize']} is not allowed; this network needs crops of {side} pixels"
        raise OptionError(message)
    if chosen["bsize"] is not None and chosen["bsize"] % crop_multiple(net):
        message = f"bsize={chosen['bsize']} is not allowed; it must be a multiple of {crop_multiple(net)} here"
        raise OptionError(message)
    # these need a folder on the disk
    needs = (resume, chosen["keep_best"], chosen["tensorboard"], chosen["checkpoint_every"])
    chosen["records"] = chosen["records"] or any(needs)
    return Training.of(family.name, **chosen)


@dataclasses.dataclass(frozen=True)
class _ImageSets:
    """The images to train on, to test on, and of the base model's data."""

    train: ImageSet
    test: ImageSet | None
    replay: ImageSet | None

    def present(self) -> list[ImageSet]:
        """The sets that there are."""
        return [images for images in (self.train, self.test, self.replay) if images is not None]


def _image_sets(
    net: Any,
    sources: tuple[Sources, Sources, Sources],
    preparation: SetPreparation,
    reading: Reading,
    min_train_masks: int,
) -> _ImageSets:
    """The sets of images from the sources to train on, to test on and to replay."""
    training, test, replay = sources
    train_set, test_set = build_sets(training, test, preparation, reading, min_train_masks)
    replay_set = build_set(replay, preparation, reading, "replay") if replay else None
    n_classes = n_classes_of(net)
    if not n_classes:
        return _ImageSets(train_set, test_set, replay_set)
    test_set, replay_set = (images and with_classes(images, n_classes) for images in (test_set, replay_set))
    return _ImageSets(with_classes(train_set, n_classes), test_set, replay_set)


def _run_of(net: Any, options: Training, sets: _ImageSets, path: Path, *, run_id: str, card: dict[str, Any]) -> Run:
    """The run, without the caller's callbacks and class weights."""
    device = device_of(net)
    n_test = 0 if sets.test is None else len(sets.test)
    logger.info(f">>> n_epochs={options.n_epochs}, n_train={len(sets.train)}, n_test={n_test}")
    if options.mixed_precision and device.type not in HALF_PRECISION_DEVICES:
        logger.warning(f"mixed_precision is for CUDA GPUs only; on {device.type} training computes in float32")
    return Run(
        net, options, family_of(net), device, sets.train, sets.test, path, replay_set=sets.replay,
        folder=_folder(path) if options.records else None,
        mean=WeightMean(options.average_weights), events=Events(_folder(path) if options.tensorboard else None),
        run_id=run_id, card=card,
    )  # fmt: skip


def _model_path(save_path: Any, model_name: Any, *, resume: bool) -> Path:
    folder = (Path.cwd() if save_path is None else Path(save_path)) / "models"
    if model_name is None and resume:
        model_name = _newest_run(folder)
    name = f"cellpose_{time.time()}" if model_name is None else str(model_name)
    return weights.new_model(folder, name, resume=resume)


def _newest_run(models: Path) -> str | None:
    """Name of the model whose checkpoint was written last."""
    found = sorted(models.parent.glob("training/*/checkpoint.pt"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent.name if found else None


def _folder(path: Path) -> Path:
    return make_folder(_records.run_folder(path))


def _facts(net: Any, options: Training, preparation: SetPreparation, class_weights: Any, path: Path) -> dict[str, Any]:
    """What is equal in a run and its continuation, beside the data."""
    return {
        **{name: value for name, value in vars(options).items() if name not in _NEUTRAL},
        "family": family_name(net),
        "base_model": base_of(net, path),
        **_preparation_facts(preparation),
        "class_weights": None if class_weights is None else torch.as_tensor(class_weights).tolist(),
    }


def _run_id(facts: dict[str, Any], image_sets: _ImageSets) -> str:
    sets = image_sets.present()
    numbers = [array for s in sets for array in (s.diameters, s.n_masks, s.probs)]
    images = {"images": [len(images) for images in sets]}
    return fingerprint({**facts, **images}, [*numbers, *(key for s in sets for key in s.keys)])


def _preparation_facts(preparation: SetPreparation) -> dict[str, Any]:
    return {
        "channels": json.dumps(preparation.each.channels, default=str),
        "channel_axis": json.dumps(preparation.channel_axis),
        "rgb": preparation.rgb,
        "normalization": json.dumps(vars(preparation.each.normalization), default=str),
    }


def _card(net: Any, options: Training, preparation: SetPreparation, train_set: ImageSet) -> dict[str, Any]:
    """The card of the model file: simple values, and all options."""
    diameters = train_set.diameters
    return {
        **software(),
        **base_facts(net),
        "family": family_name(net),
        **network_facts(net),
        "diam_mean": round(float(net.diam_mean), 3),
        "diam_labels": round(float(diameters.mean()), 3),
        "diameters": f"{diameters.min():.1f} to {diameters.max():.1f} px",
        "images": len(train_set),
        "masks": int(train_set.n_masks.sum()),
        **_preparation_facts(preparation),
        "epochs": options.n_epochs,
        "training": {name: value for name, value in vars(options).items() if value is not None},
    }


def _carried_out(run: Run, *, resume: bool, report: bool) -> Progress:
    """Train between two validations on the test images, in float32, with the chosen random numbers."""
    finished = _finished(run) if resume else None
    if finished is not None:
        return finished
    options = run.options
    compares = run.test_set is not None and (report or options.validate_every is not None)
    on_processor = run.device.type == "cpu"
    with _float32(run.net), _random_numbers(options, run.device), memory_is_kept(wanted=on_processor):
        if is_unet(run.net):
            run.net.to(memory_format=torch.channels_last)
        with run.display.job("before training"):
            base = validate(run) if compares else None
        with trained_part(run.net, freeze_encoder=options.freeze_encoder, rank=options.adapter_rank):
            try:
                progress = train(run, resume=resume)
            finally:
                run.events.close()
        if base is not None:
            with run.display.job("after training"):
                _report(run, base, validate(run))
    return progress


def _finished(run: Run) -> Progress | None:
    """The losses of a run that has ended before, with its model in the network; None: there is more to do."""
    progress = finished_run(_records.checkpoint_file(run.path), run.run_id)
    if progress is None:
        return None
    if not run.path.is_file():
        message = f"the run of {run.path.name} is finished, but its model {run.path} is missing; train without resume"
        raise FileMissingError(message)
    run.net.load_state_dict(nets.read_state_dict(run.path))
    run.net.eval()
    logger.info(f">>> the run of {run.path.name} is finished: its model {run.path} stays as it is")
    return progress


def _remedies(run: Run) -> list[str]:
    """What this run did not use and may keep a network from becoming worse."""
    options = run.options
    return [
        *(["keep_best (--keep_best)"] if not options.keep_best else []),
        *(["average_weights=0.2 (--average_weights 0.2)"] if not options.average_weights else []),
        *(["images of the base model's training (--replay_dir)"] if run.replay_set is None else []),
    ]


def _report(run: Run, base: Scores, tuned: Scores) -> None:
    comparison = Comparison(base, tuned)
    for line in comparison.lines(_remedies(run)):
        logger.log(logging.WARNING if comparison.harmed else logging.INFO, line)
    save_network(run.net, run.path, {**run.card, "validation": comparison.as_dict()})
    if run.folder is not None:
        _records.write_report(run.folder, comparison.as_dict())
        _records.write_pictures(run.folder, tuned)


@contextmanager
def _float32(net: Any) -> Iterator[None]:
    """Train in float32, in which small steps are not rounded away; half precision is restored at the end."""
    dtype = getattr(net, "dtype", torch.float32)
    if dtype != torch.float32:
        net.dtype = torch.float32
    try:
        yield
    finally:
        if dtype != torch.float32:
            net.dtype = dtype
        net.eval()


@contextmanager
def _random_numbers(options: Training, device: torch.device) -> Iterator[None]:
    """Seed torch, and restore the caller's random state afterwards; does nothing without a seed."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by CUDA when it starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    seeded = options.seed is not None
    try:
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=seeded):
            if options.seed is not None:
                torch.manual_seed(options.seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
