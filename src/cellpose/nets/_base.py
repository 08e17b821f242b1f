"""What every network of this package has in common: device, dtype, and its own weight file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cellpose._face.keywords import also_called
from cellpose.errors import WeightsError
from cellpose.nets._devices import usable_device
from cellpose.nets._files import read_state_dict, write_state_dict

__all__ = ["NetFile"]

logger = logging.getLogger("cellpose.nets")


class NetFile(nn.Module):
    """A network that knows its device and dtype and reads and writes its weight file."""

    default_bsize: int
    backbone: str
    nout: int
    nchan: int
    style_size: int

    # The file that the weights came from (weights.ModelFile), which training names as the parent of its model.
    model_file: Any = None

    # Keys that files of some generations lack; the constructor's values then remain.
    optional_keys: tuple[str, ...] = ("diam_mean", "diam_labels")

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights; setting it casts all weights and buffers."""
        return next(self.parameters()).dtype

    @dtype.setter
    def dtype(self, value: torch.dtype) -> None:
        self.to(value)

    def save_model(self, filename: str | Path) -> None:
        """Write the weights to ``filename`` as a torch state dict (a safetensors file where so named)."""
        write_state_dict(self.state_dict(), Path(filename))

    @also_called(PATH="filename")
    def load_model(self, filename: str | Path, device: Any = None, strict: bool = False) -> None:
        """Load the weights of ``filename``, and move to ``device`` if given.

        Parameters
        ----------
        filename
            A torch or safetensors state dict. Keys this network does not have are ignored unless ``strict``. Also
            called ``PATH``.
        device
            Torch device or its name; ``None`` keeps the device.
        strict
            Refuse unknown keys as well.

        Raises
        ------
        WeightsError
            If the file is of another family or lacks tensors.
        UnsafeFileError
            If the file would run code when loaded.
        """
        state = read_state_dict(Path(filename))
        self.check_family(state, str(filename))
        try:
            result = self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            message = f"the weights in {filename} do not fit this {type(self).__name__}: {error}"
            raise WeightsError(message) from error
        self.check_keys(result, str(filename), strict=strict)
        if device is not None:
            self.to(usable_device(device))

    def check_family(self, state: Mapping[str, Any], filename: str) -> None:
        """Raise if ``state`` belongs to a network of another kind (each family says how)."""

    def check_keys(self, result: Any, filename: str, *, strict: bool = False) -> None:
        """Raise WeightsError for tensors a file lacks, or, if ``strict``, has too many."""
        missing = [
            key
            for key in result.missing_keys
            if key not in self.optional_keys and not key.endswith("num_batches_tracked")
        ]
        unknown = list(result.unexpected_keys) if strict else []
        if missing or unknown:
            message = (
                f"the weights in {filename} do not fit this {type(self).__name__}: "
                f"{len(missing)} tensors are missing ({', '.join(missing[:3])}), "
                f"{len(unknown)} are unknown ({', '.join(unknown[:3])})"
            )
            raise WeightsError(message)
