"""Smoothing and sharpening of planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import OptionError
from cellpose.transforms._values import as_stack, real_image

if TYPE_CHECKING:
    import torch

__all__ = ["gaussian_kernel", "smooth_sharpen_img"]

Float32 = npt.NDArray[np.float32]


def gaussian_kernel(sigma: float, Ly: int, Lx: int, device: Any = None) -> torch.Tensor:
    """Gaussian over a whole image, with the sum 1.

    Both axes are measured as the published code does, from -Ly/2 to Ly/2 + 1: the grid of x is stretched where an
    image is not square.

    Parameters
    ----------
    sigma
        Standard deviation in pixels, above 0.
    Ly, Lx
        Size in pixels.
    device
        Device of the tensor; None: CPU.

    Returns
    -------
    torch.Tensor
        float32 ``(Ly, Lx)``.

    Raises
    ------
    OptionError
        A sigma that is not above 0.
    """
    import torch

    if not sigma > 0:
        message = f"sigma={sigma!r} is not allowed; give a number of pixels above 0"
        raise OptionError(message)
    y = torch.linspace(-Ly / 2, Ly / 2 + 1, Ly, device=device)
    x = torch.linspace(-Ly / 2, Ly / 2 + 1, Lx, device=device)
    exponent = -(y[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2)
    if sigma < 1:
        # a Gaussian this narrow may vanish at every point of the grid; only ratios count
        exponent = exponent - exponent.max()
    kernel: torch.Tensor = torch.exp(exponent)
    return kernel.div_(kernel.sum())


def smooth_sharpen_img(
    img: npt.ArrayLike,
    smooth_radius: float = 6,
    sharpen_radius: float = 12,
    device: Any = None,
    is3D: bool = False,
) -> Float32:
    """Smooth an image, sharpen it, or both (a band-pass), plane by plane and channel by channel.

    The filter is circular (the image repeats at its borders). Sharpening subtracts a Gaussian of ``sharpen_radius``,
    smoothing is a Gaussian of ``smooth_radius``.

    Parameters
    ----------
    img
        ``(Ly, Lx[, C])``, or ``(Lz, Ly, Lx[, C])`` with ``is3D``; four axes are a stack in any case.
    smooth_radius, sharpen_radius
        Standard deviations in pixels; 0: off.
    device
        Where to compute; None: CPU.
    is3D
        The first of three axes is z.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of ``img``.

    Raises
    ------
    AxesError
        Another number of axes.
    """
    import torch

    image = real_image(img)
    stack, channels = as_stack(image, is3D)
    if smooth_radius <= 0 and sharpen_radius <= 0:
        return image.astype(np.float32)
    response = _filter_response(smooth_radius, sharpen_radius, stack.shape[1], stack.shape[2], device)
    out = np.empty(stack.shape, np.float32)
    for z, plane in enumerate(stack):
        for c in range(channels):
            values = torch.from_numpy(np.array(plane[..., c], np.float32)).to(device)
            filtered = torch.fft.ifft2(torch.fft.fft2(values) * response).real
            out[z, ..., c] = torch.fft.fftshift(filtered).cpu().numpy()
    return out.reshape(image.shape)


def _filter_response(smooth_radius: float, sharpen_radius: float, Ly: int, Lx: int, device: Any) -> torch.Tensor:
    import torch

    kernel = torch.zeros(Ly, Lx, device=device)
    if smooth_radius > 0:
        kernel += gaussian_kernel(smooth_radius, Ly, Lx, device)
    if sharpen_radius > 0:
        kernel -= gaussian_kernel(sharpen_radius, Ly, Lx, device)
        if smooth_radius <= 0:
            kernel[Ly // 2, Lx // 2] = 1
    response: torch.Tensor = torch.fft.fft2(kernel)
    return response.conj()
