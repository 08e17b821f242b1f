"""Training of restoration networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from cellpose import denoise, dynamics
from cellpose.denoise import __main__ as script
from cellpose.errors import InputError, OptionError
from cellpose.nets import CPnet


def cells(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    yy, xx = np.mgrid[:side, :side]
    for number, (cy, cx) in enumerate([(16, 16), (16, 46), (46, 16), (46, 46)], start=1):
        labels[(yy - cy) ** 2 + (xx - cx) ** 2 < (8 + rng.integers(4)) ** 2] = number
    image = (labels > 0) * (0.7 + 0.3 * rng.random((side, side)))
    return image.astype(np.float32), labels


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A small segmentation network in a file."""
    torch.manual_seed(0)
    path = tmp_path / "judge"
    CPnet([2, 4, 8], 3).save_model(path)
    return path


def small_net() -> CPnet:
    torch.manual_seed(1)
    return CPnet([1, 4, 8], 1)


def run(tmp_path: Path, **options: Any) -> tuple[Path, np.ndarray, np.ndarray]:
    images, labels = zip(*(cells(seed) for seed in range(4)), strict=True)
    given = {"train_data": images, "train_labels": labels, "save_path": tmp_path, "lam": (0, 0, 1)} | options
    return denoise.train(given.pop("net", None) or small_net(), **given)


@pytest.mark.slow
def test_a_network_learns_and_its_file_restores(tmp_path: Path) -> None:
    net = small_net()
    path, losses, _ = run(tmp_path, net=net, n_epochs=20, learning_rate=0.02, poisson=1.0, blur=0.0, model_name="mine")
    assert path == tmp_path / "mine"
    assert len(losses) == 10 + 2  # epochs 0 to 9, then every fifth one
    assert losses[-1] < losses[0] / 2
    restored = denoise.DenoiseModel(pretrained_model=path).eval(cells(9)[0], channels=[0, 0])
    assert restored.shape == (64, 64, 1)
    loaded = torch.load(path, weights_only=True)
    torch.testing.assert_close(loaded, net.state_dict(), rtol=0, atol=0)


def test_the_same_run_gives_the_same_losses_and_leaves_the_generators_alone(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        np.random.seed(5)
        torch.manual_seed(5)
        results.append(run(tmp_path, n_epochs=3, test_data=[cells(7)[0]], test_labels=[cells(7)[1]])[1:])
        assert np.random.rand() == np.random.RandomState(5).rand()
        state = torch.get_rng_state()
        torch.manual_seed(5)
        small_net()  # draws its weights before the run starts
        assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0][1] > 0).all()


def test_losses_of_a_segmentation_network(tmp_path: Path, judge: Path) -> None:
    _, plain, _ = run(tmp_path, n_epochs=2, lam=(0, 1.5, 0), seg_model_type=judge)
    _, both, _ = run(tmp_path, n_epochs=2, lam=(1, 1.5, 0), seg_model_type=judge)
    assert both[0] > plain[0] > 0  # the same crops and weights; the perceptual loss comes on top
    before = torch.load(judge, weights_only=True)
    run(tmp_path, n_epochs=2, lam=(1, 1.5, 0), seg_model_type=judge)
    torch.testing.assert_close(torch.load(judge, weights_only=True), before, rtol=0, atol=0)


