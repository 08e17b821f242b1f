"""Names and numbers of axes: those that a file declares, those that a caller gives, and contradictions between them."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from cellpose.errors import AxesError, AxisRangeError

__all__ = ["UNKNOWN_AXIS", "FileAxes", "check_axes", "known_letters", "named_axes", "place_of_axis"]

UNKNOWN_AXIS = "Q"

_OPTIONS = {"C": "channel_axis", "Z": "z_axis"}


@dataclass(frozen=True)
class FileAxes:
    """All axes of a file, those of length 1 among them, as other programs show them.

    Attributes
    ----------
    letters, shape
        One letter and the length of each axis.
    assumed
        Letters that the file does not declare, but that its format suggests.
    """

    letters: str
    shape: tuple[int, ...]
    assumed: str = ""

    def is_free(self, letter: str, index: int) -> bool:
        """Whether the declarations of the file allow an axis to be that of channels (C) or planes (Z)."""
        found = self.letters[index]
        if found == letter:
            return True
        elsewhere = self.letters.find(letter)
        if elsewhere >= 0 and letter not in self.assumed and self.shape[elsewhere] > 1:
            return False
        # many programs store planes as times
        times_for_planes = letter == "Z" and found == "T"
        return found == UNKNOWN_AXIS or found in self.assumed or (times_for_planes and self.shape[index] > 1)


def known_letters(declared: str, shape: tuple[int, ...]) -> str:
    """Letters of TZCYX as a library names axes; samples of a pixel (S) are channels if there are no others.

    Examples
    --------
    >>> known_letters("IYXS", (5, 64, 64, 3)), known_letters("CZYXS", (2, 5, 64, 64, 3))
    ('QYXC', 'CZYXQ')
    """
    if len(declared) != len(shape):
        return UNKNOWN_AXIS * len(shape)
    channels = declared.find("C")
    if "S" in declared and (channels < 0 or shape[channels] == 1):
        declared = declared.replace("C", UNKNOWN_AXIS).replace("S", "C")
    return "".join(letter if letter in "TZCYX" else UNKNOWN_AXIS for letter in declared)


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Names of the axes of an array, in capitals.

    Raises
    ------
    AxesError
        If they do not fit.
    """
    names = axes.upper()
    known = [letter for letter in names if letter != UNKNOWN_AXIS]
    if len(names) != len(shape) or not set(known) <= set("TZCYX") or len(set(known)) != len(known):
        message = (
            f"axes={axes!r} does not fit an array of shape {tuple(shape)}; give one letter for each axis: T time, Z "
            f"plane, C channel, Y, X, each at most once, or {UNKNOWN_AXIS} for others"
        )
        raise AxesError(message)
    return names


def place_of_axis(
    letter: str, number: int | None, axes: str, shape: tuple[int, ...], file_axes: FileAxes | None
) -> int | None:
    """See `Image.place`; ``axes`` and ``shape`` are those of the array."""
    if number is None:
        return None
    try:
        index = operator.index(number)
    except TypeError:
        message = f"{_OPTIONS[letter]}={number!r} is not allowed; give the number of an axis, or None"
        raise AxesError(message) from None
    file = file_axes or FileAxes(axes, shape)
    ndim = len(file.shape)
    if -ndim <= index < ndim and file.is_free(letter, index % ndim):
        return _in_array(index % ndim, axes, shape, file)
    # counted without axes of length 1, as imread returns them: only where the file confirms it
    if file.letters != axes and -len(axes) <= index < len(axes) and axes[index] == letter:
        return index % len(axes)
    raise _contradiction(letter, index, axes, shape, file)


def _in_array(index: int, axes: str, shape: tuple[int, ...], file: FileAxes) -> int | None:
    """Where an axis of the file is in the array; None where it has length 1 and was left out."""
    letter = file.letters[index]
    if letter != UNKNOWN_AXIS and letter in axes:
        return axes.index(letter)
    if len(file.shape) == len(shape):
        return index
    if letter != UNKNOWN_AXIS or file.shape[index] == 1:
        return None
    before = sum(a == UNKNOWN_AXIS and n > 1 for a, n in zip(file.letters[:index], file.shape, strict=False))
    unknown = [k for k, (a, n) in enumerate(zip(axes, shape, strict=True)) if a == UNKNOWN_AXIS and n > 1]
    return unknown[before]


def _contradiction(letter: str, index: int, axes: str, shape: tuple[int, ...], file: FileAxes) -> AxesError:
    option, ndim = _OPTIONS[letter], len(file.shape)
    has = f"axes {file.letters}, shape {tuple(file.shape)}"
    if file.letters != axes:
        has += f" (without those of length 1: {axes}, shape {tuple(shape)})"
    at = file.letters.find(letter)
    long = at >= 0 and file.shape[at] > 1
    advice = f"give {option}={at}, or leave it out" if long else f"it has no axis {letter}: leave {option} out"
    if not -ndim <= index < ndim:
        message = f"{option}={index} is not allowed: there is no axis {index} in an image of {has}; {advice}"
        return AxisRangeError(message)
    return AxesError(
        f"{option}={index} contradicts the image, which has {has}: axis {index} is {file.letters[index]}; {advice}. "
        f"If the names in the file are wrong, name all axes{_renamed_example(letter, index, axes, shape, file)}"
    )


def _renamed_example(letter: str, index: int, axes: str, shape: tuple[int, ...], file: FileAxes) -> str:
    """Names under which the number would be right."""
    place = _in_array(index % len(file.shape), axes, shape, file)
    if place is None or axes[place] in "YX":
        return ""
    swapped = axes.replace(letter, axes[place])
    return f", such as axes={swapped[:place] + letter + swapped[place + 1 :]!r}"


def named_axes(
    given: str, axes: str, shape: tuple[int, ...], file_axes: FileAxes | None
) -> tuple[str, FileAxes | None]:
    """See `Image.named`: the letters of the array, and those of the file.

    Letters may be given for the axes of the array, for those of the file, or for those longer than 1.
    """
    file = file_axes or FileAxes(axes, shape)
    places = [_in_array(k, axes, shape, file) for k in range(len(file.shape))]
    if len(given) == len(shape):
        letters = check_axes(given, shape)
        left_out = (a if a not in letters else UNKNOWN_AXIS for a in file.letters)
        full = "".join(a if place is None else letters[place] for a, place in zip(left_out, places, strict=True))
        return letters, FileAxes(full, file.shape)
    if len(given) == len(file.shape):
        full = check_axes(given, file.shape)
        letters = "".join(full[places.index(k)] for k in range(len(shape)))
        return letters, FileAxes(full, file.shape)
    long = tuple(n for n in shape if n > 1)
    if len(given) != len(long):
        check_axes(given, shape)  # which raises
    names = iter(check_axes(given, long))
    return "".join(next(names) if n > 1 else UNKNOWN_AXIS for n in shape), None
