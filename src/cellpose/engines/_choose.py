"""Which engine runs a network."""

from __future__ import annotations

import importlib.util
import os

from cellpose.errors import MissingExtraError, OptionError

__all__ = ["ENGINES", "ENGINE_ENV", "choose_engine", "is_installed"]

#: Names that may be given as an engine.
ENGINES = ("auto", "torch", "onnx", "openvino")
#: Environment variable that names the engine where no argument does.
ENGINE_ENV = "CELLPOSE_ENGINE"

# Engines of other libraries, fastest first: the library that each needs.
_LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime"}


def is_installed(engine: str) -> bool:
    """Whether the library of an engine can be found; it is not imported."""
    return engine not in _LIBRARIES or importlib.util.find_spec(_LIBRARIES[engine]) is not None


def choose_engine(engine: str | None = None, *, gpu: bool = False) -> tuple[str, ...]:
    """The engines to try, best first; the last one is always ``"torch"``, which runs everything.

    Parameters
    ----------
    engine
        One of ``ENGINES``; ``None``: what the environment variable ``CELLPOSE_ENGINE`` names, else ``"auto"``, the
        fastest one that is installed.
    gpu
        Whether the network runs on a GPU, where only torch does.

    Raises
    ------
    OptionError
        If there is no such engine, or it was given for a GPU that it cannot use.
    MissingExtraError
        If it is not installed.

    Examples
    --------
    >>> choose_engine("torch"), choose_engine("auto", gpu=True)
    (('torch',), ('torch',))
    """
    source = "engine" if engine else ENGINE_ENV
    name = engine or os.environ.get(ENGINE_ENV) or "auto"
    if name not in ENGINES:
        message = f"{source}={name!r} is not allowed; choose one of {', '.join(ENGINES)}"
        raise OptionError(message)
    if gpu:
        if engine in _LIBRARIES:
            message = f"engine={engine!r} runs networks on the CPU only; leave it out to use the GPU, or set gpu=False"
            raise OptionError(message)
        return ("torch",)
    if name == "auto":
        return (*(each for each in _LIBRARIES if is_installed(each)), "torch")
    if not is_installed(name):
        raise MissingExtraError(_LIBRARIES[name], name, f"run networks with engine={name!r}")
    return (name, "torch") if name != "torch" else (name,)
