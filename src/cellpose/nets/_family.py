"""Which network a state dict belongs to, told from names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellpose.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from cellpose.nets._base import NetFile

__all__ = ["Family", "build", "detect_family", "one_channel"]

Shapes = Mapping[str, tuple[int, ...]]

_NORM = "downsample.down.{}_0.conv.conv_0.0.weight"


@dataclass(frozen=True)
class Family:
    """The kind of a network and all that is needed to build it.

    Attributes
    ----------
    name
        ``"cpnet"``, ``"sam_vitl"``, ``"dino_vitl"``, ``"dino_vitb"`` or ``"manet_mit_b5"`` (known, but not built).
    nchan, nout
        Channels in (for transformers: at most) and out.
    nbase, sz, conv_3D, residual_on, concatenation, style_on
        U-Nets: constructor arguments of ``CPnet``. ``style_on`` leaves no trace in the tensors and is True here.
    classes
        U-Nets: whether the outputs are scores of background, cell (and boundary) in place of flows. Two outputs are;
        of three the tensors do not tell.
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
    def is_transformer(self) -> bool:
        """Whether images are prepared as for Cellpose-SAM (three channels) and not as for a U-Net."""
        return self.name.startswith(("sam_", "dino_"))

    @property
    def task(self) -> str:
        """``"restoration"`` for networks with one output, otherwise ``"segmentation"``."""
        return "restoration" if self.nout == 1 else "segmentation"


def detect_family(state_dict: Mapping[str, Any]) -> Family:
    """The family of a state dict.

    Parameters
    ----------
    state_dict
        Names and tensors (anything with a ``shape``); only names and shapes are looked at.

    Raises
    ------
    WeightsError
        If it is none of a known network or lacks tensors that tell its size.

    Examples
    --------
    >>> from cellpose.nets import CPnet
    >>> detect_family(CPnet([2, 4, 8], nout=1).state_dict()).task
    'restoration'
    """
    shapes = {key.removeprefix("module."): tuple(value.shape) for key, value in state_dict.items()}
    try:
        if "W2" in shapes:
            return _dino(shapes) if "encoder.cls_token" in shapes else _sam(shapes)
        if "output.2.weight" in shapes:
            return _cpnet(shapes)
    except KeyError as error:
        message = f"the weights lack the tensor {error.args[0]}; the file is incomplete or of another program"
        raise WeightsError(message) from error
    if any(k.startswith("net.encoder.") for k in shapes) and any(
        k.startswith("net.segmentation_head.") for k in shapes
    ):
        return Family("manet_mit_b5", nchan=3, nout=3)
    message = f"these weights belong to no known network{_hint(shapes)}; first tensors: {', '.join(list(shapes)[:3])}"
    raise WeightsError(message)


def _hint(shapes: Shapes) -> str:
    if any(key.startswith("image_encoder.") for key in shapes):
        return " (they are those of Segment Anything itself, for CPSAM.load_pretrained)"
    if "storage_tokens" in shapes:
        return " (they are those of DINOv3 itself, for CPDINO.load_pretrained)"
    return ""


def _cpnet(shapes: Shapes) -> Family:
    residual_on = _NORM.format("conv_down") not in shapes
    down, up = ("res_down", "res_up") if residual_on else ("conv_down", "conv_up")
    levels = {int(m[1]) for key in shapes if (m := re.match(rf"downsample\.down\.{down}_(\d+)\.", key))}
    kernels = [shapes[f"downsample.down.{down}_{n}.conv.conv_0.2.weight"] for n in range(max(len(levels), 1))]
    joined = shapes[f"upsample.up.{up}_0.conv.conv_1.conv.2.weight"]
    nchan, nout = shapes[_NORM.format(down)][0], shapes["output.2.weight"][0]
    return Family(
        "cpnet",
        nchan=nchan,
        nout=nout,
        nbase=(nchan, *(kernel[0] for kernel in kernels)),
        sz=kernels[0][-1],
        conv_3D=len(kernels[0]) == 5,
        residual_on=residual_on,
        concatenation=joined[1] == 2 * joined[0],
        classes=nout == 2,
    )


