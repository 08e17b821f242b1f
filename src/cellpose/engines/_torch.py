"""Running torch networks."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cellpose._progress.stages import say
from cellpose.engines._batches import SmallerBatches, is_out_of_memory
from cellpose.errors import InputError
from cellpose.nets import CPnet, Family, family_named

__all__ = ["TorchEngine"]

logger = logging.getLogger("cellpose.engines")

FloatArray = NDArray[np.float32]


class TorchEngine:
    """Runs a torch module that returns ``(output, style, ...)`` or only the output.

    Parameters
    ----------
    module
        The network. It is used as it is: on its device, in its dtype; it is put into evaluation mode.
    backbone
        Kind of the network; ``None``: what the module says of itself, else ``"cpnet"``.
    compiled
        Run it through ``torch.compile``, in CUDA graphs on such a GPU. Batches are filled up to one size, for which it
        is compiled when it is first run; where that fails the log says so and it is run as it is.

    Examples
    --------
    >>> from cellpose.nets import CPnet, Family, family_named
    >>> engine = TorchEngine(CPnet([2, 4, 8], nout=3))
    >>> outputs, styles = engine(np.zeros((1, 2, 16, 16), np.float32))
    >>> outputs.shape, styles.shape
    ((1, 3, 16, 16), (1, 8))
    """

    def __init__(self, module: nn.Module, backbone: str | None = None, *, compiled: bool = False) -> None:
        own = getattr(module, "backbone", None)
        self.module = module
        self.name = "compile" if compiled else "torch"
        self._compiled = _compiled(module) if compiled else None
        self._sizes: dict[tuple[int, ...], int] = {}
        self.backbone: str = backbone or (own if isinstance(own, str) else "cpnet")
        self.nout = int(getattr(module, "nout", 3))
        self.style_size = int(getattr(module, "style_size", 256))
        self.default_bsize = int(getattr(module, "default_bsize", self._family.tile_side))
        self.tile_multiple = _tile_multiple(module)
        self._batches = SmallerBatches()

    @property
    def _family(self) -> Family:
        return family_named(self.backbone)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return _device_of(self.module)

    def __call__(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs (n, nout, y, x) and styles (n, style_size) of tiles (n, channels, y, x), all float32.

        A batch that does not fit into the memory of the device is run in halves.

        Raises
        ------
        InputError
            If the number of channels is not that of the network, or the network does not return one output of the size
            of the tile for each.
        DeviceMemoryError
            If not even one tile fits.
        """
        nchan = getattr(self.module, "nchan", None)
        if nchan is not None and tiles.shape[1] != nchan and self._family.channel_pair:
            message = f"tiles of {tiles.shape[1]} channels cannot be run: the network takes {nchan}"
            raise InputError(message)
        if self.module.training:
            self.module.eval()
        return self._batches.run(self._run, tiles, self.device, _fastest_batch(self.module, self.device))

    def _run(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray]:
        x = _on_device(tiles, self.device, _dtype_of(self.module))
        if x.device.type in ("cpu", "cuda") and self._family.convolutional:
            x = x.contiguous(memory_format=torch.channels_last)
        outputs, style = _split(self._result(x), self.style_size)
        if outputs.shape[0] != x.shape[0] or outputs.shape[2:] != x.shape[2:]:
            message = (
                f"the network returned an output of shape {tuple(outputs.shape)} for tiles of shape {tuple(x.shape)}; "
                "it must return (n, channels, y, x) with n, y and x of the tiles"
            )
            raise InputError(message)
        return _to_numpy(outputs), _to_numpy(style)

    def _result(self, x: torch.Tensor) -> Any:
        if self._compiled is not None:
            try:
                return self._of_compiled(x)
            # Compilers fail in many ways; running out of memory is not their failure.
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                reason = str(error).strip().splitlines()
                logger.warning("the network is run without torch.compile: %s", reason[0] if reason else repr(error))
                self._compiled, self.name = None, "torch"
        with torch.inference_mode():
            return self.module(x)

    def _of_compiled(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs of the compiled network for a batch padded to the size of the first of its kind."""
        n, kind = len(x), tuple(x.shape[1:])
        size = max(self._sizes.get(kind, n), n)
        if size > n:
            x = torch.cat((x, x.new_zeros((size - n, *x.shape[1:]))))
        # Not in inference mode, whose tensors are not for compiled graphs that are kept.
        with torch.no_grad():
            result = self._compiled(x)  # type: ignore[misc]
        self._sizes[kind] = size  # known to fit
        return tuple(part[:n] for part in _split(result, self.style_size))


def _compiled(module: nn.Module) -> Any:
    say("compiling the network with torch.compile in its first run, which takes a minute or more")
    mode = "reduce-overhead" if _device_of(module).type == "cuda" else None
    return torch.compile(module, mode=mode, dynamic=False)


def _on_device(tiles: FloatArray, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A batch on its device. From pinned memory a GPU fetches it while it does other work."""
    host = torch.from_numpy(np.ascontiguousarray(tiles, dtype=np.float32))
    if device.type == "cuda":
        host = host.pin_memory()
    # Cast there: sending fewer bytes costs more time here than it saves.
    return host.to(device=device, non_blocking=device.type == "cuda").to(dtype)


def _fastest_batch(module: nn.Module, device: torch.device) -> int:
    """How many tiles at once are fastest.

    The features of one tile of a U-Net stay in the cache of a processor, those of eight do not, which takes a fifth
    longer. Each thread gets a tile.
    """
    if device.type != "cpu" or not isinstance(module, CPnet):
        return sys.maxsize
    return torch.get_num_threads()


def _tile_multiple(module: nn.Module) -> int:
    """Each level of a U-Net halves its input; other modules are assumed to accept any size."""
    own = getattr(module, "tile_multiple", None)
    if own is not None:
        return int(own)
    levels = len(module.nbase) - 1 if hasattr(module, "downsample") and hasattr(module, "nbase") else 1  # type: ignore[arg-type]
    return int(2 ** (levels - 1))


def _device_of(module: nn.Module) -> torch.device:
    parameter = next(module.parameters(), None)
    if parameter is not None:
        return parameter.device
    return torch.device(getattr(module, "device", None) or "cpu")


def _dtype_of(module: nn.Module) -> torch.dtype:
    dtype = getattr(module, "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def _split(result: Any, style_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return result, result.new_zeros((len(result), style_size))
    return result[0], result[1]


def _to_numpy(tensor: torch.Tensor) -> FloatArray:
    if tensor.is_cuda:  # the GPU itself writes to pinned memory
        host = torch.empty(tensor.shape, dtype=torch.float32, pin_memory=True)
        tensor = host.copy_(tensor.float())
    array: FloatArray = tensor.to(device="cpu", dtype=torch.float32).numpy()
    return array
