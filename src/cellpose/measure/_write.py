"""Tables as files: CSV, Parquet and AnnData."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.words import listed
from cellpose._machine.optional import optional
from cellpose._machine.writing import replacing, replacing_by_name
from cellpose.errors import InputError, OptionError

__all__ = ["FORMATS", "check_columns", "write_table"]

Columns = dict[str, npt.NDArray[Any]]
PathLike = str | os.PathLike[str]

_ROWS_AT_ONCE = 10_000


def write_table(path: PathLike, columns: Columns) -> None:
    """Write a table; the suffix chooses the format: ``.csv``, ``.parquet``, or ``.h5ad`` for scanpy and squidpy.

    Raises
    ------
    OptionError
        If the suffix is none of these.
    InputError
        If a column holds arrays, such as the coordinates of pixels.
    MissingExtraError
        If pyarrow or anndata is needed and not installed.
    FileWriteError
        If the file cannot be written.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
    if suffix not in FORMATS:
        message = f"a table cannot be written as {os.fspath(path)}; allowed are {', '.join(FORMATS)}"
        raise OptionError(message)
    check_columns(columns)
    FORMATS[suffix](path, columns)


def check_columns(columns: Columns) -> None:
    """Refuse columns that a file cannot hold.

    Raises
    ------
    InputError
        If a column holds an array for each cell.
    """
    objects = {name: column.tolist() for name, column in columns.items() if column.dtype.kind == "O"}
    odd = [name for name, values in objects.items() if any(isinstance(one, np.ndarray | tuple) for one in values)]
    if odd:
        message = (
            f"a table in a file holds numbers and texts, not an array for each cell as in {listed(odd)}; leave that "
            "out, or take it from measure.table in Python"
        )
        raise InputError(message)


def _write_csv(path: PathLike, columns: Columns) -> None:
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        n = len(next(iter(columns.values()), ()))
        for start in range(0, n, _ROWS_AT_ONCE):
            parts = [_texts(column[start : start + _ROWS_AT_ONCE]) for column in columns.values()]
            writer.writerows(zip(*parts, strict=True))
        text.flush()
        text.detach()


def _texts(column: npt.NDArray[Any]) -> list[Any]:
    """The shortest texts that can be read back without loss; empty for NaN."""
    if column.dtype.kind != "f":
        return list(column.tolist())
    return ["" if math.isnan(value) else int(value) if value.is_integer() else value for value in column.tolist()]


def _write_parquet(path: PathLike, columns: Columns) -> None:
    pyarrow = optional("pyarrow", "measure", "write Parquet")
    parquet = optional("pyarrow.parquet", "measure", "write Parquet")
    arrays = {name: pyarrow.array(column.tolist() if column.dtype.kind in "UO" else column)
              for name, column in columns.items()}  # fmt: skip
    with replacing(path) as file:
        parquet.write_table(pyarrow.table(arrays), file)


_OBSERVED = ("image", "frame", "label", "class")


def _write_h5ad(path: PathLike, columns: Columns) -> None:
    """Cells are observations: numbers are ``X``, their names ``obs``, centroids (x, y) ``obsm["spatial"]``."""
    anndata = optional("anndata", "measure", "write AnnData")
    pandas = optional("pandas", "measure", "write AnnData")
    n = len(columns["label"])
    obs = pandas.DataFrame({name: columns[name] for name in _OBSERVED if name in columns})
    obs.index = [f"{row.image}:{row.frame}:{row.label}" for row in obs.itertuples()]
    for name in ("image", "class"):
        if name in obs:
            obs[name] = pandas.Categorical(obs[name].astype(str))
    measured = {
        name: column for name, column in columns.items() if name not in _OBSERVED and column.dtype.kind in "biuf"
    }
    values = np.stack([column.astype(np.float64) for column in measured.values()], axis=1) if measured else None
    table = anndata.AnnData(
        X=np.zeros((n, 0)) if values is None else values, obs=obs, var=pandas.DataFrame(index=list(measured))
    )
    places = [columns[name] for name in ("centroid-2", "centroid-1", "centroid-0") if name in columns]
    if len(places) > 1:
        table.obsm["spatial"] = np.stack(places, axis=1)
    with replacing_by_name(path) as file:
        table.write_h5ad(file)


FORMATS: dict[str, Callable[[PathLike, Columns], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "h5ad": _write_h5ad,
}
