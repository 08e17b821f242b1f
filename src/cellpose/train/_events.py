"""Losses of a run for TensorBoard, in the folder of its records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellpose._machine.optional import optional

__all__ = ["Events"]

# Columns of the table of losses that are no measurements.
_NOT_DRAWN = ("epoch",)


class Events:
    """Writes every row of the table of losses as scalars of its epoch; without a folder it does nothing.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed and a folder is given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._writer: Any = None
        if folder is not None:
            _writer_class()  # raised before the first epoch, not after it

    def add(self, row: Mapping[str, float]) -> None:
        """Write one epoch; it hides the records of an earlier, interrupted run from this epoch on."""
        if self.folder is None:
            return
        epoch = int(row["epoch"])
        if self._writer is None:
            self._writer = _writer_class()(str(self.folder), purge_step=epoch)
        for name, value in row.items():
            if name not in _NOT_DRAWN:
                self._writer.add_scalar(name, float(value), epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file; a later row opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _writer_class() -> Any:
    return optional("torch.utils.tensorboard", "tensorboard", "write the losses for TensorBoard").SummaryWriter
