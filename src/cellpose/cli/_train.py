"""``cellpose --train …``: train a model, and a size model, on the images and masks of a folder."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cellpose._machine.writing import replacing
from cellpose._progress.display import waiting
from cellpose._progress.stages import TOLD
from cellpose.cli._model import NO_MODEL, device_of, family_of, resolve_model
from cellpose.cli._table import LAYOUT, layout_given
from cellpose.cli._unused import warn_of_unused
from cellpose.errors import CellposeError, FileWriteError, InputError, OptionError
from cellpose.nets import Family
from cellpose.options import Normalization

__all__ = ["train_command"]

logger = logging.getLogger("cellpose.cli")

# Stochastic gradient descent with a smaller learning rate does not move the weights: it is meant for AdamW.
_SMALLEST_SGD_RATE = 1e-3

# Diameter of cells as seen by a new network that does not rescale images.
_DIAMETER_PX = 30.0

# Channels of the levels of a U-Net with random weights: those of all published ones.
_WIDTHS = (32, 64, 128, 256)


def train_command(args: Namespace) -> int:
    """Train on ``--dir`` and say where the model was saved."""
    _check(args)
    warn_of_unused(args, training=True)
    with waiting("reading images"):
        data = _load_data(args)
    with waiting("loading the model"):
        network, path = _load_network(args)
    family = family_of(network)
    if args.train:
        path = _train_network(network, family, data, args)
        logger.info(f">>>> model trained and saved to {path}")
        _remember(path)
        if not args.verbose:
            print(f"model saved to {path}", flush=True)
    if args.train_size:
        _train_size(network, family, path, data, args)
    return 0


def _remember(path: Path) -> None:
    """Register the model, so that its name can be used in every folder; say how it is used."""
    from cellpose import weights

    if weights.owner(path.name) is None:
        try:
            weights.remember_trained(path)
        except FileWriteError as error:
            logger.warning(f"use the model by its path, not by its name {path.name}: {error}")
            return
    given = weights.name_to_give(path)
    meant = weights.find(path.name)
    # of bundled and published models the log spoke before the training
    if given != path.name and meant is not None and weights.owner(path.name) is None:
        logger.warning(
            f"the name {path.name} still means {meant.path}: use the new model by its path, or put it into the models "
            f"folder with `cellpose models add {path}`"
        )
    logger.info(f">>>> use it with --pretrained_model {given}", extra=TOLD)


def _check(args: Namespace) -> None:
    if bool(args.dir) == bool(args.contributions):
        message = (
            "--train needs --dir, a folder of images and masks, or --contributions, a folder of contributions, and not "
            "both; --image_path is for segmentation"
        )
        raise OptionError(message)
    for name in ("dir", "test_dir", "replay_dir", "contributions"):
        folder = getattr(args, name)
        if folder and not os.path.isdir(folder):
            message = f"--{name} {folder} is not a folder; give a folder of images and masks"
            raise OptionError(message)
    if args.restore_type:
        message = f"--restore_type {args.restore_type} is for segmentation, not for training; leave it out"
        raise OptionError(message)
    if args.train_size and not args.train and args.pretrained_model in (None, *NO_MODEL):
        message = "--train_size without --train needs the model it is for: --pretrained_model"
        raise OptionError(message)
    if args.model_name_out:
        from cellpose import weights

        weights.check_new_name(args.model_name_out)
    _check_layout(args)


def _check_layout(args: Namespace) -> None:
    given = layout_given(args)
    if given and args.pretrained_model not in NO_MODEL:
        message = (
            f"--{given[0]} is for new networks, but an existing model keeps its architecture; add --pretrained_model "
            "None to train from scratch"
        )
        raise OptionError(message)
    for name, allowed in (("nclasses", (2, 3)), *((name, (0, 1)) for name in LAYOUT[2:])):
        if getattr(args, name) not in (None, *allowed):
            message = f"--{name} {getattr(args, name)} is not allowed; choose {allowed[0]} or {allowed[1]}"
            raise OptionError(message)
    if args.nclasses == 2 and not args.unet:
        message = "--nclasses 2 needs --unet: networks that predict flows have three outputs"
        raise OptionError(message)


@contextmanager
def _named(option: str) -> Iterator[None]:
    """Errors in a folder name its option; those of `io` name --dir, as programs expect."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("--dir folder", f"--{option} folder")) from error


