"""Parameters under the other names that scripts know them by."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cellpose.errors import OptionError

__all__ = ["also_called", "check_keywords", "interp_by_position"]

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


def interp_by_position(place: int) -> Callable[[F], F]:
    """Let a function take ``interp`` by position, as it stood in version 3 and no longer does in version 4.

    Parameters
    ----------
    place
        Where it stood. The arguments are taken in the order of version 3 if there is a bool, there or later, in the
        place of a parameter of another kind.

    Examples
    --------
    >>> @interp_by_position(1)
    ... def follow(flows, device: int | None = None, *, interp: bool = True):
    ...     return flows, device, interp
    >>> follow(1, False), follow(1, False, 3), follow(1, 3)
    ((1, None, False), (1, 3, False), (1, 3, True))
    """

    def decorate(function: F) -> F:
        parameters = list(inspect.signature(function).parameters.values())
        kinds = [
            "bool" if str(p.annotation) in ("bool", str(bool)) else "" for p in parameters if p.kind != p.KEYWORD_ONLY
        ]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            there = zip(args[place:], kinds[place:], strict=False)
            if "interp" not in kwargs and any(isinstance(value, bool) and kind != "bool" for value, kind in there):
                kwargs["interp"] = args[place]
                args = (*args[:place], *args[place + 1 :])
            return function(*args, **kwargs)

        return called  # type: ignore[return-value]

    return decorate
