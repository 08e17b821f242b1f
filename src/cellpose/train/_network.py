"""What training has to know about a network."""

from __future__ import annotations

from typing import Any

import torch

from cellpose.errors import InputError
from cellpose.nets import Family, family_named

__all__ = ["check_flows", "crop_multiple", "device_of", "family_of", "input_channels", "n_classes_of", "network_facts"]


def family_of(net: Any) -> Family:
    """The family of a network, by its backbone; U-Nets where it names none."""
    return family_named(getattr(net, "backbone", "cpnet"))


def device_of(net: Any) -> torch.device:
    """The device of the weights."""
    device = getattr(net, "device", None)
    return torch.device(device) if device is not None else next(net.parameters()).device


def input_channels(net: Any) -> int:
    """Number of channels of the images that the network takes."""
    return int(getattr(net, "nchan", None) or getattr(net, "nbase", [2])[0])


def crop_multiple(net: Any) -> int:
    """The number that sides of crops must be a multiple of: levels halve them, tokens are patches of them."""
    nbase = getattr(net, "nbase", None)
    return int(getattr(net, "ps", 1)) if nbase is None else int(2 ** (len(nbase) - 2))


def check_flows(net: Any) -> None:
    """Refuse what is no network, and a network that gives neither flows nor classes."""
    if not hasattr(net, "state_dict"):
        message = f"a {type(net).__name__} is no network; give that of a model, model.net"
        raise InputError(message)
    nout = getattr(net, "nout", 3)
    if nout < 3 and not n_classes_of(net):
        message = (
            f"this network has {nout} {'output' if nout == 1 else 'outputs'} and no flows: it cannot learn to segment. "
            "To train networks that restore images, use cellpose.denoise.train and train_self, or "
            "python -m cellpose.denoise"
        )
        raise InputError(message)


def n_classes_of(net: Any) -> int:
    """Number of classes of a plain U-Net, whose outputs are class scores; 0 for networks of flows."""
    return int(net.nout) if getattr(net, "classes", False) else 0


def network_facts(net: Any) -> dict[str, Any]:
    """Facts that the tensors of a network do not show, for the card of its file."""
    facts = {"style_on": getattr(net, "style_on", True), "classes": bool(n_classes_of(net))}
    usual = {"style_on": True, "classes": False}
    return {} if facts == usual else {"network": facts}
