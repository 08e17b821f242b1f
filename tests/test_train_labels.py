"""Labels before training: checks named per image, regions to ignore, targets kept in files."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tifffile
import torch

from cellpose import dynamics, io, nets, train
from cellpose.errors import InputError
from cellpose.train._data import Reading, Sources, build_set, build_sets
from cellpose.train._targets import flow_file, ignored_pixels, targets_of
from test_train_data import UNET, discs, files  # noqa: F401  (a fixture)


def test_reports_name_what_is_odd():
    labels = np.zeros((20, 20), np.int32)
    labels[2:5, 2:5] = labels[10:13, 2:5] = 3  # one label, two pieces
    labels[2:5, 10:13] = 7
    labels[15:, :] = -1
    (report,) = train.check_labels([labels], names=["a.tif"])
    assert (report.name, report.n_masks, report.gaps, report.in_pieces) == ("a.tif", 2, 5, (3,))
    assert report.ignored == pytest.approx(0.25)
    assert report.remarks(5) == ["2 masks, fewer than 5", "labels in several pieces: 3"]
    sizes, halves = train.check_labels([labels, labels + 0.5], [np.zeros((2, 20, 21)), np.zeros((20, 20))])
    assert "20 x 21 pixels and its labels have 20 x 20" in sizes.error
    assert "not integers" in halves.error


def test_diagonal_neighbours_are_one_piece():
    assert train.check_labels([np.eye(4, dtype=int)])[0].in_pieces == ()


def test_images_that_cannot_be_used_are_left_out_and_named(tmp_path, caplog):
    names = [str(tmp_path / name) for name in "abc"]
    image, labels = discs(7)
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        kept = build_set(Sources([image, image, image], [labels, labels[:-1], labels], names, probs=[1, 1, 3]), UNET)
    assert kept.names == names[::2]
    np.testing.assert_allclose(kept.probs, [0.25, 0.75])
    assert f"image {names[1]}: has 60 x 70 pixels and its labels have 59 x 70" in caplog.text
    assert "left out" in caplog.text


def test_images_with_few_masks_are_named(tmp_path, caplog):
    names = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    pairs = [discs(n) for n in (7, 2)]
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        build_sets(Sources([p[0] for p in pairs], [p[1] for p in pairs], names), Sources(), UNET)
    assert f"removing: {names[1]} (2)" in caplog.text


def test_labels_to_ignore_alone_teach_nothing(caplog):
    image, labels = discs(7)
    kept = build_set(Sources([image, image], [np.full(labels.shape, -1), labels]), UNET)
    assert kept.names == ["1"]
    assert "train image 0: has only regions to ignore" in caplog.text
    with pytest.raises(InputError, match="no train image can be used; the first, 0: has only regions to ignore"):
        build_set(Sources([image], [np.full(labels.shape, -1)]), UNET)


def test_a_training_without_any_mask_is_told(caplog):
    image, labels = discs(7)
    build_sets(Sources([image], [-labels.astype(np.int32)]), Sources(), UNET, min_train_masks=0)
    assert "no training image has a mask" in caplog.text


def test_nothing_usable_tells_the_first_reason():
    image, labels = discs(7)
    with pytest.raises(InputError, match=r"no train image can be used; the first, 0: has labels that are not integers"):
        build_set(Sources([image], [labels + 0.5]), UNET)


def test_targets_of_regions_to_ignore():
    _, labels = discs(7)
    sparse = labels.astype(np.int32)
    sparse[:, 40:] = -1
    targets = targets_of(sparse)
    np.testing.assert_array_equal(ignored_pixels(targets), sparse < 0)
    assert not targets[[0, 2, 3]][:, sparse < 0].any()
    np.testing.assert_array_equal(targets[1] > 0, sparse > 0)


def test_ignored_pixels_have_no_part_in_the_loss():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 3, 8, 8, generator=generator)
    target = torch.rand(2, 3, 8, 8, generator=generator)
    target[:, 0, :, 4:] = -1
    half = train._loss_fn_seg(target[..., :4], y[..., :4])
    # sums of 64 float32 numbers in another order
    torch.testing.assert_close(train._loss_fn_seg(target, y), half, rtol=1e-5, atol=0)
    y.requires_grad_()
    train._loss_fn_seg(target, y).backward()
    assert not y.grad[..., 4:].any()
    target[:, 0] = -1
    assert float(train._loss_fn_seg(target, y.detach())) == 0


def test_ignored_classes():
    classes = np.zeros((1, 4, 2, 2), np.float32)
    classes[0, 0, 0, 0] = -1
    ignored = torch.from_numpy(classes[:, 0] < 0)
    y = torch.zeros(1, 5, 2, 2)
    assert float(train._loss_fn_class(classes, y, ignored=ignored)) == pytest.approx(np.log(2))
    with pytest.raises(InputError, match="classes from -1"):
        train._loss_fn_class(classes, y)


@pytest.mark.parametrize("generation", ["unet", "transformer"])
def test_what_is_under_ignored_regions_does_not_matter(generation, tmp_path):
    """The same weights come out whatever the labels in the ignored half would have been."""
    from toy import toy_from_formula

    states = []
    for other in (0, 99):
        image, labels = discs(9)
        known = labels.astype(np.int32)
        targets = targets_of(np.where(np.arange(70) < 35, known, other))
        targets[1][:, 35:] = -1
        targets[[0, 2, 3], :, 33:] = 0  # cells that end at the ignored half have other flows
        targets[1][:, 33:35] = 0
        torch.manual_seed(0)
        net = nets.CPnet([2, 4, 8]) if generation == "unet" else toy_from_formula(3, "sam_vitl")
        train.train_seg(
            net, [image], [targets], n_epochs=2, bsize=32, save_path=tmp_path, model_name="m", min_train_masks=0,
            channels=[0, 0] if generation == "unet" else None, learning_rate=0.1,
        )  # fmt: skip
        states.append(net.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0] if k != "diam_labels")


def test_targets_are_kept_for_the_same_labels_only(tmp_path, monkeypatch):
    image_file = tmp_path / "im.tif"
    _, labels = discs(7)
    first = targets_of(labels, image_file=image_file)
    from cellpose import dynamics

    def never(*_, **__):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(dynamics, "labels_to_flows", never)
        np.testing.assert_array_equal(targets_of(labels, image_file=image_file), first)
        np.testing.assert_array_equal(targets_of(labels.astype(np.int64), image_file=image_file), first)
    changed = np.where(labels == 3, 0, labels)
    second = targets_of(changed, image_file=image_file)
    assert not np.array_equal(second, first)
    np.testing.assert_array_equal(io.imread(flow_file(image_file)), second)
    # a file without a key may be of any labels: it is made anew
    tifffile.imwrite(flow_file(image_file), first, photometric="minisblack")
    np.testing.assert_array_equal(targets_of(changed, image_file=image_file), second)
    flow_file(image_file).write_bytes(b"II*\0broken")
    np.testing.assert_array_equal(targets_of(changed, image_file=image_file), second)


def test_flow_files_of_other_labels_are_not_loaded(tmp_path, caplog):
    image, labels = discs(7)
    tifffile.imwrite(tmp_path / "im.tif", image)
    tifffile.imwrite(tmp_path / "im_masks.tif", labels)
    flows = targets_of(labels)
    # as the original writes it, without a key
    tifffile.imwrite(tmp_path / "im_flows.tif", flows, photometric="minisblack")
    np.testing.assert_array_equal(io.load_train_test_data(tmp_path)[1][0], flows)
    tifffile.imwrite(tmp_path / "im_masks.tif", np.where(labels == 2, 0, labels))
    with caplog.at_level(logging.WARNING, "cellpose"):
        loaded = io.load_train_test_data(tmp_path)[1][0]
    assert loaded.ndim == 2
    assert "im_flows.tif" in caplog.text


def test_flow_files_are_of_the_same_cells_whatever_their_numbers(tmp_path, caplog, monkeypatch):
    labels = discs(7)[1].astype(np.int32)
    table = np.array([0, 7, 30, 2, 900, 11, 5, 1])
    numbered = table[labels].astype(np.int32)
    numbered[:, 65:] = -2
    tifffile.imwrite(tmp_path / "im.tif", labels)
    tifffile.imwrite(tmp_path / "im_masks.tif", numbered)
    _, read, names, *_ = io.load_train_test_data(tmp_path)
    flows = dynamics.labels_to_flows(read, files=names)[0]
    np.testing.assert_array_equal(flows[0], np.maximum(numbered, 0))
    for same in (numbered, np.where(numbered < 0, -1, labels)):
        tifffile.imwrite(tmp_path / "im_masks.tif", same)
        np.testing.assert_array_equal(io.load_train_test_data(tmp_path)[1][0], flows)
    assert "does not match the labels" not in caplog.text
    for other in (np.where(labels == 2, 1, labels), np.where(labels == 2, 0, labels), labels):
        tifffile.imwrite(tmp_path / "im_masks.tif", other)
        caplog.clear()
        assert io.load_train_test_data(tmp_path)[1][0].ndim == 2
        assert "does not match the labels" in caplog.text
    targets_of(labels, image_file=tmp_path / "im.tif")
    monkeypatch.setattr(dynamics, "labels_to_flows", None)  # is not called any more
    targets_of(table[labels], image_file=tmp_path / "im.tif")


def test_read_only_folders_do_without_flow_files(files, monkeypatch, caplog):  # noqa: F811
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tifffile, "imwrite", refuse)
    images, masks = files
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        loaded = build_set(Sources(files=images, labels_files=masks), UNET, Reading(compute_flows=True))
    assert len(loaded) == 3
    assert "Permission denied" in caplog.text
