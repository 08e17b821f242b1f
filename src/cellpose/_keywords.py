"""Parameters under the other names that scripts know them by."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["also_called"]

F = TypeVar("F", bound=Callable[..., Any])


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
                        message = f"{function.__name__}() got both {name} and {other}, which are one; give one of them"
                        raise TypeError(message)
                    kwargs[name] = kwargs.pop(other)
            return function(*args, **kwargs)

        return called  # type: ignore[return-value]

    return decorate
