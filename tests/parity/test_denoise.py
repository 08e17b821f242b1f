"""Restoration compared with the original: every row of the fixtures."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import denoise
from cellpose.metrics import average_precision
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


@pytest.fixture(scope="module")
def models_folder(parity: Parity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the recipe weights under the published names."""
    folder = tmp_path_factory.mktemp("models")
    for recipe, names in (
        ("denoise", ("denoise_cyto3", "upsample_cyto3", "denoise_nuclei")),
        ("cpnet", ("cyto3",)),
    ):
        state = {key: torch.from_numpy(np.asarray(value)) for key, value in parity.recipe(recipe).items()}
        for name in names:
            torch.save(state, folder / name)
    return folder


@pytest.fixture
def installed(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(models_folder))


@pytest.mark.parametrize("row", rows_of("DenoiseModel.eval"))
@pytest.mark.usefixtures("installed")
def test_denoise_model(parity: Parity, row: dict[str, Any]) -> None:
    real = {i: parity.load("inputs")[f"real/{i}"] for i in (0, 1)}
    name = row["key"].split("/")[2]
    model = denoise.DenoiseModel(pretrained_model="denoise_cyto3", nchan=1)
    if name == "gray":
        restored = model.eval(real[0][20:140, 30:160], bsize=112, channels=[0, 0])
    elif name == "list":
        pair = [real[0][20:140, 30:160], real[0][20:130, 30:150]]
        restored = model.eval(pair, bsize=112, channels=[0, 0], diameter=[30, 20])[int(row["key"][-1])]
    else:
        keywords = ast.literal_eval(row["args"][row["args"].index("{") :])
        restored = model.eval(real[1][20:140, 30:160], **keywords)
    assert restored.shape == tuple(row["shape"])
    assert restored.dtype == np.float32
    expected = parity.load("denoise")[row["key"]].astype(np.float32)
    restored = restored if "[::2, ::2]" not in row.get("note", "") else restored[::2, ::2]
    if name == "nonorm":  # values of hundreds, beyond which float16 keeps no unit digits
        close(restored, expected, atol=0.5)
    else:
        close(restored, expected)


@pytest.fixture(scope="module")
def restored_and_segmented(parity: Parity, models_folder: Path) -> dict[str, Any]:
    """What the two runs of `CellposeDenoiseModel` in the fixtures gave."""
    image = parity.load("inputs")["real/0"]
    results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(models_folder))
        for name, crop, diameter, restore_type in (
            ("eval", image[20:140, 30:160], 30, "denoise_cyto3"),
            ("eval_upsample", image[20:100, 30:110], 15, "upsample_cyto3"),
        ):
            model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type=restore_type)
            masks, flows, _, restored = model.eval(crop, channels=[0, 0], diameter=diameter, bsize=112)
            results[name] = {"masks": masks, "dP": flows[1], "cellprob": flows[2], "imgs_dn": restored}
    return results


@pytest.mark.parametrize("row", rows_of("CellposeDenoiseModel.eval"))
def test_cellpose_denoise_model(parity: Parity, restored_and_segmented: dict[str, Any], row: dict[str, Any]) -> None:
    _, run, what = row["key"].split("/")
    actual = restored_and_segmented[run.removeprefix("CellposeDenoiseModel.")][what]
    expected = parity.load("denoise")[row["key"]]
    assert actual.shape == tuple(row["shape"])
    if what == "masks":
        assert actual.dtype == expected.dtype
        assert average_precision(expected, actual, threshold=[0.5])[0][0] > 0.9
    else:
        close(actual, expected)
