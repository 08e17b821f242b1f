"""The model that restores: a network per channel, where they run, and ``eval``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose import core, weights
from cellpose._machine.threads import OwnLock
from cellpose._progress.display import shown
from cellpose.denoise._restore import CELL_DIAMETER, NUCLEUS_DIAMETER, RestoredImage, Restorer
from cellpose.engines import (
    LoadedNetwork,
    NetworkAttribute,
    choose_engine,
    engine_of,
    run_side_by_side,
    worthwhile_precision,
)
from cellpose.errors import WeightsError
from cellpose.models import Images, Layout, fraction_of, name_of, one_number, read_with_axes
from cellpose.options import Normalization, Tiling
from cellpose.transforms import Preparation

if TYPE_CHECKING:
    import torch

__all__ = ["MODEL_NAMES", "DenoiseModel"]

logger = logging.getLogger("cellpose.denoise")

_LOSSES = ("", "per_", "seg_", "rec_")
MODEL_NAMES = [f"{task}_cyto3" for task in weights.RESTORATION_TASKS] + [
    name
    for cells in ("cyto2", "nuclei")
    for name in [f"{task}_{loss}{cells}" for task in weights.RESTORATION_TASKS for loss in _LOSSES] + [f"aniso_{cells}"]
]


class DenoiseModel:
    """Restores noisy, blurred or undersampled images of cells.

    Parameters
    ----------
    gpu
        Use a GPU if there is one.
    pretrained_model
        Name of a restoration model or path of its weights. ``oneclick``, ``denoise``, ``deblur`` and ``upsample`` alone
        are the bundled model, which does all of these; ``upsample`` also enlarges images of small cells.
    nchan
        Number of channels restored at once; only 1 is possible with the published weights.
    model_type
        Name of a restoration model, one of `MODEL_NAMES`; used if `pretrained_model` is not given. If neither is given:
        ``denoise_cyto3``.
    chan2
        Restore the second channel, nuclei, with the model for nuclei of the same task.
    diam_mean
        Diameter in pixels to which cells are rescaled; 17 for nuclei models.
    device
        Torch device; takes precedence over `gpu`.
    engine, precision
        The engine that runs the networks, and its precision, see `models.CellposeModel`; only OpenVINO computes in 8
        bits.

    Attributes
    ----------
    net, net_chan2
        The networks of the first and the second channel (torch modules), loaded on first access; may be replaced.
        Without a second one the first restores both.
    engine, precision
        The engine of the network of the first channel, a name in ``cellpose.engines.ENGINES``, and its precision.
    ratio
        Size of the last result relative to the image; above 1 after ``upsample`` with small cells.

    Raises
    ------
    UnknownModelError
        If there is no such model.
    WeightsError
        If the weights are not those of a restoration network.
    """

    net, net_chan2 = NetworkAttribute(), NetworkAttribute()

    def __init__(
        self,
        gpu: bool = False,
        pretrained_model: str | Path | bool | None = False,
        nchan: int = 1,
        model_type: str | None = None,
        chan2: bool = False,
        diam_mean: float = CELL_DIAMETER,
        device: torch.device | str | None = None,
        engine: str | None = None,
        precision: str | None = None,
    ) -> None:
        name = str(pretrained_model or model_type or "denoise_cyto3")
        # Known without torch, which need not be imported then.
        self._device: Any
        self._device, self.gpu = (None, False) if device is None and not gpu else core.wanted_device(device, gpu=gpu)
        if precision is not None:
            precision = worthwhile_precision(precision, engine, gpu=self.gpu)
        engines = choose_engine(engine, gpu=self.gpu, precision=precision or "float32")
        self.pretrained_model, self._net = self._load(name, engines, precision)
        self.precision: str = self._net.precision
        self.model_type = model_type or Path(self.pretrained_model).name
        self.nchan = nchan
        self.diam_mean = NUCLEUS_DIAMETER if self.model_type.endswith("nuclei") else float(diam_mean)
        self.ratio = 1.0
        # The requested name matters too: one file may stand for several tasks.
        self._enlarges = any("upsample" in Path(each).name for each in (name, self.pretrained_model))
        self._native = weights.read_card(Path(self.pretrained_model)).get("size") == "native"
        self._net_chan2: Any = None
        self._bundled = Path(self.pretrained_model) == weights.bundled_restorer()
        if chan2 and not self._bundled:  # which restores nuclei as well
            _, self._net_chan2 = self._load(f"{Path(name).name.split('_')[0]}_nuclei", engines, precision)
        self._turn = OwnLock()

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
    def engine(self) -> str:
        """Engine that runs the network of the first channel: a name of ``cellpose.engines.ENGINES``."""
        return str(getattr(self._net, "name", "torch"))

    def _load(self, name: str, engines: tuple[str, ...], precision: str | None) -> tuple[str, Any]:
        file = weights.resolve(name)
        net = LoadedNetwork(file, engines, self._device, precision)
        nout = net.described("nout", None)
        if nout != 1:
            message = (
                f"{file.path} holds a network of {nout or '?'} outputs; a restoration network has 1. "
                f"Choose one of {', '.join(MODEL_NAMES[:4])}, …, or run this one with models.CellposeModel"
            )
            raise WeightsError(message)
        return str(file.path), net

    def eval(
        self,
        x: Any,
        batch_size: int = 8,
        channels: Any = None,
        channel_axis: int | None = None,
        z_axis: int | None = None,
        normalize: bool | dict[str, Any] = True,
        rescale: Any = None,
        diameter: Any = None,
        tile: bool = True,
        do_3D: bool = False,
        tile_overlap: float = 0.1,
        bsize: int | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Restore an image, a stack, or several of these.

        Parameters
        ----------
        x
            Image (Y, X), (Y, X, channels) or a stack of such; the path of an image; or several: a list, tuple,
            generator or 5-D array of these, or the path of a folder. Not modified.
        batch_size
            Number of tiles run at once.
        channels
            ``[cytoplasm, nuclei]``, 1-based, 0 for gray or none, or one pair per image; None: each channel is restored.
        channel_axis, z_axis
            Indices of axes, None to find them.
        normalize
            True, False or a dict of normalization options.
        rescale
            Factor by which the image is resized for the network; a diameter takes precedence.
        diameter
            Diameter of the cells in pixels, one for all images or one per image. No effect for networks of
            `train_self`, which do not resize images.
        tile
            No effect: images always run in tiles, with the same result.
        do_3D
            Whether `x` is a volume; planes are still restored one by one.
        tile_overlap, bsize
            Overlap and side in pixels of the tiles; None: the tile size of the network, or 0 for the bundled one.
            0: few tiles of up to 448 pixels per side.
        progress
            Whether to show progress bars; None: in terminals and notebooks.

        Returns
        -------
        numpy.ndarray or list of numpy.ndarray
            float32 ([Z,] Y, X, channels), normalized intensities. With an ``upsample`` model and a diameter below
            `diam_mean`, Y and X are larger by ``diam_mean / diameter``. Of a 5-D array one array.
        """
        images = Images.of(x)
        done = self.restored(
            images,
            Layout(channels, channel_axis, z_axis),
            Normalization.of(normalize),
            Tiling(batch_size=batch_size, tile_overlap=tile_overlap, bsize=bsize),
            (diameter, rescale),
            do_3D=do_3D,
            progress=progress,
        )
        self.ratio = done[-1].ratio if done else 1.0
        if not images.many:
            return done[0].image
        results = [one.image for one in done]
        return np.stack(results) if isinstance(x, np.ndarray) and x.dtype != object else results

    def restored(
        self,
        images: Images,
        layout: Layout,
        normalization: Normalization,
        tiling: Tiling,
        sizes: tuple[Any, Any] = (None, None),
        *,
        do_3D: bool = False,
        progress: bool | None = None,
        report: Callable[[float], None] | None = None,
    ) -> list[RestoredImage]:
        """Restore images in turn, and give for each how much larger it is than the image.

        Parameters
        ----------
        images, layout, normalization, tiling
            What is restored, and how.
        sizes
            ``diameter`` and ``rescale``, each a number for all images or one per image.
        do_3D, progress
            As in `eval`.
        report
            Called with the fraction that is done, 0 to 1.
        """
        restorer, done = self.restorer(), []
        several = images.many and images.count != 1
        with shown(progress, "restored images" if several else "", images.count) as display:
            for index, item in enumerate(images.items):
                diameter, rescale = (
                    one_number(name, value, index, images.count, many=images.many) or None
                    for name, value in zip(("diameter", "rescale"), sizes, strict=True)
                )
                image, own = read_with_axes(item, layout.of(index, images.count), planes_by_name=True)
                preparation = Preparation(
                    own.channels, own.channel_axis, own.z_axis, nchan=None, stack=do_3D, normalization=normalization
                )
                with display.job(name_of(item, index, many=images.many)):
                    part = fraction_of(report, index, images.count)
                    done.append(restorer(image, preparation, diameter, rescale, tiling, part))
                display.advance(index + 1)
        return done

    def restorer(self) -> Restorer:
        """The networks to run now: attributes may have been replaced since the last call."""
        first = engine_of(self._net)
        second = first if self._net_chan2 is None else engine_of(self._net_chan2)
        turn = nullcontext() if run_side_by_side(first, second) else self._turn
        return Restorer(first, second, self.diam_mean, self._enlarges, turn, self._native, self._bundled)
