"""What training is given in place of planes and labels is told as what it is: stacks, pictures, binary masks."""

from __future__ import annotations

import logging
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile

from cellpose import denoise, dynamics, io, models, nets, train
from cellpose._labels.kinds import holds_targets, label_plane
from cellpose.errors import FileReadError, FileWriteError, InputError, OptionError
from cellpose.io._label_image import read_labels
from cellpose.train._data import Reading, Sources, build_set, build_sets
from test_train_data import UNET, discs

IMAGE, LABELS = discs(9)


@pytest.fixture(autouse=True)
def log_reaches_the_root(monkeypatch):
    """An earlier test may have set up the log, which then goes to its own handlers only."""
    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)


# ---------------------------------------------------------------------------------------------------------- stacks


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("planes", [2, 3, 4, 5])
def test_stacks_of_labels_are_no_flows(planes, dtype, tmp_path):
    stack = np.stack([LABELS] * planes).astype(dtype)
    told = rf"labels of shape \({planes}, 60, 70\) are {planes} planes.*`cellpose slices`"
    with pytest.raises(InputError, match="^0: " + told):
        dynamics.labels_to_flows([stack])
    with pytest.raises(InputError, match="the flows of a volume are those of masks_to_flows"):
        dynamics.labels_to_flows([stack])
    with pytest.raises(InputError, match=r"a\.tif: " + told):
        dynamics.labels_to_flows([stack], files=["a.tif"])
    net = nets.CPnet([2, 4, 8])
    for room in (train.train_seg, lambda n, *data, **_: train.train_size(n, None, *data)):
        with pytest.raises(InputError, match=told):
            room(net, [IMAGE], [stack], save_path=tmp_path)
    with pytest.raises(InputError, match="train image 0: " + told):
        denoise.train(nets.CPnet([1, 4, 8], 1), [IMAGE / 255], [stack], lam=(0, 0, 1), save_path=tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    tifffile.imwrite(tmp_path / "a_masks.tif", stack, photometric="minisblack")
    with pytest.raises(InputError, match=r"a_masks\.tif: " + told):
        io.load_train_test_data(tmp_path)
    for load in (True, False):
        sources = Sources(files=[tmp_path / "a.tif"], labels_files=[tmp_path / "a_masks.tif"])
        with pytest.raises(InputError, match=told):
            build_set(sources, UNET, Reading(None, load, True))


def test_three_planes_of_flows_are_those_of_their_labels(tmp_path, caplog):
    flows = dynamics.labels_to_flows([LABELS])[0]
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    tifffile.imwrite(tmp_path / "a_flows.tif", flows[1:], photometric="minisblack")
    tifffile.imwrite(tmp_path / "a_masks.tif", LABELS)
    np.testing.assert_array_equal(io.load_images_labels(tmp_path)[1][0], flows)
    edited = np.where(LABELS == 3, 0, LABELS).astype(LABELS.dtype)
    tifffile.imwrite(tmp_path / "a_masks.tif", edited)
    np.testing.assert_array_equal(io.load_images_labels(tmp_path)[1][0], edited)
    assert "does not match the labels" in caplog.text


def test_one_label_in_all_planes_is_no_flow():
    ones = np.stack([(LABELS > 0).astype(np.float32)] * 4)
    assert not holds_targets(ones)
    with pytest.raises(InputError, match="4 planes"):
        label_plane(ones)


def test_flows_are_known_by_their_values():
    flows = dynamics.labels_to_flows([LABELS])[0]
    classes = np.concatenate([flows[:1], flows[:1] % 2, flows[1:]])
    unknown = dynamics.labels_to_flows([np.where(LABELS == 3, -1, LABELS.astype(np.int32))])[0]
    for targets in (flows, classes, unknown, flows.astype(np.float64), np.zeros((4, 5, 6), np.float32)):
        assert holds_targets(targets)
        assert label_plane(targets) is targets
    for wrong in (flows[:3], flows * 5, flows + 0.5, np.roll(flows, 30, axis=2) * [[[1]], [[0]], [[1]], [[1]]]):
        assert not holds_targets(wrong)
    with pytest.raises(InputError, match="labels_to_flows"):
        label_plane(flows + 0.25)


@pytest.mark.parametrize("labels", [LABELS[None], LABELS[..., None], np.dstack([LABELS] * 3), LABELS.astype(float)])
def test_one_plane_of_labels_in_any_form(labels):
    np.testing.assert_array_equal(label_plane(labels), LABELS)
    np.testing.assert_array_equal(dynamics.labels_to_flows([labels])[0][0], LABELS)
    assert len(build_set(Sources([IMAGE], [labels]), UNET)) == 1


def test_stacks_of_images_are_left_out(tmp_path, caplog):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}_masks.tif", LABELS)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IMAGE] * 5), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "b.tif", IMAGE)
    _, labels, names, *_ = io.load_train_test_data(tmp_path)
    assert [len(labels), names] == [1, [str(tmp_path / "b.tif")]]
    assert "a.tif is left out" in caplog.text
    assert "5 planes" in caplog.text
    caplog.clear()
    with pytest.raises(InputError, match=r"4, 5, 60, 70\).*`cellpose slices`"):
        build_set(Sources([np.zeros((4, 5, 60, 70))], [LABELS]), UNET)
    build_set(Sources([np.stack([IMAGE] * 5)], [LABELS]), UNET)
    assert "is read as 5 channels" in caplog.text


