"""Training images cut from stacks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile

from cellpose import io, train
from cellpose.__main__ import main
from cellpose.errors import InputError, OptionError
from cellpose.train import cut_slices


def stack_of_two():
    """Two cells, of which the second is a bow whose ends only join below; voxel values tell where they are."""
    z, y, x = np.mgrid[:6, :30, :40]
    stack = (100 * z + y + x).astype(np.uint16)
    masks = np.zeros(stack.shape, np.uint16)
    masks[1:5, 4:12, 5:15] = 7
    masks[:, 20:25, 5:10] = masks[:, 20:25, 30:35] = masks[5, 20:25, 5:35] = 9
    return stack[..., np.newaxis], masks


def test_planes_are_those_of_the_stack():
    stack, masks = stack_of_two()
    found = list(cut_slices(stack, masks, per_view=3))
    assert [s.view for s in found] == ["YX"] * 3 + ["ZY"] * 3 + ["ZX"] * 3
    for one in found:
        axis = "ZYX".index(next(a for a in "ZYX" if a not in one.view))
        planes = np.moveaxis(stack, axis, 0)
        (number,) = [n for n, plane in enumerate(planes) if np.array_equal(plane, one.image)]
        np.testing.assert_array_equal(one.masks > 0, np.moveaxis(masks, axis, 0)[number] > 0)
        assert one.image.dtype == np.uint16


def test_pieces_of_a_cell_are_cells():
    stack, masks = stack_of_two()
    tops = [s for s in cut_slices(stack, masks, per_view=6) if s.view == "YX" and s.image[0, 0, 0] in (100, 200, 300)]
    assert [s.masks.max() for s in tops] == [3, 3, 3]
    bottom = next(s for s in cut_slices(stack, masks, per_view=6) if s.view == "YX" and s.image[0, 0, 0] == 500)
    assert bottom.masks.max() == 1


def test_planes_with_z_are_stretched_and_cut():
    stack, masks = stack_of_two()
    for one in cut_slices(stack, masks, per_view=2, anisotropy=4, crop_size=20):
        assert one.image.shape[:2] == one.masks.shape == (20, 20)
    shapes = {s.view: s.image.shape for s in cut_slices(stack, per_view=1, anisotropy=2.5)}
    assert shapes == {"YX": (30, 40, 1), "ZY": (15, 30, 1), "ZX": (15, 40, 1)}


def test_planes_without_cells_are_left_out_and_choices_repeat():
    stack, masks = stack_of_two()
    masks[:, 15:], masks[:, :, 12:] = 0, 0
    found = list(cut_slices(stack, masks, per_view=100))
    assert [sum(s.view == v for s in found) for v in ("YX", "ZY", "ZX")] == [4, 7, 8]
    again = list(cut_slices(stack, masks, per_view=100))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found, again, strict=True))
    assert not all(
        np.array_equal(a.image, b.image)
        for a, b in zip(found, cut_slices(stack, masks, per_view=100, seed=1), strict=True)
    )


def test_refusals():
    stack, masks = stack_of_two()
    with pytest.raises(InputError, match="cannot be cut"):
        next(cut_slices(stack[0]))
    with pytest.raises(InputError, match="do not fit"):
        next(cut_slices(stack, masks[:3]))
    for options in ({"per_view": 0}, {"crop_size": 8}, {"anisotropy": 0.0}):
        with pytest.raises(OptionError):
            next(cut_slices(stack, **options))


@pytest.fixture
def folder(tmp_path):
    stack, masks = stack_of_two()
    tifffile.imwrite(tmp_path / "one.tif", stack[..., 0], imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "one_masks.tif", masks)
    two = np.stack((stack[..., 0], stack[..., 0] + 1), axis=1)
    tifffile.imwrite(tmp_path / "two.tif", two, imagej=True, metadata={"axes": "ZCYX"})
    return tmp_path


def test_command(folder, capsys):
    assert main(["slices", "--dir", str(folder), "--anisotropy", "2", "--nimg_per_tif", "2", "--seg_masks"]) == 0
    assert "12 slices of 2 stacks" in capsys.readouterr().out
    names = sorted(p.name for p in (folder / "train").iterdir())
    places = (("YX", 0), ("YX", 1), ("ZX", 4), ("ZX", 5), ("ZY", 2), ("ZY", 3))
    assert [n for n in names if n.startswith("two")] == [f"two_{view}_{n}.tif" for view, n in places]
    assert sum(n.endswith("_masks.tif") for n in names) == sum(n.endswith("_seg.npy") for n in names) == 6
    assert io.imread(str(folder / "train" / "two_ZX_4.tif")).shape == (12, 40, 2)
    seg = io.read_seg(folder / "train" / "one_ZX_4_seg.npy")
    np.testing.assert_array_equal(seg.masks, io.imread(str(folder / "train" / "one_ZX_4_masks.tif")))


def test_masks_of_the_window_and_scaled_intensities(folder):
    _, masks = stack_of_two()
    (folder / "one_masks.tif").unlink()
    io.write_seg(folder / "one_seg.npy", {"masks": masks, "outlines": np.zeros_like(masks)})
    command = ["slices", "--image_path", str(folder / "one.tif"), "--invert", "--nimg_per_tif", "1"]
    assert main(command) == 0
    image = io.imread(str(folder / "train" / "one_YX_0.tif"))
    assert image.dtype == np.float32
    assert (folder / "train" / "one_YX_0_masks.tif").exists()
    assert main(["slices"]) == 2


def test_stacks_of_equal_names_are_told_apart(tmp_path):
    stacks = [tmp_path / "a/x.tif", tmp_path / "b/x.tif", tmp_path / "y.tif"]
    for k, file in enumerate(stacks):
        file.parent.mkdir(exist_ok=True)
        tifffile.imwrite(file, np.full((4, 20, 30), k, np.uint8), photometric="minisblack")
    written = train.make_slices(stacks, tmp_path / "train", per_view=1)
    assert len(set(written)) == 9
    assert {path.name[: -len("_YX_0.tif")]: io.imread(path).max() for path in written} == {"a_x": 0, "b_x": 1, "y": 2}
    with pytest.raises(InputError, match="would both be named"):
        train.make_slices([stacks[0], stacks[0].with_suffix(".png")], tmp_path / "train")


def test_slices_that_were_changed_or_got_masks_stay_as_they_are(tmp_path, caplog):
    stack, masks = stack_of_two()
    stack, folder = stack[..., 0], tmp_path / "train"
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "x_masks.tif", masks, photometric="minisblack")

    def cut(**options):
        caplog.clear()
        return [path.name for path in train.make_slices([tmp_path / "x.tif"], folder, per_view=2, **options)]

    def files():
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}

    names = cut(seg=True)
    assert len(names) == 6
    fixed = io.imread(folder / "x_YX_0_masks.tif")
    fixed[:3, :3] = 99
    tifffile.imwrite(folder / "x_YX_0_masks.tif", fixed)  # corrected masks
    seg = folder / "x_ZX_4_seg.npy"
    io.write_seg(seg, {"masks": fixed, "outlines": fixed})  # corrected in the window
    mine = files()
    assert cut(seg=True) == [name for name in names if name not in ("x_YX_0.tif", "x_ZX_4.tif")]
    assert "2 slices of x that were changed since they were cut" in caplog.text
    assert "x_YX_0, x_ZX_4" in caplog.text
    assert files() == mine
    cut()  # other settings, without files for the window
    kept = {name for name in mine if name.startswith(("x_YX_0", "x_ZX_4"))}
    assert {name for name in files() if name.endswith("_seg.npy")} == {"x_YX_0_seg.npy", "x_ZX_4_seg.npy"}
    assert {name: content for name, content in files().items() if name in kept} == {name: mine[name] for name in kept}
    (tmp_path / "x_masks.tif").unlink()
    tifffile.imwrite(tmp_path / "x.tif", stack[::-1], photometric="minisblack")
    cut()  # no masks of the earlier images stay beside the new ones
    assert {name for name in files() if name.endswith("_masks.tif")} == {"x_YX_0_masks.tif", "x_ZX_4_masks.tif"}
    assert len(train.make_slices([tmp_path / "x.tif"] * 2, folder, per_view=2)) == 4  # one file named twice


def test_slices_of_another_stack_are_not_written_over(tmp_path):
    stack = stack_of_two()[0][..., 0]
    for name, array, axes in (("x", stack[np.newaxis], "TZYX"), ("x_t0", stack + 1, "ZYX")):
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="minisblack", metadata={"axes": axes})
    (tmp_path / "train").mkdir()
    other = tmp_path / "train" / "x_t0_YX_0.tif"
    train.make_slices([tmp_path / "x_t0.tif"], tmp_path / "train", per_view=1)
    before = other.read_bytes()
    train.make_slices([tmp_path / "x.tif"], tmp_path / "train", per_view=1)
    assert other.read_bytes() == before


def test_slices_of_a_run_that_stops_are_cut_again(tmp_path, monkeypatch, caplog):
    stack, masks = stack_of_two()
    tifffile.imwrite(tmp_path / "x.tif", stack[..., 0], photometric="minisblack")
    tifffile.imwrite(tmp_path / "x_masks.tif", masks, photometric="minisblack")
    files = [tmp_path / "x.tif"]
    earlier = train.make_slices(files, tmp_path / "train", per_view=1)

    def full(path, content):
        raise OSError(path)

    with monkeypatch.context() as patch:
        patch.setattr(io, "write_seg", full)
        with pytest.raises(OSError, match="_seg"):
            train.make_slices(files, tmp_path / "train", per_view=2, seg=True)
    assert all(path.is_file() for path in earlier)
    caplog.clear()
    assert len(train.make_slices(files, tmp_path / "train", per_view=2)) == 6
    assert "stay as they are" not in caplog.text


def test_each_time_of_a_movie_is_a_stack(tmp_path, capsys):
    stack, masks = stack_of_two()
    movie = np.stack((stack[..., 0], stack[..., 0] + 3000))
    for axes, array in (("TZYX", movie), ("ZTYX", movie.swapaxes(0, 1)), ("TYX", movie[:, 0])):
        tifffile.imwrite(tmp_path / f"{axes}.tif", array, photometric="minisblack", metadata={"axes": axes})
    tifffile.imwrite(tmp_path / "TZYX_masks.tif", np.stack((masks, masks)), photometric="minisblack")
    for axes in ("TZYX", "ZTYX"):
        written = train.make_slices([tmp_path / f"{axes}.tif"], tmp_path / "train", per_view=2)
        assert len(written) == 12
        images = [io.imread(path) for path in written]
        assert {image.shape for image in images} == {(30, 40), (6, 30), (6, 40)}
        assert [image.max() >= 3000 for image in images] == ["_t1_" in path.name for path in written]
    assert len(list((tmp_path / "train").glob("TZYX_t?_*_masks.tif"))) == 12
    assert main(["slices", "--image_path", str(tmp_path / "TYX.tif")]) == 2
    assert "has time points but no planes" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "TZYX_masks.tif", masks, photometric="minisblack")
    with pytest.raises(InputError, match="do not fit 2 times"):
        train.make_slices([tmp_path / "TZYX.tif"], tmp_path / "train")


def test_slices_of_an_earlier_run_are_replaced(folder, caplog):
    def cut(per_view):
        train.make_slices([folder / "one.tif"], folder / "train", per_view=per_view, seg=True)
        return sorted(path.name for path in (folder / "train").glob("one_*.tif") if "_masks" not in path.name)

    mine = ("one_YX_extra.tif", "one_more_YX_7.tif", "one_YX_8_masks.tif")  # of other names, or of nobody's slice
    (folder / "train").mkdir()
    for name in mine:
        tifffile.imwrite(folder / "train" / name, np.zeros((20, 20), np.uint8))
    assert len(cut(3)) == 9 + 2
    caplog.clear()
    assert len(cut(1)) == 3 + 2
    assert len(list((folder / "train").iterdir())) == 3 * 3 + len(mine) + 1
    cut(3)
    changed = folder / "train/one_ZX_8_masks.tif"
    tifffile.imwrite(changed, np.ones((6, 40), np.uint8))
    caplog.clear()
    assert len(cut(1)) == 3 + 2 + 1
    assert "one_ZX_8" in caplog.text
    assert io.imread(changed).all()
    assert all((folder / "train" / name).is_file() for name in mine)


def test_slices_are_trained_on(folder):
    written = train.make_slices([folder / "one.tif"], folder / "train", per_view=3)
    images, labels, names, *_ = io.load_train_test_data(str(folder / "train"), mask_filter="_masks")
    assert sorted(names) == sorted(map(str, written))
    assert len(images) == len(labels) == 9


def test_older_name(folder):
    command = [sys.executable, "-m", "cellpose.gui.make_train", "--dir", str(folder), "--nimg_per_tif", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "train").glob("two_*.tif"))) == 3
