"""Restoration: what users rely on beside the numbers of the original."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from cellpose import denoise
from cellpose.errors import InputError, OptionError, UnknownModelError, WeightsError
from cellpose.nets import CPnet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with small networks under the published names."""
    torch.manual_seed(0)
    for name, nout in (("denoise_cyto3", 1), ("denoise_nuclei", 1), ("upsample_cyto3", 1)):
        torch.save(CPnet([1, 4, 8], nout).state_dict(), tmp_path / name)
    torch.save(CPnet([2, 4, 8], 3).state_dict(), tmp_path / "cyto3")
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)


def test_shapes_and_the_callers_array(folder: Path, image: np.ndarray) -> None:
    model, before = denoise.DenoiseModel(model_type="denoise_cyto3"), image.copy()
    restored = model.eval(image, channels=[0, 0], diameter=20.0)
    assert restored.shape == (40, 50, 1)
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(image, before)
    several = model.eval([image, image[:32]], channels=[0, 0], diameter=[20.0, 20.0])
    np.testing.assert_array_equal(several[0], restored)
    assert several[1].shape == (32, 50, 1)
    stack = model.eval(np.stack([image, image, image]), channels=[0, 0], z_axis=0)
    assert stack.shape == (3, 40, 50, 1)
    # Tiles are run in batches, whose size decides in which order float32 sums are made.
    np.testing.assert_allclose(stack[0], stack[2], rtol=1e-5, atol=1e-5)


def test_small_cells_are_enlarged(folder: Path, image: np.ndarray) -> None:
    model = denoise.DenoiseModel(model_type="upsample_cyto3")
    assert model.eval(image, channels=[0, 0], diameter=15.0).shape == (80, 100, 1)
    assert model.ratio == 2.0
    assert model.eval(image, channels=[0, 0], diameter=45.0).shape == (40, 50, 1)
    assert model.ratio == 1.0


def test_nuclei_have_a_network_of_their_own(folder: Path, image: np.ndarray) -> None:
    two = np.stack([image, image.T[:40, :50] if image.T.shape == image.shape else image[::-1]], axis=-1)
    one_net = denoise.DenoiseModel(model_type="denoise_cyto3").eval(two, channels=[1, 2])
    two_nets = denoise.DenoiseModel(model_type="denoise_cyto3", chan2=True).eval(two, channels=[1, 2])
    np.testing.assert_array_equal(one_net[..., 0], two_nets[..., 0])
    assert not np.allclose(one_net[..., 1], two_nets[..., 1])


def test_of_channels_without_contrast_nothing_is_restored(folder: Path, image: np.ndarray) -> None:
    model = denoise.DenoiseModel(model_type="denoise_cyto3")
    assert not model.eval(np.full((40, 50), 7, np.uint8), channels=[0, 0]).any()
    # a second channel that is blank is none
    two = model.eval(np.dstack([image, np.full_like(image, 255)]), channels=[1, 2])
    np.testing.assert_array_equal(two, model.eval(image, channels=[0, 0]))


def test_unknown_models_are_errors(folder: Path) -> None:
    with pytest.raises(UnknownModelError, match="denoise_cyto3"):
        denoise.DenoiseModel(model_type="denoise_cyto33")


def test_a_segmentation_network_does_not_restore(folder: Path) -> None:
    with pytest.raises(WeightsError, match="a restoration network has 1"):
        denoise.DenoiseModel(pretrained_model=folder / "cyto3")


def test_bad_options_are_errors(folder: Path, image: np.ndarray) -> None:
    model = denoise.DenoiseModel()
    with pytest.raises(InputError, match="diameter has 2 values"):
        model.eval([image], diameter=[10, 20])
    with pytest.raises(OptionError, match="batch_size"):
        model.eval(image, batch_size=0)
    with pytest.raises(InputError, match=r"\(batch, 1, Y, X\)"):
        denoise.add_noise(torch.zeros(4, 4))
    with pytest.raises(InputError, match="clean images"):
        denoise.test_loss(CPnet([1, 4], 1), torch.zeros(1, 1, 8, 8), lam=(0, 0, 1))