def _load_data(args: Namespace) -> dict[str, Any]:
    """The keywords of ``train_seg`` and ``train_size`` that say what to train on."""
    from cellpose import io

    if args.contributions:
        return _contributed(args)
    if args.file_list:
        listed = io.load_file_list(args.file_list)
        keys = ("train_files", "train_labels_files", "test_files", "test_labels_files", "train_probs", "test_probs")
        unknown = sorted(map(str, set(listed) - {*keys, "compute_flows"}))
        if unknown:
            known = ", ".join((*keys, "compute_flows"))
            logger.warning(
                f"--file_list {args.file_list} has keys without effect: {', '.join(unknown)}; known are {known}"
            )
        data = {key: listed[key] for key in keys if listed.get(key) is not None}
        return {**data, "load_files": False, "compute_flows": bool(listed.get("compute_flows", False))}
    if args.stream:
        return _streamed(args)
    data = {}
    for option, what, folder in _folders(args):
        with _named(option):
            found = io.load_images_labels(folder, args.mask_filter, args.img_filter, args.look_one_level_down)
        data |= dict(zip((f"{what}_data", f"{what}_labels", f"{what}_files"), found, strict=True))
    return data


def _folders(args: Namespace) -> list[tuple[str, str, str]]:
    """The options that name folders of images, what these are for, and the folders."""
    given = (("dir", "train", args.dir), ("test_dir", "test", args.test_dir))
    return [each for each in given if each[2]]


def _contributed(args: Namespace) -> dict[str, Any]:
    """The contributions accepted for training; tested on held-out ones, or on ``--test_dir``."""
    from cellpose.contributions import Store, training_files

    store = Store(args.contributions)
    data: dict[str, Any] = {"load_files": False, "compute_flows": True}
    data["train_files"], data["train_labels_files"] = training_files(store)
    if not data["train_files"]:
        message = f"no contribution in {args.contributions} is accepted; look through them first"
        raise OptionError(message)
    if args.test_dir:
        return {**data, **{key: value for key, value in _streamed(args).items() if key.startswith("test")}}
    tested, masks = training_files(store, "validation")
    return {**data, "test_files": tested, "test_labels_files": masks} if tested else data


def _folder(args: Namespace) -> Path:
    """Where the folder ``models`` with the new model is."""
    return Path(args.dir or args.contributions).resolve()


def _streamed(args: Namespace) -> dict[str, Any]:
    """The files of the folders; flows of those with masks are computed one by one and kept beside the images."""
    from cellpose import io

    data: dict[str, Any] = {"load_files": False}
    for option, what, folder in _folders(args):
        with _named(option):
            files = io.get_image_files(
                folder, args.mask_filter, imf=args.img_filter, look_one_level_down=args.look_one_level_down
            )
            masks, flows = io.labels_to_train_on(files, args.mask_filter, imf=args.img_filter)
        data |= {f"{what}_files": files, f"{what}_labels_files": masks or flows}
        data["compute_flows"] = data.get("compute_flows", False) or masks is not None
    return data


def _replayed(args: Namespace) -> dict[str, Any]:
    if not args.replay_dir:
        return {}
    from cellpose import io

    with _named("replay_dir"):
        images, labels, names = io.load_images_labels(args.replay_dir, args.mask_filter, args.img_filter)
    return {"replay_data": images, "replay_labels": labels, "replay_files": names}


def _loop(args: Namespace) -> dict[str, Any]:
    """The options of the training loop, by their names in ``train_seg``."""
    names = (
        "resume", "seed", "accumulate", "validate_every", "patience", "checkpoint_every", "adapter_rank",
        "replay_fraction", "cache_gb", "workers", "deterministic", "mixed_precision", "keep_best",
        "tensorboard", "freeze_encoder",
    )  # fmt: skip
    loop = {name: getattr(args, name) for name in names}
    return {**loop, "records": not args.no_records, "report": not args.no_report, **_replayed(args)}


