"""Listing of images and labels, loading of training data, models list, and the face of io."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellpose.io
from cellpose import io
from cellpose.errors import FileReadError, InputError


@pytest.fixture(autouse=True)
def log_reaches_the_root(monkeypatch):
    """An earlier test may have set up the log, which then goes to its own handlers only."""
    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, *arguments, **options) -> list[str]:
    return [Path(name).relative_to(folder).as_posix() for name in io.get_image_files(folder, *arguments, **options)]


# -------------------------------------------------------------------------------------------------------------- images


def test_natural_order_not_that_of_text(tmp_path):
    touch(tmp_path, "im10.tif", "im2.tif", "im1.tif", "b.png", "a.JPG", "im1_10.tif", "im1_9.tif")
    assert found(tmp_path) == ["a.JPG", "b.png", "im1.tif", "im1_9.tif", "im1_10.tif", "im2.tif", "im10.tif"]


def test_results_labels_and_other_files_are_left_out(tmp_path):
    touch(
        tmp_path,
        "x.tif",
        "x_masks.tif",
        "x_cp_masks.png",
        "x_cp_output.png",
        "x_flows.tif",
        "x_flows_0.tif",
        "x_flows_2.tif",
        "x_cellprob.tif",
        "x_seg.npy",
        "x_label.png",
        "x_cp_outlines.txt",
        ".hidden.png",
        ".cellpose-1-ab.part",
        "notes.txt",
    )
    (tmp_path / "folder.tif").mkdir()
    assert found(tmp_path, "_label") == ["x.tif"]
    assert found(tmp_path) == ["x.tif", "x_label.png"]


def test_results_as_ome_tiff_are_left_out(tmp_path):
    touch(tmp_path, "x.ome.tif", "x.ome_cp_masks.ome.tif", "y_cp_masks.OME.TIF", "z_masks.ome.tiff", "x.ome_flows.tif")
    assert found(tmp_path) == ["x.ome.tif"]


def test_tracked_masks_of_a_movie_are_left_out(tmp_path):
    movie = tmp_path / "movie"
    touch(movie, "t1.tif", "t2.tif", "t2_tracked.tif", "movie_tracked.tif", "my_tracked.tif")
    assert found(movie) == ["my_tracked.tif", "t1.tif", "t2.tif"]


def test_one_file_of_masks_per_image(tmp_path):
    touch(tmp_path, "a.png", "a_cp_masks.PNG", "a_cp_masks.tif", "a_seg.npy", "b_masks.png", "c_cp_masks.ome.tif")
    touch(tmp_path, "a_outlines_cp_masks.png", "a_dP_cp_masks.tif", "a_flows_cp_masks.tif", "a_cellprob_cp_masks.tif")
    touch(
        tmp_path, "a_cp_output_cp_masks.png", "d_outlines.png", "d_outlines_cp_masks.png", "a_flows.tif", ".e_masks.tif"
    )
    (tmp_path / "f_cp_masks.zarr").mkdir()
    assert {base: path.name for base, path in io.one_per_image(tmp_path).items()} == {
        "a": "a_cp_masks.tif", "b": "b_masks.png", "c": "c_cp_masks.ome.tif", "d_outlines": "d_outlines_cp_masks.png",
        "f": "f_cp_masks.zarr",
    }  # fmt: skip


def test_a_name_that_is_nothing_but_an_ending_is_an_image(tmp_path):
    touch(tmp_path, "_masks.tif", "_flows.png")
    assert found(tmp_path) == ["_flows.png", "_masks.tif"]


def test_sub_folders_one_level_down(tmp_path):
    touch(tmp_path, "z.png", "sub2/a.png", "sub10/a.png", "sub2/deep/b.png", ".hidden/c.png")
    assert found(tmp_path, look_one_level_down=True) == ["sub2/a.png", "sub10/a.png", "z.png"]


def test_formats_of_previews_count_only_alone(tmp_path):
    touch(tmp_path, "a.gif", "b.bmp", "c.czi")
    assert found(tmp_path) == ["a.gif", "b.bmp", "c.czi"]
    touch(tmp_path, "a.tif")
    assert found(tmp_path) == ["a.tif"]


def test_folders_without_images(tmp_path):
    with pytest.raises(InputError, match="no files"):
        io.get_image_files(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        io.get_image_files(tmp_path / "missing")
    touch(tmp_path, "a.txt")
    with pytest.raises(InputError, match="no images"):
        io.get_image_files(tmp_path)
    touch(tmp_path, "a_masks.tif")
    with pytest.raises(InputError, match="do not have the endings"):
        io.get_image_files(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        io.get_image_files(tmp_path / "a.txt", look_one_level_down=True)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "a.tif")

    # permissions do not bind root, who runs tests in containers
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FileReadError, match="Permission denied"):
        io.get_image_files(tmp_path)


stems = st.text("ab1_", min_size=1, max_size=4)
endings = st.sampled_from(["", "_masks", "_flows", "_flows_1", "_cp_masks", "_img", "_cellprob", "_cp_output", "_seg"])
suffixes = st.sampled_from([".png", ".TIF", ".tif", ".npy", ".txt", ".jpeg"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(stems, endings, suffixes), min_size=1, max_size=12), st.sampled_from(["", "_img"]))
def test_listing_rules(parts, imf):
    names = {stem + ending + suffix for stem, ending, suffix in parts}
    results = ("_cp_output", "_flows", "_flows_0", "_flows_1", "_flows_2", "_cellprob", "_masks", "_label")
    wanted = set()
    for name in names:
        stem, suffix = os.path.splitext(name)
        result = any(stem.endswith(ending) and stem != ending for ending in results)
        if suffix.lower() in (".png", ".tif", ".jpeg") and stem.endswith(imf) and not result:
            wanted.add(name)
    with tempfile.TemporaryDirectory() as folder:
        touch(Path(folder), *names)
        # a file system that ignores case holds fewer files than names
        wanted &= set(os.listdir(folder))
        if wanted:
            assert set(found(Path(folder), "_label", imf=imf)) == wanted
        else:
            with pytest.raises(InputError):
                io.get_image_files(folder, "_label", imf=imf)


# -------------------------------------------------------------------------------------------------------------- labels


def names_of(files, folder):
    return files and [Path(name).relative_to(folder).as_posix() for name in files]


def test_labels_of_images_with_an_ending(tmp_path):
    touch(tmp_path, "a_img.tif", "b_img.tif", "a_masks.tiff", "b_masks.tiff", "a_flows.tif", "b_flows.tif")
    images = io.get_image_files(tmp_path, imf="_img")
    labels, flows = io.get_label_files(images, "_masks", imf="_img")
    assert names_of(labels, tmp_path) == ["a_masks.tiff", "b_masks.tiff"]
    assert names_of(flows, tmp_path) == ["a_flows.tif", "b_flows.tif"]


def test_flows_beside_the_image_go_first(tmp_path):
    touch(tmp_path, "a_img.tif", "a_masks.png", "a_flows.tif", "a_img_flows.tif")
    _, flows = io.get_label_files([tmp_path / "a_img.tif"], "_masks", imf="_img")
    assert names_of(flows, tmp_path) == ["a_img_flows.tif"]


def test_capitals_in_endings_do_not_matter(tmp_path):
    touch(tmp_path, "a.TIF", "A_MASKS.TIF", "a_Masks.PNG", "a_Flows.TIF", "b_Img.png", "b_CP_OUTPUT.png", "a_SEG.npy")
    assert found(tmp_path) == ["a.TIF", "b_Img.png"]
    assert found(tmp_path, imf="_IMG") == ["b_Img.png"]
    assert names_of(io.get_label_files([tmp_path / "a.TIF"])[0], tmp_path) == ["a_Masks.PNG"]
    assert names_of(io.get_label_files([tmp_path / "a.TIF"], "_MASKS")[1], tmp_path) == ["a_Flows.TIF"]
    assert names_of(io.get_label_files([tmp_path / "a.TIF"], "_seg.npy")[0], tmp_path) == ["a_SEG.npy"]
    touch(tmp_path, "b_LABEL.tiff")
    assert names_of(io.get_label_files([tmp_path / "b_Img.png"], "_label", "_img")[0], tmp_path) == ["b_LABEL.tiff"]


def test_which_of_two_label_files_is_taken_is_told(tmp_path, caplog):
    touch(tmp_path, "a.tif", "a_masks.png", "a_masks.TIF", "a_Masks.tif")
    if len(os.listdir(tmp_path)) == 4:  # elsewhere capitals do not matter to the file system
        assert names_of(io.get_label_files([tmp_path / "a.tif"])[0], tmp_path) == ["a_Masks.tif"]
        assert "a_Masks.tif is used, not a_masks.TIF, a_masks.png" in caplog.text
        touch(tmp_path, "a_masks.tif")
    assert names_of(io.get_label_files([tmp_path / "a.tif"])[0], tmp_path) == ["a_masks.tif"]


def test_what_may_be_labels_is_told(tmp_path):
    touch(tmp_path, "a.tif", "a_label.tif", "a_Masks.jpg", "ab.tif")
    with pytest.raises(InputError, match=r"there are \.\.\._Masks\.jpg, \.\.\._label\.tif"):
        io.get_label_files([tmp_path / "a.tif"])


def test_missing_labels_are_named(tmp_path):
    touch(tmp_path, "a.tif", "b.tif", "a_masks.tif")
    images = [tmp_path / "a.tif", tmp_path / "b.tif"]
    with pytest.raises(InputError, match=r"1 of 2 .*b_masks\.tif"):
        io.get_label_files(images)
    with pytest.raises(InputError, match=r"2 of 2 .*a_seg\.npy"):
        io.get_label_files(images, "_seg.npy")
    with pytest.raises(InputError, match="no images"):
        io.get_label_files([])
    touch(tmp_path, "a_flows.tif", "b_flows.tif")
    labels, flows = io.get_label_files(images)
    assert labels is None
    assert names_of(flows, tmp_path) == ["a_flows.tif", "b_flows.tif"]


# ------------------------------------------------------------------------------------------------------- training data

IMAGE = np.arange(200, dtype=np.uint8).reshape(10, 20)
LABELS = (IMAGE > 100).astype(np.uint16)


def folder_with(folder: Path, flows: int | None = None, labels: bool = True) -> Path:
    folder.mkdir()
    for name in ("a", "b"):
        io.imsave(folder / f"{name}.tif", IMAGE)
        if labels:
            io.imsave(folder / f"{name}_masks.png", LABELS)
        if flows:
            content = np.full((flows, 10, 20), 0.5, np.float32)
            content[0] = LABELS  # of three planes the cell mask, which is the same here
            io.imsave(folder / f"{name}_flows.tif", content)
    return folder


def test_labels_alone(tmp_path, caplog):
    caplog.set_level("INFO", logger="cellpose")
    images, labels, names = io.load_images_labels(folder_with(tmp_path / "t"))
    assert names == [str(tmp_path / "t" / name) for name in ("a.tif", "b.tif")]
    np.testing.assert_array_equal(images, [IMAGE, IMAGE])
    np.testing.assert_array_equal(labels, [LABELS, LABELS])
    assert "2 / 2 images in" in caplog.text


@pytest.mark.parametrize("channels", [3, 4])
def test_flows_complete_the_labels_or_replace_them(tmp_path, channels):
    _, labels, _ = io.load_images_labels(folder_with(tmp_path / "t", channels))
    assert labels[0].shape == (4, 10, 20)
    assert labels[0].dtype == np.float32
    np.testing.assert_array_equal(labels[0][0], LABELS)
    np.testing.assert_array_equal(labels[0][-2:], 0.5)


def test_flows_without_labels(tmp_path):
    _, labels, _ = io.load_images_labels(folder_with(tmp_path / "four", 4, labels=False))
    assert labels[0].shape == (4, 10, 20)
    with pytest.raises(FileReadError, match="no labels of"):
        io.load_images_labels(folder_with(tmp_path / "three", 3, labels=False))


def test_flows_do_not_replace_labels_that_are_missing(tmp_path):
    folder = folder_with(tmp_path / "t", 4)
    (folder / "b_masks.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 are missing, the first is .*b_masks\.png"):
        io.load_images_labels(folder)
    for files in ("a_masks.png", "a_seg.npy", "b_cp_masks.tif"):
        for path in folder.glob("*_masks.*"):
            path.unlink()
        touch(folder, files)
        with pytest.raises(InputError, match=r"no .*a_msk with any .* computed from labels, and is not trained on"):
            io.load_images_labels(folder, "_msk")
        (folder / files).unlink()
    assert len(io.load_images_labels(folder, "_msk")[1]) == 2


def test_flows_of_another_size_are_told(tmp_path, caplog):
    folder = folder_with(tmp_path / "t", 3)
    io.imsave(folder / "b_masks.png", LABELS[:5])
    _, labels, _ = io.load_images_labels(folder)
    assert [label.shape for label in labels] == [(4, 10, 20), (5, 20)]
    assert "b_flows.tif does not match the labels in" in caplog.text
    io.imsave(folder / "b_flows.tif", IMAGE)
    _, labels, _ = io.load_images_labels(folder)
    assert [label.shape for label in labels] == [(4, 10, 20), (5, 20)]
    assert "b_flows.tif holds no flows for training, but uint8 of shape (10, 20)" in caplog.text
    for name in ("a", "b"):
        (folder / f"{name}_masks.png").unlink()
    io.imsave(folder / "a_flows.tif", np.stack([IMAGE] * 5))
    with pytest.raises(FileReadError, match="Delete the file"):
        io.load_images_labels(folder)


def test_labels_of_the_gui(tmp_path):
    folder = folder_with(tmp_path / "t", labels=False)
    flows = [np.zeros((10, 20, 3), np.uint8), np.zeros((2, 10, 20), np.float32), np.zeros((10, 20), np.float32)]
    for name in ("a", "b"):
        io.masks_flows_to_seg(IMAGE, LABELS, flows, folder / f"{name}.tif")
    data = io.load_train_test_data(folder, folder, mask_filter="_seg.npy")
    np.testing.assert_array_equal(data[1], [LABELS, LABELS])
    np.testing.assert_array_equal(data[4], [LABELS, LABELS])
    assert io.load_train_test_data(folder, mask_filter="_seg.npy")[3:] == (None, None, None)


# ---------------------------------------------------------------------------------------------------------------- face


def test_the_face_holds_what_it_names():
    assert sorted(set(io.__all__)) == sorted(io.__all__)
    for name in io.__all__:
        assert getattr(cellpose.io, name) is not None


def test_names_that_scripts_use_are_there():
    public = {
        "GUI ND2 NRRD MATPLOTLIB logger_setup imread imread_2D imread_3D imsave get_image_files get_label_files "
        "load_images_labels load_train_test_data masks_flows_to_seg save_masks save_to_png save_rois "
        "outlines_to_text add_model remove_model load_dax check_dir"
    }
    assert set(next(iter(public)).split()) <= set(io.__all__)


def test_flags_tell_what_is_installed(monkeypatch):
    import importlib.util

    assert isinstance(io.GUI, bool)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not any((io.GUI, io.ND2, io.NRRD, io.MATPLOTLIB))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = io.no_such_name


def test_models_list_is_that_of_weights(monkeypatch):
    from cellpose import weights

    calls = []
    monkeypatch.setattr(weights, "add_model", lambda path: calls.append(("add", path)))
    monkeypatch.setattr(weights, "remove_model", lambda name, delete=False: calls.append(("remove", name, delete)))
    io.add_model("/data/mine")
    io.remove_model("/models/mine", delete=True)
    assert calls == [("add", "/data/mine"), ("remove", "mine", True)]
