"""The architecture of a network, and the properties of its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellpose.nets._base import NetFile

__all__ = ["Architecture", "Family", "Learning", "Recipe", "Shapes"]

#: Shapes of the tensors of a weight file, by name.
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Architecture:
    """What a network is made of: all that is needed to build it.

    Attributes
    ----------
    name
        Name of its family, a key of ``nets.FAMILIES``.
    nchan, nout
        Channels in (for transformers: at most) and out.
    nbase, sz, conv_3D, residual_on, concatenation, style_on
        U-Nets: constructor arguments of ``CPnet``. ``style_on`` leaves no trace in the tensors and is True here.
    classes
        U-Nets: whether the outputs are scores of background, cell (and boundary) instead of flows. Two outputs are;
        with three, the tensors do not show it.
    ps, bsize, embed_dim, depth, num_heads, offsets
        Transformers: constructor arguments of ``CPSAM`` and ``CPDINO``; ``bsize`` 0 where any size will do.
    """

    name: str
    nchan: int
    nout: int
    nbase: tuple[int, ...] = ()
    sz: int = 3
    conv_3D: bool = False
    residual_on: bool = True
    concatenation: bool = False
    style_on: bool = True
    classes: bool = False
    ps: int = 8
    bsize: int = 0
    embed_dim: int = 0
    depth: int = 0
    num_heads: int = 0
    offsets: tuple[int, ...] = ()

    @property
    def task(self) -> str:
        """``"restoration"`` for networks with one output, otherwise ``"segmentation"``."""
        return "restoration" if self.nout == 1 else "segmentation"

    @property
    def style_size(self) -> int:
        """Length of the style vector."""
        return self.nbase[-1] if self.nbase else 256

    @property
    def tile_multiple(self) -> int:
        """Sides of tiles must be a multiple of this: levels of a U-Net halve them, tokens are patches of them."""
        return int(2 ** (len(self.nbase) - 2)) if self.nbase else self.ps


@dataclass(frozen=True)
class Recipe:
    """Values with which a network is trained where nothing is given."""

    learning_rate: float
    weight_decay: float
    n_epochs: int
    batch_size: int = 8
    average_weights: float = 0.0


@dataclass(frozen=True)
class Learning:
    """How networks of a family are trained.

    Attributes
    ----------
    script, command_line, window
        Defaults where nothing is given: by ``train.train_seg``, by ``--train``, by the window, which starts from
        a trained network.
    rescale
        Whether images are brought to the mean diameter of the network unless something else is given.
    unscaled_range
        Width of the range of scales where they are not.
    sgd
        Whether stochastic gradient descent does well.
    as_tensors
        Whether crops are drawn as tensors, as published for transformers, or as arrays, as for U-Nets.
    decay_from
        Trainings of more epochs than this end with falling learning rates.
    """

    script: Recipe
    command_line: Recipe
    window: Recipe
    rescale: bool
    unscaled_range: float
    sgd: bool
    as_tensors: bool
    decay_from: int


@dataclass(frozen=True)
class Family:
    """A family of networks: how one is recognized and built, and what it can do.

    Attributes
    ----------
    name
        Its name in weight files, cards and tables, and the ``backbone`` of its networks and engines.
    plural
        Name of such networks in messages.
    detect
        The architecture that tensors of these shapes belong to; None if they are of another family.
    build
        A network with fresh weights, from its architecture and diameter in pixels; None where it cannot be run.
    refusal
        Message where it cannot be run.
    prefixes
        Networks whose ``backbone`` is no name of a family belong to the one with a prefix of it.
    channel_pair
        Whether images have a channel to segment and one of nuclei; else they have up to ``nchan``, in any order, and
        those that are missing count as zeros.
    diameter_px
        Diameter in pixels to which cells are brought where theirs is given, and images are not resized where none is.
        None: the ``diam_mean`` of the network, and cells have its ``diam_labels`` where nothing is given.
    command_line_diameter_px
        Diameter in pixels that the command line takes where none is given; None: not given.
    tile_side
        Side in pixels of the tiles it was made for, where a network does not state its own.
    one_side
        Whether it runs tiles of this side only.
    small_tiles
        Whether images smaller than a tile are run as they are; else they are filled up to a tile with zeros.
    has_style
        Whether networks give styles, from which diameters can be estimated; else styles are zeros.
    convolutional
        Whether most of the work is convolutions, where each thread runs a tile; else it is products of large matrices,
        each of which takes all threads.
    gpu_precision
        How exactly it is run by default on GPUs that know bfloat16.
    learning
        How it is trained.
    """

    name: str
    plural: str
    detect: Callable[[Shapes], Architecture | None]
    build: Callable[[Architecture, float], NetFile] | None
    learning: Learning
    refusal: str = ""
    prefixes: tuple[str, ...] = ()
    channel_pair: bool = True
    diameter_px: float | None = None
    command_line_diameter_px: float | None = None
    tile_side: int = 224
    one_side: bool = False
    small_tiles: bool = True
    has_style: bool = True
    convolutional: bool = True
    gpu_precision: str = "float32"
