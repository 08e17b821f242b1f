"""The families of networks. A new one is one entry of ``FAMILIES``, and nothing anywhere else.

Which fast engines run it as well: see the graphs of ``engines/_onnx_graphs.py``; torch runs every network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellpose.errors import WeightsError
from cellpose.nets._architecture import Architecture, Family, Learning, Recipe, Shapes

if TYPE_CHECKING:
    from torch import Tensor

    from cellpose.nets._base import NetFile

__all__ = ["FAMILIES", "build", "detect_architecture", "family_named", "one_channel"]

_NORM = "downsample.down.{}_0.conv.conv_0.0.weight"
_DINO_ONLY = "encoder.cls_token"


def _cpnet(shapes: Shapes) -> Architecture | None:
    if "output.2.weight" not in shapes or "W2" in shapes:
        return None
    residual_on = _NORM.format("conv_down") not in shapes
    down, up = ("res_down", "res_up") if residual_on else ("conv_down", "conv_up")
    levels = {int(m[1]) for key in shapes if (m := re.match(rf"downsample\.down\.{down}_(\d+)\.", key))}
    kernels = [shapes[f"downsample.down.{down}_{n}.conv.conv_0.2.weight"] for n in range(max(len(levels), 1))]
    joined = shapes[f"upsample.up.{up}_0.conv.conv_1.conv.2.weight"]
    nchan, nout = shapes[_NORM.format(down)][0], shapes["output.2.weight"][0]
    return Architecture(
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


def _sam(shapes: Shapes) -> Architecture | None:
    if "W2" not in shapes or _DINO_ONLY in shapes:
        return None
    nout, ps = shapes["W2"][1:3]
    grid, dim = shapes["encoder.pos_embed"][2:]
    depth = _depth(shapes)
    tables = [shapes[f"encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    return Architecture(
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


def _dino(shapes: Shapes) -> Architecture | None:
    if "W2" not in shapes or _DINO_ONLY not in shapes:
        return None
    from cellpose.nets._dino import DINO_SIZES

    nout, ps = shapes["W2"][1:3]
    dim, nchan = shapes["encoder.patch_embed.proj.weight"][:2]
    name = next((name for name, size in DINO_SIZES.items() if size[0] == dim), None)
    if name is None:
        known = ", ".join(f"{size[0]} ({name})" for name, size in DINO_SIZES.items())
        message = f"this DINO model has tokens {dim} wide; allowed are {known}"
        raise WeightsError(message)
    head_width = 4 * shapes["encoder.rope_embed.periods"][0]
    return Architecture(
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


def _manet(shapes: Shapes) -> Architecture | None:
    parts = ("net.encoder.", "net.segmentation_head.")
    if not all(any(key.startswith(part) for key in shapes) for part in parts):
        return None
    return Architecture("manet_mit_b5", nchan=3, nout=3)


def _none(_: Shapes) -> Architecture | None:
    return None


def _build_cpnet(architecture: Architecture, diam_mean: float) -> NetFile:
    from cellpose.nets.cpnet import CPnet

    return CPnet(
        architecture.nbase,
        architecture.nout,
        architecture.sz,
        conv_3D=architecture.conv_3D,
        diam_mean=diam_mean,
        residual_on=architecture.residual_on,
        style_on=architecture.style_on,
        concatenation=architecture.concatenation,
        classes=architecture.classes,
    )


def _build_sam(architecture: Architecture, _: float) -> NetFile:
    from cellpose.nets._sam import CPSAM

    return CPSAM(
        architecture.ps,
        architecture.nout,
        architecture.bsize,
        embed_dim=architecture.embed_dim,
        num_heads=architecture.num_heads,
        offsets=architecture.offsets,
    )


def _build_dino(architecture: Architecture, _: float) -> NetFile:
    from cellpose.nets._dino import CPDINO

    return CPDINO(
        architecture.name.removeprefix("dino_"),
        architecture.ps,
        architecture.nout,
        embed_dim=architecture.embed_dim,
        depth=architecture.depth,
        num_heads=architecture.num_heads,
    )


_CPNET = Family(
    "cpnet",
    "U-Net models",
    _cpnet,
    _build_cpnet,
    Learning(
        script=Recipe(0.005, 1e-5, 2000),
        command_line=Recipe(0.2, 1e-5, 500, average_weights=0.2),
        # Measured on corrected images, docs/training.md, "How many cells have to be corrected".
        window=Recipe(0.003, 1e-4, 100),
        rescale=True,
        unscaled_range=1.0,
        sgd=True,
        as_tensors=False,
        decay_from=100,
    ),
    command_line_diameter_px=30.0,
)
# The family assumed for transformers that a script has built itself.
_VIT = Family(
    "vit",
    "transformers",
    _none,
    None,
    Learning(
        script=Recipe(1e-5, 0.1, 100, batch_size=1),
        command_line=Recipe(1e-5, 0.1, 100, batch_size=1),
        window=Recipe(1e-5, 0.1, 100, batch_size=1),
        rescale=False,
        unscaled_range=0.5,
        sgd=False,
        as_tensors=True,
        decay_from=99,
    ),
    prefixes=("vit", "transformer"),
    channel_pair=False,
    diameter_px=30.0,
    tile_side=256,
    small_tiles=False,
    has_style=False,
    convolutional=False,
    gpu_precision="bfloat16",
)
_DINO = replace(_VIT, name="dino_vitl", detect=_dino, build=_build_dino, prefixes=("dino",), tile_side=384)
_MANET_REFUSAL = (
    "a transformer of Cellpose 3 (MAnet with a MiT-B5 encoder), which is not supported; use cyto3 or "
    "neurips_cellpose_default (U-Nets) or cpsam (transformer) instead"
)

#: Every family by its name. Files are asked in this order whether they belong to one.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        _CPNET,
        _VIT,
        replace(_VIT, name="sam_vitl", detect=_sam, build=_build_sam, prefixes=("sam",), one_side=True),
        _DINO,
        replace(_DINO, name="dino_vitb", prefixes=()),
        replace(_CPNET, name="manet_mit_b5", detect=_manet, build=None, refusal=_MANET_REFUSAL),
    )
}


def family_named(backbone: object) -> Family:
    """The family of that name or with a prefix of it; U-Nets if there is none.

    Examples
    --------
    >>> family_named("sam_vith").name, family_named("cpnet").name, family_named("default").name
    ('sam_vitl', 'cpnet', 'cpnet')
    """
    name = str(backbone)
    if name in FAMILIES:
        return FAMILIES[name]
    return next((family for family in FAMILIES.values() if name.startswith(family.prefixes)), _CPNET)


def detect_architecture(state_dict: Mapping[str, Any]) -> Architecture:
    """The family and the sizes of the network of a state dict, from names and shapes of its tensors alone.

    Parameters
    ----------
    state_dict
        Names and tensors (anything with a ``shape``); only names and shapes are looked at.

    Raises
    ------
    WeightsError
        If it belongs to no known network or lacks tensors that determine its size.

    Examples
    --------
    >>> from cellpose.nets import CPnet
    >>> detect_architecture(CPnet([2, 4, 8], nout=1).state_dict()).task
    'restoration'
    """
    shapes = {key.removeprefix("module."): tuple(value.shape) for key, value in state_dict.items()}
    for family in FAMILIES.values():
        try:
            found = family.detect(shapes)
        except KeyError as error:
            message = f"the weights lack the tensor {error.args[0]}; the file is incomplete or from another program"
            raise WeightsError(message) from error
        if found is not None:
            return found
    message = (
        f"these weights do not belong to a known network{_hint(shapes)}; first tensors: {', '.join(list(shapes)[:3])}"
    )
    raise WeightsError(message)


def _hint(shapes: Shapes) -> str:
    if any(key.startswith("image_encoder.") for key in shapes):
        return " (they are those of Segment Anything itself, for CPSAM.load_pretrained)"
    if "storage_tokens" in shapes:
        return " (they are those of DINOv3 itself, for CPDINO.load_pretrained)"
    return ""


def build(architecture: Architecture, diam_mean: float = 30.0) -> NetFile:
    """A network of this architecture, with fresh weights.

    Raises
    ------
    WeightsError
        For families that are recognized but not supported.
    """
    family = FAMILIES[architecture.name]
    if family.build is None:
        message = f"these weights are {family.refusal}"
        raise WeightsError(message)
    return family.build(architecture, diam_mean)


def one_channel(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a U-Net that sees the first channel alone, from that of one with two.

    All that acts on the input is cut to its first channel; diameters become 30. Made for the losses of restoration
    networks, which segment a restored plane.
    """
    first = re.compile(r"downsample\.down\.(res|conv)_down_0\.(conv\.conv_0|proj)\.")
    nchan = detect_architecture(state_dict).nchan

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
