"""Training of restoration networks on noisy images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from cellpose import denoise, weights
from cellpose.denoise import __main__ as script
from cellpose.denoise._self import hide_pixels, train_self
from cellpose.errors import InputError, OptionError
from cellpose.nets import CPnet


def noisy(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image, and the same with noise of each pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / 9
    clean = np.sin(y + rng.random() * 6) * np.cos(x + rng.random() * 6)
    return clean.astype(np.float32), (clean + rng.normal(0, 0.6, clean.shape)).astype(np.float32)


def small_net() -> CPnet:
    torch.manual_seed(1)
    return CPnet([1, 8, 16], 1)


def test_hidden_pixels_show_a_neighbour_and_the_others_themselves() -> None:
    crops = np.arange(2 * 40 * 40, dtype=np.float32).reshape(2, 1, 40, 40)
    hiding, hidden = hide_pixels(crops, np.random.default_rng(0))
    assert 0.01 < hidden.mean() < 0.04
    np.testing.assert_array_equal(hiding[~hidden], crops[~hidden])
    assert (hiding[hidden] != crops[hidden]).all()
    of_image, _, y, x = np.nonzero(hidden)
    found = hiding[hidden].astype(int)
    shown_y, shown_x = found % 1600 // 40, found % 40
    np.testing.assert_array_equal(found // 1600, of_image)
    assert np.abs(shown_y - y).max() == np.abs(shown_x - x).max() == 2


@pytest.mark.slow
def test_noise_goes_and_the_image_stays(tmp_path: Path) -> None:
    images = [noisy(seed)[1] for seed in range(3)]
    path, losses = train_self(
        small_net(), images, n_epochs=12, crops_per_epoch=32, crop_side=32, learning_rate=0.01, save_path=tmp_path
    )
    assert losses.shape == (12,)
    assert losses[-1] < losses[0]
    clean, seen = noisy(9)
    restored = denoise.DenoiseModel(pretrained_model=path).eval(seen, channels=[0, 0])[..., 0]
    far = [1 - np.corrcoef(image.ravel(), clean.ravel())[0, 1] for image in (seen, restored)]
    assert far[1] < far[0] / 2


@pytest.mark.slow
def test_the_rim_of_an_image_is_as_bright_as_it_was(tmp_path: Path) -> None:
    """Around an image the network sees zeros, which it must not take for a part of it."""
    bright = [noisy(seed)[1] + 6 for seed in range(3)]
    path, _ = train_self(
        small_net(), bright, n_epochs=30, crops_per_epoch=32, crop_side=32, learning_rate=0.01, save_path=tmp_path
    )
    model, darker = denoise.DenoiseModel(pretrained_model=path), []
    for seed in (9, 10, 11):
        clean, seen = noisy(seed)
        restored = model.eval(seen + 6, channels=[0, 0])[..., 0]
        rim = np.ones(clean.shape, bool)
        rim[1:-1, 1:-1] = False
        error = np.polyval(np.polyfit(restored[~rim], clean[~rim], 1), restored) - clean
        darker.append(-error[rim].mean() / clean.std())
    assert abs(np.mean(darker)) < 0.3  # 1.1 if crops never show what is around


def test_the_same_seed_trains_the_same_network_and_leaves_global_generators_alone(tmp_path: Path) -> None:
    np.random.seed(5)
    runs = [train_self(small_net(), [noisy(0)[1]], n_epochs=2, crops_per_epoch=4, crop_side=16, save_path=tmp_path)]
    assert np.random.rand() == np.random.RandomState(5).rand()
    runs += [train_self(small_net(), [noisy(0)[1]], n_epochs=2, crops_per_epoch=4, crop_side=16, save_path=tmp_path)]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_such_networks_see_images_at_their_own_size(tmp_path: Path) -> None:
    path, _ = train_self(small_net(), [noisy(0)[1]], n_epochs=1, crops_per_epoch=2, crop_side=16, save_path=tmp_path)
    assert weights.read_card(path)["size"] == "native"
    model, image = denoise.DenoiseModel(pretrained_model=path), noisy(1)[1]
    np.testing.assert_array_equal(model.eval(image, diameter=15), model.eval(image))
    (tmp_path / "plain").mkdir()
    small_net().save_model(tmp_path / "plain" / "net")
    other = denoise.DenoiseModel(pretrained_model=tmp_path / "plain" / "net")
    assert not np.array_equal(other.eval(image, diameter=15), other.eval(image))


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(script.io, "logger_setup", lambda: None)
    folder = tmp_path / "noisy"
    folder.mkdir()
    side = 96
    tifffile.imwrite(folder / "a.tif", noisy(0, side)[1])
    tifffile.imwrite(folder / "b.tif", np.stack([noisy(1, side)[1], np.zeros((side, side), np.float32)]))
    seen = []

    def record(net: CPnet, images: list[np.ndarray], **options: object) -> None:
        seen.append((net.nout, [image.shape for image in images], options))

    monkeypatch.setattr(script, "train_self", record)
    words = ["--self", "--dir", str(folder), "--n_epochs", "3", "--model_name_out", "mine", "--test_dir", "d"]
    with caplog.at_level("WARNING", "cellpose.denoise"):
        assert script.main([*words, "--poisson", "0.1", "--noise_type", "all"]) == 0
    assert caplog.messages == ["--test_dir, --noise_type, --poisson have no effect beside --self"]
    nout, shapes, options = seen[0]
    assert nout == 1
    assert shapes == [(side, side)] * 2  # the empty plane teaches nothing
    assert (options["n_epochs"], options["model_name"]) == (3, "mine")
    assert options["save_path"] == tmp_path.resolve() / "models"


def test_files_that_cannot_be_used_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(script.io, "logger_setup", lambda: None)
    for name, image in (("a", noisy(0, 96)[1]), ("c", np.ones((96, 96))), ("s", noisy(0, 32)[1])):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    (tmp_path / "empty.png").touch()
    seen: list[int] = []
    monkeypatch.setattr(script, "train_self", lambda _, images, **__: seen.append(len(images)))
    with caplog.at_level("INFO", "cellpose.denoise"):
        assert script.main(["--self", "--dir", str(tmp_path)]) == 0
    assert seen == [1]
    for told in (
        "c.tif is left out: all its pixels",
        "s.tif is left out: its shape is (32, 32)",
        "empty.png is left out",
    ):
        assert told in caplog.text
    assert "1 of 4 images hold 1 planes" in caplog.text


@pytest.mark.parametrize("words", [["--self", "--n_epochs", "0"], ["--self", "--model_name_out", "a/b"], []])
def test_errors_of_the_command_are_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(script.io, "logger_setup", lambda: None)
    tifffile.imwrite(tmp_path / "a.tif", noisy(0, 96)[1])
    with pytest.raises(SystemExit) as stop:
        script.main([*words, "--dir", str(tmp_path)] if words else [])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m cellpose.denoise: error: ")


@pytest.mark.parametrize(
    ("net", "images", "options", "error", "text"),
    [
        ((1, 1), [np.zeros((64, 64, 3))], {}, InputError, r"image 0 has the shape \(64, 64, 3\)"),
        ((1, 1), [np.zeros((20, 64))], {}, InputError, "smaller crop_side"),
        ((1, 1), [], {}, InputError, "no images"),
        ((2, 3), [np.zeros((64, 64))], {}, InputError, "one channel and one output"),
        ((1, 1), [np.zeros((64, 64))], {"crop_side": 36}, OptionError, "multiple of 8"),
        ((1, 1), [np.zeros((64, 64))], {"n_epochs": 0}, OptionError, "at least 1"),
    ],
)
def test_bad_things(net: tuple[int, int], images: list, options: dict, error: type, text: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=text):
        train_self(CPnet([net[0], 4, 8], net[1]), images, **({"crop_side": 32} | options), save_path=tmp_path)
    assert not list(tmp_path.iterdir())
