"""The model of a command line: loaded once, called for one image after the other."""

from __future__ import annotations

import logging
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellpose.cli._light import Light
from cellpose.cli._table import FILTERS
from cellpose.errors import OptionError
from cellpose.io import Image, LazyPlane
from cellpose.nets import Family, family_named

__all__ = ["SegmentedImage", "Segmenter", "channels_of", "device_of", "load_segmenter", "resolve_model"]

logger = logging.getLogger("cellpose.cli")

# Words that clients use for "no model".
NO_MODEL = ("None", "none", "False", "0", "")


@dataclass(frozen=True)
class SegmentedImage:
    """The results of one image: masks, ``[rgb, dP, cellprob]``, diameter in pixels (NaN: none), restored image.

    ``axes`` are those of the masks, which have the size of the image. Where the restored image is ``ratio`` times as
    large, ``masks_restored`` are the same masks at its size. ``by_planes``: the planes of a stack were segmented
    separately.
    """

    masks: np.ndarray
    flows: list[Any]
    diameter_px: float
    restored: np.ndarray | None = None
    axes: str = "YX"
    ratio: float = 1.0
    masks_restored: np.ndarray | None = None
    by_planes: bool = False

    def parts(self, masks: np.ndarray) -> np.ndarray:
        """View of its masks as parts with labels of their own: times, or separate planes; one part if all is one."""
        together = 3 if "Z" in self.axes and not self.by_planes else 2
        return masks.reshape(-1, *masks.shape[-together:])

    @property
    def n_cells(self) -> int:
        """Number of cells, of all times and separate planes together."""
        return sum(int(np.count_nonzero(np.bincount(part.ravel())[1:])) for part in self.parts(self.masks))


@dataclass(frozen=True)
class Segmenter:
    """A model with the options of one command line.

    ``family`` is that of its network; ``files`` are the model files by role, for the manifest.
    """

    model: Any
    family: Family
    keywords: dict[str, Any]
    device: str
    files: dict[str, Any] = field(default_factory=dict)
    estimates_diameter: bool = False
    estimates_on_request: bool = False
    restores: bool = False
    diameter_um: float | None = None
    light: Light | None = None
    told: set[Any] = field(default_factory=set)

    def __call__(self, image: Image) -> SegmentedImage:
        """Segment one image, as it was read from its file."""
        from cellpose.models import estimates_on_request, segment_image

        if self.light is not None:
            image = self.light(image)
        keywords = self.keywords_of(image)
        stack = keywords["do_3D"] or keywords["stitch_threshold"] > 0
        # networks that take any channels take single planes only without names
        by_name = stack or self.family.channel_pair
        image = self._named(image, keywords, stack=stack)
        with estimates_on_request(self.estimates_on_request):
            masks, flows, _, *more = segment_image(self.model, image, planes_by_name=by_name, **keywords)
        restored = more[0] if self.restores else None
        if self.estimates_diameter and more:
            diameter_px = float(np.mean(more[0]))
        else:
            diameter_px = keywords["diameter"] or self.diameter_of_training()
        times = image.axis("T") if masks.ndim > 2 else None
        time = "" if times is None or times == image.place("Z", keywords["z_axis"]) else "T"
        axes = time + "ZYX"[len(time) - masks.ndim :]
        ratio = self.model.dn.restorer().ratio(keywords["diameter"]) if self.restores else 1.0
        if ratio == 1:
            return SegmentedImage(masks, flows, diameter_px, restored, axes, by_planes=not stack)
        from cellpose.denoise import at_image_size

        small, flows = at_image_size(masks, _plane_size(image, masks.shape[-2:], ratio), flows)
        return SegmentedImage(small, flows, diameter_px, restored, axes, ratio, masks, by_planes=not stack)

    def _named(self, image: Image, keywords: dict[str, Any], *, stack: bool) -> Image:
        """The image with names for all axes; assumptions are logged, as a warning only once for similar images."""
        from cellpose import transforms
        from cellpose.models import assumption

        given = keywords["channel_axis"] is not None or keywords["z_axis"] is not None
        if given or stack or image.data.ndim not in (3, 4) or any(image.declares(letter) for letter in "TCZ"):
            return image
        letters = image.axes
        if "C" in letters:  # planes side by side, which the format calls channels
            letters = letters.replace("Q", "Z")
        elif "Q" in letters:
            letters = transforms.assumed_axes(
                image.data.shape,
                transformer=not self.family.channel_pair,
                choosing=keywords["channels"] is not None,
                do_3D=False,
                beside=letters.index("Q") if {"Y", "X"} < set(letters) else None,
            )
        if not letters:
            return image
        alike = (letters, min(image.data.shape))
        # for planes without do_3D another line says so
        level = logging.INFO if alike in self.told or "C" not in letters else logging.WARNING
        self.told.add(alike)
        logger.log(level, assumption(image.name, image.data.shape, letters, on_command_line=True))
        return image.named(letters)

    @property
    def enlarges(self) -> bool:
        """Whether restored images are larger than the originals; unknown with a diameter in micrometers."""
        if not self.restores:
            return False
        restorer = self.model.dn.restorer()
        return restorer.enlarges and (self.diameter_um is not None or restorer.ratio(self.keywords["diameter"]) > 1)

    def keywords_of(self, image: Image | LazyPlane) -> dict[str, Any]:
        """The keywords of ``eval`` for one image: a diameter in micrometers becomes one in pixels.

        Raises
        ------
        OptionError
            If the image does not say how large its pixels are.
        """
        if self.diameter_um is None:
            return self.keywords
        _, y, x = image.pixel_size_um
        if not x or not y:
            message = (
                f"--diameter_um {self.diameter_um:g} needs the pixel size, which the image does not contain; give "
                "--diameter in pixels"
            )
            raise OptionError(message)
        return {**self.keywords, "diameter": self.diameter_um / (x * y) ** 0.5}

    @property
    def segmenting(self) -> Any:
        """The model that segments, also where another one restores the images or finds diameters first."""
        return getattr(self.model, "cp", self.model)

    def diameter_of_training(self) -> float:
        """The mean diameter, in pixels, of the cells a U-Net was trained on; NaN for other families."""
        if self.family.diameter_px is not None:
            return float("nan")
        return float(self.segmenting.diam_labels)


