"""How an image becomes network input: one object for evaluation, volumes, large planes, training and restoration.

In this order: axes, channels, filters, normalization; resizing is done plane by plane where the network runs, to the
sizes that the object gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.options import Normalization
from cellpose.transforms._axes import convert_image, prepare_transformer, prepare_unet
from cellpose.transforms._bands import Bands, PreparedBands, prepare_bands
from cellpose.transforms._channels import choose_channels
from cellpose.transforms._normalize import network_input
from cellpose.transforms._resize import scaled_shape

__all__ = ["Preparation"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Preparation:
    """How images become the input of a network.

    Attributes
    ----------
    channels
        Which channels, counted from 1, as in ``eval``; None: none is chosen.
    channel_axis, z_axis
        Axes of the images; None: inferred from the shape.
    channel_pair
        The network takes a channel to segment and one of nuclei, else up to three in their order.
    nchan
        Of a pair, channels where none is chosen; None: all there are.
    stack
        Each image is a stack; else the shape decides.
    planes_apart
        Each plane has its own scale of intensities, regardless of ``normalization``.
    normalization
        How intensities are scaled.
    scale, z_scale
        Factors by which y and x, and z, are resized for the network.

    Examples
    --------
    >>> preparation = Preparation([2, 1], scale=0.5)
    >>> preparation(np.ones((3, 40, 60))).shape, preparation.size((40, 60))
    ((1, 40, 60, 2), (20, 30))
    """

    channels: Any = None
    channel_axis: int | None = None
    z_axis: int | None = None
    channel_pair: bool = True
    nchan: int | None = 2
    stack: bool = False
    planes_apart: bool = False
    normalization: Normalization = field(default_factory=Normalization)
    scale: float = 1.0
    z_scale: float = 1.0

    def __call__(self, image: npt.ArrayLike) -> Float32:
        """An image, float32 (z, y, x, channel), of its own size; what is given stays as it is.

        Raises
        ------
        AxesError, InputError, OptionError
            If the image does not fit its description.
        """
        return self.normalised(self.arranged(image), own=True)

    def arranged(self, image: npt.ArrayLike) -> Float32:
        """The channels that the network sees, float32 (z, y, x, channel), in intensities of the image; a new array."""
        axes = (self.channels, self.channel_axis, self.z_axis, self.stack)
        found = prepare_unet(image, *axes, nchan=self.nchan) if self.channel_pair else prepare_transformer(image, *axes)
        return found if found.ndim == 4 else found[np.newaxis]

    def view(self, image: npt.ArrayLike) -> Array:
        """The first three channels at most, ([z,] y, x, channel), of the dtype of the image; a view where it can be."""
        return convert_image(image, channel_axis=self.channel_axis, z_axis=self.z_axis, do_3D=self.stack)

    def normalised(self, stack: Float32, *, own: bool = False) -> Float32:
        """Arranged channels (z, y, x, channel) with their intensities scaled; written to where they are ``own``."""
        normalization = self.normalization
        if self.planes_apart and len(stack) > 1:
            normalization = replace(normalization, norm3D=False)
        return network_input(stack, normalization, own=own)

    def bands(self, plane: Bands) -> PreparedBands:
        """The same of a plane (y, x, channel) that is never in memory as a whole; it is looked through once.

        Raises
        ------
        OptionError
            If the normalization needs the whole plane at once.
        """
        chosen = choose_channels(plane.shape, self.channels, channel_pair=self.channel_pair, nchan=self.nchan)
        return prepare_bands(plane, chosen, self.normalization)

    def size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The size, ([z,] y, x), at which the network sees planes or stacks of this shape."""
        return scaled_shape(shape, (self.z_scale, self.scale, self.scale)[-len(shape) :])
