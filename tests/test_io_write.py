"""Writing results: what stands where, that labels never wrap, and that no half file is ever seen."""

from __future__ import annotations

import builtins
import errno
import logging
import os
import signal
import stat
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile

from cellpose import io, utils
from cellpose._machine import writing
from cellpose.errors import FileWriteError, InputError, MissingExtraError
from cellpose.io import _write
from cellpose.io._write import replacing, smallest_labels, write_tiff

MASKS = np.zeros((20, 30), np.int32)
MASKS[2:9, 2:9] = 1
MASKS[10:18, 15:25] = 2
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
FLOWS = [
    RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8),
    RNG.normal(size=(2, 20, 30)).astype(np.float32),
    RNG.normal(size=(20, 30)).astype(np.float32),
]


@pytest.fixture(autouse=True)
def log_reaches_the_root(monkeypatch):
    """An earlier test may have set up the log, which then goes to its own handlers only."""
    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------------------------------------------------- atomicity


class FullDisk:
    """A file on a disk that has room for 10 bytes; a full disk cannot be had in a test."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.file.close()


WRITERS = {
    "tif": lambda folder: io.imsave(folder / "a.tif", COLOUR),
    "png": lambda folder: io.imsave(folder / "a.png", COLOUR),
    "text": lambda folder: io.outlines_to_text(folder / "a", [np.ones((5, 2), int)]),
    "rois": lambda folder: io.save_rois(MASKS, folder / "a.tif"),
    "seg": lambda folder: io.masks_flows_to_seg(None, MASKS, FLOWS, folder / "a.tif"),
}
TARGETS = {
    "tif": "a.tif",
    "png": "a.png",
    "text": "a_cp_outlines.txt",
    "rois": "a_rois.zip",
    "seg": "a_seg.npy",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_all_as_it_was(tmp_path, monkeypatch, kind):
    (tmp_path / TARGETS[kind]).write_bytes(b"before")

    def open_full(path, mode):
        return FullDisk(builtins.open(path, mode))

    monkeypatch.setattr(writing, "open", open_full, raising=False)
    with pytest.raises(FileWriteError, match="No space left"):
        WRITERS[kind](tmp_path)
    assert listing(tmp_path) == [TARGETS[kind]]
    assert (tmp_path / TARGETS[kind]).read_bytes() == b"before"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_failing_replacement_leaves_all_as_it_was(tmp_path, monkeypatch, kind):
    (tmp_path / TARGETS[kind]).write_bytes(b"before")

    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(FileWriteError, match="Permission denied"):
        WRITERS[kind](tmp_path)
    assert listing(tmp_path) == [TARGETS[kind]]
    assert (tmp_path / TARGETS[kind]).read_bytes() == b"before"


def run_child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are a thing of POSIX")
def test_a_real_limit_of_the_file_system(tmp_path):
    """The kernel itself refuses to write more than 2000 bytes."""
    (tmp_path / "a.tif").write_bytes(b"before")
    done = run_child(
        """
        import resource, signal, sys
        import numpy as np
        from cellpose import io
        from cellpose.errors import FileWriteError
        array = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
        import tifffile, imagecodecs
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            io.imsave(sys.argv[1], array)
        except FileWriteError as error:
            sys.exit(7)
        """,
        str(tmp_path / "a.tif"),
    )
    assert done.returncode == 7, done.stderr
    assert listing(tmp_path) == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"before"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_while_writing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"before")
    done = run_child(
        """
        import os, signal, sys
        from cellpose.io import replacing
        with replacing(sys.argv[1]) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(tmp_path / "a.png"),
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.png").read_bytes() == b"before"
    # what is left over is hidden and is not taken for an image
    assert all(name.startswith(".") for name in listing(tmp_path) if name != "a.png")


