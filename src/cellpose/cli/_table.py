"""The table of command-line options: one row per option, in the order in which ``--help`` shows them.

A default or a help text that stands in ``cellpose.options`` is read from there. A default of None means that it depends
on the family of the model (``nets.FAMILIES``) or that the option is off.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellpose.engines import by_speed, engine_names
from cellpose.nets import FAMILIES
from cellpose.options import Evaluation, Masking, Normalization, Tiling, Training, describe

__all__ = ["FILTERS", "FLAGS", "GROUPS", "LAYOUT", "UNABBREVIATED", "Flag", "layout_given"]

# Options that say how a new network is built; for others the weight file says it.
LAYOUT = ("unet", "nclasses", "residual_on", "style_on", "concatenation")

# Filters of the image before it is segmented.
FILTERS = ("background_radius", "sharpen_radius", "smooth_radius", "tile_norm_blocksize", "tile_norm_smooth3D")

# Options that clients do not know: an abbreviation that also fits an older option means the older one.
UNABBREVIATED = frozenset(
    {
        "diameter_um",
        "large",
        "view_weights",
        "isotropic_steps",
        "z_interpolation",
        "estimate_memory",
        "save_zarr",
        "save_ome_tif",
        "exact_rois",
        "zarr_labels",
        "axes",
        *FILTERS,
        "flatfield",
        "restore_precision",
        "engine",
        "precision",
        "seed",
        "accumulate",
        "validate_every",
        "patience",
        "checkpoint_every",
        "adapter_rank",
        "replay_fraction",
        "average_weights",
        *LAYOUT,
        "cache_gb",
        "workers",
        "deterministic",
        "tensorboard",
        "mixed_precision",
        "keep_best",
        "freeze_encoder",
        "replay_dir",
        "contributions",
        "stream",
        "no_records",
        "no_report",
    }
)

GROUPS = {
    "general": "general",
    "input": "images",
    "model": "model",
    "algorithm": "segmentation",
    "output": "results",
    "training": "training",
}


@dataclass(frozen=True)
class Flag:
    """One option of the command line.

    ``kind`` is None for a switch, else the type of its value. ``neutral`` options do not change the results, so that
    ``--resume`` may continue with other values of them.
    """

    name: str
    group: str
    help: str
    kind: type | None = None
    default: Any = None
    nargs: str | int | None = None
    metavar: str | tuple[str, ...] | None = None
    neutral: bool = False


def _shared(name: str, group: str, options: type, kind: type | None, **changes: Any) -> Flag:
    """An option whose help and default stand in the options class."""
    known = describe(options)[name]
    return Flag(name, group, **{"help": known["help"], "default": known["default"], "kind": kind, **changes})


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _general() -> list[Flag]:
    return [
        Flag("version", "general", "print the versions of cellpose, Python and torch, and exit", neutral=True),
        Flag("verbose", "general", "show the full log, and write it to ~/.cellpose/run.log", neutral=True),
        Flag(
            "Zstack",
            "general",
            "open the window for stacks: treat files without named axes as planes",
            neutral=True,
        ),
        Flag("use_gpu", "general", "use the GPU (CUDA or MPS) if one works, else the CPU", neutral=True),
        Flag(
            "engine",
            "general",
            f"engine that runs the network: auto (the fastest installed), {_any_of(engine_names()[1:])}",
            kind=str,
            neutral=True,
        ),
        Flag(
            "precision",
            "general",
            "precision of the network: float32, bfloat16, or int8 (faster on a CPU, needs "
            f"{_any_of([engine.name for engine in by_speed('int8')])})",
            kind=str,
        ),
        Flag(
            "gpu_device", "general", "number of the GPU, or mps", kind=str, metavar="DEVICE", default="0", neutral=True
        ),
    ]


def _input() -> list[Flag]:
    return [
        Flag("dir", "input", "folder of images to segment, or to train on", kind=str, metavar="FOLDER", neutral=True),
        Flag("image_path", "input", "one image to segment (without --dir)", kind=str, metavar="FILE", neutral=True),
        Flag("look_one_level_down", "input", "also search the folders inside --dir", neutral=True),
        Flag(
            "img_filter",
            "input",
            "use only images whose names end in this, before the extension",
            kind=str,
            neutral=True,
        ),
        Flag(
            "channel_axis",
            "input",
            "axis of the channels, counted from 0 in the axes of the file, including those of length 1",
            kind=int,
        ),
        Flag("z_axis", "input", "axis of the planes, counted in the same way", kind=int),
        Flag(
            "axes",
            "input",
            "axes of the images, such as TZYX, instead of those in the files: T time, Z planes, C channels, Y, X",
            kind=str,
            metavar="LETTERS",
        ),
        Flag(
            "chan",
            "input",
            "channel to segment: 0 gray (transformers: all), 1 red, 2 green, 3 blue",
            kind=int,
            default=0,
        ),
        Flag("chan2", "input", "channel of nuclei: 0 none, 1 red, 2 green, 3 blue", kind=int, default=0),
        Flag("all_channels", "input", "give the network all channels instead of --chan and --chan2"),
        Flag("invert", "input", describe(Normalization)["invert"]["help"]),
        *(_shared(name, "input", Normalization, float) for name in FILTERS),
    ]


def _model() -> list[Flag]:
    return [
        Flag(
            "pretrained_model",
            "model",
            "name or file of the model; None: train from scratch; default: cpsam if installed, else the bundled model",
            kind=str,
            metavar="MODEL",
        ),
        Flag(
            "restore_type",
            "model",
            "restoration model to run first: oneclick (bundled), or for example denoise_cyto3",
            kind=str,
            metavar="MODEL",
        ),
        Flag("chan2_restore", "model", "restore the nuclei channel with a model for nuclei"),
        Flag(
            "restore_precision",
            "model",
            "precision of the restoration model: float32, bfloat16, or int8 (needs openvino)",
            kind=str,
        ),
        Flag(
            "add_model",
            "model",
            "copy this model file to the models folder and list it under its name",
            kind=str,
            metavar="FILE",
        ),
        Flag(
            "pretrained_model_ortho", "model", "model for the ZY and ZX planes of a 3D run", kind=str, metavar="MODEL"
        ),
    ]


_BATCH = f"{describe(Tiling)['batch_size']['help']}; default {describe(Tiling)['batch_size']['default']}"


def _algorithm() -> list[Flag]:
    return [
        Flag("no_resample", "algorithm", "follow the flows at the size of the network: faster, coarser outlines"),
        Flag("no_interp", "algorithm", "do not interpolate flows between pixels"),
        Flag("no_norm", "algorithm", "do not normalize intensities"),
        Flag(
            "norm_percentile",
            "algorithm",
            "percentiles that become 0 and 1; takes precedence over --no_norm",
            kind=float,
            nargs=2,
            metavar=("LOW", "HIGH"),
        ),
        Flag(
            "flatfield",
            "algorithm",
            "flat-field image by which all images are divided, or estimate: computed from the images",
            kind=str,
            metavar="FILE",
        ),
        _shared("do_3D", "algorithm", Evaluation, None, default=None),
        Flag(
            "diameter",
            "algorithm",
            "diameter of the cells in pixels; 0: estimated if the model has a size model, else that of its training; "
            "default 30 for U-Net models, no rescaling for transformers",
            kind=float,
            metavar="PIXELS",
        ),
        Flag(
            "diameter_um",
            "algorithm",
            "diameter of the cells in micrometers, for files that contain the pixel size; replaces --diameter",
            kind=float,
            metavar="MICROMETRES",
        ),
        _shared("stitch_threshold", "algorithm", Evaluation, float),
        _shared("min_size", "algorithm", Masking, int),
        _shared("flow3D_smooth", "algorithm", Evaluation, float, default=0.0, nargs="+"),
        _shared("flow_threshold", "algorithm", Masking, float),
        _shared("cellprob_threshold", "algorithm", Masking, float),
        _shared("niter", "algorithm", Masking, int, default=0),
        _shared("anisotropy", "algorithm", Evaluation, float, default=1.0),
        Flag(
            "view_weights",
            "algorithm",
            describe(Evaluation)["view_weights"]["help"],
            float,
            nargs=3,
            metavar=("YX", "ZX", "ZY"),
        ),
        _shared("isotropic_steps", "algorithm", Evaluation, None, default=None),
        _shared("z_interpolation", "algorithm", Evaluation, str),
        Flag("exclude_on_edges", "algorithm", "remove masks that touch the border of the image"),
        Flag("one_piece", "algorithm", "keep only the largest connected piece of each cell"),
        _shared("augment", "algorithm", Tiling, None, default=None),
        _shared("batch_size", "algorithm", Tiling, int, default=None, neutral=True, help=_BATCH),
        _shared("bsize", "algorithm", Tiling, int),
        Flag(
            "large",
            "algorithm",
            "segment planes in blocks, with little memory, and write only masks; default above 8000 x 8000 pixels",
        ),
        Flag("estimate_memory", "algorithm", "print how much memory each image needs, and exit", neutral=True),
    ]


def _output() -> list[Flag]:
    return [
        Flag("save_png", "output", "write masks as PNG"),
        Flag("save_tif", "output", "write masks as TIFF"),
        Flag("save_zarr", "output", "write masks as OME-Zarr"),
        Flag("save_ome_tif", "output", "write masks as OME-TIFF, with axes and pixel size"),
        Flag(
            "zarr_labels",
            "output",
            "write masks into the labels of the OME-Zarr image, under this name; nothing is overwritten",
            kind=str,
            metavar="NAME",
        ),
        Flag("output_name", "output", "suffix for names of results instead of _cp_masks", kind=str),
        Flag("no_npy", "output", "do not write _seg.npy"),
        Flag(
            "savedir",
            "output",
            "existing folder for all results, instead of the folder of the image",
            kind=str,
            metavar="FOLDER",
        ),
        Flag("dir_above", "output", "write results to the folder above that of the image"),
        Flag("in_folders", "output", "sort results into folders masks, outlines, txt_outlines, flows and rois"),
        Flag("save_flows", "output", "write flows and cell probability as TIFF"),
        Flag("save_outlines", "output", "write the image with red outlines as PNG, and the outlines as text"),
        Flag("save_rois", "output", "write outlines as ImageJ ROIs in a zip file"),
        Flag("exact_rois", "output", "with --save_rois: exact outlines along pixel borders, with holes and pieces"),
        Flag("save_txt", "output", "write outlines as text: x,y,x,y,... in one line per mask"),
        Flag("save_mpl", "output", "write a figure of image, outlines, masks and flows"),
        Flag(
            "resume",
            "output",
            "skip images that cellpose_run.json lists as done with this model and these options; with --train: "
            "continue from the last checkpoint",
        ),
    ]


def _per_family(name: str, kind: type, field: str | None = None) -> Flag:
    """A training option whose default depends on the family of the model."""
    known = describe(Training)[field or name]["help"]
    defaults = {
        f"{getattr(family.learning.command_line, field or name):g} for {family.plural}": None
        for family in FAMILIES.values()
    }
    return Flag(name, "training", f"{known}; default {', '.join(defaults)}", kind)


def _training() -> list[Flag]:
    return [
        Flag("train", "training", "train the model on the images and masks in --dir"),
        Flag(
            "train_size", "training", "also train a size model; without --train only the size model, for a given model"
        ),
        Flag("test_dir", "training", "folder of images and masks to test on", kind=str, metavar="FOLDER"),
        Flag(
            "file_list",
            "training",
            "npy file with train_files, test_files, train_probs, test_probs",
            kind=str,
            metavar="FILE",
        ),
        Flag("mask_filter", "training", "ending of mask names; _seg.npy: masks of the window", str, "_masks"),
        Flag("diam_mean", "training", "diameter to which a new U-Net rescales cells; 0: no rescaling", float, 30.0),
        _per_family("learning_rate", float),
        _per_family("weight_decay", float),
        _per_family("n_epochs", int),
        _per_family("train_batch_size", int, "batch_size"),
        _shared("nimg_per_epoch", "training", Training, int),
        _shared("nimg_test_per_epoch", "training", Training, int),
        _shared("min_train_masks", "training", Training, int),
        Flag("SGD", "training", "1: stochastic gradient descent, for U-Nets; 0: AdamW; default by learning rate", int),
        _shared("save_every", "training", Training, int),
        _shared("save_each", "training", Training, None, default=None),
        Flag("model_name_out", "training", "name of the trained model", str),
        *_layout(),
        *_training_loop(),
    ]


def _layout() -> list[Flag]:
    """The networks of the paper's comparison, for training from scratch."""
    return [
        Flag("unet", "training", "new network: a plain U-Net that predicts classes instead of flows", neutral=True),
        Flag("nclasses", "training", "2: background, cell; 3: also boundary; default 3", int, neutral=True),
        Flag(
            "residual_on",
            "training",
            "new network: 1 residual connections, 0 none; default 1, 0 with --unet",
            int,
            neutral=True,
        ),
        Flag("style_on", "training", "new network: 1 style, 0 none; default 1, 0 with --unet", int, neutral=True),
        Flag(
            "concatenation",
            "training",
            "new network: 1 skip connections concatenated, 0 added; default 0, 1 with --unet",
            int,
            neutral=True,
        ),
    ]


