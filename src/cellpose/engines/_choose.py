"""Which engine runs a network."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import shutil
import sys

from cellpose.errors import MissingExtraError, OptionError

__all__ = ["ENGINES", "ENGINE_ENV", "PRECISIONS", "choose_engine", "is_installed", "worthwhile_precision"]

logger = logging.getLogger("cellpose.engines")

#: Names that may be given as an engine.
ENGINES = ("auto", "torch", "native", "onnx", "openvino", "compile")
#: How exactly networks may be computed.
PRECISIONS = ("float32", "bfloat16", "int8")
#: Environment variable that names the engine where no argument does.
ENGINE_ENV = "CELLPOSE_ENGINE"

# Engines of other libraries, fastest first: the library that each needs.
_LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime"}
# Processors on which the kernels of "native" are known to be faster than any library, but for one in 8 bits.
_NATIVE_FIRST = ("x86_64", "amd64")


def is_installed(engine: str) -> bool:
    """Whether the library of an engine can be found; it is not imported."""
    return engine not in _LIBRARIES or importlib.util.find_spec(_LIBRARIES[engine]) is not None


def choose_engine(engine: str | None = None, *, gpu: bool = False, precision: str = "float32") -> tuple[str, ...]:
    """The engines to try, best first; the last one is ``"torch"``, which runs everything but numbers in 8 bits.

    Parameters
    ----------
    engine
        One of ``ENGINES``; ``None``: what the environment variable ``CELLPOSE_ENGINE`` names, else ``"auto"``, the
        fastest one that is here.
    gpu
        Whether the network runs on a GPU, where only torch does.
    precision
        One of ``PRECISIONS``: ``"int8"`` needs OpenVINO or ONNX Runtime, on the CPU.

    Raises
    ------
    OptionError
        If there is no such engine or precision, or it was given for a GPU or an engine that cannot use it.
    MissingExtraError
        If it is not installed, or nothing that computes in 8 bits is.

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
    if precision not in PRECISIONS:
        message = f"precision={precision!r} is not allowed; choose one of {', '.join(PRECISIONS)}"
        raise OptionError(message)
    if precision == "int8":
        return _with_int8(name, gpu=gpu)
    if name == "compile":
        _require_compiler(source, gpu=gpu)
        return ("compile", "torch")
    if gpu:
        if engine in ("native", *_LIBRARIES):
            message = f"engine={engine!r} runs networks on the CPU only; leave it out to use the GPU, or set gpu=False"
            raise OptionError(message)
        return ("torch",)
    if name == "auto":
        installed = [each for each in _LIBRARIES if is_installed(each)]
        installed.insert(0 if platform.machine().lower() in _NATIVE_FIRST else len(installed), "native")
        return (*installed, "torch")
    if not is_installed(name):
        raise MissingExtraError(_LIBRARIES[name], name, f"run networks with engine={name!r}")
    return (name, "torch") if name != "torch" else (name,)


def worthwhile_precision(precision: str, engine: str | None = None, *, gpu: bool = False) -> str:
    """``precision``, or ``"float32"`` where 8 bits would be slower, which the log tells.

    Without instructions for products of 8 bits (VNNI) libraries need more time for them than the kernels of
    ``"native"`` for exact numbers. An engine that is named, by the argument or ``CELLPOSE_ENGINE``, is obeyed.

    Examples
    --------
    >>> worthwhile_precision("int8", "openvino"), worthwhile_precision("float32")
    ('int8', 'float32')
    """
    free = (engine or os.environ.get(ENGINE_ENV) or "auto") == "auto" and not gpu
    if precision != "int8" or not free or platform.machine().lower() not in _NATIVE_FIRST:
        return precision
    from cellpose.nets._vector_code import has_8_bit_products

    if has_8_bit_products():
        return precision
    logger.warning(
        "precision='int8' would be slower here than float32, which is taken: this processor has no instructions for "
        "products of 8 bits (VNNI). Name an engine ('openvino') to have 8 bits all the same"
    )
    return "float32"


def _with_int8(engine: str, *, gpu: bool) -> tuple[str, ...]:
    """The engines that compute in 8 bits."""
    if gpu or engine not in ("auto", *_LIBRARIES):
        where = "a GPU" if gpu else f"engine={engine!r}"
        message = (
            f"precision='int8' is not possible with {where}; OpenVINO or ONNX Runtime compute in 8 bits, on the CPU"
        )
        raise OptionError(message)
    names = tuple(each for each in _LIBRARIES if is_installed(each) and engine in ("auto", each))
    if not names:
        missing = "openvino" if engine == "auto" else engine
        raise MissingExtraError(_LIBRARIES[missing], missing, "run networks with precision='int8'")
    return names


def _require_compiler(source: str, *, gpu: bool) -> None:
    """Raise OptionError unless what torch.compile needs is here: Triton for a GPU, a C++ compiler for the CPU."""
    if gpu:
        needs, there = "Triton (pip install triton)", importlib.util.find_spec("triton") is not None
    else:
        usual = ("cl",) if sys.platform == "win32" else ("g++", "clang++", "c++")
        needs = f"a C++ compiler ({' or '.join(usual)})"
        there = any(shutil.which(name) for name in (os.environ.get("CXX", ""), *usual) if name)
    if not there:
        message = f"{source}='compile' needs {needs}, which was not found; install it, or leave {source} out"
        raise OptionError(message)
