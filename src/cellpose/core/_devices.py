"""Choice of the device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cellpose.errors import OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["assign_device", "use_gpu"]

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

    Examples
    --------
    >>> assign_device(gpu=False)
    (device(type='cpu'), False)
    """
    import torch

    wanted = None if isinstance(device, int) else torch.device(device)
    if wanted is not None and wanted.type == "cpu":
        return wanted, False
    if gpu and use_torch:
        found = _gpu(device if isinstance(device, int) else str(wanted))
        if found is not None:
            logger.info("running on %s", found)
            return found, True
        logger.warning("no GPU that torch can use was found (%s): running on the CPU", device)
    return torch.device("cpu"), False


def _gpu(device: int | str) -> torch.device | None:
    """The first of the GPUs meant by ``device`` that takes a small tensor."""
    import torch

    if isinstance(device, int):
        names = [f"cuda:{device}"] if torch.cuda.is_available() else []
        names += ["mps"] if torch.backends.mps.is_available() else []
    else:
        names = [device]
    for name in names:
        try:
            torch.zeros((1, 1), device=name)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            logger.debug("%s does not work: %s", name, error)
        else:
            return torch.device(name)
    return None
