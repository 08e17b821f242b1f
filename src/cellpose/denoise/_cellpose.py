"""Restoring an image and then segmenting it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellpose.denoise._model import DenoiseModel
from cellpose.models import CellposeModel

__all__ = ["CellposeDenoiseModel"]

FloatArray = NDArray[np.float32]


class CellposeDenoiseModel:
    """Restores images with a `DenoiseModel` (attribute ``dn``) and segments them with a `CellposeModel` (``cp``).

    Parameters
    ----------
    gpu, device
        Where to run, see `DenoiseModel`.
    pretrained_model, model_type
        Segmentation model, by name or path; `model_type` is used where the other is not given.
    restore_type
        Restoration model, by name or path.
    nchan
        Number of channels of the segmentation model.
    chan2_restore
        Restore the second channel with the model for nuclei.
    engine, precision
        What runs the networks, and how exactly the one that segments is computed, see `CellposeModel`.
    """

    def __init__(
        self,
        gpu: bool = False,
        pretrained_model: str | Path | bool | None = False,
        model_type: str | None = None,
        restore_type: str | None = "denoise_cyto3",
        nchan: int = 2,
        chan2_restore: bool = False,
        device: torch.device | None = None,
        engine: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.dn = DenoiseModel(gpu=gpu, model_type=restore_type, chan2=chan2_restore, device=device, engine=engine)
        self.cp = CellposeModel(
            gpu=gpu,
            pretrained_model=pretrained_model or model_type or "cyto3",
            nchan=nchan,
            device=device,
            engine=engine,
            precision=precision,
        )

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
        tile_overlap: float = 0.1,
        augment: bool = False,
        resample: bool = True,
        invert: bool = False,
        flow_threshold: float | None = 0.4,
        cellprob_threshold: float = 0.0,
        do_3D: bool = False,
        anisotropy: float | None = None,
        stitch_threshold: float = 0.0,
        min_size: int = 15,
        niter: int | None = None,
        interp: bool = True,
        bsize: int | None = None,
        flow3D_smooth: Any = 0,
        progress: Any = None,
        **options_3d: Any,
    ) -> tuple[Any, Any, Any, Any]:
        """Restore, then segment.

        Parameters
        ----------
        x, batch_size, channels, channel_axis, z_axis, normalize, rescale, diameter, tile_overlap, bsize, do_3D
            See `DenoiseModel.eval`; the normalisation is that of the restoration.
        augment, resample, invert, flow_threshold, cellprob_threshold, anisotropy, stitch_threshold, min_size
            See `CellposeModel.eval`.
        niter, interp, flow3D_smooth, progress
            See `CellposeModel.eval`.
        **options_3d
            Further options of `CellposeModel.eval`: ``view_weights``, ``isotropic_steps``, ``z_interpolation``.

        Returns
        -------
        masks, flows, styles, imgs_restored
            As `CellposeModel.eval` and `DenoiseModel.eval` return them; lists for a list of images.
        """
        restored = self.dn.eval(
            x, batch_size=batch_size, channels=channels, channel_axis=channel_axis, z_axis=z_axis, normalize=normalize,
            rescale=rescale, diameter=diameter, tile_overlap=tile_overlap, do_3D=do_3D, bsize=bsize,
            progress=progress if isinstance(progress, bool) or progress is None else False,
        )  # fmt: skip
        stack = do_3D or stitch_threshold > 0
        masks, flows, styles = self.cp.eval(
            restored, batch_size=batch_size, channels=_of_restored(channels), channel_axis=-1,
            z_axis=0 if stack else None, normalize=True, rescale=rescale,
            diameter=self.dn.diam_mean if self.dn.ratio > 1 else diameter, tile_overlap=tile_overlap, augment=augment,
            resample=resample, invert=invert, flow_threshold=flow_threshold, cellprob_threshold=cellprob_threshold,
            do_3D=do_3D, anisotropy=anisotropy, stitch_threshold=stitch_threshold, min_size=min_size, niter=niter,
            interp=interp, bsize=bsize, flow3D_smooth=flow3D_smooth, progress=progress, **options_3d,
        )  # fmt: skip
        return masks, flows, styles, restored


def _of_restored(channels: Any) -> Sequence[int]:
    """The channels of the restored image: what was chosen from the original now stands first."""
    gray = channels is None or np.ravel(channels)[0] == 0
    return [0, 0] if gray else [1, 2]
