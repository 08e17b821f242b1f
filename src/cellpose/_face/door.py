"""Checks of the arguments of public functions: wrong numbers, paths and arrays are refused by name before a call."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
import re
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Set
from types import FunctionType, TracebackType
from typing import Any, TypeVar

from cellpose.errors import CellposeError, InputError, OptionError

__all__ = ["check_arguments", "door", "guard"]

F = TypeVar("F", bound=Callable[..., Any])

_NUMBERS = {"int", "float", "None", "bool", "np.number"}
_PATHS = {"str", "Path", "PathLike", "os.PathLike[str]", "None"}
_LONGEST = 60  # characters of a value in a message
#: Errors that wrong arguments cause where no check caught them; other errors are not the caller's fault.
_RAW = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError, BufferError)
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__))).replace(os.sep, "/")
#: Folders of code that is not the caller's.
_INSTALLED = tuple(
    {_HOME, *(sysconfig.get_path(name).replace(os.sep, "/") for name in ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_LIBRARIES = ("cv2", "numba", "scipy", "tifffile", "roifile", "imagecodecs")


def guard(face: dict[str, Any]) -> None:
    """Check the arguments of the functions in a module's ``__all__``; within the module they are called unchecked.

    Methods are left alone: clients look for the names of options in their code objects.

    Parameters
    ----------
    face
        ``globals()`` of the module.
    """
    for name in face["__all__"]:
        value: Any = face.get(name)
        if _wants_door(value):
            face[name] = door(value, face["__name__"])


def _wants_door(value: Any) -> bool:
    """Whether to check a function: generators start after the call, and other modules check their own functions."""
    if not isinstance(value, FunctionType) or hasattr(value, "__cellpose_door__"):
        return False
    return not inspect.isgeneratorfunction(inspect.unwrap(value))


def check_arguments(function: Callable[..., Any], **given: Any) -> None:
    """Refuse, by name, values that the annotations of a method do not allow; for constructors.

    Parameters
    ----------
    function
        The method.
    **given
        Its arguments.

    Raises
    ------
    OptionError, InputError
        If a value is no number, path or truth where one is needed.
    """
    for name, parameter in inspect.signature(function).parameters.items():
        if name in given:
            _checked(name, given[name], str(parameter.annotation))


def door(function: F, module: str | None = None) -> F:
    """A function whose arguments are checked by its annotations, and which raises the package's errors only.

    A raw error from inside becomes an `InputError` that shows the arguments, with the raw one as its cause, except
    where a network, an engine or a function of the caller's has run: what that raises is its own.
    """
    signature: list[inspect.Signature] = []

    @functools.wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        if not signature:  # made when first needed: importing stays quick
            signature.append(inspect.signature(function))
        try:
            given = signature[0].bind(*args, **keywords)
        except TypeError:
            # Names that only `also_called` knows, or a wrong call, which the function itself reports best.
            return function(*args, **keywords)
        for name, value in given.arguments.items():
            parameter = signature[0].parameters[name]
            if _is_nan(value) and _is_nan(parameter.default):
                continue  # the number is not known
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                given.arguments[name] = _checked(name, value, str(parameter.annotation))
        try:
            return function(*given.args, **given.kwargs)
        except CellposeError:
            raise
        except Exception as error:
            if not _is_of_arguments(error):
                raise
            shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.arguments.items())
            told = " ".join(str(error).split())[:300]
            message = f"{function.__name__}({shown}) failed ({type(error).__name__}: {told}); check these values"
            raise InputError(message) from error

    checked.__cellpose_door__ = True  # type: ignore[attr-defined]
    if module is not None:
        checked.__module__ = module  # where unpickling finds it
    return checked  # type: ignore[return-value]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _checked(name: str, value: Any, annotation: str) -> Any:
    """The value of one argument; an array of another library becomes one of NumPy."""
    if value is None:
        return value
    kinds = {kind.strip() for kind in annotation.split("|")}
    # Axes are checked where they are looked up, with the shape of the array at hand.
    if name.endswith("axis"):
        return value
    if kinds <= _NUMBERS and kinds & {"int", "float"}:
        return _number(name, value, whole="float" not in kinds)
    if kinds <= {"bool", "None"}:
        return _truth(name, value)
    if kinds <= _PATHS:
        _check_path(name, value)
    if "Array" in annotation or "Labels" in annotation or "Sequence" in annotation:
        _check_sequence(name, value, annotation)
        return _array(name, value)
    return value


def _truth(name: str, value: Any) -> bool:
    """True or False, also from a number or an array of one element."""
    import numpy as np

    one = value.item() if math.prod(getattr(value, "shape", (0,))) == 1 and hasattr(value, "item") else value
    if not isinstance(one, (numbers.Real, np.bool_)) or math.isnan(one):
        message = f"{name}={_shown(value)} is not allowed; it must be True or False"
        raise OptionError(message)
    return bool(one)


def _check_sequence(name: str, value: Any, annotation: str) -> None:
    """Refuse bytes, which are not a list of numbers, and containers without an order."""
    mapping = isinstance(value, Mapping) and not re.search("Mapping|dict", annotation)
    if mapping or isinstance(value, (bytes, bytearray, Set)):
        message = f"{name}={_shown(value)} is not allowed; it must be an array, list or tuple"
        raise InputError(message)


def _number(name: str, value: Any, whole: bool) -> Any:
    import numpy as np

    number = value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        number = value.item()
    good = isinstance(number, (numbers.Real, np.bool_)) and not math.isnan(number)
    if not good or (whole and not math.isfinite(number)):
        message = f"{name}={_shown(value)} is not allowed; it must be a {'whole ' if whole else ''}number"
        raise OptionError(message)
    return number


def _check_path(name: str, value: Any) -> None:
    if not isinstance(value, (str, os.PathLike)):
        message = f"{name}={_shown(value)} is not allowed; it must be a string or a path"
        raise OptionError(message)
    if "\0" in str(value):
        message = f"{name}={_shown(value)} is not allowed; a path cannot hold a zero byte"
        raise OptionError(message)


def _array(name: str, value: Any) -> Any:
    """The argument as an array; tensors are detached from their gradient, buffers become arrays."""
    import numpy as np

    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        return value.detach() if value.requires_grad else value
    if isinstance(value, memoryview):
        try:
            return np.asarray(value)
        except (NotImplementedError, TypeError, ValueError, BufferError) as error:
            message = f"{name} is a memoryview that is not an array of numbers ({error}); pass a NumPy array"
            raise InputError(message) from error
    if isinstance(value, (list, tuple)) and any(hasattr(each, "detach") for each in value):
        return [_array(name, each) for each in value]
    return value


def _is_of_arguments(error: Exception) -> bool:
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return False  # a wrong call, as Python itself reports it
    known = isinstance(error, _RAW) or type(error).__module__.partition(".")[0] in _LIBRARIES
    # Torch's errors about arguments; errors of failing or full devices have other types or name the device.
    if type(error) is RuntimeError:
        known = not any(word in str(error) for word in ("CUDA", "MPS", "memory"))
    return known and not _is_of_others(error.__traceback__)


def _is_of_others(trace: TracebackType | None) -> bool:
    """Whether an error arose in a network, in an engine, or in a function that the caller passed in."""
    for frame, _ in traceback.walk_tb(trace):
        file = frame.f_code.co_filename.replace(os.sep, "/")
        if file.endswith("torch/nn/modules/module.py") or file.startswith(f"{_HOME}/engines/"):
            return True
        if not file.startswith(("<", *_INSTALLED)):
            return True
    return False


def _begins_with_an_array(value: Any) -> bool:
    """Whether it is an array, or a list that begins with one, or with such a list."""
    if isinstance(value, (list, tuple)):
        return bool(value) and _begins_with_an_array(value[0])
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _shown(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None and shape != ():
        return f"<array of shape {tuple(shape)} and type {dtype}>"
    if isinstance(value, (list, tuple)) and _begins_with_an_array(value):
        return f"<{type(value).__name__} of {len(value)}, the first: {_shown(value[0])}>"
    try:
        text = " ".join(repr(value).split())  # in one line
    except Exception:  # the value may be anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
