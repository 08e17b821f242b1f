"""The errors of cellpose, one tree.

Each also subclasses the built-in exception it refines, so that ``except ValueError`` in an existing script keeps
working. Every message names the value that was given, what is allowed, and what to do next.
"""

from __future__ import annotations

__all__ = [
    "AxesError",
    "AxisRangeError",
    "CellposeError",
    "DeviceMemoryError",
    "DownloadError",
    "EditRefusedError",
    "FileMissingError",
    "FileReadError",
    "FileWriteError",
    "InputError",
    "MissingExtraError",
    "OptionError",
    "SendError",
    "UnknownModelError",
    "UnsafeFileError",
    "WeightsError",
]


class CellposeError(Exception):
    """Base of all errors raised by cellpose on purpose."""


class InputError(CellposeError, ValueError):
    """An array or list of arrays that cannot be processed (shape, dtype, values, lengths)."""


class AxesError(InputError):
    """Axes or channels that are missing, ambiguous or out of range."""


class AxisRangeError(AxesError, IndexError):
    """An axis or a channel that the array does not have."""


class EditRefusedError(InputError):
    """An edit of labels that makes no sense, such as a cell of too few pixels; nothing was changed."""


class OptionError(CellposeError, ValueError):
    """An option outside its allowed values."""


class FileReadError(CellposeError, OSError, ValueError):
    """A file that is missing, empty, truncated, corrupt or of an unknown format."""


class FileMissingError(FileReadError, FileNotFoundError):
    """A file that does not exist."""


class UnsafeFileError(FileReadError):
    """A file that would run code if it were loaded, or that carries what it should not."""


class FileWriteError(CellposeError, OSError):
    """A result that could not be written; what stood at its place before is untouched."""


class WeightsError(CellposeError, RuntimeError):
    """A weight file that is of the wrong family, incomplete or corrupt."""


class UnknownModelError(CellposeError, ValueError):
    """A model name that is neither known, nor a user model, nor a file."""


class DeviceMemoryError(CellposeError, MemoryError):
    """A device whose memory does not hold a single tile."""


class DownloadError(CellposeError, ConnectionError):
    """A model that could not be downloaded."""


class SendError(CellposeError, ConnectionError):
    """Something that a server did not take, or that could not be sent to it."""


class MissingExtraError(CellposeError, ImportError):
    """An optional library that is not installed.

    Parameters
    ----------
    library
        The library that could not be imported.
    extra
        The extra of this package that installs it.
    purpose
        Its purpose, completing "needed to ...".
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{library} is needed to {purpose} and is not installed. Install it with: pip install 'cellpose[{extra}]'"
        )