def _plane_size(image: Image, enlarged: tuple[int, ...], ratio: float) -> tuple[int, int]:
    """Rows and columns of an image; without named axes, taken from its size when it was enlarged."""
    named = [image.data.shape[axis] for axis in map(image.axis, "YX") if axis is not None]
    rows, columns = named if len(named) == 2 else [round(n / ratio) for n in enlarged]
    return rows, columns


def device_of(args: Namespace) -> tuple[Any, bool]:
    """The device, a name or one of torch, and whether it is a GPU."""
    name = args.gpu_device
    device: int | str = int(name) if name.isdecimal() else name
    if isinstance(device, str) and device != "mps" and not device.startswith("cuda"):
        message = f"--gpu_device {name} is not allowed; give the number of the GPU, or mps"
        raise OptionError(message)
    if not args.use_gpu:  # known without torch, which takes seconds to import
        logger.info(">>>> using CPU")
        return "cpu", False
    from cellpose import core

    found, is_gpu = core.assign_device(use_torch=True, gpu=args.use_gpu, device=device)
    logger.info(f">>>> using GPU ({found.type.upper()})" if is_gpu else ">>>> using CPU")
    return found, is_gpu


def resolve_model(name: str | None) -> Any:
    """The model file meant by ``--pretrained_model``; the default model, said in the log, where none is named."""
    from cellpose import weights

    if name in NO_MODEL:
        logger.warning(f"--pretrained_model {name}: only training can start without a model")
        name = None
    if name is None:
        name = weights.default_model()
        logger.info(f">>>> no model given, using {name}")
    return weights.resolve(name)