# ------------------------------------------------------------------------------------------- what else is no label


def told_of(labels, caplog) -> str:
    """What is said of labels before a training with them."""
    caplog.clear()
    try:
        build_set(Sources([IMAGE], [labels]), UNET)
    except InputError as error:
        return str(error)
    return caplog.text


def test_what_is_no_label_image_is_told(caplog):
    binary, colors = LABELS > 0, np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    assert "one label, 1, in 9 pieces: a binary mask?" in told_of(binary, caplog)
    assert "one label, 255, in 9 pieces" in told_of((binary * 255).astype(np.uint8), caplog)
    assert "classes of pixels?" in told_of(np.where(binary, 1 + LABELS % 2, 0), caplog)
    assert "a color image" in told_of(colors[LABELS % 4], caplog)
    assert "not integers (0 to 0.5, a map of probabilities?)" in told_of(binary / 2, caplog)
    assert "not integers (nan to nan)" in told_of(np.where(binary, np.nan, 0), caplog)
    assert "an ordinary image, or labels with smooth edges" in told_of(IMAGE, caplog)
    assert "label 1 covers most of the border" in told_of(LABELS + 1, caplog)
    assert "inverted labels" in told_of((~binary).astype(np.uint8), caplog)
    assert "labels of type" in told_of(np.full((60, 70), "a"), caplog)


def test_doubts_are_told(caplog):
    many = np.arange(600).reshape(20, 30).repeat(3, axis=0).repeat(3, axis=1)[:60, :70].astype(np.uint8)
    assert "wrapped at 255" in told_of(many, caplog)
    assert "negative 8-bit labels" in told_of(np.where(LABELS == 9, -1, LABELS).astype(np.int8), caplog)
    assert "the labels are rotated" in told_of(LABELS.T, caplog)
    assert told_of(LABELS, caplog) == ""
    whole = np.ones((60, 70), int)
    assert "left out" not in told_of(whole, caplog)  # one cell may fill an image
    assert train.check_labels([np.where(LABELS == 1, 3_000_000_000, LABELS)])[0].n_masks == 9


def palette_png(path, indices, depth=8):
    """A PNG with a palette, as programs write labels in colors."""
    colors = np.random.default_rng(0).integers(0, 255, (2**depth, 3), np.uint8)
    colors[1] = colors[2]  # two labels may have one color
    per_byte = 8 // depth
    padded = np.pad(indices, ((0, 0), (0, -indices.shape[1] % per_byte)))
    packed = sum(padded[:, i::per_byte].astype(int) << depth * (per_byte - 1 - i) for i in range(per_byte))
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", indices.shape[1], indices.shape[0], depth, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", colors.tobytes()),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    coded = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(coded))


@pytest.mark.parametrize("depth", [4, 8])
def test_labels_in_a_palette_are_its_indices(depth, tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    palette_png(tmp_path / "a_masks.png", LABELS[:, :69], depth)
    assert io.imread(tmp_path / "a_masks.png").shape == (60, 69, 3)
    labels = io.load_images_labels(tmp_path)[1][0]
    np.testing.assert_array_equal(labels, LABELS[:, :69])
    assert "its indices are the labels" in caplog.text


def test_jpeg_pictures_hold_no_labels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), LABELS.astype(np.uint8))
    with pytest.raises(FileReadError, match=r"a\.jpg is a JPEG image"):
        read_labels(tmp_path / "a.jpg")


def test_a_model_in_place_of_its_network_is_told(tmp_path):
    with pytest.raises(InputError, match=r"a CellposeModel is no network; give that of a model, model\.net"):
        train.train_seg(models.CellposeModel(pretrained_model="nuclei-cells"), [], [], save_path=tmp_path)


