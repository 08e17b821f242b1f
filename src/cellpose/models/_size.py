"""Models that estimate the diameter of cells first (generations 1 to 3)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellpose import utils
from cellpose._face.door import check_arguments
from cellpose._machine.reading import reading
from cellpose._progress.display import shown
from cellpose.errors import FileReadError, OptionError
from cellpose.io import load_npy
from cellpose.models import _retired
from cellpose.models._choice import PathLike
from cellpose.models._doubt import doubts_untold
from cellpose.models._files import size_model_path
from cellpose.models._inputs import Images, Layout, as_image, one_number, read_with_axes
from cellpose.models._many import name_of, segment_images
from cellpose.models._model import CellposeModel
from cellpose.models._segment import SegmentationResult, preparation_of
from cellpose.options import Evaluation, Masking, Normalization, Tiling

if TYPE_CHECKING:
    import torch

__all__ = ["Cellpose", "SizeModel"]

logger = logging.getLogger("cellpose.models")

Array = NDArray[Any]

# Smaller estimates from the style are not trusted.
_LEAST_DIAMETER = 5.0
_PLANES = 5  # planes of a stack that are looked at


class SizeModel:
    """Estimates the diameter of cells from the style of an image, then from a first segmentation.

    Parameters
    ----------
    cp_model
        The segmentation model whose styles it was trained on.
    device
        Kept for scripts that pass it; the device of ``cp_model`` is used.
    pretrained_size
        File of the size model, ``.npy``.

    Attributes
    ----------
    params
        The content of the file: ``A`` (256,), ``smean`` (256,), ``ymean``, ``diam_mean``.
    diam_mean
        Diameter in pixels to which cells are rescaled.
    cp
        The segmentation model.

    Raises
    ------
    OptionError
        If no file is given.
    FileReadError, UnsafeFileError
        If it cannot be read, or is not a size model.
    """

    def __init__(
        self, cp_model: CellposeModel, device: Any = None, pretrained_size: PathLike | None = None, **retired: Any
    ) -> None:
        check_arguments(SizeModel.__init__, cp_model=cp_model, device=device, pretrained_size=pretrained_size)
        _retired.drop_retired("SizeModel", retired, _retired.INIT)
        if pretrained_size is None:
            message = "pretrained_size=None is not allowed; give the file of a size model, such as size_cyto3.npy"
            raise OptionError(message)
        self.pretrained_size = str(pretrained_size)
        self.cp = cp_model
        self._device = device
        self.params = _size_parameters(Path(pretrained_size))
        self.diam_mean = float(self.params["diam_mean"])

    @property
    def device(self) -> Any:
        """The torch device, that of the segmentation model unless another was given."""
        return self.cp.device if self._device is None else self._device

    @device.setter
    def device(self, device: Any) -> None:
        self._device = device

    def eval(
        self,
        x: Any,
        channels: Any = None,
        channel_axis: int | None = None,
        normalize: bool | dict[str, Any] = True,
        invert: bool = False,
        augment: bool = False,
        batch_size: int = 8,
        progress: Any = None,
        z_axis: int | None = None,
        do_3D: bool = False,
        **retired: Any,
    ) -> tuple[Any, Any]:
        """Diameter of the cells of an image, or of each of several.

        Parameters
        ----------
        x, channels, channel_axis, normalize, invert, augment, batch_size, progress, z_axis
            See :meth:`CellposeModel.eval`.
        do_3D
            The image is a stack; else the shape decides.
        **retired
            Options of older versions; they do nothing, and the log says so once.

        Returns
        -------
        diameter : float
            Of the masks of a first segmentation, in pixels of the image; ``diam_mean`` if there are none. For stacks,
            the median of the cells in five of its planes (y, x), so that anisotropy does not matter.
        diameter_style : float
            From the style alone.

        For several images each is a list.
        """
        _retired.drop_retired("SizeModel.eval", retired, _retired.EVAL)
        images = Images.of(x)
        layout = Layout(channels, channel_axis, z_axis)
        options = Evaluation(
            resample=False,
            normalization=Normalization.of(normalize, invert=invert),
            tiling=Tiling(batch_size, augment, bsize=self.cp._bsize),
        )
        found = []
        with shown(progress, "diameters of images" if images.many else "", images.count) as display:
            for index, item in enumerate(images.items):
                with display.job(name_of(item, index, many=images.many)):
                    read = read_with_axes(item, layout.of(index, images.count), planes_by_name=True)
                    found.append(self._one(*read, options, progress, stack=do_3D))
                display.advance(index + 1)
        if not images.many:
            return found[0]
        return [d for d, _ in found], [s for _, s in found]

    def _one(
        self, image: Array, layout: Layout, options: Evaluation, progress: Any, *, stack: bool
    ) -> tuple[float, float]:
        network = self.cp._network()
        planes = preparation_of(network, layout, replace(options, do_3D=stack)).arranged(image)
        chosen = Images.of(list(planes[_middle_planes(len(planes))]))

        def found(options: Evaluation, rescale: list[float] | None = None) -> list[SegmentationResult]:
            # The planes have the channels of the network already.
            done = segment_images(network, chosen, Layout(None, -1), options, {"rescale": rescale}, progress)
            return [result for result, _ in done]

        with doubts_untold():
            styles = [result.styles for result in found(replace(options, compute_masks=False))]
            of_styles = [_or_default(float(self._size_estimation(style)), self.diam_mean) for style in styles]
            rescale = [self.diam_mean / diameter for diameter in of_styles]
            masks = [result.masks for result in found(replace(options, masking=Masking(interp=False)), rescale)]
        diameter = _or_default(float(utils.diameters(_numbered_apart(masks))[0]), self.diam_mean)
        of_style = float(np.median(of_styles))
        logger.info("diameter %.2f pixels (%.2f from the style)", diameter, of_style)
        return diameter, of_style

    def _size_estimation(self, style: Array) -> Any:
        """Diameter in pixels from a style (256,), or of several (n, 256): a linear model of its logarithm."""
        p = self.params
        logarithm = (np.asarray(style) - p["smean"]) @ p["A"] + math.log(self.diam_mean) + p["ymean"]
        return np.maximum(_LEAST_DIAMETER, np.exp(logarithm))


class Cellpose:
    """A segmentation model with its size model.

    Parameters
    ----------
    gpu, device, backbone
        See :class:`CellposeModel`.
    model_type
        Name of a model that has a size model: ``cyto3``, ``cyto2``, ``cyto``, ``nuclei``, or the path of a weight file
        with ``<file>_size.npy`` beside it.
    nchan, engine, precision
        See :class:`CellposeModel`.

    Attributes
    ----------
    cp, sz
        The segmentation model and the size model.
    diam_mean
        Diameter in pixels to which cells are rescaled.
    pretrained_size
        File of the size model.

    Raises
    ------
    FileNotFoundError
        If the model has no size model.
    UnknownModelError, DownloadError
        See :class:`CellposeModel`.
    """

    def __init__(
        self,
        gpu: bool = False,
        model_type: PathLike = "cyto3",
        nchan: int | None = None,
        device: torch.device | str | None = None,
        backbone: str = "default",
        engine: str | None = None,
        precision: str | None = None,
        **retired: Any,
    ) -> None:
        check_arguments(
            Cellpose.__init__, gpu=gpu, model_type=model_type, nchan=nchan, device=device, backbone=backbone,
            engine=engine, precision=precision,
        )  # fmt: skip
        _retired.drop_retired("Cellpose", retired, _retired.INIT)
        self.pretrained_size = size_model_path(model_type)
        self.cp = CellposeModel(
            gpu=gpu,
            pretrained_model=model_type,
            device=device,
            nchan=nchan,
            backbone=backbone,
            engine=engine,
            precision=precision,
        )
        self.gpu = self.cp.gpu
        self.backbone, self.nchan = self.cp.backbone, self.cp.nchan
        self.diam_mean = self.cp.diam_mean
        self.sz = SizeModel(self.cp, pretrained_size=self.pretrained_size)

    @property
    def device(self) -> Any:
        """The torch device."""
        return self.cp.device

    @device.setter
    def device(self, device: Any) -> None:
        self.cp.device = device

    def eval(
        self,
        x: Any,
        batch_size: int = 8,
        channels: Any = (0, 0),
        channel_axis: int | None = None,
        invert: bool = False,
        normalize: bool | dict[str, Any] = True,
        diameter: float | Sequence[float] | None = 30.0,
        do_3D: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, Any, Any, Any]:
        """Segment with the diameter that is given, or else estimated.

        Parameters
        ----------
        x, batch_size, channels, channel_axis, invert, normalize, do_3D
            See :meth:`CellposeModel.eval`.
        diameter
            Diameter of the cells in pixels, or one per image; ``None`` or 0: estimated, of stacks in some planes.
        **kwargs
            All other options of :meth:`CellposeModel.eval`.

        Returns
        -------
        tuple
            Masks, flows and styles as of :meth:`CellposeModel.eval`, and the diameters used, in pixels.
        """
        images = Images.of(x)
        # Read once: a generator cannot be run through a second time.
        loaded = [item if isinstance(item, (str, Path)) else as_image(item) for item in images.items]
        image: Any = loaded if images.many else loaded[0]
        channels = list(channels) if isinstance(channels, tuple) else channels
        common = {
            "batch_size": batch_size,
            "channels": channels,
            "channel_axis": channel_axis,
            "invert": invert,
            "normalize": normalize,
        }
        n = len(loaded)
        given = [one_number("diameter", diameter, index, n, many=images.many) for index in range(n)]
        unknown = [index for index, each in enumerate(given) if not each]
        diams: Any = diameter
        if unknown:
            sized = {name: kwargs[name] for name in ("augment", "progress", "z_axis") if name in kwargs}
            stack = do_3D or (kwargs.get("stitch_threshold") or 0) > 0
            own = {**common, "channels": Layout(channels).of_some(unknown, n).channels}
            some = [loaded[index] for index in unknown] if images.many else image
            diams, _ = self.sz.eval(some, **own, **sized, do_3D=stack)
            if images.many:
                estimates = iter(diams)
                diams = [each or next(estimates) for each in given]
        masks, flows, styles = self.cp.eval(image, diameter=diams, do_3D=do_3D, **common, **kwargs)
        return masks, flows, styles, diams


def _size_parameters(path: Path) -> dict[str, Any]:
    content = load_npy(path)
    if not isinstance(content, Mapping) or not {"A", "smean", "ymean", "diam_mean"} <= set(content):
        message = f"{path} is not a size model: it must contain A, smean, ymean and diam_mean"
        raise FileReadError(message)
    with reading(path):
        shapes = {key: np.shape(content[key]) for key in ("A", "smean", "ymean", "diam_mean")}
        finite = all(np.isfinite(np.asarray(content[key], float)).all() for key in shapes)
        fits = len(shapes["A"]) == 1 and shapes["A"] == shapes["smean"]
        single = all(np.size(content[key]) == 1 for key in ("ymean", "diam_mean"))
        if not (finite and fits and single and float(np.ravel(content["diam_mean"])[0]) > 0):
            message = f"{path} is corrupt: A and smean must be finite and of equal length, but have the shapes {shapes}"
            raise FileReadError(message)
    return dict(content)


def _middle_planes(count: int) -> list[int]:
    """Numbers of some planes of a stack, evenly spaced, none at its ends."""
    return sorted({int((k + 1) * count / (_PLANES + 1)) for k in range(_PLANES)})


def _numbered_apart(planes: Sequence[Array]) -> Array:
    """Labels (plane, y, x) numbered through all planes, so that planes with more cells count more."""
    before = np.cumsum([0, *(int(plane.max(initial=0)) for plane in planes)])
    return np.stack([plane + (plane > 0) * first for plane, first in zip(planes, before[:-1], strict=True)])


def _or_default(value: float, default: float) -> float:
    return value if math.isfinite(value) and value > 0 else default
