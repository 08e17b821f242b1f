"""Restoring images: one network a channel, over tiles."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellpose import core, transforms, weights
from cellpose._progress.display import shown, waiting
from cellpose.engines import Engine, LoadedNetwork, NetworkAttribute, choose_engine, engine_of
from cellpose.errors import InputError, WeightsError
from cellpose.options import Normalization, Tiling
from cellpose.transforms import Preparation, has_contrast

__all__ = ["MODEL_NAMES", "DenoiseModel"]

logger = logging.getLogger("cellpose.denoise")

FloatArray = NDArray[np.float32]

_TASKS = ("denoise", "deblur", "upsample", "oneclick")
_LOSSES = ("", "per_", "seg_", "rec_")
MODEL_NAMES = [f"{task}_cyto3" for task in _TASKS] + [
    name
    for cells in ("cyto2", "nuclei")
    for name in [f"{task}_{loss}{cells}" for task in _TASKS for loss in _LOSSES] + [f"aniso_{cells}"]
]

# Cells and nuclei are brought to these diameters in pixels.
_CELL_DIAMETER, _NUCLEUS_DIAMETER = 30.0, 17.0
# Cells smaller than this are noise, which no enlargement helps.
_SMALLEST_DIAMETER = 3.0


class DenoiseModel:
    """Restores noisy, blurred or undersampled images of cells.

    Parameters
    ----------
    gpu
        Use a GPU where there is one.
    pretrained_model
        Name of a restoration model or path of its weights.
    nchan
        Number of channels restored at once; only 1 is possible with the published weights.
    model_type
        Name of a restoration model, one of `MODEL_NAMES`; used where `pretrained_model` is not given. Neither given:
        ``denoise_cyto3``.
    chan2
        Restore the second channel, nuclei, with the model for nuclei of the same task.
    diam_mean
        Diameter in pixels to which cells are brought; 17 for models of nuclei.
    device
        Torch device; goes before `gpu`.
    engine
        What runs the networks, see `models.CellposeModel`.

    Attributes
    ----------
    net, net_chan2
        The networks of the first and the second channel (torch modules), loaded when they are asked for; may be
        replaced. No second one: the first restores both.

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
        diam_mean: float = _CELL_DIAMETER,
        device: torch.device | None = None,
        engine: str | None = None,
    ) -> None:
        name = str(pretrained_model or model_type or "denoise_cyto3")
        self.device, self.gpu = (device, device.type != "cpu") if device is not None else core.assign_device(gpu=gpu)
        engines = choose_engine(engine, gpu=self.gpu)
        self.pretrained_model, self._net = self._load(name, engines)
        self.model_type = model_type or Path(self.pretrained_model).name
        self.nchan = nchan
        self.diam_mean = _NUCLEUS_DIAMETER if self.model_type.endswith("nuclei") else float(diam_mean)
        # How much larger than the image the last result is; more than 1 after `upsample` of small cells.
        self.ratio = 1.0
        self._net_chan2: Any = None
        if chan2:
            _, self._net_chan2 = self._load(f"{Path(name).name.split('_')[0]}_nuclei", engines)

    def _load(self, name: str, engines: tuple[str, ...]) -> tuple[str, Any]:
        file = weights.resolve(name)
        net = LoadedNetwork(file, engines, self.device)
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
        """Restore an image, a stack, or a list of these.

        Parameters
        ----------
        x
            Image (Y, X), (Y, X, channels) or a stack of such, or a list of them; not modified.
        batch_size
            Number of tiles run at once.
        channels
            ``[cytoplasm, nuclei]``, 1-based, 0 for gray or none; None: each channel is restored.
        channel_axis, z_axis
            Indices of axes, None to find them.
        normalize
            True, False or a dict of normalisation options.
        rescale
            Factor by which the image is resized for the network; a diameter goes before it.
        diameter
            Diameter of the cells in pixels, one for all images or one per image.
        tile
            Has no effect: images are always run in tiles, with the same result.
        do_3D
            Whether `x` is a volume; planes are restored one by one all the same.
        tile_overlap, bsize
            Overlap and side in pixels of the tiles; None: the side that the network was made for.
        progress
            Whether bars show how far it is; None: where a person looks at a terminal or a notebook.

        Returns
        -------
        numpy.ndarray or list of numpy.ndarray
            float32 ([Z,] Y, X, channels), normalised intensities. With an ``upsample`` model and a diameter below
            `diam_mean`, Y and X are larger by ``diam_mean / diameter``.
        """
        tiling = Tiling(batch_size=batch_size, tile_overlap=tile_overlap, bsize=bsize)
        preparation = Preparation(
            channels, channel_axis, z_axis, nchan=None, stack=do_3D, normalization=Normalization.of(normalize)
        )

        def restored(image: Any, diameter: float | None, rescale: float | None) -> tuple[FloatArray, float]:
            # The published models for small cells were made to see them enlarged a second time.
            scale = self.diam_mean / diameter if diameter else rescale or 1.0
            enlarged = replace(preparation, scale=self._enlarging(diameter))
            return self._restore(np.asarray(image), enlarged, scale, tiling), enlarged.scale

        if isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.squeeze().ndim == 5):
            diameters, rescales = _one_each(diameter, len(x)), _one_each(rescale, len(x))
            results = []
            with shown(progress, "restored images", len(x)) as display:
                for index, one in enumerate(zip(x, diameters, rescales, strict=True)):
                    with display.job(f"image {index + 1}"):
                        results.append(restored(*one))
                    display.advance(index + 1)
            self.ratio = results[-1][1] if results else 1.0
            images = [image for image, _ in results]
            return images if isinstance(x, (list, tuple)) else np.stack(images)
        with waiting("image", progress):
            image, self.ratio = restored(x, _one_each(diameter, 1)[0], _one_each(rescale, 1)[0])
        return image

    def _enlarging(self, diameter: float | None) -> float:
        """By how much larger than the image the restored one is."""
        if not diameter or "upsample" not in Path(self.pretrained_model).name:
            return 1.0
        return self.diam_mean / diameter if _SMALLEST_DIAMETER <= diameter < self.diam_mean else 1.0

    def _restore(self, image: NDArray[Any], preparation: Preparation, scale: float, tiling: Tiling) -> FloatArray:
        """The image restored at the size of the preparation, by networks that see that ``scale`` times as large."""
        stack = preparation.arranged(image)
        if preparation.scale != 1:
            size = preparation.size(stack.shape[1:3])
            stack = np.stack([transforms.resize_plane(plane, (size[0], size[1])) for plane in stack])
        if _has_no_second_channel(stack, preparation.channels):
            stack = stack[..., :1]
        out = np.empty(stack.shape, np.float32)
        for c in range(stack.shape[-1]):
            second = c == 1
            net = self._net_chan2 if second and self._net_chan2 is not None else self._net
            of_channel = scale * (_CELL_DIAMETER / _NUCLEUS_DIAMETER if second else 1.0)
            seen = replace(preparation, scale=of_channel)
            out[..., c] = _run(engine_of(net), stack[..., c : c + 1], seen, tiling)
        return out[0] if len(out) == 1 else out