def test_all_options_reach_the_segmentation(folder: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="denoise_cyto3")
    given: dict[str, Any] = {}

    def spy(x: Any, **options: Any) -> tuple[Any, Any, Any]:
        given.update(options, shape=x.shape)
        return None, None, None

    monkeypatch.setattr(model.cp, "eval", spy)
    model.eval(np.stack([image] * 3), channels=[0, 0], do_3D=True, z_axis=0, flow3D_smooth=2, min_size=7)
    assert given["flow3D_smooth"] == 2
    assert given["min_size"] == 7
    assert given["bsize"] is None
    assert given["z_axis"] == 0
    assert given["shape"] == (3, 40, 50, 1)


def test_who_inverts(folder: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="denoise_cyto3")
    given: dict[str, Any] = {}
    whole = model.cp.eval
    monkeypatch.setattr(model.cp, "eval", lambda x, **options: given.update(options) or whole(x, **options))
    plain = model.eval(image, channels=[0, 0])[3]
    by_segmentation = model.eval(image, channels=[0, 0], invert=True)[3]
    assert given["invert"] is True
    np.testing.assert_array_equal(by_segmentation, plain)
    by_restoration = model.eval(image, channels=[0, 0], normalize={"invert": True})[3]
    assert given["invert"] is False
    np.testing.assert_array_equal(by_restoration, model.dn.eval(image, channels=[0, 0], normalize={"invert": True}))
    assert not np.array_equal(by_restoration, plain)


def test_restored_images_are_segmented(folder: Path, image: np.ndarray) -> None:
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="upsample_cyto3")
    masks, flows, styles, restored = model.eval(image, channels=[0, 0], diameter=15.0)
    assert masks.shape == restored.shape[:2] == (80, 100)
    assert flows[1].shape == (2, 80, 100)
    assert styles.shape == (8,)
    lists = model.eval([image, image], channels=[0, 0], diameter=15.0)
    assert all(len(one) == 2 for one in lists)
    np.testing.assert_array_equal(lists[0][1], masks)


def test_noise_is_reproducible_and_leaves_its_input() -> None:
    clean = torch.rand(3, 1, 40, 40)
    before = clean.clone()
    results = []
    for _ in range(2):
        np.random.seed(1)
        torch.manual_seed(1)
        results.append(denoise.add_noise(clean))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    torch.testing.assert_close(clean, before, rtol=0, atol=0)


def test_the_network_of_the_losses_sees_one_channel(folder: Path) -> None:
    one = denoise.one_chan_cellpose("cpu", "cyto3")
    two = CPnet([2, 4, 8], 3)
    two.load_state_dict(torch.load(folder / "cyto3", weights_only=True))
    plane = torch.rand(1, 1, 16, 16, requires_grad=True)
    output, _, features = one(plane)[:3]
    assert output.shape == (1, 3, 16, 16)
    output.sum().backward()
    assert plane.grad is not None
    assert not any(weight.requires_grad for weight in one.parameters())
    # A second channel at the running mean of its norm adds nothing, so both networks see the same.
    empty = torch.zeros_like(plane) + two.state_dict()["downsample.down.res_down_0.conv.conv_0.0.running_mean"][1]
    with torch.no_grad():
        torch.testing.assert_close(
            two.eval()(torch.cat([plane, empty], dim=1))[2][0], features[0], rtol=1e-4, atol=1e-5
        )


def test_faster_engines_restore_the_same(folder: Path, image: np.ndarray) -> None:
    exact = denoise.DenoiseModel(model_type="denoise_cyto3", engine="torch")
    model = denoise.DenoiseModel(model_type="denoise_cyto3", engine="native")
    options = {"channels": [0, 0], "diameter": 20.0}
    restored = exact.eval(image, **options)
    np.testing.assert_allclose(model.eval(image, **options), restored, atol=1e-5 * np.abs(restored).max())
    # Whoever changes the network gets what it then is.
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.mul_(0)
    assert not model.eval(image, **options).any()
    model.net = exact.net
    np.testing.assert_array_equal(model.eval(image, **options), restored)