def test_kinds_of_noise_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = denoise._batch.add_noise

    def spy(clean: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(options["beta"])
        return original(clean, **options)

    monkeypatch.setattr(denoise._batch, "add_noise", spy)
    run(tmp_path, n_epochs=1, batch_size=1, nimg_per_epoch=6, beta=[0.7, 0.1, 0.03], blur=[0.0, 0.8, 0.8])
    assert sorted(seen[:3]) == [0.03, 0.1, 0.7]
    assert seen[3:] == seen[:3]


def test_learning_rates_of_short_and_long_runs() -> None:
    rates = denoise._train._learning_rates(1.0, 500)
    assert len(rates) == 500
    np.testing.assert_allclose(rates[[0, 9, 10, 409, 410, 420, 499]], [0, 1, 1, 1, 0.5, 0.25, 0.5**9])
    assert len(denoise._train._learning_rates(1.0, 30)) == 30


def test_files_give_the_same_run_as_arrays(tmp_path: Path) -> None:
    files, images, labels = [], [], []
    for seed in range(3):
        image, label = cells(seed)
        targets = dynamics.labels_to_flows([label])[0]
        files.append(str(tmp_path / f"{seed}_img.tif"))
        tifffile.imwrite(files[-1], (60000 * image).astype(np.uint16))
        tifffile.imwrite(tmp_path / f"{seed}_img_flows.tif", targets, photometric="minisblack")
        images.append(denoise._data.clean_image((60000 * image).astype(np.uint16)))
        labels.append(targets)
    _, from_files, _ = run(tmp_path, n_epochs=2, train_data=None, train_labels=None, train_files=files)
    _, from_arrays, _ = run(tmp_path, n_epochs=2, train_data=images, train_labels=labels)
    np.testing.assert_array_equal(from_files, from_arrays)


def test_models_of_some_epochs_are_kept(tmp_path: Path) -> None:
    run(tmp_path, n_epochs=5, save_every=2, save_each=True, model_name="m")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m_epoch_0002"]
    path, *_ = run(tmp_path, n_epochs=1, iso=False)
    assert path.name.startswith("per_0.00_seg_0.00_rec_1.00_aniso_poisson_blur_2")


def test_an_interrupted_run_leaves_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(denoise._train._Run, "train_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, model_name="m")
    assert (tmp_path / "m").is_file()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lam": (0, 0, 0)}, OptionError, "three weights, 0 or more"),
        ({"lam": (1, 1)}, OptionError, "three weights"),
        ({"blur": 1.5}, OptionError, "blur=1.5 is not allowed"),
        ({"blur": [0, 1], "beta": [1, 1, 1]}, OptionError, "lists of equal length"),
        ({"n_epochs": 0}, OptionError, "n_epochs=0"),
        ({"train_probs": [1, 1]}, InputError, r"train_probs of shape \(2,\) .* give 4 finite numbers"),
        ({"train_probs": [1, 1, np.inf, 1]}, InputError, "finite numbers"),
        ({"train_labels": None}, InputError, "4 train images and 0 labels"),
        ({"train_data": None}, InputError, "no images to train on"),
        ({"train_labels": [np.zeros((8, 8), int)] * 4}, InputError, r"train image 0 has \(64, 64\) pixels"),
        ({"net": CPnet([1, 4], 3)}, InputError, "3 outputs"),
    ],
)
def test_bad_input(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path, **options)


def test_script(
    tmp_path: Path,
    judge: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(script.io, "logger_setup", lambda: None)  # its handlers would stay for other tests
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(2):
        image, label = cells(seed)
        tifffile.imwrite(folder / f"{seed}_img.tif", (255 * image).astype(np.uint8))
        tifffile.imwrite(folder / f"{seed}_masks.tif", label.astype(np.uint16))
    monkeypatch.setattr(script.nets, "CPnet", lambda nbase, nout, **options: CPnet([1, 4], nout, **options))
    common = ["--dir", str(folder), "--seg_model_type", str(judge), "--n_epochs", "2"]
    assert script.main([*common, "--noise_type", "all"]) == 0
    (model,) = (tmp_path / "models").iterdir()
    assert model.name.startswith("per_1.00_seg_1.50_rec_0.00_poisson_blur_downsample_")
    with caplog.at_level("WARNING", "cellpose.denoise"):
        assert script.main([*common, "--noise_type", "all", "--model_name_out", "mine", "--blur", "0.5"]) == 0
    assert (tmp_path / "models" / "mine").is_file()
    assert caplog.messages == ["--blur has no effect beside --noise_type"]
    with pytest.raises(SystemExit) as stop:
        script.main([*common, "--pretrained_model", "no_such_model"])
    assert stop.value.code == 2
    assert "no_such_model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        script.main([])


@pytest.mark.parametrize("name", script.NOISE_TYPES)
def test_noise_types_are_noises(name: str) -> None:
    noise = dict(script.NOISE_TYPES[name])
    noise.pop("iso", None)
    noise.pop("uniform_blur", None)
    assert denoise._train._Noise.each(**{"blur": 0.0, "downsample": 0.0, "gblur": 1.0} | noise)
