"""Degradation of clean images: blur, undersampling and photon noise, from which a restoration network learns.

Source: Stringer & Pachitariu, "Cellpose3: one-click image restoration for improved cellular segmentation", Nature
Methods 2025, methods section "Noise models".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cellpose.errors import InputError

_SMALLEST_RANGE = 1e-3  # an image flatter than this is not normalized: dividing would only amplify rounding


def img_norm(imgi: torch.Tensor) -> torch.Tensor:
    """Scale each image and channel so that its 1st and 99th percentile become 0 and 1.

    Parameters
    ----------
    imgi
        Images, shape (batch, channels, Y, X), floating point. Left as it is where the percentiles differ by less
        than 1e-3.

    Returns
    -------
    torch.Tensor
        Same shape and dtype; a new tensor.
    """
    flat = imgi.reshape(*imgi.shape[:2], -1)
    low, high = (torch.quantile(flat, q, dim=-1)[..., None, None] for q in (0.01, 0.99))
    spread = high - low
    return torch.where(spread > _SMALLEST_RANGE, (imgi - low) / spread.clamp_min(_SMALLEST_RANGE), imgi)


def gaussian_kernels(sigma_y: torch.Tensor, sigma_x: torch.Tensor) -> torch.Tensor:
    """One normalized Gaussian kernel an image.

    Parameters
    ----------
    sigma_y, sigma_x
        Standard deviations in pixels, shape (batch,).

    Returns
    -------
    torch.Tensor
        Shape (batch, 2r - 1, 2r - 1) with r = max(8, 2 * floor(largest sigma)), each summing to 1.
    """
    r = max(8, 2 * int(max(float(sigma_y.max()), float(sigma_x.max()))))
    offsets = torch.arange(-r + 1, r, device=sigma_y.device, dtype=torch.float32)

    def profile(sigma: torch.Tensor) -> torch.Tensor:
        # A sigma of zero is no blur: all weight at the center.
        exponent = -(offsets**2) / (2 * sigma[:, None].clamp_min(1e-6) ** 2)
        return torch.exp(exponent)

    kernels = profile(sigma_y)[:, :, None] * profile(sigma_x)[:, None, :]
    normalised: torch.Tensor = kernels / kernels.sum(dim=(1, 2), keepdim=True)
    return normalised


def gaussian_blur(images: torch.Tensor, sigma_y: torch.Tensor, sigma_x: torch.Tensor) -> torch.Tensor:
    """Convolve each image (batch, 1, Y, X) with its own Gaussian; zeros lie outside the image."""
    kernels = gaussian_kernels(sigma_y, sigma_x).to(images.dtype)
    batch = images.shape[0]
    blurred = F.conv2d(images.transpose(0, 1), kernels[:, None], padding=kernels.shape[-1] // 2, groups=batch)
    return blurred.transpose(0, 1)


@dataclass(frozen=True)
class Degradation:
    """Strength of blur, undersampling and noise; `add_noise` gives the meaning and the default of each field."""

    alpha: float
    beta: float
    gblur: float
    downsample: float
    ds_max: int
    diams: Any
    pscale: float | None
    iso: bool
    sigma0: float | None
    sigma1: float | None
    ds: int | None
    uniform_blur: bool

    def diameters(self, n: int) -> torch.Tensor:
        """Diameter of the cells in each of n images, float32 (n,)."""
        diameters = torch.as_tensor(30.0 if self.diams is None else self.diams, dtype=torch.float32)
        return diameters.cpu().flatten().expand(n)


def _chosen(probability: float, n: int) -> torch.Tensor:
    """Which of n images are degraded, each with this probability; bool (n,)."""
    return torch.from_numpy(np.random.rand(n) < probability)  # noqa: NPY002  (the published stream of draws)


def _downsampling_factors(options: Degradation, n: int) -> torch.Tensor:
    """Factor by which each image is undersampled, int64 (n,); 1 where it is not."""
    downsampled = _chosen(options.downsample, n)
    if options.ds is not None:
        return torch.full((n,), int(options.ds))
    factors = torch.ones(n, dtype=torch.int64)
    factors[downsampled] = torch.randint(2, options.ds_max + 1, size=(int(downsampled.sum()),))
    return factors


def _sigmas(options: Degradation, factors: torch.Tensor, blurred: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard deviations in pixels of the blur along Y and X of each image that is blurred, float32."""
    factors, diameters = factors[blurred], options.diameters(len(blurred))[blurred]
    if options.sigma0 is not None:
        sigma0 = torch.full((len(factors),), float(options.sigma0))
        return sigma0, sigma0 if options.sigma1 is None else torch.full_like(sigma0, float(options.sigma1))
    scale = diameters / 30.0 * options.gblur
    if options.iso and not options.uniform_blur:
        spread = np.clip(0.5 * np.random.exponential(size=len(factors)), 0.1, 1.0)  # noqa: NPY002
        sigma = scale * 5.0 * torch.from_numpy(spread).float()
        return sigma, sigma
    strength = torch.rand(len(blurred))[blurred]
    undersampled = factors > 1
    if options.iso:
        # An undersampled image is blurred as much as its new pixels are wide, which is what a camera does.
        strength = torch.where(undersampled, factors / (2 * options.gblur), strength)
        sigma = scale * (1 / options.gblur + (1 - 1 / options.gblur) * strength)
        return sigma, sigma
    jitter = 0.7 * torch.rand(int(undersampled.sum())) - 0.35
    strength[undersampled] = (factors[undersampled] / options.gblur + jitter).clamp(0.05, 1.5)
    sigma = scale * strength
    return sigma, sigma / 10.0