def _training_loop() -> list[Flag]:
    numbers: dict[str, type[float]] = {
        "seed": int,
        "accumulate": int,
        "validate_every": int,
        "patience": int,
        "checkpoint_every": int,
    }
    numbers |= {
        "adapter_rank": int,
        "replay_fraction": float,
        "cache_gb": float,
        "workers": int,
    }
    switches = ("deterministic", "mixed_precision", "keep_best", "tensorboard", "freeze_encoder")
    return [
        *(_shared(name, "training", Training, kind) for name, kind in numbers.items()),
        _per_family("average_weights", float),
        *(_shared(name, "training", Training, None, default=None) for name in switches),
        Flag(
            "replay_dir",
            "training",
            "folder with images and masks of the base model's data, also used for training",
            str,
        ),
        Flag(
            "contributions",
            "training",
            "train on what was accepted in this folder of contributions, in place of --dir",
            kind=str,
            metavar="FOLDER",
            neutral=True,
        ),
        Flag("stream", "training", "read images during training, for folders larger than memory"),
        Flag(
            "no_records", "training", "do not write losses, pictures and checkpoints into the folder training in --dir"
        ),
        Flag("no_report", "training", "do not compare the model before and after training on --test_dir"),
    ]


FLAGS: tuple[Flag, ...] = (*_general(), *_input(), *_model(), *_algorithm(), *_output(), *_training())


def layout_given(args: Namespace) -> list[str]:
    """Names of the options of ``LAYOUT`` on a command line."""
    # 0 is a choice, and equals False
    return [name for name in LAYOUT if getattr(args, name) is not None and getattr(args, name) is not False]
