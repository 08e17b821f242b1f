"""A weight file and its engine: the fastest one, or the torch module where that is requested."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellpose import nets, weights
from cellpose._machine.reading import fingerprint, reading
from cellpose._machine.threads import OwnLock
from cellpose._progress.stages import stage
from cellpose.engines._graph import GraphEngine, open_engine
from cellpose.engines._protocol import Engine
from cellpose.engines._registry import ENGINES
from cellpose.engines._wrap import as_engine
from cellpose.errors import OptionError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedNetwork", "NetworkAttribute", "engine_of"]

logger = logging.getLogger("cellpose.engines")


class LoadedNetwork:
    """The network of a weight file.

    Where an engine runs it, its torch module is read from the file when it is first asked for: whatever the working
    folder then is, and only while the file has the weights that the engine runs.

    Parameters
    ----------
    file
        The weight file.
    names
        Engines to try, best first.
    device
        Where torch runs it; ``None``: the CPU.
    precision
        How exactly it is computed, one of ``engines.PRECISIONS``. ``None``: transformers on a GPU that knows bfloat16
        in that, as published; all else in float32.

    Attributes
    ----------
    graph
        The engine that runs the network; ``None``: torch does.
    precision
        How exactly it is computed.

    Raises
    ------
    OptionError
        If 8 bits are requested and it cannot run in them.
    """

    def __init__(
        self, file: weights.ModelFile, names: tuple[str, ...], device: Any = None, precision: str | None = None
    ) -> None:
        self._file = replace(file, path=file.path.absolute())
        self._device, self._names = device, names
        self.precision = precision or _usual_precision(file, device)
        self._module: torch.nn.Module | None = None
        self._fingerprint: Any = None
        self._runner: Engine | None = None
        self._lock = OwnLock()
        self._state = self._state_of_file()
        self.graph: GraphEngine | None = open_engine(names, self._file, self.precision)
        if self.graph is None:
            if precision == "int8":
                message = (
                    f"precision='int8' is not possible for the network of {file.name}: the log has the reason. Leave "
                    "out precision"
                )
                raise OptionError(message)
            self._load()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: engines are opened anew from the weight file, those of torch when they run."""
        if self.graph is not None and self._module is not None:
            self.engine()  # drops the graph if the module was changed
        return {**vars(self), "graph": self.graph is not None, "_runner": None, "_fingerprint": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.graph = None
        if state["graph"]:
            self._check_file()
            self.graph = open_engine(self._names, self._file, self.precision)
        if self._module is not None and self.graph is not None:
            self._fingerprint = _fingerprint(self._module)

    @property
    def module(self) -> torch.nn.Module:
        """The torch module, loaded when it is first asked for."""
        with self._lock:
            return self._module if self._module is not None else self._load()

    def engine(self) -> Engine:
        """The engine to run: the graph, unless the module was changed (by training, say) after it was handed out."""
        if self.graph is None:
            return self._of_torch()
        if self._module is None or _fingerprint(self._module) == self._fingerprint:
            return self.graph
        logger.info("the network was changed after it was loaded: torch runs it")
        self.graph = None
        return self._of_torch()

    @property
    def name(self) -> str:
        """Name of the engine that runs the network."""
        runner = self.graph or self._runner
        return str(getattr(runner, "name", "compile" if self._compiled else "torch"))

    @property
    def _compiled(self) -> bool:
        """Whether torch, where it runs the network, compiles it."""
        return any(ENGINES[name].compiled for name in self._names)

    def _of_torch(self) -> Engine:
        """The torch module as an engine, which learns how large a batch may be, and keeps what it compiled."""
        module = self.module
        with self._lock:
            if self._runner is None:
                from cellpose.engines._torch import TorchEngine

                self._runner = TorchEngine(module, compiled=self._compiled)
            return self._runner

    def described(self, name: str, default: Any) -> Any:
        """Attributes of the network, such as ``nout`` or ``diam_mean``."""
        return getattr(self.graph if self.graph is not None else self.module, name, default)

    def _state_of_file(self) -> dict[str, int]:
        with reading(self._file.path):
            return fingerprint(self._file.path)

    def _check_file(self) -> None:
        """Refuse a file that has other weights than those the engine was opened with; the time alone may differ."""
        file = self._file
        if self._state_of_file() == self._state or weights.ModelFile(file.name, file.path).sha256 == file.sha256:
            return
        message = f"{file.path} has other weights than when the model was loaded; load the model again"
        raise WeightsError(message)

    def _load(self) -> torch.nn.Module:
        import torch

        if self.graph is not None:
            self._check_file()
        stage("loading weights")
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        module = weights.load_network(self._file, device=self._device, dtype=dtype)
        if self.graph is not None:
            self._fingerprint = _fingerprint(module)
        self._module = module
        return module


class NetworkAttribute:
    """An attribute that gives the torch module of a network, and takes another module or an engine in its place.

    The object holds the network itself under the same name with an underscore before it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        net = getattr(instance, self._name)
        return net.module if isinstance(net, LoadedNetwork) else net

    def __set__(self, instance: Any, net: Any) -> None:
        old = getattr(instance, self._name)
        if not (isinstance(old, LoadedNetwork) and net is old.module):  # setting the same module again changes nothing
            setattr(instance, self._name, net)


def engine_of(net: Any, backbone: str | None = None) -> Engine:
    """The engine of a loaded network, or of a module or an engine that was put in its place."""
    if isinstance(net, LoadedNetwork):
        return net.engine()
    return as_engine(net, getattr(net, "backbone", None) or backbone)


def _usual_precision(file: weights.ModelFile, device: Any) -> str:
    """Families trained for bfloat16 run in it on GPUs that support it. All else is exact."""
    if device is None or device.type != "cuda":
        return "float32"
    import torch

    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float32"
    return nets.family_named(weights.architecture(file).name).gpu_precision


def _fingerprint(module: torch.nn.Module) -> Any:
    """A value that changes when a network is trained, moved, cast or rebuilt, or gets hooks on its layers."""
    import torch

    def of(tensor: torch.Tensor) -> Any:
        bits = tensor.view(torch.int32) if tensor.dtype == torch.float32 else tensor
        return str(tensor.device), tensor.dtype, tuple(tensor.shape), int(bits.sum(dtype=torch.int64))

    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())
    return hooks, {key: of(tensor) for key, tensor in module.state_dict().items()}
