"""The model: a network, where it runs, and ``eval``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from cellpose import core, weights
from cellpose._face.door import check_arguments
from cellpose._machine.threads import OwnLock
from cellpose.engines import (
    LoadedNetwork,
    NetworkAttribute,
    choose_engine,
    engine_of,
    run_side_by_side,
    worthwhile_precision,
)
from cellpose.models import _retired
from cellpose.models._choice import (
    DEFAULT_MODEL,
    PathLike,
    check_sizes,
    diameters_of,
    wanted_model,
    wanted_precision,
)
from cellpose.models._inputs import Images, Layout
from cellpose.models._many import segment_images
from cellpose.models._segment import Network, check_options
from cellpose.models._untrained import UntrainedNetwork
from cellpose.nets import family_named
from cellpose.options import Evaluation, Masking, Normalization, Tiling

if TYPE_CHECKING:
    import torch

__all__ = ["CellposeModel"]

logger = logging.getLogger("cellpose.models")


class CellposeModel:
    """A segmentation model: a network with its weights on a device.

    Parameters
    ----------
    gpu
        Whether to run on a GPU (CUDA or MPS), if one works.
    pretrained_model
        Name of a published, bundled or user model, or the path of a weight file. Default: ``cpsam`` if its weights are
        installed, else the bundled model; the log names it. ``None`` or ``False``, without ``model_type``: a U-Net with
        random weights, for training; ``eval`` raises an error until it is trained.
    model_type
        Older name of the same parameter, used if ``pretrained_model`` is not given.
    mkldnn
        No effect; torch chooses its CPU kernels.
    diam_mean
        Diameter in pixels to which cells are rescaled (U-Nets); ``None``: from the weights.
    device
        Device to run on; takes precedence over ``gpu``.
    nchan
        Number of input channels of a U-Net; ``None``: from the weights.
    pretrained_model_ortho
        Model for the planes of a volume that contain z; ``None``: the same.
    backbone
        No effect: the weight file determines it.
    use_bfloat16
        Whether the network computes in bfloat16 (half the memory, faster on GPUs, results differ slightly).
    engine
        Engine that runs the network: a name in ``cellpose.engines.ENGINES`` (``cellpose doctor`` lists them), or
        ``"auto"`` for the fastest installed one. ``None``: the environment variable ``CELLPOSE_ENGINE``, else
        ``"auto"``. Torch runs networks that the engine cannot run, and networks that were replaced or trained.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"int8"`` (8-bit weights and activations: faster on a CPU, results differ
        slightly; needs OpenVINO or ONNX Runtime). On CPUs that are slower in 8 bits, float32 is used and the log says
        so, unless an engine is named. ``None``: from ``use_bfloat16``; else bfloat16 for transformers on CUDA GPUs that
        support it, as published, and float32 otherwise.

    Attributes
    ----------
    net, net_ortho
        The networks (torch modules), loaded on first access; may be replaced.
    engine, precision
        The engine that runs the network, a name in ``cellpose.engines.ENGINES``, and its precision.
    device, gpu
        The device, and whether it is a GPU.
    pretrained_model
        Path of the weight file; ``None`` if there is none.
    model_name
        Name of the model.
    diam_mean, diam_labels
        Diameters in pixels: to which cells are rescaled, and the mean of the training images.
    backbone, net_type, nchan, nclasses, nbase, mkldnn
        The kind of network and its architecture.
    timing
        Seconds per image of the last call.

    Raises
    ------
    UnknownModelError
        If the model is neither known nor a file.
    DownloadError
        If a published model is not installed and cannot be downloaded.
    WeightsError, UnsafeFileError
        If the weights cannot be used.
    OptionError
        If the model is not a name or path, or if there is no such engine or precision.
    MissingExtraError
        If the engine is not installed, or if no installed engine computes in 8 bits and ``precision`` is ``"int8"``.
    """

    net, net_ortho = NetworkAttribute(), NetworkAttribute()

    def __init__(
        self,
        gpu: bool = False,
        pretrained_model: PathLike | Sequence[PathLike] | bool | None = DEFAULT_MODEL,
        model_type: str | None = None,
        mkldnn: bool = True,
        diam_mean: float | None = None,
        device: torch.device | str | None = None,
        nchan: int | None = None,
        pretrained_model_ortho: PathLike | None = None,
        backbone: str = "default",
        use_bfloat16: bool | None = None,
        engine: str | None = None,
        precision: str | None = None,
        **retired: Any,
    ) -> None:
        check_arguments(
            CellposeModel.__init__, gpu=gpu, pretrained_model=pretrained_model, model_type=model_type, mkldnn=mkldnn,
            diam_mean=diam_mean, device=device, nchan=nchan, pretrained_model_ortho=pretrained_model_ortho,
            backbone=backbone, use_bfloat16=use_bfloat16, engine=engine, precision=precision,
        )  # fmt: skip
        check_sizes(diam_mean, nchan)
        _retired.drop_retired("CellposeModel", retired, _retired.INIT)
        if backbone != "default" and family_named(backbone).channel_pair:
            logger.debug("backbone=%r is read from the weight file instead", backbone)
        named = wanted_model(pretrained_model, model_type)
        file = None if named is None else weights.resolve(named)
        # Known without torch, which need not be imported then.
        on_cpu = device == "cpu" or (device is None and not gpu)
        self._device: Any
        self._device, self.gpu = (None, False) if on_cpu else core.wanted_device(device, gpu=gpu)
        self.mkldnn = mkldnn
        self.timing: list[float] = []
        self._turn = OwnLock()
        self.pretrained_model = None if file is None else str(file.path)
        self.model_name = "untrained" if file is None else file.name
        # Published networks get their published tile size, since it affects the result.
        self._few_tiles = file is not None and file.path in weights.bundled_models().values()
        wanted = wanted_precision(precision, use_bfloat16)
        if wanted is not None:
            wanted = worthwhile_precision(wanted, engine, gpu=self.gpu)
        names = choose_engine(engine, gpu=self.gpu, precision=wanted or "float32")
        self._net: Any
        if file is None:
            self._net = UntrainedNetwork(nchan or 2, diam_mean or 30.0, self._device)
        else:
            self._net = LoadedNetwork(file, names, self._device, wanted)
        self.precision: str = self._net.precision
        self._net_ortho: Any = None
        if pretrained_model_ortho:
            ortho = weights.resolve(pretrained_model_ortho)
            self._net_ortho = LoadedNetwork(ortho, names, self._device, wanted)
        self.pretrained_model_ortho = pretrained_model_ortho
        self.backbone: str = str(self._net.described("backbone", "cpnet"))
        self.net_type = f"cellpose_{self.backbone}"
        self.nclasses = int(self._net.described("nout", 3))
        self.nchan = int(self._net.described("nchan", 2))
        if nchan is not None and nchan != self.nchan:
            name = self.model_name
            logger.warning("nchan=%d has no effect: the network of %s takes %d channels", nchan, name, self.nchan)
        self.nbase = list(self._net.described("nbase", []))
        self.diam_mean, self.diam_labels = diameters_of(self._net, file, diam_mean)
        where = self.pretrained_model or "random weights, to be trained"
        logger.info("model %s (%s) on %s, run by %s", self.model_name, where, self._device or "cpu", self.engine)

    @property
    def device(self) -> Any:
        """The torch device."""
        if self._device is None:
            import torch

            self._device = torch.device("cpu")
        return self._device

    @device.setter
    def device(self, device: Any) -> None:
        self._device = device

    @property
    def _bsize(self) -> int | None:
        """Side of tiles if none is given; bundled models take few large ones, their replacements need not."""
        replaced_by = str(getattr(self._net, "backbone", "cpnet"))
        return 0 if self._few_tiles and family_named(replaced_by).small_tiles else None

    @property
    def engine(self) -> str:
        """The engine that runs the network: a name in ``cellpose.engines.ENGINES``."""
        if isinstance(self._net, LoadedNetwork):
            return self._net.name
        return str(getattr(self._net, "name", "torch"))

    def eval(
        self,
        x: Any,
        batch_size: int = 8,
        resample: bool = True,
        channels: Any = None,
        channel_axis: int | None = None,
        z_axis: int | None = None,
        normalize: bool | dict[str, Any] = True,
        invert: bool = False,
        rescale: float | Sequence[float] | None = None,
        diameter: float | Sequence[float] | None = None,
        flow_threshold: float | None = 0.4,
        cellprob_threshold: float = 0.0,
        do_3D: bool = False,
        anisotropy: float | Sequence[float] | None = None,
        flow3D_smooth: float | Sequence[float] = 0,
        stitch_threshold: float = 0.0,
        min_size: int = 15,
        max_size_fraction: float = 0.4,
        niter: int | None = None,
        augment: bool = False,
        tile_overlap: float = 0.1,
        bsize: int | None = None,
        interp: bool = True,
        compute_masks: bool = True,
        progress: Any = None,
        view_weights: Sequence[float] = (1.0, 1.0, 1.0),
        isotropic_steps: bool = False,
        z_interpolation: str = "linear",
        **retired: Any,
    ) -> tuple[Any, Any, Any]:
        """Segment an image, a stack, or several of them.

        Parameters
        ----------
        x
            An image of 2 to 4 axes and any real dtype; the path of an image; or several: a list, tuple, generator or
            5-D array of images or paths, or the path of a folder. Images are not changed. Several small images are
            processed in parallel, as many as threads and memory allow, or as the environment variable
            ``CELLPOSE_IMAGES_AT_ONCE`` sets.
        batch_size
            Number of tiles run at once.
        resample
            Follow the flows at the size of the image, not at that of the network (slower, smoother outlines).
        channels
            ``[channel to segment, channel of nuclei]``, 1-based, 0 for gray or none; or one pair per image. For
            transformers: the channels to use, in any order; ``[0, 0]`` or ``None``: the first three. A channel without
            contrast counts as empty, for example an opaque alpha channel. Leave out an alpha channel that is not
            opaque.
        channel_axis, z_axis
            Axes of channels and planes; ``None``: inferred from the shape.
        normalize
            Scale intensities: True (1st and 99th percentile), False (unchanged, also in constant channels), or a dict
            with fields of ``cellpose.options.Normalization``.
        invert
            Invert intensities, if ``normalize`` is a bool.
        rescale
            U-Nets: factor by which the image is resized if no diameter is given; or one per image.
        diameter
            Diameter of the cells in pixels, or one per image. ``None`` or 0: that of the training images (U-Nets), no
            resizing (transformers).
        flow_threshold
            Largest flow error of masks that are kept; not used in 3D; 0 or None: keep all.
        cellprob_threshold
            Pixels above this belong to cells.
        do_3D
            Segment a stack as a volume, with flows from planes of three directions.
        anisotropy
            Distance between planes divided by the size of a pixel, in 3D; or one per image.
        flow3D_smooth
            Sigma in pixels of the Gaussian that smooths 3D flows, one or one each for z, y, x.
        stitch_threshold
            Overlap (IoU) from which masks in neighboring planes become one, without ``do_3D``; 0: off.
        min_size
            Smallest number of pixels of a mask; -1: keep all.
        max_size_fraction
            Largest fraction of the image that a mask may cover.
        niter
            Number of steps along the flows; ``None`` or 0: from the diameter.
        augment
            Average over flipped, half-overlapping tiles.
        tile_overlap
            Fraction by which tiles overlap, limited to 0.05 to 0.5.
        bsize
            Side of tiles in pixels; ``None``: that of the network, or 0 for bundled models. 0 (U-Nets): few tiles of up
            to 448 pixels per side, in 70 to 80 % of the time; images of up to 432 pixels per side are one tile, which
            takes less than half. If parts of an image look different, as in a collage, 224 is better.
        interp
            Interpolate flows between pixels.
        compute_masks
            Compute masks from the flows; else ``masks`` is an empty array.
        progress
            ``None``: show progress bars in terminals and notebooks; False: never; True: always. Or an object with
            ``setValue(percent)``, such as a Qt progress bar, or a function of the percentage.
        view_weights
            Weights of the planes YX, ZX and ZY in 3D. Only the ratios matter; at least two must be above 0, and planes
            with weight 0 do not run.
        isotropic_steps
            In 3D with ``anisotropy``: follow the flows by true distances. In the published way (False) a step along z
            covers as many planes as it covers pixels along y and x. This is too far, and cells break into rings.
        z_interpolation
            In 3D with ``anisotropy``, the interpolation between planes: ``"linear"``, as published; ``"cubic"``, which
            follows round cells better; ``"spline"``, which reduces noise equally in all planes and so avoids stripes,
            at the cost of a blur of 0.6 planes.
        **retired
            Options of older versions; they have no effect, and the log says so once.

        Returns
        -------
        masks : numpy.ndarray
            Labels ([z,] y, x), 0 background, uint16 (uint32 above 65535 labels).
        flows : list
            ``[rgb, flows, cellprob]``: flows as colors, uint8 ([z,] y, x, 3); flows, float32 (2, [z,] y, x) in the
            order y, x, or (3, z, y, x) in 3D; logit of the cell probability, float32 ([z,] y, x). With
            ``resample=False`` flows and cellprob have the size of the network's input.
        styles : numpy.ndarray
            Style vector, float32 (256,), one per plane for stacks; zeros for transformers.

        For several images, each of the three is a list.

        Raises
        ------
        InputError, AxesError
            If an image cannot be segmented (for files with time points see `segment_image`), or if the number of
            channels or diameters does not match the number of images.
        OptionError
            If an option is outside its range.
        """
        given = _retired.renamed(
            retired, flow3D_smooth=flow3D_smooth, cellprob_threshold=cellprob_threshold, diameter=diameter
        )
        options = Evaluation(
            resample=resample,
            do_3D=do_3D,
            flow3D_smooth=given["flow3D_smooth"],
            view_weights=view_weights,
            isotropic_steps=isotropic_steps,
            z_interpolation=z_interpolation,
            stitch_threshold=stitch_threshold,
            compute_masks=compute_masks,
            normalization=Normalization.of(normalize, invert=invert),
            tiling=Tiling(batch_size, augment, tile_overlap, self._bsize if bsize is None else bsize),
            masking=Masking(given["cellprob_threshold"], flow_threshold, min_size, max_size_fraction, niter, interp),
        )
        layout = Layout(channels, channel_axis, z_axis)
        images = Images.of(x)
        sizes = {"diameter": given["diameter"], "rescale": rescale, "anisotropy": anisotropy}
        done = segment_images(self._network(), images, layout, options, sizes, progress)
        # Bound here, so that threads that share the model do not mix their numbers.
        self.timing = [seconds for _, seconds in done]
        results = [result for result, _ in done]
        if not images.many:
            return results[0].masks, results[0].flows, results[0].styles
        return [r.masks for r in results], [r.flows for r in results], [r.styles for r in results]

    def check_options(self, options: Evaluation) -> None:
        """Refuse, before any image is read, what `eval` would refuse with every image.

        Raises
        ------
        InputError
            If the network has no flows and cannot segment.
        OptionError
            If the network cannot run tiles of this side.
        """
        check_options(self._network(), options)

    def _network(self) -> Network:
        """The network to run now: attributes may have been replaced since the last call."""
        engine = engine_of(self._net, self.backbone)
        ortho = None if self._net_ortho is None else engine_of(self._net_ortho, self.backbone)
        device = self._device if self._device is not None and self._device.type != "cpu" else None
        shared = run_side_by_side(engine, *(() if ortho is None else (ortho,)))
        turn = nullcontext() if shared else self._turn
        return Network(engine, ortho, self.nchan, float(self.diam_mean), float(self.diam_labels), device, turn)
