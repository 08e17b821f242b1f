"""Restoration compared with the original: every row of the fixtures."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import denoise
from cellpose.nets import CPnet
from conftest import Parity, parity_rows

# The fixtures are stored as float16, of which values between 1 and 4 keep 3 decimals.
RTOL, ATOL = 1e-3, 2e-3

DIFFERENT = {
    "add_noise/blur_s1_0": "a width of zero is no blur here; the original also shifts the image by one pixel",
}

ROWS = parity_rows("denoise")


def rows_of(*functions: str) -> list[Any]:
    """The rows about these functions."""
    return [row for row in ROWS if not row.values[0] or row.values[0]["fn"].removeprefix("denoise.") in functions]


def images(parity: Parity) -> torch.Tensor:
    return torch.from_numpy(parity.load("denoise")["in/noise/X"].astype(np.float32))


def seeded(seed: int = 0) -> None:
    np.random.seed(seed)
    torch.manual_seed(seed)


def close(actual: Any, expected: np.ndarray, rtol: float = RTOL, atol: float = ATOL) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("row", rows_of("add_noise"))
def test_add_noise(parity: Parity, row: dict[str, Any]) -> None:
    arguments = row["args"]
    keywords = ast.literal_eval(arguments[arguments.index("{") : arguments.index("}") + 1])
    clean = images(parity)
    seeded()
    noisy = denoise.add_noise(clean, **keywords)[:, :, ::2, ::2]
    expected = parity.load("denoise")[row["key"]]
    if row["key"].partition("/")[2] in DIFFERENT:
        # Shifted by one pixel along X, and in the 99 % of rows and columns that see no border, it is the same.
        whole = denoise.add_noise(clean, **keywords).numpy()
        shifted = np.roll(whole, 1, axis=-1)[:, :, ::2, ::2]
        assert abs(np.median(shifted - expected)) < 0.05
        assert not np.allclose(noisy.numpy(), expected, atol=0.1)
        return
    close(noisy, expected)


@pytest.mark.parametrize("row", rows_of("img_norm"))
def test_img_norm(parity: Parity, row: dict[str, Any]) -> None:
    if row["key"].endswith("const"):
        flat = 0.3 * torch.ones(2, 1, 10, 12)
        flat[1, 0, 5, 5] = 0.3005
        close(denoise.img_norm(flat), parity.load("denoise")[row["key"]], rtol=1e-4, atol=0)
    else:
        close(denoise.img_norm(images(parity))[:, :, ::2, ::2], parity.load("denoise")[row["key"]])


def test_deterministic(parity: Parity) -> None:
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    denoise.deterministic(seed=3)
    drawn = np.concatenate([np.random.rand(3), torch.rand(3).numpy()])
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
    close(drawn, parity.load("denoise")["both/deterministic"], rtol=0, atol=1e-12)


def small_net(parity: Parity, name: str, nout: int) -> CPnet:
    net = CPnet([1, 8, 16, 24], nout)
    net.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in parity.recipe(name).items()})
    return net.eval()


@pytest.fixture
def scene(parity: Parity) -> dict[str, Any]:
    """The images, targets and small networks of the loss fixtures."""
    x = images(parity)
    return {
        "X": x[:2, :, :96, :96],
        "img": x[2:, :, :96, :96],
        "lbl": torch.from_numpy(parity.load("denoise")["in/loss/lbl"].astype(np.float32)),
        "net0": small_net(parity, "denoise_small", 1),
        "net1": small_net(parity, "seg1_small", 3),
    }


@pytest.mark.parametrize("row", rows_of("loss_fn_rec", "loss_fn_seg", "loss_fn_per", "get_sigma", "imstats"))
def test_losses(parity: Parity, scene: dict[str, Any], row: dict[str, Any]) -> None:
    x, net1 = scene["X"], scene["net1"]
    level = int(row["key"][-1]) if row["key"][-1].isdigit() else 0
    with torch.no_grad():
        actual = {
            "loss_fn_rec": lambda: denoise.loss_fn_rec(scene["img"], x),
            "loss_fn_seg": lambda: denoise.loss_fn_seg(scene["lbl"], net1(x)[0]),
            "loss_fn_per": lambda: denoise.loss_fn_per(scene["img"], net1, net1(x)[2]),
            "get_sigma": lambda: denoise.get_sigma(net1(x)[2])[level],
            "imstats": lambda: denoise.imstats(x, net1)[level],
        }[row["fn"].removeprefix("denoise.")]()
    close(actual, parity.load("denoise")[row["key"]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("row", rows_of("test_loss", "train_loss"))
def test_weighted_losses(parity: Parity, scene: dict[str, Any], row: dict[str, Any]) -> None:
    lam = ast.literal_eval(row["key"].split("/")[2])
    function = getattr(denoise, row["fn"].removeprefix("denoise."))
    scene["net0"].train(row["fn"].endswith("train_loss"))
    both = function(scene["net0"], scene["X"], scene["net1"], scene["img"], scene["lbl"], lam=lam)
    actual = both[0 if row["key"].endswith("/loss") else 1].detach()
    close(actual, parity.load("denoise")[row["key"]], rtol=1e-3, atol=0)


@pytest.mark.parametrize("row", rows_of("random_rotate_and_resize_noise"))
def test_random_rotate_and_resize_noise(parity: Parity, row: dict[str, Any]) -> None:
    arguments = row["args"]
    keywords = ast.literal_eval(arguments[arguments.rindex("{") :])
    data = images(parity)[:2].numpy()
    lbl = parity.load("denoise")["in/loss/lbl"].astype(np.float32)
    labels = [np.pad(one, ((0, 0), (0, 4), (0, 14))) for one in lbl]
    seeded()
    result = denoise.random_rotate_and_resize_noise(list(data), labels, diams=20.0, xy=(64, 64), **keywords)
    # Warping twice is sensitive to the last bit of the affine map.
    close(result[int(row["key"][-1])], parity.load("denoise")[row["key"]], rtol=1e-2, atol=1e-2)
