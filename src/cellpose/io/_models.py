"""The list of the user's own models, by the names that scripts know from here."""

from __future__ import annotations

from cellpose.io._write import PathLike

__all__ = ["add_model"]


def add_model(filename: PathLike) -> None:
    """Copy a weight file to the folder of models and add its name to the list of the user's models.

    Parameters
    ----------
    filename
        The weight file.

    Raises
    ------
    FileReadError
        If the file does not exist.
    """
    from cellpose import weights

    weights.add_model(filename)
