"""The list of the user's own models, by the names that scripts know from here."""

from __future__ import annotations

from cellpose.io._write import PathLike

__all__ = ["add_model", "remove_model"]


def add_model(filename: PathLike) -> None:
    """Copy a weight file to the folder of models and add its name to the list of the user's models.

    Parameters
    ----------
    filename
        The weight file.

    Raises
    ------
    FileReadError
        If the file is not there.
    """
    from cellpose import weights

    weights.add_model(filename)


def remove_model(filename: PathLike, delete: bool = False) -> None:
    """Take a name from the list of the user's models.

    Parameters
    ----------
    filename
        Name of the model, or a path that ends in it.
    delete
        Delete the copy in the folder of models, too.

    Raises
    ------
    UnknownModelError
        If the name is not in the list.
    """
    from pathlib import Path

    from cellpose import weights

    weights.remove_model(Path(filename).name, delete=delete)
