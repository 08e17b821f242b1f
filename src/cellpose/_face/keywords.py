"""Parameters under the other names that scripts know them by."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cellpose.errors import OptionError

__all__ = ["also_called", "check_keywords"]

F = TypeVar("F", bound=Callable[..., Any])


def check_keywords(given: Iterable[str], function: Callable[..., Any], name: str) -> None:
    """Refuse keywords that a function does not take, long before it is called elsewhere.

    Raises
    ------
    OptionError
        That names them, and what may have been meant.
    """
    known = [p for p in inspect.signature(function).parameters if p != "self"]
    unknown = [key for key in given if key not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        message = f"{name} has unknown keys {', '.join(unknown)}{meant}; allowed are {', '.join(known)}"
        raise OptionError(message)


def also_called(**names: str) -> Callable[[F], F]:
    """Let a function take keywords of other names as well.

    Parameters
    ----------
    **names
        The other name and the parameter that it means.

    Examples
    --------
    >>> @also_called(PATH="filename")
    ... def load(filename):
    ...     return filename
    >>> load(PATH="a"), load(filename="b")
    ('a', 'b')
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            for other, name in names.items():
                if other in kwargs:
                    if name in kwargs:
                        given = f"{function.__name__}() got both {name} and {other}"
                        message = f"{given}, which mean the same; give one of them"
                        raise TypeError(message)
                    kwargs[name] = kwargs.pop(other)
            return function(*args, **kwargs)

        return called  # type: ignore[return-value]

    return decorate
