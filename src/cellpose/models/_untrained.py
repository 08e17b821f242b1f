"""A network without weights, to be trained."""

from __future__ import annotations

from typing import Any

from cellpose._machine.threads import OwnLock
from cellpose.engines import Engine, LoadedNetwork
from cellpose.errors import WeightsError

__all__ = ["UntrainedNetwork"]

_WIDTHS = (32, 64, 128, 256)  # of all published U-Nets


class UntrainedNetwork(LoadedNetwork):
    """A U-Net of the published size with random weights; it segments nothing before they are trained.

    Parameters
    ----------
    nchan
        Channels it takes.
    diam_mean
        Diameter in pixels to which cells are rescaled.
    device
        Where torch runs it; None: the CPU.
    """

    def __init__(self, nchan: int, diam_mean: float, device: Any = None) -> None:
        from cellpose.nets import CPnet

        self._device, self._names, self.precision = device, ("torch",), "float32"
        self._runner, self.graph, self._lock = None, None, OwnLock()
        self._module = CPnet([nchan, *_WIDTHS], 3, 3, diam_mean=diam_mean).eval().to(device or "cpu")
        self._begin = self._sums()

    def engine(self) -> Engine:
        """The engine that runs the network, once it is trained.

        Raises
        ------
        WeightsError
            While it has the weights that it began with.
        """
        if self._sums() == self._begin:
            message = (
                "this network has random weights and cannot segment: train it (train.train_seg), load weights "
                "(net.load_model), or name a model, such as cpsam or cyto3"
            )
            raise WeightsError(message)
        return super().engine()

    def _sums(self) -> list[float]:
        return [float(parameter.detach().double().sum()) for parameter in self.module.parameters()]
