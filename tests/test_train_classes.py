"""The networks of the paper's comparison: U-Nets of two and three classes, and ablations; trained, saved, run again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import Bench
from cellpose import metrics, models, nets, train, weights
from cellpose.errors import InputError, OptionError
from cellpose.models._classes import class_masks
from cellpose.train._classes import class_image, with_classes
from cellpose.train._data import Reading, Sources, build_set
from test_train_cli import WORDS, bench, folders  # noqa: F401  (fixtures)
from test_train_data import UNET, discs


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make runs of tiny networks slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_classes_of_touching_cells():
    numbers = np.zeros((5, 8), int)
    numbers[1:4, 1:4], numbers[1:4, 4:7] = 1, 2
    expected = np.zeros((5, 8), int)
    expected[1:4, 1:7] = 2
    expected[2, [2, 5]] = 1
    np.testing.assert_array_equal(class_image(numbers, 3), expected)
    np.testing.assert_array_equal(class_image(numbers, 2), numbers > 0)
    assert not class_image(np.full((3, 3), -1), 3).any()  # nobody knows: no class, and no loss either


def test_boundaries_part_cells_and_belong_to_them():
    numbers = np.zeros((20, 30), int)
    numbers[3:15, 3:13], numbers[3:15, 13:25] = 1, 2
    classes = class_image(numbers, 3)
    scores = np.stack([8.0 * (classes == c) for c in range(3)]).astype(np.float32)
    np.testing.assert_array_equal(class_masks(scores), numbers)
    two = np.stack([8.0 * (numbers == 0), 8.0 * (numbers > 0)]).astype(np.float32)
    assert class_masks(two).max() == 1  # two classes cannot part what touches


def test_streamed_images_get_classes_too(tmp_path):
    import tifffile

    image, labels = discs(9, seed=0)
    tifffile.imwrite(tmp_path / "a.tif", image)
    tifffile.imwrite(tmp_path / "a_masks.tif", labels)
    sources = Sources(files=[tmp_path / "a.tif"], labels_files=[tmp_path / "a_masks.tif"])
    items = []
    for load_files in (True, False):
        images = build_set(sources, UNET, Reading(load_files=load_files, compute_flows=True))
        items.append(with_classes(images, 3).item(0)[1])
    assert items[0].shape == (5, *labels.shape)
    np.testing.assert_array_equal(items[0], items[1])
    with pytest.raises(InputError, match="4 classes"):
        with_classes(images, 4)


def test_classes_need_two_or_three_outputs():
    with pytest.raises(OptionError, match="nout=4"):
        nets.CPnet([2, 4], nout=4, classes=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_of_classes_learns_and_comes_back(tmp_path, n_classes):
    torch.manual_seed(0)
    net = nets.CPnet(
        [2, 8, 16], nout=n_classes, classes=True, residual_on=False, style_on=False, concatenation=True, diam_mean=12.0
    )
    images, labels = zip(*(discs(9, seed=i) for i in range(4)), strict=True)
    path, losses, test_losses = train.train_seg(
        net, list(images), list(labels), test_data=list(images[:1]), test_labels=list(labels[:1]), channels=[0, 0],
        n_epochs=41, learning_rate=0.02, bsize=64, batch_size=4, save_path=tmp_path, model_name="mine", seed=0,
        records=True, validate_every=20,
    )  # fmt: skip
    assert losses[-5:].mean() < 0.5 * losses[0]
    assert 0 < test_losses[-1] < test_losses[0]
    model = models.CellposeModel(pretrained_model=str(path))
    assert model.engine == "torch"
    family = weights.architecture(path)
    assert (family.classes, family.nout, family.style_on) == (True, n_classes, False)
    assert (family.residual_on, family.concatenation) == (False, True)
    x = torch.rand(1, 2, 16, 16)
    torch.testing.assert_close(model.net(x)[0], net.eval()(x)[0])
    masks, flows, style = model.eval(images[0], channels=[0, 0])
    assert metrics.average_precision(labels[0], masks, [0.5])[0][0] > 0.5
    assert masks.dtype == np.uint16
    assert [f.shape for f in flows] == [(*masks.shape, 3), (2, *masks.shape), masks.shape]
    assert flows[0].dtype == np.uint8
    assert style.shape == (16,)
    stitched = model.eval(np.stack([images[0]] * 2), channels=[0, 0], z_axis=0, stitch_threshold=0.5)[0]
    assert stitched.shape == (2, *masks.shape)
    np.testing.assert_array_equal(stitched[0], stitched[1])
    with pytest.raises(OptionError, match="do_3D"):
        model.eval(np.stack([images[0]] * 2), channels=[0, 0], z_axis=0, do_3D=True)
    with pytest.raises(OptionError, match="classes"):
        models.segment_large(model, images[0])


def test_older_files_tell_by_their_name(tmp_path):
    net = nets.CPnet([2, 4, 8], nout=3, classes=True)
    for name, classes in (("unet3_residual_off_style_off_concatenation_on_x", True), ("mine", False)):
        net.save_model(tmp_path / name)
        assert weights.architecture(tmp_path / name).classes is classes


def test_a_style_that_was_off_stays_off(tmp_path):
    net = nets.CPnet([2, 4, 8], style_on=False)
    image, labels = discs(9, seed=0)
    path, *_ = train.train_seg(net, [image], [labels], channels=[0, 0], n_epochs=1, bsize=32, save_path=tmp_path)
    assert weights.load_network(path).style_on is False


ABLATIONS = {
    "no_residual": (["--residual_on", "0"], {"residual_on": False}, "cellpose_residual_off_style_on_concatenation_off"),
    "no_style": (["--style_on", "0"], {"style_on": False}, "cellpose_residual_on_style_off_concatenation_off"),
    "concatenation": (["--concatenation", "1"], {"concatenation": True}, "residual_on_style_on_concatenation_on"),
    "unet2": (["--unet", "--nclasses", "2"], {"classes": True, "nout": 2, "residual_on": False}, "unet2_residual_off"),
    "unet3": (["--unet"], {"classes": True, "nout": 3, "style_on": False, "concatenation": True}, "unet3_residual_off"),
    "unet3_res": (["--unet", "--residual_on", "1"], {"classes": True, "residual_on": True}, "unet3_residual_on"),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_from_the_command_line(folders: Bench, monkeypatch, capsys, name):  # noqa: F811
    from cellpose.cli import _train

    monkeypatch.setattr(_train, "_WIDTHS", (4, 8))
    words, facts, begin = ABLATIONS[name]
    folder = folders.root / "train"
    options = ["--n_epochs", "2", "--learning_rate", "0.01", "--diam_mean", "12", "--pretrained_model", "None"]
    assert folders.run("--train", "--dir", str(folder), *options, *words, "--no_records") == 0
    (path,) = (folder / "models").iterdir()
    assert begin in path.name
    family = weights.architecture(path)
    assert {key: getattr(family, key) for key in facts} == facts
    assert (
        folders.run("--dir", str(folders.root / "test"), "--pretrained_model", str(path), "--no_npy", "--save_tif") == 0
    )
    assert list((folders.root / "test").glob("*_cp_masks.tif"))


def test_layout_is_for_new_networks_only(folders: Bench, capsys):  # noqa: F811
    folder = str(folders.root / "train")
    assert folders.run("--train", "--dir", folder, *WORDS, "--style_on", "0") == 2
    assert "--pretrained_model None" in capsys.readouterr().err
    assert folders.run("--train", "--dir", folder, "--pretrained_model", "None", "--nclasses", "2") == 2
    assert "--unet" in capsys.readouterr().err
