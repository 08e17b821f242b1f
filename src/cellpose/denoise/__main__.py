"""``python -m cellpose.denoise``: train a network on images with masks, or with ``--self`` on noisy ones."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io, nets, weights
from cellpose._machine.streams import guard_streams
from cellpose.core import assign_device
from cellpose.denoise._data import clean_image
from cellpose.denoise._self import CROP_SIDE, train_self
from cellpose.denoise._train import train
from cellpose.errors import CellposeError, InputError, OptionError
from cellpose.transforms import has_contrast

__all__ = ["NOISE_TYPES", "main"]

logger = logging.getLogger("cellpose.denoise")

_DS_MAX = 7
_EPOCHS, _EPOCHS_SELF = 2000, 100
# options of --self, those that --noise_type sets, and those that --file_list stands in for
_OF_SELF = {
    *("self", "dir", "img_filter", "use_gpu", "pretrained_model"),
    *("diam_mean", "learning_rate", "n_epochs", "model_name_out"),
}
_NOISE = {"poisson", "beta", "blur", "gblur", "downsample"}
_OF_FOLDERS = {"test_dir", "img_filter"}
#: How images are degraded for each published kind of model; all else has its default.
NOISE_TYPES: dict[str, dict[str, Any]] = {
    "poisson": {"poisson": 0.8, "blur": 0.0, "beta": 0.7},
    "blur_expr": {"poisson": 0.8, "blur": 0.8, "beta": 0.1, "gblur": 0.5},
    "blur": {"poisson": 0.8, "blur": 0.8, "beta": 0.1, "gblur": 10.0, "uniform_blur": True},
    "downsample_expr": {"poisson": 0.8, "blur": 0.8, "downsample": 0.8, "beta": 0.03},
    "downsample": {
        "poisson": 0.8, "blur": 0.8, "downsample": 0.8, "beta": 0.03, "gblur": 5.0, "uniform_blur": True,
    },
    "all": {
        "poisson": [0.8, 0.8, 0.8], "blur": [0.0, 0.8, 0.8], "downsample": [0.0, 0.0, 0.8],
        "beta": [0.7, 0.1, 0.03], "gblur": [0.0, 10.0, 5.0], "uniform_blur": True,
    },
    "aniso": {"poisson": 0.8, "blur": 0.8, "downsample": 0.8, "beta": 0.1, "gblur": 1.5 * _DS_MAX, "iso": False},
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Train with the options of the command line.

    Returns
    -------
    int
        0; errors of the user leave the program with a message and exit code 2.
    """
    if argv is None:
        guard_streams()
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if (args.dir is None) == (args.file_list is None):
            message = "give a folder of images with --dir, or files with --file_list"
            raise OptionError(message)
        io.logger_setup()
        _warn_of_unused(args, parser)
        if args.self:
            _train_self(args)
            return 0
        noise = _noise(args)
        data, folder = _from_list(args) if args.file_list is not None else _from_folders(args)
        train(
            _network(args.pretrained_model, args.diam_mean, gpu=args.use_gpu),
            **data,
            **noise,
            lam=(args.lam_per, args.lam_seg, args.lam_rec),
            seg_model_type=args.seg_model_type,
            save_path=folder.resolve().parent / "models",
            save_each=args.save_each,
            learning_rate=args.learning_rate,
            n_epochs=_EPOCHS if args.n_epochs is None else args.n_epochs,
            nimg_per_epoch=args.nimg_per_epoch or None,
            nimg_test_per_epoch=args.nimg_test_per_epoch or None,
            model_name=args.model_name_out,
        )
    except CellposeError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cellpose.denoise", description=__doc__.split(": ", 1)[1])
    say = parser.add_argument
    say("--dir", type=Path, help="folder of clean images with masks")
    say("--test_dir", type=Path, help="folder of test images with masks")
    say("--self", action="store_true", help="train on noisy images alone (blind spots); needs no masks")
    say("--img_filter", help="ending of the names of images (default: _img, with --self none)")
    say("--file_list", type=Path, help=".npy file with a dict of train_files, test_files, train_probs, test_probs")
    say("--use_gpu", action="store_true", help="train on a GPU if one is available")
    say("--pretrained_model", help="name or path of a restoration model to start from (default: a new one)")
    say("--seg_model_type", default="cyto2", help="segmentation model of the losses (default: %(default)s)")
    say("--noise_type", choices=NOISE_TYPES, help="preset of degradation; overrides the noise options")
    for name, default, text in (
        ("poisson", 0.8, "part of the images with photon noise"),
        ("beta", 0.7, "rate of the distribution of photon noise"),
        ("blur", 0.0, "part of the images that are blurred"),
        ("gblur", 1.0, "how much they are blurred"),
        ("downsample", 0.0, "part of the images that are undersampled"),
        ("lam_per", 1.0, "weight of the perceptual loss"),
        ("lam_seg", 1.5, "weight of the segmentation loss"),
        ("lam_rec", 0.0, "weight of the reconstruction loss"),
        ("diam_mean", 30.0, "diameter in pixels to which cells are brought"),
        ("learning_rate", 0.001, "learning rate"),
    ):
        say(f"--{name}", type=float, default=default, help=f"{text} (default: %(default)s)")
    for name, count, text in (
        ("ds_max", _DS_MAX, "strongest undersampling"),
        ("nimg_per_epoch", 0, "images per epoch; 0: all"),
        ("nimg_test_per_epoch", 0, "test images per test; 0: all"),
    ):
        say(f"--{name}", type=int, default=count, help=f"{text} (default: %(default)s)")
    say("--n_epochs", type=int, help=f"number of epochs (default: {_EPOCHS}, with --self {_EPOCHS_SELF})")
    say("--model_name_out", help="name of the model (default: from the options and the time)")
    say("--save_each", action="store_true", help="save the model every 100 epochs")
    return parser


