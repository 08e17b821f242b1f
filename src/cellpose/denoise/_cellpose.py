"""Restoring an image and then segmenting it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose._progress.bars import Fractions
from cellpose.denoise._large import restore_large
from cellpose.denoise._model import DenoiseModel
from cellpose.models import (
    CellposeModel,
    Images,
    LargeResult,
    Layout,
    one_number,
    reporter,
    segment_large,
)
from cellpose.options import Normalization, Tiling

if TYPE_CHECKING:
    import torch

__all__ = ["CellposeDenoiseModel"]

_PAIR = 2
# Part of the progress that is restoring.
_RESTORING = 0.5


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
        The engine of the networks, and the precision of the one that segments, see `CellposeModel`.
    restore_precision
        How exactly the ones that restore are computed, see `DenoiseModel`.

    Attributes
    ----------
    dn, cp
        The models.
    """

    def __init__(
        self,
        gpu: bool = False,
        pretrained_model: str | Path | bool | None = False,
        model_type: str | None = None,
        restore_type: str | None = "denoise_cyto3",
        nchan: int = _PAIR,
        chan2_restore: bool = False,
        device: torch.device | str | None = None,
        engine: str | None = None,
        precision: str | None = None,
        restore_precision: str | None = None,
    ) -> None:
        self.dn = DenoiseModel(
            gpu=gpu,
            model_type=restore_type,
            chan2=chan2_restore,
            device=device,
            engine=engine,
            precision=restore_precision,
        )
        self.cp = CellposeModel(
            gpu=gpu,
            pretrained_model=pretrained_model or model_type or "cyto3",
            nchan=None if nchan == _PAIR else nchan,  # the default, not a request of the caller
            device=device,
            engine=engine,
            precision=precision,
        )

    @property
    def ratio(self) -> float:
        """How much larger than the image the last restored one, and its masks, are."""
        return self.dn.ratio

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
        anisotropy: Any = None,
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
            See `DenoiseModel.eval`; the normalization is that of the restoration.
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
        images, tell = Images.of(x), reporter(progress)
        done = self.dn.restored(
            images,
            Layout(channels, channel_axis, z_axis),
            Normalization.of(normalize),
            Tiling(batch_size=batch_size, tile_overlap=tile_overlap, bsize=bsize),
            (diameter, rescale),
            do_3D=do_3D,
            progress=progress if isinstance(progress, bool) or progress is None else False,
            report=None if tell is None else lambda fraction: tell(_RESTORING * fraction),
        )
        if tell is not None:
            progress = Fractions(lambda fraction: tell(_RESTORING + (1 - _RESTORING) * fraction))
        self.dn.ratio = done[-1].ratio if done else 1.0

        def of_image(name: str, value: Any, index: int) -> float | None:
            return one_number(name, value, index, len(done), many=images.many)

        # Cells of an enlarged image have the diameter that they were brought to, also beside images that were not
        # enlarged. Its pixels are smaller, and its planes as far apart as before.
        diameters: list[Any] = [
            self.dn.diam_mean if one.ratio > 1 else of_image("diameter", diameter, index)
            for index, one in enumerate(done)
        ]
        spacings: list[Any] = [
            (of_image("anisotropy", anisotropy, index) or 1.0) * one.ratio for index, one in enumerate(done)
        ]
        restored: Any = [one.image for one in done] if images.many else done[0].image
        stack = do_3D or stitch_threshold > 0
        masks, flows, styles = self.cp.eval(
            restored, batch_size=batch_size, channels=_of_restored(channels), channel_axis=-1,
            z_axis=0 if stack else None, normalize=True, rescale=rescale,
            diameter=diameters if images.many else diameters[0], anisotropy=spacings if images.many else spacings[0],
            tile_overlap=tile_overlap, augment=augment, resample=resample, invert=invert,
            flow_threshold=flow_threshold, cellprob_threshold=cellprob_threshold,
            do_3D=do_3D, stitch_threshold=stitch_threshold, min_size=min_size, niter=niter,
            interp=interp, bsize=bsize, flow3D_smooth=flow3D_smooth, progress=progress, **options_3d,
        )  # fmt: skip
        if isinstance(x, np.ndarray) and images.many and x.dtype != object:
            restored = np.stack(restored)
        return masks, flows, styles, restored

    def segment_large(
        self,
        source: Any,
        target: str | os.PathLike[str] | None = None,
        restored: str | os.PathLike[str] | None = None,
        *,
        channels: Any = None,
        channel_axis: int | None = None,
        diameter: float | None = None,
        normalize: bool | dict[str, Any] = True,
        invert: bool = False,
        progress: Callable[[float], Any] | None = None,
        **options: Any,
    ) -> LargeResult:
        """Restore and segment a plane of any size, in memory that grows with its width only.

        Parameters
        ----------
        source, target
            See `models.segment_large`.
        restored
            The TIFF of the restored plane to write; None: it is kept in a temporary folder until the masks are made.
        channels, channel_axis, diameter, normalize
            See `restore_large`.
        invert, progress, **options
            See `models.segment_large`.

        Returns
        -------
        LargeResult
            As of `models.segment_large`.
        """
        networks = {name: options[name] for name in ("tile_overlap", "bsize", "batch_size") if name in options}

        def part(first: float, share: float) -> Callable[[float], Any] | None:
            return None if progress is None else lambda fraction: progress(first + share * fraction)

        beside = None if target is None else Path(target).parent
        with tempfile.TemporaryDirectory(prefix=".cellpose-restored-", dir=beside) as folder:
            plane = Path(folder) / "plane.tif" if restored is None else restored
            count = restore_large(
                self.dn, source, plane, channels=channels, channel_axis=channel_axis, diameter=diameter,
                normalize=normalize, progress=part(0, _RESTORING), **networks,
            )  # fmt: skip
            return segment_large(
                self.cp, plane, target, channels=_of_restored(channels), channel_axis=None if count == 1 else 0,
                diameter=diameter, invert=invert, progress=part(_RESTORING, 1 - _RESTORING), **options,
            )  # fmt: skip


def _of_restored(channels: Any) -> Any:
    """The channels of the restored image, or images: what was chosen from the original now stands first."""
    if np.ndim(channels) > 1:
        return [_of_restored(pair) for pair in channels]
    gray = channels is None or channels[0] == 0
    return [0, 0] if gray else [1, 2]
