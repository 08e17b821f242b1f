"""Restoring a block of an array, as a step before it is segmented by the workers of a cluster."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellpose import weights
from cellpose.denoise._model import DenoiseModel
from cellpose.errors import OptionError

__all__ = ["restore_block"]


def restore_block(
    image: NDArray[Any],
    *,
    crop: Any = None,
    channel_axis: int | None = None,
    model: str = "denoise_cyto3",
    diameter: float | None = None,
    normalize: bool | dict[str, Any] = True,
    gpu: bool = False,
    engine: str | None = None,
    batch_size: int = 8,
) -> NDArray[np.float32]:
    """Restore all channels of a block; for ``preprocessing_steps`` of ``distributed_eval``.

    Parameters
    ----------
    image
        ([z,] y, x), with or without an axis of channels.
    crop
        Where the block lies, a slice per axis; an axis that is taken whole, ``slice(None)``, is that of the channels.
    channel_axis
        Axis of the channels; None: as ``crop`` says.
    model, gpu, engine
        See `DenoiseModel`; a process loads each model once.
    diameter, normalize, batch_size
        See `DenoiseModel.eval`. With ``normalize={"lowhigh": (low, high)}``, or a pair per channel, all blocks have
        one scale.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of the block.

    Raises
    ------
    OptionError
        If the restored block would be larger.

    Examples
    --------
    >>> steps = [(restore_block, {"model": "denoise_cyto3", "diameter": 30.0, "normalize": {"lowhigh": (100, 4000)}})]
    """
    restoring = _loaded(model, gpu, engine, tuple(weights.state_of(model).values()))
    if (ratio := restoring.restorer().ratio(diameter)) > 1:
        message = (
            f"cells of {diameter:g} pixels would be enlarged {ratio:g} times, but a block must keep its size; leave "
            "out the diameter, or use a model that does not enlarge"
        )
        raise OptionError(message)
    if channel_axis is None and slice(None) in (crop or ()):
        channel_axis = list(crop).index(slice(None))
    planes = np.moveaxis(image, channel_axis, -1) if channel_axis is not None else image[..., np.newaxis]
    out = np.empty(planes.shape, np.float32)
    how: Any = {"diameter": diameter, "batch_size": batch_size, "progress": False}
    for c in range(planes.shape[-1]):
        z_axis = 0 if planes.ndim == 4 else None
        one = restoring.eval(
            planes[..., c : c + 1],
            channel_axis=-1,
            z_axis=z_axis,
            channels=[0, 0],
            normalize=_of_channel(normalize, c),
            **how,
        )
        out[..., c] = one.reshape(out.shape[:-1])
    return np.moveaxis(out, -1, channel_axis) if channel_axis is not None else out[..., 0]


def _of_channel(normalize: Any, c: int) -> Any:
    """The normalization of one channel where scales for several are given."""
    lowhigh: Any = normalize.get("lowhigh") if isinstance(normalize, dict) else None
    if np.ndim(lowhigh) > 1:
        return {**normalize, "lowhigh": lowhigh[c]}
    return normalize


@functools.lru_cache(maxsize=2)
def _loaded(model: str, gpu: bool, engine: str | None, state: tuple[int, ...]) -> DenoiseModel:
    """A model; ``state`` tells its file from a later one of the same name."""
    return DenoiseModel(gpu=gpu, pretrained_model=model, engine=engine)
