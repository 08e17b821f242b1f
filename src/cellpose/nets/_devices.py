"""Devices of torch."""

from __future__ import annotations

import torch

from cellpose.errors import OptionError

__all__ = ["usable_device"]


def usable_device(device: torch.device | str | int) -> torch.device:
    """The device, after a small tensor was put there.

    Raises
    ------
    OptionError
        If there is no such device, or it does not work on this machine.

    Examples
    --------
    >>> usable_device("cpu")
    device(type='cpu')
    """
    try:
        chosen = torch.device(device)
        torch.zeros((1, 1), device=chosen)
    # AssertionError: torch was built without this kind of device
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        message = (
            f"device={str(device)!r} cannot be used on this machine: {reason}. Leave device out and give gpu=True, "
            "which takes the CPU where no GPU works; or give 'cpu' or another torch device, such as 'cuda:0' or 'mps'"
        )
        raise OptionError(message) from error
    return chosen