def test_one_image_in_place_of_a_list_is_told(tmp_path):
    with pytest.raises(InputError, match=r"train_data is an array of shape \(40, 40\), one image; give a list"):
        train.train_seg(nets.CPnet([2, 4]), np.zeros((40, 40)), np.zeros((40, 40), int), save_path=tmp_path)


def test_restoration_networks_learn_no_flows(tmp_path):
    for room in (train.train_seg, lambda n, *data, **_: train.train_size(n, None, *data)):
        with pytest.raises(InputError, match="1 output and no flows: it cannot learn to segment"):
            room(nets.CPnet([1, 4, 8], 1), [IMAGE], [LABELS], save_path=tmp_path)


@pytest.mark.parametrize("model_name", ["", "a/b"])
def test_names_and_folders_that_no_model_can_have(model_name, tmp_path):
    net, restorer = nets.CPnet([2, 4, 8]), nets.CPnet([1, 4, 8], 1)
    (tmp_path / "file").touch()
    nowhere, noise = tmp_path / "file" / "sub", [np.zeros((96, 96))]
    with pytest.raises(OptionError, match="without folders"):
        train.train_seg(net, [IMAGE], [LABELS], save_path=tmp_path, model_name=model_name)
    for save_path, name, error in ((tmp_path, "a/b", OptionError), (nowhere, "mine", FileWriteError)):
        with pytest.raises(error):
            denoise.train(restorer, [IMAGE / 255], [LABELS], lam=(0, 0, 1), save_path=save_path, model_name=name)
        with pytest.raises(error):
            denoise.train_self(restorer, noise, save_path=save_path, model_name=name)
    with pytest.raises(FileWriteError, match="could not create the folder"):
        train.train_seg(net, [IMAGE], [LABELS], save_path=nowhere)
    with pytest.raises(FileWriteError, match="there is no folder"):
        train.train_size(net, nowhere / "mine", [IMAGE], [LABELS], n_epochs=1, bsize=64)


# ---------------------------------------------------------------------------------------------------------- images


def test_images_that_cannot_be_trained_on_are_named(caplog):
    wrong = [np.full((60, 70), np.nan), IMAGE[0], np.full((60, 70), "a"), IMAGE]
    kept = build_set(Sources(wrong, [LABELS] * 4), UNET)
    assert kept.names == ["3"]
    for number, why in enumerate(("NaN or infinite", "shape (70,)", "type <U1")):
        assert any(f"train image {number}" in line and why in line for line in caplog.messages)


@pytest.mark.parametrize("load", [True, False])
def test_images_of_one_value_are_named(load, tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", np.full_like(IMAGE, 7))
    tifffile.imwrite(tmp_path / "a_masks.tif", LABELS)
    build_set(
        Sources(files=[tmp_path / "a.tif"], labels_files=[tmp_path / "a_masks.tif"]), UNET, Reading(None, load, True)
    )
    assert f"train image {tmp_path / 'a.tif'}: all its pixels are 7" in caplog.text


def test_images_given_twice_are_named(caplog):
    other = discs(9, seed=1)[0]
    train_set, _ = build_sets(Sources([IMAGE, other, IMAGE.copy()], [LABELS] * 3), Sources([other], [LABELS]), UNET)
    assert "train image 2 is the same as 0" in caplog.text
    assert "1 of 1 test images are also training images" in caplog.text
    assert len(train_set) == 3
    build_set(Sources([LABELS], [LABELS]), UNET)
    assert "its labels are the image itself" in caplog.text


@pytest.mark.parametrize("load", [True, False])
def test_a_damaged_file_does_not_end_a_training(load, tmp_path, caplog):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", IMAGE)
        tifffile.imwrite(tmp_path / f"{name}_masks.tif", LABELS)
    (tmp_path / "a.tif").write_bytes(b"II*\0broken")
    (tmp_path / "b_masks.tif").write_bytes(b"")
    assert io.load_images_labels(tmp_path)[2] == [str(tmp_path / "c.tif")]
    files, masks = ([tmp_path / f"{name}{ending}.tif" for name in "abc"] for ending in ("", "_masks"))
    images = build_set(Sources(files=files, labels_files=masks, probs=[1, 1, 2]), UNET, Reading(None, load, True))
    assert images.names == [str(files[2])]
    assert images.probs.tolist() == [1]
    assert str(files[0]) in caplog.text
    assert str(masks[1]) in caplog.text
    (tmp_path / "c.tif").unlink()
    with pytest.raises(FileReadError, match=r"a\.tif"):
        io.load_images_labels(tmp_path)