def _sam(shapes: Shapes) -> Family:
    nout, ps = shapes["W2"][1:3]
    grid, dim = shapes["encoder.pos_embed"][2:]
    depth = _depth(shapes)
    tables = [shapes[f"encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    return Family(
        "sam_vitl",
        nchan=shapes["encoder.patch_embed.proj.weight"][1],
        nout=nout,
        ps=ps,
        bsize=grid * ps,
        embed_dim=dim,
        depth=depth,
        num_heads=dim // tables[0][1],
        offsets=tuple(table[0] for table in tables),
    )


def _dino(shapes: Shapes) -> Family:
    from cellpose.nets._dino import DINO_SIZES

    nout, ps = shapes["W2"][1:3]
    dim, nchan = shapes["encoder.patch_embed.proj.weight"][:2]
    name = next((name for name, size in DINO_SIZES.items() if size[0] == dim), None)
    if name is None:
        known = ", ".join(f"{size[0]} ({name})" for name, size in DINO_SIZES.items())
        message = f"this DINO model has tokens {dim} wide; known are {known}"
        raise WeightsError(message)
    head_width = 4 * shapes["encoder.rope_embed.periods"][0]
    return Family(
        f"dino_{name}",
        nchan=nchan,
        nout=nout,
        ps=ps,
        embed_dim=dim,
        depth=_depth(shapes),
        num_heads=dim // head_width,
    )


def _depth(shapes: Shapes) -> int:
    found = {int(m[1]) for key in shapes if (m := re.match(r"encoder\.blocks\.(\d+)\.", key))}
    if not found:
        first = "encoder.blocks.0.attn.qkv.weight"
        raise KeyError(first)
    return len(found)


def build(family: Family, diam_mean: float = 30.0) -> NetFile:
    """A network of a family, with fresh weights.

    Raises
    ------
    WeightsError
        For families that are recognised but not supported.
    """
    if family.name == "cpnet":
        from cellpose.nets.cpnet import CPnet

        return CPnet(
            family.nbase,
            family.nout,
            family.sz,
            conv_3D=family.conv_3D,
            diam_mean=diam_mean,
            residual_on=family.residual_on,
            style_on=family.style_on,
            concatenation=family.concatenation,
            classes=family.classes,
        )
    if family.name == "sam_vitl":
        from cellpose.nets._sam import CPSAM

        return CPSAM(
            family.ps,
            family.nout,
            family.bsize,
            embed_dim=family.embed_dim,
            num_heads=family.num_heads,
            offsets=family.offsets,
        )
    if family.name.startswith("dino_"):
        from cellpose.nets._dino import CPDINO

        return CPDINO(
            family.name.removeprefix("dino_"),
            family.ps,
            family.nout,
            embed_dim=family.embed_dim,
            depth=family.depth,
            num_heads=family.num_heads,
        )
    message = (
        f"these weights are a transformer of Cellpose 3 ({family.name}: MAnet with a MiT-B5 encoder), which is "
        "recognised but not supported; use cyto3 or neurips_cellpose_default (U-Nets) or cpsam (transformer) instead"
    )
    raise WeightsError(message)


def one_channel(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a U-Net that sees the first channel alone, from that of one with two.

    All that acts on the input is cut to its first channel; diameters become 30. Made for the losses of restoration
    networks, which segment a restored plane.
    """
    first = re.compile(r"downsample\.down\.(res|conv)_down_0\.(conv\.conv_0|proj)\.")
    nchan = detect_family(state_dict).nchan

    def of_one(key: str, value: Tensor) -> Tensor:
        if key in ("diam_mean", "diam_labels"):
            return value.new_full((1,), 30.0)
        found = first.match(key)
        if found is None:
            return value
        if value.ndim > 1:
            return value[:, :1]
        # Position 0 of a unit is its batch norm, over the input channels; what follows is over the output channels.
        return value[:1] if key[found.end() :].startswith("0.") and value.shape == (nchan,) else value

    return {key: of_one(key, value).clone() for key, value in state_dict.items()}