def test_each_image_of_a_list_has_its_own_size_and_channels(folder: Path, image: np.ndarray) -> None:
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="upsample_cyto3")
    two = np.dstack([image, image[::-1]])
    masks, _, _, restored = model.eval([image, two], channels=[[0, 0], [1, 2]], diameter=[15.0, 60.0])
    assert [one.shape for one in restored] == [(80, 100, 1), (40, 50, 2)]
    assert model.ratio == 1.0
    # The first image is enlarged to cells of 30 pixels; those of the second, which is not, have 60 as they are.
    alone = model.eval(two, channels=[1, 2], diameter=60.0)
    np.testing.assert_allclose(restored[1], alone[3], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(masks[1], alone[0])
    first = model.eval(image, channels=[0, 0], diameter=15.0)
    np.testing.assert_array_equal(masks[0], first[0])
    assert model.ratio == 2.0


def test_planes_of_an_enlarged_volume_stay_as_far_apart(folder: Path, image: np.ndarray, caplog: Any) -> None:
    """In pixels of the enlarged volume their distance is larger, so that it is as deep beside its height."""
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="upsample_cyto3")
    volume, options = np.stack([image] * 4), {"channels": [0, 0], "do_3D": True, "z_axis": 0}
    for anisotropy, depth in ((2.0, 16), (None, 8)):
        with caplog.at_level(logging.INFO, "cellpose.models"):
            caplog.clear()
            model.eval(volume, **options, diameter=15.0, anisotropy=anisotropy)
        assert f"running the stack of (4, 80, 100) at ({depth}, 80, 100)" in caplog.text
    with caplog.at_level(logging.INFO, "cellpose.models"):
        caplog.clear()
        model.eval([volume, volume], **options, diameter=[15.0, 30.0], anisotropy=[3.0, 2.0])
    assert "(4, 80, 100) at (24, 80, 100)" in caplog.text
    assert "(4, 40, 50) at (8, 40, 50)" in caplog.text


def test_files_are_restored_as_arrays_are(folder: Path, image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image)
    model = denoise.DenoiseModel(engine="native")
    expected = model.eval(image)
    np.testing.assert_array_equal(model.eval(path), expected)
    np.testing.assert_array_equal(model.eval(one for one in (image, path))[1], expected)


def test_progress_covers_both_networks(folder: Path, image: np.ndarray) -> None:
    model, told = denoise.CellposeDenoiseModel(pretrained_model="cyto3"), []
    model.eval(image, channels=[0, 0], progress=told.append)
    assert told == sorted(told)
    assert 50 in told
    assert told[-1] == 100


def test_restoring_needs_no_torch(folder: Path) -> None:
    code = """
import sys
import numpy as np
from cellpose import denoise
model = denoise.DenoiseModel(pretrained_model=sys.argv[1], engine="native")
assert model.eval(np.random.default_rng(0).random((32, 32)), channels=[0, 0]).shape == (32, 32, 1)
assert "torch" not in sys.modules
"""
    path = folder / "denoise_cyto3"
    denoise.DenoiseModel(pretrained_model=path, engine="native")  # is compared with torch once
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_a_restoration_may_be_computed_in_8_bits(folder: Path, image: np.ndarray) -> None:
    pytest.importorskip("openvino")
    exact = denoise.DenoiseModel(engine="native").eval(image)
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", engine="openvino", restore_precision="int8")
    assert (model.dn.engine, model.dn.precision, model.cp.precision) == ("openvino", "int8", "float32")
    found = model.dn.eval(image)
    assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()
    with pytest.raises(OptionError, match="int8"):
        denoise.DenoiseModel(engine="native", precision="int8")