def _load_network(args: Namespace) -> tuple[Any, Path | None]:
    """The network to start from and its file; without a file a U-Net with random weights."""
    from cellpose import nets, weights

    device, _ = device_of(args)
    if args.pretrained_model in NO_MODEL:
        logger.info(">>>> no model weights loaded", extra=TOLD)
        nchan = 3 if args.all_channels else 2
        layout, nout = _layout(args), (args.nclasses or 3) if args.unet else 3
        net = nets.CPnet(
            [nchan, *_WIDTHS], nout=nout, diam_mean=args.diam_mean or _DIAMETER_PX, classes=bool(args.unet), **layout
        )
        return net.to(device), None
    file = resolve_model(args.pretrained_model)
    logger.info(f">>>> loading model {file.path}")
    logger.info(f"training begins with {file.name} on {device}", extra=TOLD)
    return weights.load_network(file, device=device), file.path


def _layout(args: Namespace) -> dict[str, bool]:
    """The layout asked for in a new network, else that of Cellpose, or of a plain U-Net."""
    usual = {"residual_on": not args.unet, "style_on": not args.unet, "concatenation": bool(args.unet)}
    return {name: value if getattr(args, name) is None else bool(getattr(args, name)) for name, value in usual.items()}


def _model_name(args: Namespace) -> str | None:
    """The given name; networks of another layout are named after the layout, as in version 2."""
    if args.model_name_out or not layout_given(args):
        return str(args.model_name_out) if args.model_name_out else None
    kind = f"unet{args.nclasses or 3}" if args.unet else "cellpose"
    layout = "_".join(f"{name}_{'on' if on else 'off'}" for name, on in _layout(args).items())
    layout = layout.replace("_on_on", "_on").replace("_on_off", "_off")
    return f"{kind}_{layout}_{_folder(args).name}_{datetime.now():%Y_%m_%d_%H_%M_%S.%f}"


def _value(args: Namespace, family: Family, name: str) -> Any:
    """The given value, else the default of this family of models."""
    given = getattr(args, name)
    return getattr(family.learning.command_line, name) if given is None else given


def _common(args: Namespace, family: Family, data: dict[str, Any]) -> dict[str, Any]:
    percentiles = args.norm_percentile
    common = {
        **data,
        # an options object applies in full, while training takes from a dict only whether to normalize
        "normalize": Normalization(percentile=tuple(percentiles)) if percentiles else not args.no_norm,
        "channel_axis": args.channel_axis,
        "min_train_masks": args.min_train_masks,
        "nimg_per_epoch": args.nimg_per_epoch,
        "nimg_test_per_epoch": args.nimg_test_per_epoch,
    }
    if family.channel_pair:
        common["channels"] = None if args.all_channels else [args.chan, args.chan2]
        common["rgb"] = bool(args.all_channels)
    elif args.chan or args.chan2:
        logger.warning("--chan and --chan2 have no effect: transformers are trained on the first three channels")
    return common


def _train_network(network: Any, family: Family, data: dict[str, Any], args: Namespace) -> Path:
    from cellpose import train

    rate = _value(args, family, "learning_rate")
    descent = family.learning.sgd and bool(args.SGD if args.SGD is not None else rate >= _SMALLEST_SGD_RATE)
    if args.adapter_rank and args.learning_rate is None:
        rate = None  # adapters have a rate of their own
    batch = args.train_batch_size
    usual = family.learning.command_line.batch_size
    if batch is None and usual > 1:
        batch = args.batch_size  # in version 3 this was the training batch size too
    rescale = family.learning.rescale and args.diam_mean > 0
    if rescale:
        diameter_px = float(network.diam_mean)
        if args.diam_mean not in (_DIAMETER_PX, diameter_px):
            logger.warning(
                f"--diam_mean {args.diam_mean:g} has no effect: an existing model keeps its own, {diameter_px:g} pixels"
            )
        logger.info(f">>>> during training rescaling images to fixed diameter of {diameter_px:0.1f} pixels")
    path, losses, test_losses = train.train_seg(
        network,
        **_common(args, family, data),
        batch_size=usual if batch is None else batch,
        learning_rate=rate,
        weight_decay=_value(args, family, "weight_decay"),
        n_epochs=_value(args, family, "n_epochs"),
        average_weights=_value(args, family, "average_weights"),
        SGD=descent,
        rescale=rescale,
        save_path=str(_folder(args)),
        save_every=args.save_every,
        save_each=args.save_each,
        model_name=_model_name(args),
        **_loop(args),
    )
    _say_losses(losses, test_losses)
    return Path(path)


