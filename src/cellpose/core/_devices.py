"""Choice of the device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cellpose.errors import OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["assign_device", "use_gpu", "wanted_device"]

logger = logging.getLogger("cellpose.core")


def use_gpu(gpu_number: int | str = 0, use_torch: bool = True, *, istorch: bool | None = None) -> bool:
    """Whether a GPU (CUDA, or MPS on a Mac) works.

    Parameters
    ----------
    gpu_number
        Number of the CUDA device, or the name of a torch device such as ``"mps"``.
    use_torch
        Must be true: torch is the only library asked.
    istorch
        Older name of ``use_torch``.

    Returns
    -------
    bool
        True if a small tensor can be put there.

    Raises
    ------
    OptionError
        If ``use_torch`` is false.
    """
    if not (use_torch if istorch is None else istorch):
        message = "use_torch=False is not allowed; only torch can use GPUs"
        raise OptionError(message)
    return _gpu(gpu_number) is not None


def assign_device(
    use_torch: bool = True, gpu: bool = False, device: int | str | torch.device = 0
) -> tuple[torch.device, bool]:
    """The device to run on.

    Parameters
    ----------
    use_torch
        Whether to search for a GPU at all.
    gpu
        Whether to use a GPU. If none works the CPU is used, and the log says so.
    device
        Number of the CUDA device, or a torch device or its name.

    Returns
    -------
    tuple
        ``(torch.device, whether it is a GPU)``.

    Raises
    ------
    OptionError
        If torch knows no such device.

    Examples
    --------
    >>> assign_device(gpu=False)
    (device(type='cpu'), False)
    """
    import torch

    wanted = device if isinstance(device, int) else _name(device)
    if gpu and use_torch and wanted != "cpu":
        found = _gpu(wanted)
        if found is not None:
            logger.info(f"** TORCH {found.type.upper()} version installed and working. **")
            logger.info("running on %s", found)
            return found, True
        logger.warning("no GPU that torch can use was found (%s): running on the CPU", device)
    return torch.device("cpu"), False


def _name(device: str | torch.device) -> str | int:
    """The name of a device, or the number that a text holds.

    Raises
    ------
    OptionError
        If torch knows no such device.
    """
    import torch

    if isinstance(device, str) and device.isdecimal():
        return int(device)
    try:
        return str(torch.device(device))
    except (RuntimeError, TypeError, ValueError) as error:
        message = (
            f"device={device!r} is not allowed; give the number of a GPU, or a torch device such as 'cpu' or 'mps'"
        )
        raise OptionError(message) from error


def wanted_device(device: torch.device | str | int | None, *, gpu: bool) -> tuple[torch.device, bool]:
    """The device of a model, and whether it is a GPU: the one that is named, else as in `assign_device`.

    Raises
    ------
    OptionError
        If a device is named that does not work on this machine.
    """
    if device is None:
        return assign_device(gpu=gpu)
    if isinstance(device, int):
        return assign_device(gpu=True, device=device)
    from cellpose.nets import usable_device

    chosen = usable_device(device)
    return chosen, chosen.type != "cpu"


def _gpu(device: int | str) -> torch.device | None:
    """The first of the GPUs meant by ``device`` that takes a small tensor."""
    import torch

    from cellpose.nets import usable_device

    if isinstance(device, int):
        names = [f"cuda:{device}"] if torch.cuda.is_available() else []
        names += ["mps"] if torch.backends.mps.is_available() else []
    else:
        names = [device]
    for name in names:
        try:
            return usable_device(name)
        except OptionError as error:
            logger.debug("%s", error)
    return None
