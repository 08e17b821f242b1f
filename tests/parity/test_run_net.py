"""Tiled runs of a network against the originals."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
import torch

from cellpose import core
from cellpose.nets import CPnet
from conftest import parity_rows
from toy import toy_from_formula, toy_of

# Rows we differ from on purpose, with the reason.
IGNORED_THERE = {
    "v4/run_3D/toy_ortho/y": "version 4 takes net_ortho and ignores it; here it runs the planes that contain z"
}


def read_args(text: str) -> tuple[dict[str, str], dict[str, object]]:
    """``name=value, ..., {options}`` as names and options."""
    options: dict[str, object] = {}
    braces = re.search(r"\{.*\}", text)
    if braces:
        options = ast.literal_eval(braces.group())
        text = text[: braces.start()]
    named = dict(part.split("=", 1) for part in text.split(", ") if "=" in part)
    if "bsize" in named:
        options["bsize"] = int(named.pop("bsize"))
    return named, options


def network(parity, name: str, channels: int, version: str):
    fixtures = parity.load("run_net")
    shift = 0.5 if "+ 0.5" in name else 0.0
    if name.lower().startswith("toy"):
        return toy_of(fixtures, channels, shift=shift, backbone="sam_vitl" if version == "v4" else None)
    weights = parity.recipe(name.split(maxsplit=1)[0])
    nbase = [2, *(weights[f"downsample.down.res_down_{n}.conv.conv_0.2.weight"].shape[0] for n in range(4))]
    net = CPnet(nbase, nout=3)
    net.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in weights.items()})
    return net


def run(parity, function: str, args: str, version: str):
    named, options = read_args(args)
    source = named.get("imgi", named.get("imgs", ""))
    image = parity.load("run_net")[re.match(r"[\w/]+", source).group()]
    if "[None]" in source:
        image = image[None]
    net = network(parity, named["net"], image.shape[-1], version)
    if "net_ortho" in named:
        options["net_ortho"] = network(parity, named["net_ortho"], image.shape[-1], version)
    before = image.copy()
    result = getattr(core, function.rpartition(".")[2])(net, image, **options)
    np.testing.assert_array_equal(image, before, err_msg="the input was changed")
    return result


@pytest.mark.parametrize("row", [p for p in parity_rows("run_net") if not str(p.id).startswith("in/")])
def test_row(parity, row):
    key = row["key"]
    version, _, rest = key.partition("/")
    what = rest.rpartition("/")[2]
    expected = parity.load("run_net")[key].astype(np.float32)
    versions = ("v3", "v4") if version == "both" else (version,)
    for one, args in zip(versions, row["args"].split(" | v4: "), strict=True):
        wanted = args.replace("net_ortho=Toy with bias + 0.5, ", "") if key in IGNORED_THERE else args
        outputs, styles = run(parity, row["fn"], wanted, one)
        got = styles if what == "style" else outputs
        if what == "y" and "[:, ::3, ::2]" in row.get("note", ""):
            got = got[:, ::3, ::2]  # the pixels that are stored
        assert got.shape == expected.shape
        # Values were stored as float16 (relative step 1e-3); sums run in another order.
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_toy_network_from_its_description(parity):
    fixtures = parity.load("run_net")
    for channels in (1, 2):
        net = toy_from_formula(channels)
        # Sums of floats in another order.
        np.testing.assert_allclose(net.w.detach().numpy(), fixtures[f"in/toy/w{channels}"], atol=1e-7)
        np.testing.assert_array_equal(net.b.detach().numpy(), fixtures[f"in/toy/b{channels}"])