def test_an_error_of_the_caller_is_passed_on(tmp_path):
    def interrupted():
        with replacing(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert listing(tmp_path) == []


def test_a_watcher_sees_a_modification_after_the_name_appears(tmp_path, monkeypatch):
    order = []
    replace, utime = os.replace, os.utime
    monkeypatch.setattr(os, "replace", lambda *a: (order.append("replace"), replace(*a)))
    monkeypatch.setattr(os, "utime", lambda *a: (order.append("touch"), utime(*a)))
    io.imsave(tmp_path / "a.png", IMAGE)
    assert order == ["replace", "touch"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_and_links(tmp_path):
    io.imsave(tmp_path / "new.png", IMAGE)
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    (tmp_path / "new.png").chmod(0o640)
    io.imsave(tmp_path / "new.png", IMAGE)
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o640
    (tmp_path / "link.png").symlink_to(tmp_path / "new.png")
    io.imsave(tmp_path / "link.png", COLOUR)
    assert (tmp_path / "link.png").is_symlink()
    assert io.imread(tmp_path / "new.png").shape == (20, 30, 3)


def test_targets_that_are_no_files(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(FileWriteError, match="not a file"):
        io.imsave(tmp_path / "a.png", IMAGE)
    with pytest.raises(FileWriteError, match=r"there is no folder .*create it"):
        io.imsave(tmp_path / "missing" / "a.png", IMAGE)
    (tmp_path / "file").touch()
    with pytest.raises(FileWriteError, match="could not create"):
        io.check_dir(tmp_path / "file" / "sub")


@pytest.mark.skipif(sys.platform == "win32", reason="devices are files on POSIX only")
def test_devices_are_not_replaced():
    with pytest.raises(FileWriteError, match="not a file"), replacing(os.devnull):
        pass


def test_longest_names(tmp_path):
    name = "x" * 251 + ".png"
    io.imsave(tmp_path / name, IMAGE)
    np.testing.assert_array_equal(io.imread(tmp_path / name), IMAGE)


def test_equal_results_make_equal_files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        name = tmp_path / folder / "im.tif"
        io.save_masks(IMAGE, MASKS, FLOWS, name, tif=True, save_flows=True, save_outlines=True)
        io.save_rois(MASKS, name)
    assert listing(tmp_path / "a") == listing(tmp_path / "b")
    for name in listing(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


# ------------------------------------------------------------------------------------------------------------- labels


def test_smallest_labels():
    assert smallest_labels(np.array([[True, False]])).tolist() == [[1, 0]]
    assert smallest_labels(np.array([0.0, 3.0])).dtype == np.uint16
    assert smallest_labels(np.zeros((0, 3), np.int64)).shape == (0, 3)
    same = np.zeros((2, 2), np.uint16)
    assert smallest_labels(same) is same
    for bad, told in ((np.array([-1]), "-1"), (np.array([2**32]), str(2**32)), (np.array([0.5]), "float64")):
        with pytest.raises(InputError, match=told):
            smallest_labels(bad)


@pytest.mark.parametrize(
    ("top", "dtype", "files"), [(65535, np.uint16, ["im_s.png"]), (65536, np.uint32, ["im_s.tif"])]
)
def test_labels_never_wrap(tmp_path, top, dtype, files, caplog):
    masks = np.zeros((4, 4), np.int64)
    masks[1, 1:3] = 7, top
    io.save_masks(None, masks, FLOWS, tmp_path / "im.jpg", suffix="_s")
    assert listing(tmp_path) == files
    written = io.imread(tmp_path / files[0])
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, masks)
    assert ("cannot save PNG" in caplog.text) == (dtype == np.uint32)


@pytest.mark.parametrize("shape", [(3, 20, 30), (4, 20, 30), (5, 20, 3), (20, 3)])
def test_label_tiffs_are_never_taken_for_colors(tmp_path, shape):
    masks = RNG.integers(0, 9, shape)
    io.save_masks(None, masks, FLOWS, tmp_path / "im.png", png=False, tif=True)
    with tifffile.TiffFile(tmp_path / "im_cp_masks.tif") as tif:
        assert tif.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert len(tif.pages) == (shape[0] if len(shape) == 3 else 1)
    image = io.read_image(tmp_path / "im_cp_masks.tif")
    assert image.axes == "ZYX"[-len(shape) :]
    np.testing.assert_array_equal(image.data, masks)


def test_tiff_of_more_than_4_gib_is_big(tmp_path, monkeypatch):
    # the bound is lowered: 4 GiB would take too long
    monkeypatch.setattr(_write, "CLASSIC_TIFF_LIMIT", 1000)
    write_tiff(tmp_path / "a.tif", np.zeros((40, 40), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff


# --------------------------------------------------------------------------------------------------------- save_masks


def test_everything_of_one_image(tmp_path):
    io.save_masks(
        IMAGE, MASKS, FLOWS, tmp_path / "a.b.tif", tif=True, save_flows=True, save_outlines=True, save_txt=True
    )
    assert listing(tmp_path) == [
        "a.b_cellprob_cp_masks.tif",
        "a.b_cp_masks.png",
        "a.b_cp_masks.tif",
        "a.b_cp_outlines.txt",
        "a.b_dP_cp_masks.tif",
        "a.b_flows_cp_masks.tif",
        "a.b_outlines_cp_masks.png",
    ]
    for name, array in (("flows", FLOWS[0]), ("dP", FLOWS[1]), ("cellprob", FLOWS[2])):
        got = io.imread(tmp_path / f"a.b_{name}_cp_masks.tif")
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def test_save_outlines_gives_picture_and_text(tmp_path):
    io.save_masks(IMAGE, MASKS, FLOWS, tmp_path / "im.tif", png=False, save_outlines=True)
    assert listing(tmp_path) == ["im_cp_outlines.txt", "im_outlines_cp_masks.png"]
    lines = (tmp_path / "im_cp_outlines.txt").read_text().splitlines()
    outlines = utils.outlines_list(MASKS)
    assert lines == [",".join(map(str, outline.ravel())) for outline in outlines]


TINY = MASKS.copy()
TINY[0, 0] = 3
TINY[0, 3:5] = 4
TINY[0, 7], TINY[1, 8] = 5, 5
TINY[0:2, 11:13] = 6


def test_masks_of_few_pixels_have_a_line_and_a_roi_each(tmp_path, caplog):
    io.save_masks(IMAGE, TINY, FLOWS, tmp_path / "im.tif", png=False, save_txt=True)
    io.outlines_to_text(tmp_path / "alone", utils.outlines_list(TINY))
    for name in ("im", "alone"):
        lines = (tmp_path / f"{name}_cp_outlines.txt").read_text().splitlines()
        assert lines[2:] == [
            "0,0,0,1,1,1,1,0",
            "3,0,3,1,5,1,5,0",
            "7,0,7,1,8,1,8,2,9,2,9,1,8,1,8,0",
            "11,0,11,2,13,2,13,0",
        ]
    io.save_rois(TINY, tmp_path / "im.tif")
    io.save_rois(np.stack([TINY, TINY]), tmp_path / "stack.tif")
    assert [roi.name for roi in read_rois(tmp_path / "im_rois.zip")] == list("123456")
    assert len(read_rois(tmp_path / "stack_rois.zip")) == 12
    assert caplog.text == ""


def test_outlines_without_points_are_counted(tmp_path, caplog):
    io.outlines_to_text(tmp_path / "im", [[[1, 2], [3, 4]], np.zeros((0, 2))])
    assert (tmp_path / "im_cp_outlines.txt").read_text() == "1,2,3,4\n\n"
    assert "1 of the outlines for" in caplog.text


def outline_picture(folder, image, channels=(0, 0)):
    io.save_masks(image, MASKS, FLOWS, folder / "im.tif", png=False, save_outlines=True, channels=channels)
    picture = io.imread(folder / "im_outlines_cp_masks.png")
    outlines = utils.masks_to_outlines(MASKS)
    assert (picture[outlines] == (255, 0, 0)).all()
    return np.where(outlines[..., np.newaxis], 0, picture), ~outlines[..., np.newaxis]


def test_color_images_keep_their_colors_under_the_outlines(tmp_path):
    for image in (COLOUR, COLOUR.transpose(2, 0, 1), np.dstack([COLOUR, IMAGE])):
        picture, kept = outline_picture(tmp_path, image)
        np.testing.assert_array_equal(picture, COLOUR * kept)
    for image in (COLOUR / 255.0, COLOUR.astype(np.uint16) * 200):
        picture, kept = outline_picture(tmp_path, image)
        # percentiles 1 and 99 become 0 and 255: darker and brighter pixels are cut, others move by a few levels
        assert np.abs(picture.astype(int) - COLOUR * kept).max() <= 8


def test_gray_and_two_channel_images_are_shown(tmp_path):
    gray, kept = outline_picture(tmp_path, IMAGE)
    assert np.abs(gray.astype(int) - IMAGE[..., np.newaxis] * kept).max() <= 8
    two, _ = outline_picture(tmp_path, COLOUR[..., :2], channels=[2, 1])
    assert two[..., 2].max() == 0
    assert two[..., :2].max() == 255


def test_outlines_without_an_image_or_with_a_wrong_one(tmp_path):
    for image in (None, IMAGE[:5], np.zeros((7, 8, 20, 30))):
        with pytest.raises(InputError, match=r"outlines|do not fit"):
            io.save_masks(image, MASKS, FLOWS, tmp_path / "im.tif", png=False, save_outlines=True)


def test_one_element_lists(tmp_path):
    io.save_masks(IMAGE, MASKS, FLOWS, file_names=["cells.tif"], savedir=tmp_path / "results" / "deep")
    io.save_masks([IMAGE], [MASKS], [FLOWS], [tmp_path / "b.tif"], save_outlines=True)
    io.save_to_png(IMAGE, MASKS, FLOWS, [str(tmp_path / "c.tif")])
    assert listing(tmp_path) == [
        "b_cp_masks.png",
        "b_cp_outlines.txt",
        "b_outlines_cp_masks.png",
        "c_cp_masks.png",
        "results/deep/cells_cp_masks.png",
    ]


def test_masks_alone(tmp_path):
    io.save_masks(None, [MASKS] * 2, None, [tmp_path / "a.tif", tmp_path / "b.tif"])
    assert listing(tmp_path) == ["a_cp_masks.png", "b_cp_masks.png"]


def test_channels_reach_every_image_of_a_list(tmp_path):
    names = [tmp_path / "1.tif", tmp_path / "2.tif"]
    io.save_masks(
        [COLOUR[..., :2]] * 2, [MASKS] * 2, [FLOWS] * 2, names, png=False, save_outlines=True, channels=[2, 1]
    )
    pictures = [io.imread(tmp_path / f"{k}_outlines_cp_masks.png") for k in (1, 2)]
    assert (pictures[0][..., 2] == 0).all()
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_lists_of_different_lengths(tmp_path):
    with pytest.raises(InputError, match="1 file_names"):
        io.save_masks([IMAGE] * 2, [MASKS] * 2, [FLOWS] * 2, [tmp_path / "a.tif"])
    with pytest.raises(InputError, match="2 file_names"):
        io.save_masks(IMAGE, MASKS, FLOWS, [tmp_path / "a.tif"] * 2)
    assert listing(tmp_path) == []


def test_image_without_masks(tmp_path, caplog):
    options = {"save_flows": True, "save_outlines": True, "save_txt": True, "save_mpl": True}
    io.save_masks(IMAGE, MASKS, FLOWS, tmp_path / "full.png", tif=True, **options)
    io.save_masks(IMAGE, MASKS * 0, FLOWS, tmp_path / "im.png", tif=True, **options)
    names = listing(tmp_path)
    assert [name for name in names if name.startswith("im")] == [
        name.replace("full", "im") for name in names if name.startswith("full")
    ]
    for name in ("im_cp_masks.tif", "im_cp_masks.png"):
        assert not io.imread(tmp_path / name).any()
    assert (tmp_path / "im_cp_outlines.txt").read_text() == ""
    assert f"{tmp_path / 'im.png'}: no masks found" in caplog.text


def test_stacks(tmp_path, caplog):
    stack = np.stack([MASKS] * 3)
    with pytest.raises(ValueError, match="cannot save 3D outputs as PNG"):
        io.save_masks(None, stack, FLOWS, tmp_path / "im.tif")
    io.save_masks(None, stack, FLOWS, tmp_path / "im.tif", png=False, tif=True)
    assert caplog.text == ""
    assert listing(tmp_path) == ["im_cp_masks.tif"]
    flows = [np.stack([FLOWS[0]] * 3), np.stack([FLOWS[1]] * 3, 1), np.stack([FLOWS[2]] * 3)]
    options = {"save_flows": True, "save_outlines": True, "save_mpl": True}
    io.save_masks(None, stack, flows, tmp_path / "im.tif", tif=True, **options)
    assert listing(tmp_path) == [
        "im_cellprob_cp_masks.tif", "im_cp_masks.tif", "im_dP_cp_masks.tif", "im_flows_cp_masks.tif",
    ]  # fmt: skip
    np.testing.assert_array_equal(io.imread(tmp_path / "im_dP_cp_masks.tif"), flows[1])
    assert "im.tif: not written: masks as PNG, the picture of outlines, outlines as text, the summary picture" in (
        caplog.text
    )


@pytest.mark.parametrize("flows", [None, FLOWS[:2]])
def test_flows_that_are_not_there(tmp_path, flows):
    with pytest.raises(InputError, match="give the three that eval returns"):
        io.save_masks(IMAGE, MASKS, flows, tmp_path / "im.tif", save_flows=True)


def test_the_image_is_never_overwritten(tmp_path):
    io.imsave(tmp_path / "im.tif", IMAGE)
    with pytest.raises(InputError, match="overwrite the image"):
        io.save_masks(IMAGE, MASKS, FLOWS, tmp_path / "im.tif", png=False, tif=True, suffix="")
    with pytest.raises(InputError, match="overwrite the image"):
        io.save_masks(IMAGE, MASKS, FLOWS, tmp_path / "im.tif", False, True, suffix="", savedir=tmp_path / "x" / "..")
    np.testing.assert_array_equal(io.imread(tmp_path / "im.tif"), IMAGE)


def test_another_image_is_never_overwritten(tmp_path):
    for name in ("im.tif", "im_raw.tif"):
        io.imsave(tmp_path / name, IMAGE)
    for name, suffix in (("im.tif", ""), (str(tmp_path / "im.tif"), "_raw")):
        with pytest.raises(InputError, match="which is an image; give another suffix or savedir"):
            io.save_masks(IMAGE, MASKS, FLOWS, name, png=False, tif=True, suffix=suffix, savedir=tmp_path)
    assert all(np.array_equal(io.imread(tmp_path / name), IMAGE) for name in ("im.tif", "im_raw.tif"))


@pytest.mark.parametrize("suffix", ["", "_mine"])
def test_results_are_written_again(tmp_path, suffix):
    """Whatever is in them: numbers with gaps after a correction, no cell at all, or nothing after a crash."""
    target = tmp_path / f"new{suffix}.tif"
    for masks in (MASKS * 3, np.zeros_like(MASKS), MASKS, MASKS):
        io.save_masks(IMAGE, masks, FLOWS, "new.tif", png=False, tif=True, suffix=suffix, savedir=tmp_path)
        np.testing.assert_array_equal(io.imread(target), masks)
    target.write_bytes(b"")
    io.save_masks(IMAGE, MASKS, FLOWS, str(tmp_path / "new.png"), png=False, tif=True, suffix=suffix)
    np.testing.assert_array_equal(io.imread(target), MASKS)


def test_what_looks_like_labels(tmp_path):
    blurred = (200 * np.exp(-((np.indices((60, 60)) - 30.0) ** 2) / 200).prod(axis=0)).astype(np.uint8)
    arrays = {"labels": MASKS * 7, "mask": np.eye(20, dtype=np.uint8), "image": IMAGE, "blob": blurred}
    for name, array in arrays.items():
        io.imsave(tmp_path / f"{name}.tif", array)
    assert [io.holds_labels(tmp_path / f"{name}.tif") for name in arrays] == [True, True, False, False]


def test_wrong_arguments_leave_no_files(tmp_path):
    for arguments in ((IMAGE, MASKS, []), (None, MASKS, FLOWS), (IMAGE[:9], MASKS, FLOWS)):
        with pytest.raises(InputError):
            io.save_masks(*arguments, tmp_path / "im.png", save_flows=True, save_outlines=True)
    assert listing(tmp_path) == []


def test_channels_are_pages_of_a_tiff(tmp_path):
    image = RNG.normal(size=(20, 30, 2)).astype(np.float32)
    write_tiff(tmp_path / "a.tif", image, axes="YXC")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert (len(file.pages), file.pages[0].shape) == (2, (20, 30))
    read = io.read_image(tmp_path / "a.tif")
    assert read.axes == "CYX"
    np.testing.assert_array_equal(read.data, np.moveaxis(image, -1, 0))


def test_results_of_the_same_name_in_one_call_are_told(tmp_path, caplog):
    for name in ("a/x.tif", "b/x.tif", "a/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    names = [str(tmp_path / name) for name in ("a/x.tif", "b/x.tif", "a/x.png")]
    io.save_masks([IMAGE] * 2, [MASKS] * 2, [FLOWS] * 2, names[:2], tif=True, png=False)
    assert not caplog.records
    io.save_masks([IMAGE] * 2, [MASKS] * 2, [FLOWS] * 2, names[:2], tif=True, png=False, savedir=tmp_path)
    assert f"results of {names[0]}, {names[1]} have the same names: only those of {names[1]}" in caplog.text
    io.masks_flows_to_seg([IMAGE] * 2, [MASKS] * 2, [FLOWS] * 2, names[::2])
    assert f"results of {names[0]}, {names[2]} have the same names: only those of {names[2]}" in caplog.text


def test_folders(tmp_path):
    (tmp_path / "in").mkdir()
    name = tmp_path / "in" / "im.tif"
    everything = {"save_flows": True, "save_outlines": True}
    io.save_masks(IMAGE, MASKS, FLOWS, name, in_folders=True, dir_above=True, **everything)
    assert listing(tmp_path) == [
        "flows/im_cellprob_cp_masks.tif",
        "flows/im_dP_cp_masks.tif",
        "flows/im_flows_cp_masks.tif",
        "masks/im_cp_masks.png",
        "outlines/im_outlines_cp_masks.png",
        "txt_outlines/im_cp_outlines.txt",
    ]


def test_output_paths_of_a_bare_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert io.OutputPaths("im.tif").masks_png == Path("im_cp_masks.png")
    assert io.OutputPaths("im.tif", dir_above=True).masks_png == tmp_path.parent / "im_cp_masks.png"
    assert io.OutputPaths("im.tif", savedir="o").rois_zip == Path("o/im_rois.zip")


def test_output_suffix(tmp_path):
    assert io.output_suffix("", savedir=tmp_path, image_dir=tmp_path / "x" / "..") == "_cp_masks"
    assert io.output_suffix("_q", savedir=tmp_path, image_dir=tmp_path) == "_q"
    assert io.output_suffix(None, savedir="out", image_dir="in") == "_cp_masks"


@pytest.mark.parametrize("image", [IMAGE, COLOUR])
def test_summary_picture(tmp_path, image):
    pytest.importorskip("matplotlib")
    io.save_masks(image, MASKS, FLOWS, tmp_path / "im.tif", png=False, save_mpl=True)
    assert listing(tmp_path) == ["im_cp_output_cp_masks.png"]
    assert io.imread(tmp_path / "im_cp_output_cp_masks.png").shape == (900, 3600, 3)


def test_summary_picture_without_matplotlib(tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"cellpose\[plot\]"):
        io.save_masks(IMAGE, MASKS, FLOWS, tmp_path / "im.tif", save_mpl=True)


def test_formats_that_cannot_hold_an_array(tmp_path):
    refused = [
        ("a.png", np.zeros((2, 20, 30), np.uint8)),
        ("a.png", IMAGE > 3),
        ("a.png", IMAGE.astype(np.int64)),
        ("a.png", IMAGE.astype(np.float32)),
        ("a.jpg", IMAGE.astype(np.uint16)),
        ("a", IMAGE),
        ("a.x", IMAGE),
    ]
    for name, array in refused:
        with pytest.raises(InputError, match=r"be written"):
            io.imsave(tmp_path / name, array)
    assert listing(tmp_path) == []


# --------------------------------------------------------------------------------------------------------------- ROIs


def read_rois(file: Path):
    rois = roifile.roiread(file)
    return rois if isinstance(rois, list) else [rois]


def test_rois_are_the_outlines_named_by_label(tmp_path):
    masks = np.where(MASKS == 2, 12, MASKS)
    io.save_rois(masks, tmp_path / "im.tif", prefix="cell", pad=True)
    rois = read_rois(tmp_path / "im_rois.zip")
    assert [roi.name for roi in rois] == ["cell01", "cell12"]
    for roi, outline in zip(rois, utils.outlines_list(masks), strict=True):
        assert roi.roitype == roifile.ROI_TYPE.FREEHAND
        np.testing.assert_array_equal(roi.coordinates(), outline)


def test_rois_of_a_stack_are_bound_to_their_planes(tmp_path):
    stack = np.stack([MASKS, MASKS * 0, np.where(MASKS == 2, 2, 0)])
    io.save_rois(stack, tmp_path / "im.tif")
    rois = read_rois(tmp_path / "im_rois.zip")
    assert [(roi.name, roi.position) for roi in rois] == [("1-z1", 1), ("2-z1", 1), ("2-z3", 3)]


@pytest.mark.parametrize("shape", [(8, 9), (2, 8, 9)])
def test_no_masks_no_rois(tmp_path, caplog, shape):
    io.save_rois(np.zeros(shape, np.uint16), tmp_path / "im.tif")
    assert zipfile.ZipFile(tmp_path / "im_rois.zip").namelist() == []
    assert "no masks found: " in caplog.text
    assert "im_rois.zip holds no ROIs" in caplog.text


def test_rois_of_wide_images_and_of_no_images(tmp_path):
    masks = np.zeros((10, 70_100), np.uint8)
    masks[2:8, 70_000:70_040] = 1
    io.save_rois(masks, tmp_path / "im.tif")
    (roi,) = read_rois(tmp_path / "im_rois.zip")
    np.testing.assert_array_equal(roi.coordinates(), utils.outlines_list(masks)[0])
    with pytest.raises(InputError, match="no outlines"):
        io.save_rois(np.zeros(5, int), tmp_path / "im.tif")