def _warn_of_unused(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    given = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    for beside, unused in (("self", set(given) - _OF_SELF), ("noise_type", _NOISE), ("file_list", _OF_FOLDERS)):
        names = [f"--{name}" for name in given if name in unused]
        if names and beside in given and (beside == "self" or "self" not in given):
            logger.warning(f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} no effect beside --{beside}")


def _noise(args: argparse.Namespace) -> dict[str, Any]:
    if args.noise_type is not None:
        return {"blur": 0.0, "downsample": 0.0, "gblur": 1.0, "ds_max": args.ds_max} | NOISE_TYPES[args.noise_type]
    return {name: getattr(args, name) for name in (*sorted(_NOISE), "ds_max")}


def _network(start: str | None, diam_mean: float, *, gpu: bool) -> Any:
    device = assign_device(gpu=gpu)[0]
    if start is not None:
        return weights.load_network(weights.resolve(start).path, device=device)
    return nets.CPnet([1, 32, 64, 128, 256], 1, diam_mean=diam_mean).to(device)


def _from_folders(args: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    data: dict[str, Any] = {}
    for role, folder in (("train", args.dir), ("test", args.test_dir)):
        if folder is not None:
            images, labels, _ = io.load_images_labels(folder, "_masks", args.img_filter or "_img")
            data |= {f"{role}_data": [clean_image(image) for image in images], f"{role}_labels": labels}
    return data, args.dir


def _train_self(args: argparse.Namespace) -> None:
    """Train on all channels and planes of the images of a folder."""
    if args.dir is None:
        message = "--self trains on the images of a folder; give the folder with --dir"
        raise OptionError(message)
    files = io.get_image_files(args.dir, "_masks", imf=args.img_filter or None)
    train_self(
        _network(args.pretrained_model, args.diam_mean, gpu=args.use_gpu),
        _noisy_planes(files),
        n_epochs=_EPOCHS_SELF if args.n_epochs is None else args.n_epochs,
        learning_rate=args.learning_rate,
        save_path=args.dir.resolve().parent / "models",
        model_name=args.model_name_out,
    )


def _noisy_planes(files: list[str]) -> list[npt.NDArray[Any]]:
    """The planes of all channels of images; files that cannot be used are named and left out."""
    found: list[npt.NDArray[Any]] = []
    n_used = 0
    for file in files:
        try:
            planes = _planes(io.imread(file))
        except CellposeError as error:
            logger.warning(f"{file} is left out: {error}")
            continue
        found += planes
        n_used += 1
    logger.info(f"{n_used} of {len(files)} images hold {len(found)} planes, counting each channel")
    return found


def _planes(image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The planes (Y, X) of an image with channels or planes first or last, without those of one value."""
    if image.ndim == 3 and image.shape[-1] <= 4:
        image = np.moveaxis(image, -1, 0)
    if image.ndim < 2 or min(image.shape[-2:]) < CROP_SIDE:
        message = f"its shape is {image.shape}; training needs planes of {CROP_SIDE} pixels or more on each side"
        raise InputError(message)
    every = image.reshape(-1, *image.shape[-2:])
    planes = [plane for plane in every if has_contrast(float(plane.min()), float(plane.max()))]
    if not planes:
        message = "all its pixels have the same value"
        raise InputError(message)
    return planes


def _from_list(args: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    content = io.load_file_list(args.file_list)
    known = ("train_files", "test_files", "train_probs", "test_probs")
    unknown = sorted(map(str, set(content) - set(known)))
    if unknown:
        logger.warning(f"--file_list has keys without effect: {', '.join(unknown)}; known are {', '.join(known)}")
    return {name: content[name] for name in known if content.get(name) is not None}, args.file_list.parent


if __name__ == "__main__":
    raise SystemExit(main())
