"""Which engine runs a network."""

from __future__ import annotations

import logging
import os

from cellpose.engines._registry import ENGINES, by_speed, engine_names, native_is_fastest
from cellpose.errors import MissingExtraError, OptionError

__all__ = ["ENGINE_ENV", "PRECISIONS", "choose_engine", "worthwhile_precision"]

logger = logging.getLogger("cellpose.engines")

#: The precisions in which networks may be computed.
PRECISIONS = ("float32", "bfloat16", "int8")
#: Environment variable that names the engine where no argument does.
ENGINE_ENV = "CELLPOSE_ENGINE"


def choose_engine(engine: str | None = None, *, gpu: bool = False, precision: str = "float32") -> tuple[str, ...]:
    """The engines to try, best first; the last one is ``"torch"``, which runs everything but numbers in 8 bits.

    Parameters
    ----------
    engine
        One of ``engine_names()``; ``None``: what the environment variable ``CELLPOSE_ENGINE`` names, else ``"auto"``,
        the fastest one that is here.
    gpu
        Whether the network runs on a GPU, where only torch does.
    precision
        One of ``PRECISIONS``: ``"int8"`` needs an engine that has it, on the CPU.

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
    if name not in engine_names():
        message = f"{source}={name!r} is not allowed; choose one of {', '.join(engine_names())}"
        raise OptionError(message)
    if precision not in PRECISIONS:
        message = f"precision={precision!r} is not allowed; choose one of {', '.join(PRECISIONS)}"
        raise OptionError(message)
    if precision == "int8":
        return _with_int8(name, gpu=gpu)
    kind = ENGINES.get(name)
    missing = "" if kind is None else kind.missing(gpu)
    if missing:
        message = f"{source}={name!r} needs {missing}, which was not found; install it, or leave {source} out"
        raise OptionError(message)
    if gpu and (kind is None or not kind.on_gpu):
        if engine and kind is not None:
            message = f"engine={engine!r} runs networks on the CPU only; leave it out to use the GPU, or set gpu=False"
            raise OptionError(message)
        return ("torch",)
    if kind is None:
        return (*(each.name for each in by_speed() if each.is_installed and each.name != "torch"), "torch")
    if not kind.is_installed:
        raise MissingExtraError(kind.library, name, f"run networks with engine={name!r}")
    return (name, "torch") if name != "torch" else (name,)


def worthwhile_precision(precision: str, engine: str | None = None, *, gpu: bool = False) -> str:
    """``precision``, or ``"float32"`` where 8 bits would be slower, which is logged.

    Without instructions for products of 8 bits (VNNI) libraries need more time for them than the kernels of
    ``"native"`` for exact numbers. An engine that is named, by the argument or ``CELLPOSE_ENGINE``, is obeyed.

    Examples
    --------
    >>> worthwhile_precision("int8", "openvino"), worthwhile_precision("float32")
    ('int8', 'float32')
    """
    free = (engine or os.environ.get(ENGINE_ENV) or "auto") == "auto" and not gpu
    if precision != "int8" or not free or not native_is_fastest():
        return precision
    from cellpose.nets import has_8_bit_products

    if has_8_bit_products():
        return precision
    logger.warning(
        "precision='int8' would be slower than float32 on this CPU, which has no instructions for 8-bit products "
        "(VNNI): float32 is used. To use 8 bits anyway, name an engine (%r)", by_speed("int8")[0].name
    )  # fmt: skip
    return "float32"


def _with_int8(engine: str, *, gpu: bool) -> tuple[str, ...]:
    """The engines that compute in 8 bits."""
    able = by_speed("int8")
    if gpu or engine not in ("auto", *(each.name for each in able)):
        where = "a GPU" if gpu else f"engine={engine!r}"
        titles = " or ".join(each.title for each in able)
        message = f"precision='int8' is not possible with {where}; {titles} compute in 8 bits, on the CPU"
        raise OptionError(message)
    wanted = [each for each in able if engine in ("auto", each.name)]
    names = tuple(each.name for each in wanted if each.is_installed)
    if not names:
        raise MissingExtraError(wanted[0].library, wanted[0].name, "run networks with precision='int8'")
    return names