def _say_losses(losses: Any, test_losses: Any) -> None:
    """Log the losses that the bar has shown."""
    trained, tested = ([loss for loss in of if loss > 0] for of in (losses, test_losses))
    if len(trained):
        words = f"; test loss {tested[0]:.4f} to {tested[-1]:.4f}" if len(tested) else ""
        logger.info(f"loss {trained[0]:.4f} to {trained[-1]:.4f} in {len(trained)} epochs{words}", extra=TOLD)


def _train_size(network: Any, family: Family, path: Path | None, data: dict[str, Any], args: Namespace) -> None:
    """Train the size model beside the model's file, and write its answers for the test images."""
    from cellpose import train

    if not family.has_style:
        logger.warning("--train_size has no effect: transformers need no size model")
        return
    train.train_size(network, path, **_common(args, family, data))
    logger.info(f">>>> size model trained and saved to {path}_size.npy")
    if path is not None and (data.get("test_data") or data.get("test_files")):
        _write_predicted_diameters(path, data, args)


def _write_predicted_diameters(path: Path, data: dict[str, Any], args: Namespace) -> None:
    """``<test_dir>/<model>_predicted_diams.npy``: diameters of the test images, in pixels, measured and from style.

    NaN where there is none, so that each number stands in the place of its image.
    """
    import numpy as np

    from cellpose import models, train

    model = models.CellposeModel(pretrained_model=str(path), device=device_of(args)[0])
    sizes = models.SizeModel(model, pretrained_size=f"{path}_size.npy")
    rows = np.full((len(data["test_files"]), 3), np.nan)  # measured, from style, and true
    for index, name in enumerate(data["test_files"]):
        try:
            image, labels = _tested(data, index)
            rows[index, :2] = sizes.eval(image, channels=[args.chan, args.chan2], normalize=not args.no_norm)
        except CellposeError as error:
            logger.warning(f"the diameter of {name} is not predicted: {error}")
        else:
            rows[index, 2] = _true_diameter(labels)
    known = rows[np.isfinite(rows).all(axis=1)]
    if len(known):
        final, style = (train.correlation(known[:, k], known[:, 2]) for k in (0, 1))
        logger.info(f"style test correlation: {style:.4f}; final test correlation: {final:.4f}")
    folder = Path(args.test_dir) if args.test_dir else Path(data["test_files"][0]).parent
    target = folder / f"{path.name}_predicted_diams.npy"
    content = {
        "predicted_diams": rows[:, 0],
        "diams_style": rows[:, 1],
        "files": np.array([os.fspath(name) for name in data["test_files"]]),
    }
    with replacing(target) as file:
        np.save(file, np.array(content, dtype=object), allow_pickle=True)
    logger.info(f">>>> predicted diameters saved to {target}")


def _true_diameter(labels: Any) -> float:
    """Of the cells in labels, which flows may follow; NaN where there are none."""
    import numpy as np

    from cellpose import utils

    if labels is None:
        return float("nan")
    masks = labels[0] if labels.ndim > 2 else labels
    # regions to ignore are below 0
    return float(utils.diameters(np.maximum(masks, 0).astype(np.int32))[0]) or float("nan")


def _tested(data: dict[str, Any], index: int) -> tuple[Any, Any]:
    """A test image and its labels, or None; files are read now, for there may be more than fit in memory."""
    from cellpose import io

    if data.get("test_data"):
        return data["test_data"][index], data["test_labels"][index]
    files = data.get("test_labels_files")
    read = io.read_labels if data.get("compute_flows") else io.imread
    return io.imread(data["test_files"][index]), read(files[index]) if files else None