def _run(engine: Engine, stack: FloatArray, preparation: Preparation, tiling: Tiling) -> FloatArray:
    """One channel (plane, Y, X, 1) restored, (plane, Y, X)."""
    stack = preparation.normalised(stack)
    if not stack.any():  # of a channel without contrast nothing is restored
        return np.zeros(stack.shape[:3], np.float32)
    size = preparation.size(stack.shape[1:3])
    planes = core.run_planes(engine, stack, tiling, (size[0], size[1]), what="restoring")
    return np.stack([transforms.resize_plane(output[0], stack.shape[1:3]) for output, _ in planes])


def _has_no_second_channel(stack: FloatArray, channels: Any) -> bool:
    """Whether the second channel is empty, or was not asked for."""
    if stack.shape[-1] != 2:
        return False
    flat = not has_contrast(float(stack[..., 1].min()), float(stack[..., 1].max()))
    return flat or (channels is not None and np.ravel(channels)[-1] == 0)


def _one_each(value: Any, n: int) -> list[float | None]:
    """A number for each of n images, None where it is not given or 0."""
    values = list(np.ravel(value)) if isinstance(value, (list, tuple, np.ndarray)) else [value] * n
    if len(values) != n:
        message = f"{len(values)} diameters or scales were given for {n} images; give one for all, or one per image"
        raise InputError(message)
    return [float(one) if one else None for one in values]