def _fade_to_sharp(blurred: torch.Tensor, sharp: torch.Tensor) -> torch.Tensor:
    """Blurred at the left edge, passing smoothly to sharp in the right 15 % of the columns."""
    n_columns = sharp.shape[-1]
    fading = int(0.85 * n_columns)
    weight = torch.zeros(n_columns)
    weight[:fading] = 1 - torch.linspace(0, 1, fading) ** 2
    return sharp + weight.to(sharp) * (blurred - sharp)


def _undersample(image: torch.Tensor, factor: int, *, rows_only: bool) -> torch.Tensor:
    """Every factor-th pixel of an image (channels, Y, X), enlarged to the old size."""
    kept = image[None, :, ::factor, :: 1 if rows_only else factor]
    return F.interpolate(kept, size=image.shape[-2:], mode="bilinear", align_corners=False)[0]


def _photon_noise(images: torch.Tensor, options: Degradation) -> torch.Tensor:
    """Poisson noise of random strength."""
    if options.pscale is None:
        gamma = torch.distributions.Gamma(torch.tensor(float(options.alpha)), torch.tensor(float(options.beta)))
        scale = gamma.sample((len(images),)).clamp(min=1.0)
    else:
        scale = torch.full((len(images),), float(options.pscale))
    return torch.poisson(images.clamp(min=0) * scale.to(images)[:, None, None, None])


def add_noise(
    lbl: torch.Tensor,
    alpha: float = 4,
    beta: float = 0.7,
    poisson: float = 0.7,
    blur: float = 0.7,
    gblur: float = 1.0,
    downsample: float = 0.7,
    ds_max: int = 7,
    diams: Any = None,
    pscale: float | None = None,
    iso: bool = True,
    sigma0: float | None = None,
    sigma1: float | None = None,
    ds: int | None = None,
    uniform_blur: bool = False,
    partial_blur: bool = False,
) -> torch.Tensor:
    """Degrade clean images by blur, undersampling and photon noise, then normalize them.

    Parameters
    ----------
    lbl
        Clean images, shape (batch, 1, Y, X), float32, not negative, about 0 to 1. Not modified.
    alpha, beta
        Shape and rate of the gamma distribution of the photon scale; a larger scale means less noise.
    poisson, blur, downsample
        Probability that an image gets photon noise, is blurred, is undersampled (and then also blurred).
    gblur
        Scale of the width of the blur.
    ds_max
        Largest factor of undersampling; factors are drawn from 2 to ds_max.
    diams
        Diameter of the cells in pixels, one for all images or shape (batch,): wider cells get a wider blur.
        None: 30.
    pscale
        The photon scale, instead of a random one.
    iso
        Blur and undersample both axes alike. False: mostly rows, as along the axis of a microscope.
    sigma0, sigma1
        Width in pixels of the blur along Y and X, instead of random ones.
    ds
        Factor of undersampling of all images, instead of random ones.
    uniform_blur
        Draw widths evenly between 1 and gblur (times diameter / 30), instead of mostly small ones.
    partial_blur
        Blur fades from left to right.

    Returns
    -------
    torch.Tensor
        Degraded images, same shape, each normalized to its 1st and 99th percentile.

    Raises
    ------
    InputError
        If the images have not four axes or not one channel.

    Examples
    --------
    >>> clean = torch.rand(2, 1, 32, 32)
    >>> add_noise(clean, poisson=1.0, blur=0.0, downsample=0.0).shape
    torch.Size([2, 1, 32, 32])
    """
    if lbl.ndim != 4 or lbl.shape[1] != 1:
        message = f"images have shape {tuple(lbl.shape)}; give (batch, 1, Y, X)"
        raise InputError(message)
    options = Degradation(alpha, beta, gblur, downsample, ds_max, diams, pscale, iso, sigma0, sigma1, ds, uniform_blur)
    n = len(lbl)
    # The order of the draws is the published one, so that a seed gives the published noise.
    factors = _downsampling_factors(options, n)
    blurred = (torch.rand(n) < blur) | (factors > 1)
    images = lbl.clone()
    if blurred.any():
        sigma_y, sigma_x = (sigma.to(lbl) for sigma in _sigmas(options, factors, blurred))
        smooth = gaussian_blur(images[blurred], sigma_y, sigma_x)
        images[blurred] = _fade_to_sharp(smooth, images[blurred]) if partial_blur else smooth
    for k in torch.nonzero(factors > 1).flatten().tolist():
        images[k] = _undersample(images[k], int(factors[k]), rows_only=not iso)
    noisy = _chosen(poisson, n)
    if noisy.any():
        images[noisy] = _photon_noise(images[noisy], options)
    return img_norm(images)
