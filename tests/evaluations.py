"""Reads the arguments of the fixtures of ``eval`` and compares results with them."""

from __future__ import annotations

import ast
import re

import numpy as np
import torch

from cellpose import metrics

CROP = (slice(20, 170), slice(30, 190))


def save_recipe(parity, name, path):
    """The deterministic weights of one network as a weight file."""
    weights = parity.recipe(name)
    torch.save({key: torch.from_numpy(np.array(value)) for key, value in weights.items()}, path)
    return path


def read_row(args: str) -> tuple[str, str, dict[str, object]]:
    """``net=...; x=..., option=value, ...`` as the network, the image and the options."""
    net, _, rest = args.partition("; ")
    parts = re.split(r",\s+(?=[a-zA-Z_0-9]+=)|,\s*$", rest)
    options: dict[str, object] = {}
    for part in parts[1:]:
        if not part:
            continue
        name, _, value = part.partition("=")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return net.removeprefix("net="), parts[0].removeprefix("x="), options


def read_image(parity, text: str):
    """The image that the text describes."""
    inputs = parity.load("inputs")

    def crop(key: str, index: str | None):
        image = inputs[key]
        return image[_index(index)] if index else image

    found = re.findall(r"((?:real|stack)/\w+)(\[[^\]]+\])?", text)
    if text.startswith("zeros"):
        return np.zeros((70, 80), np.uint8)
    if text.startswith("["):
        return [crop(*one) for one in found]
    if text.startswith("np.stack"):
        return np.stack([crop(*one) for one in found])
    key, index = found[0]
    if "crop" in text:
        image = inputs[key][CROP]
        if "uint16 * 200" in text:
            return image.astype(np.uint16) * 200
        if "float64 / 255" in text:
            return image.astype(np.float64) / 255
        if "fourth channel" in text:
            return np.concatenate((image, image[..., :1] // 2), axis=-1)
        assert "two channels" in text
        return image[..., :2]
    if "4-dimensional" in text:
        return inputs[key][:, :, 5:61, 10:74]
    image = crop(key, index)
    return image.transpose(1, 2, 0) if ".transpose(1,2,0)" in text else image


def _index(text: str) -> tuple[slice, ...]:
    parts = text.strip("[]").split(",")
    return tuple(slice(*(int(n) if n else None for n in part.split(":"))) for part in parts)


def result_of(what: str, masks, flows, styles):
    """The part of a result that a fixture holds."""
    match = re.fullmatch(r"(masks|cellprob|style)(\d)", what)
    if match:
        name, i = match.group(1), int(match.group(2))
        return {"masks": masks[i], "cellprob": flows[i][2], "style": styles[i]}[name]
    rgb, dP, cellprob = (None, None, None) if isinstance(masks, list) else flows
    if what == "lengths":
        return np.array([len(masks), len(flows), len(styles)])
    if what == "stats":
        return np.array([dP.mean(), np.abs(dP).mean(), cellprob.mean(), (cellprob > 0).mean()], np.float64)
    if what == "masks_dtype":
        return np.array(str(masks.dtype))
    return {
        "masks": masks,
        "dP_sub3": None if dP is None else dP[..., ::3, ::3],
        "cellprob_sub3": None if cellprob is None else cellprob[..., ::3, ::3],
        "rgb_sub3": None if rgb is None else rgb[..., ::3, ::3, :],
        "style": styles,
    }[what]


def compare(what: str, got, expected, *, foreground: float = 0.01) -> None:
    """Fail unless ``got`` is what the fixture says, within the tolerances of its row."""
    assert got.shape == expected.shape
    if what == "masks_dtype" or what == "lengths" or expected.size == 0:
        np.testing.assert_array_equal(got, expected)
    elif what.startswith("masks"):
        compare_masks(got, expected, foreground)
    elif what.startswith("rgb"):
        # Angles and magnitudes are cut off to whole numbers, so that rounding may move a value by 1, and with it
        # the percentiles that scale all others.
        np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=2)
    else:
        # Stored as float16; the sums of a network run in another order.
        atol = 1e-3 if what.startswith("style") else 1e-2
        np.testing.assert_allclose(got, expected.astype(np.float64), atol=atol, rtol=1e-3)


def compare_masks(got, expected, foreground: float = 0.01) -> None:
    """Same cells: nearly all pixels agree on what is a cell, and all cells overlap by half."""
    different = np.mean((got > 0) != (expected > 0))
    assert different < foreground, f"{different:.2%} of the pixels are in a cell here or there only"
    if expected.max() == 0:
        assert got.max() == 0
        return
    ap = metrics.average_precision([expected], [got], threshold=[0.5])[0][0, 0]
    assert ap > 0.95, f"AP@0.5 is {ap:.3f}; {expected.max()} cells there, {got.max()} here"