def load_segmenter(args: Namespace) -> Segmenter:
    """Load the models a command line names, with the options for their family."""
    from cellpose import models, weights

    device, is_gpu = device_of(args)
    file = resolve_model(args.pretrained_model)
    files = {"model": file}
    logger.info(f">>>> loading model {file.path}")
    restores, ortho_name = bool(args.restore_type), args.pretrained_model_ortho if args.do_3D else None
    name = file.name if args.pretrained_model in (None, *NO_MODEL) else args.pretrained_model
    estimates = not (restores or ortho_name or args.diameter_um) and weights.has_size_model(name)
    sized = estimates and args.diameter == 0
    model: Any
    if restores:
        model = _restoring_model(args, files, device, is_gpu)
    elif sized:
        model = models.Cellpose(
            gpu=is_gpu,
            model_type=name,
            device=device,
            engine=args.engine,
            precision=args.precision,
        )
    else:
        ortho = resolve_model(ortho_name) if ortho_name else None
        if ortho is not None:
            files["ortho"] = ortho
        model = models.CellposeModel(
            gpu=is_gpu,
            pretrained_model=str(file.path),
            device=device,
            engine=args.engine,
            precision=args.precision,
            pretrained_model_ortho=None if ortho is None else str(ortho.path),
        )
    segmenting = getattr(model, "cp", model)
    logger.info(f">>>> network run by {segmenting.engine}")
    family = family_of(segmenting)
    if family.diameter_px is None:
        logger.info(f">>>> model diam_mean = {segmenting.diam_mean: .3f} (ROIs rescaled to this size)")
        logger.info(f">>>> model diam_labels = {segmenting.diam_labels: .3f} (mean diameter of training ROIs)")
    keywords = _eval_keywords(args, family)
    keywords["channels"] = channels_of(args, family, segmenting.nchan)
    return Segmenter(
        model, family, keywords, str(device), files, sized, estimates and not sized, restores, args.diameter_um
    )


def family_of(network: Any) -> Family:
    """The family of a network or model."""
    return family_named(getattr(network, "backbone", None))


def _restoring_model(args: Namespace, files: dict[str, Any], device: Any, is_gpu: bool) -> Any:
    from cellpose import denoise, weights

    files["restoration"] = weights.resolve(args.restore_type)
    return denoise.CellposeDenoiseModel(
        gpu=is_gpu,
        pretrained_model=str(files["model"].path),
        restore_type=args.restore_type,
        chan2_restore=args.chan2_restore,
        device=None if device == "cpu" else device,
        engine=args.engine,
        precision=args.precision,
        restore_precision=args.restore_precision,
    )


def _eval_keywords(args: Namespace, family: Family) -> dict[str, Any]:
    """The keywords of ``eval`` that this command line means for this family of models."""
    diameter = family.command_line_diameter_px if args.diameter is None else args.diameter
    keywords: dict[str, Any] = {
        **shared_keywords(args),
        "resample": not args.no_resample,
        "channel_axis": args.channel_axis,
        "z_axis": args.z_axis,
        "normalize": _normalize(args),
        "invert": args.invert,
        "diameter": diameter or None,
        "interp": not args.no_interp,
    }
    if args.do_3D:
        keywords["isotropic_steps"], keywords["z_interpolation"] = args.isotropic_steps, args.z_interpolation
        keywords["view_weights"] = args.view_weights or (1.0, 1.0, 1.0)
    return keywords


def _normalize(args: Namespace) -> bool | dict[str, Any]:
    """How intensities are scaled and filtered."""
    filters = {name: getattr(args, name) for name in FILTERS}
    filtered = any(value for name, value in filters.items() if name != "tile_norm_smooth3D")
    if args.norm_percentile is None and not filtered:
        return not args.no_norm
    scaled = {"normalize": args.norm_percentile is not None or not args.no_norm, "invert": args.invert}
    percentile = None if args.norm_percentile is None else tuple(args.norm_percentile)
    return {**scaled, "percentile": percentile, **(filters if filtered else {})}


def shared_keywords(args: Namespace) -> dict[str, Any]:
    """The keywords of ``eval`` that images and blocks of large arrays take from the command line alike."""
    keywords = {
        "batch_size": 8 if args.batch_size is None else args.batch_size,
        "flow_threshold": args.flow_threshold,
        "cellprob_threshold": args.cellprob_threshold,
        "do_3D": args.do_3D,
        "anisotropy": args.anisotropy,
        "flow3D_smooth": args.flow3D_smooth,
        "stitch_threshold": args.stitch_threshold,
        "min_size": args.min_size,
        "niter": args.niter or None,
        "augment": args.augment,
    }
    return keywords if args.bsize is None else {**keywords, "bsize": args.bsize}


def channels_of(args: Namespace, family: Family, nchan: int) -> list[int] | None:
    """The pair of channels to look at; None: the first ones, as many as the network takes."""
    if family.channel_pair and nchan != 2:
        if args.chan or args.chan2:
            logger.warning(f"--chan and --chan2 have no effect on this model: it takes the first {nchan} channels")
        return None
    if args.all_channels or (not family.channel_pair and not args.chan and not args.chan2):
        return None
    return [args.chan, args.chan2]
