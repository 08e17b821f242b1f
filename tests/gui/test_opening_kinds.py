"""Files of every kind, whole and damaged, as they are opened in the window."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.gui.controllers._session import Session
from cellpose.gui.model import Box, Picture
from cellpose.gui.model import _operations as operations
from cellpose.gui.views._window import Window
from hand import Answers, drop, entry, key, until_open

RAMP = np.arange(16).reshape(1, 1, 4, 4)


@pytest.mark.parametrize("dtype", ["bool", "i1", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_pictures_are_made_of_every_real_dtype(dtype: str) -> None:
    picture = Picture.of((RAMP - (8 if dtype[0] == "i" else 0)).astype(dtype))
    shown = picture.table(0, 255)[picture.planes[0, 0]]
    assert shown.min() == 0
    assert shown.max() == 255
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()


@pytest.fixture
def session() -> Session:
    made = Session(lambda function: function(), Answers())
    made.failures = []
    made.failed.connect(lambda text: made.failures.append(text))
    return made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    io.imsave(str(path), np.tile(np.arange(60, dtype=np.uint8), (60, 1)))
    return path


def square(session: Session) -> None:
    box = Box(0, 1, 5, 15, 5, 15)
    assert session.document.do(operations.add_cell, box, np.ones(box.shape, bool))


DAMAGED = {
    "no NumPy file": b"\x93NUMPY garbage",
    "empty": b"",
    "no masks": {"flows": []},
    "other shape": {"masks": np.zeros((40, 50), np.int32), "outlines": np.zeros((40, 50), np.int32)},
    "no labels": {"masks": np.full((60, 60), 0.5, np.float32), "outlines": np.zeros((60, 60), np.int32)},
    "odd flows": {"masks": np.zeros((60, 60), np.int32), "outlines": 0, "flows": [np.zeros((3, 3))] * 5},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_image_opens_beside_a_damaged_file_which_is_kept(session: Session, image: Path, name: str) -> None:
    seg, content = image.with_name("cells_seg.npy"), DAMAGED[name]
    if isinstance(content, bytes):
        seg.write_bytes(content)
    else:
        np.save(seg, content, allow_pickle=True)
    before = seg.read_bytes()
    assert session.files.open(image)
    assert session.document.path == image
    if not session.failures:  # what is damaged is not needed
        return
    assert seg.name in session.failures[0]
    square(session)
    session.files.autosave.settle()
    assert image.with_name("cells_seg_kept.npy").read_bytes() == before
    assert io.read_seg(seg).masks.max() == 1
    assert "cells_seg_kept.npy" in session.failures[-1]


def test_what_another_program_wrote_meanwhile_is_kept(session: Session, image: Path) -> None:
    session.files.open(image)
    square(session)
    session.files.autosave.settle()
    other = Session(lambda function: function())
    other.files.open(image)
    other.document.do(operations.delete, [1])
    other.files.autosave.settle()
    session.document.do(operations.clear)
    square(session)
    session.files.autosave.settle()
    assert io.read_seg(image.with_name("cells_seg_kept.npy")).masks.max() == 0
    assert io.read_seg(image.with_name("cells_seg.npy")).masks.max() == 1
    square_saved = len(list(image.parent.glob("*_kept*")))
    session.document.do(operations.clear)
    session.files.autosave.settle()
    assert len(list(image.parent.glob("*_kept*"))) == square_saved == 1


def test_masks_that_do_not_fit_leave_the_image(session: Session, image: Path) -> None:
    io.imsave(str(image.with_name("cells_masks.tif")), np.ones((5, 5), np.uint16))
    session.files.autoload_masks = True
    assert session.files.open(image)
    assert "without masks" in session.failures[0]


def test_a_folder_is_opened_at_its_first_image(session: Session, image: Path, tmp_path: Path) -> None:
    assert session.files.open(image.parent)
    assert session.document.path == image
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not session.files.open(empty)
    assert "holds no image" in session.failures[0]


def test_arrays_are_images_too(session: Session, tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.arange(2500, dtype=np.float32).reshape(50, 50))
    assert session.files.open(tmp_path / "plain.npy")
    assert session.document.labels.shape == (1, 50, 50)


def test_times_are_frames_and_planes_at_each_time_are_told(session: Session, tmp_path: Path) -> None:
    movie = tmp_path / "movie.tif"
    tifffile.imwrite(movie, np.zeros((12, 30, 40), np.uint8), imagej=True, metadata={"axes": "TYX"})
    assert session.files.open(movie)
    assert session.document.is_movie
    assert session.document.labels.shape == (12, 30, 40)
    tifffile.imwrite(movie, np.zeros((4, 3, 30, 40), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    assert not session.files.open(movie)
    assert "3 planes at each of 4 times" in session.failures[0]


def wait_for_jobs(session: Session) -> None:
    end = time.monotonic() + 30
    while session.jobs.any and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["seg", "masks"])
def test_where_nothing_can_be_written_another_folder_is_asked_for(session: Session, tmp_path: Path, what: str) -> None:
    folder, other = tmp_path / "gone", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    image = folder / "cells.png"
    io.imsave(str(image), np.tile(np.arange(60, dtype=np.uint8), (60, 1)))
    session.files.autosave.enabled = False
    session.files.open(image)
    square(session)
    shutil.rmtree(folder)
    folder.write_bytes(b"")  # no folder any more
    session.dialogs.path = other
    session.files.save() if what == "seg" else session.exports.masks()
    wait_for_jobs(session)
    assert "not saved" in session.failures[0]
    assert str(folder) in session.dialogs.asked[0]
    wait_for_jobs(session)
    written = io.read_seg(other / "cells_seg.npy").masks if what == "seg" else io.imread(other / "cells_cp_masks.png")
    assert written.max() == 1


def test_the_only_image_of_a_folder_stays_open(session: Session, image: Path) -> None:
    told: list[str] = []
    session.told.connect(lambda text: told.append(text))
    session.files.open(image)
    document = session.document
    session.files.go(1)
    assert session.document is document
    assert "only image" in told[-1]
    image.unlink()
    session.files.go(1)
    assert "no images any more" in session.failures[-1]


def test_the_table_of_a_large_folder_is_filled_at_once(window: Window, tmp_path: Path) -> None:
    one = tmp_path / "many" / "im0000.png"
    one.parent.mkdir()
    io.imsave(str(one), np.tile(np.arange(20, dtype=np.uint8), (20, 1)))
    for number in range(1, 1000):
        shutil.copy(one, one.with_name(f"im{number:04d}.png"))
    filled: list[int] = []
    window.folder.rows.model().dataChanged.connect(lambda *_: filled.append(1))
    window.session.files.open(one)
    assert window.folder.rows.topLevelItemCount() == 1000
    assert window.folder.rows.currentItem().text(0) == one.name
    assert not filled  # each change of a row in the table measures columns again


def test_the_view_is_never_lost(filled: Window) -> None:
    for key_name in ("Minus", "Equal"):
        for _ in range(150):
            key(filled, key_name)
        y0, x0, y1, x1 = filled.session.seen
        assert min(y1 - y0, x1 - x0) >= 0.9
        assert max(y1 - y0, x1 - x0) < 5000


@pytest.fixture
def zarr_image(tmp_path: Path) -> Path:
    pytest.importorskip("zarr")
    path = tmp_path / "slide.ome.zarr"
    rows, columns = np.mgrid[:60, :80]
    image = np.stack([rows, columns]).astype(np.uint16)
    io.write_ome_zarr(path, image, "CYX", pixel_size_um=(None, 0.5, 0.5), channel_names=("DAPI", "actin"))
    return path


def test_an_ome_zarr_image_is_opened_corrected_and_opened_again(window: Window, zarr_image: Path) -> None:
    window.session.dialogs = Answers(zarr_image)
    entry(window, "File", "Load folder, or OME-Zarr").trigger()
    until_open(window)
    document = window.session.document
    assert document.path == zarr_image
    assert document.stack.shape == (1, 2, 60, 80)
    assert document.pixel_um == (0.5, 0.5)
    assert document.channel_names == ("DAPI", "actin")
    square(window.session)
    window.session.files.autosave.settle()
    seg = zarr_image.with_name("slide.ome_seg.npy")
    assert io.read_seg(seg).masks.max() == 1
    for file in (seg, zarr_image):
        window.session.files.open(file)
        assert window.session.document.path == zarr_image
        assert window.session.cell_count() == 1


def test_ome_zarr_images_are_in_the_list_of_their_folder(window: Window, zarr_image: Path) -> None:
    io.imsave(str(zarr_image.with_name("other.png")), np.zeros((20, 20), np.uint8))
    labels = zarr_image.with_name("slide_masks.ome.zarr")
    io.write_ome_zarr(labels, np.zeros((60, 80), np.int32), "YX", labels=True)
    drop(window, zarr_image)
    assert window.session.files.images() == [zarr_image.with_name("other.png"), zarr_image]
    key(window, "Right")
    until_open(window)
    assert window.session.document.path == zarr_image.with_name("other.png")
    key(window, "Left")
    until_open(window)
    assert window.session.document.path == zarr_image


def test_one_file_by_several_paths_is_one_image(
    session: Session, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(image.parent, target_is_directory=True)
    monkeypatch.chdir(image.parent)
    for path in (image, link / image.name, Path(image.name), image):
        count = 0 if session.document is None else session.document.labels.count
        session.files.begin(path)
        wait_for_jobs(session)
        assert session.document.path == image
        assert session.document.labels.count == count
        box = Box(0, 1, 10 * count, 10 * count + 5, 0, 5)
        session.document.do(operations.add_cell, box, np.ones(box.shape, bool))
    session.files.autosave.leave()
    assert io.read_seg(image.with_name("cells_seg.npy")).masks.max() == 4
    assert not list(image.parent.glob("*_kept*"))


def test_a_copied_seg_file_opens_the_image_beside_it(session: Session, image: Path, tmp_path: Path) -> None:
    (tmp_path / "original").mkdir()
    original = image.rename(tmp_path / "original" / image.name)
    session.files.open(original)
    square(session)
    session.files.autosave.leave()
    before = original.with_name("cells_seg.npy").read_bytes()
    copy = Path(shutil.copytree(original.parent, tmp_path / "copy"))
    session.files.open(copy / "cells_seg.npy")
    assert session.document.path == copy / image.name
    session.document.do(operations.clear)
    session.files.autosave.leave()
    assert original.with_name("cells_seg.npy").read_bytes() == before
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(original.with_name("cells_seg.npy"), alone)
    session.files.open(alone / "cells_seg.npy")
    assert session.document.path == original, "where no image lies beside the file"
    of_windows = io.load_npy(copy / "cells_seg.npy") | {"filename": "C:\\old\\cells.png"}
    io.write_seg(copy / "cells_seg.npy", of_windows)
    session.files.open(copy / "cells_seg.npy")
    assert session.document.path == copy / image.name


def test_images_that_share_a_seg_file_are_told(session: Session, image: Path) -> None:
    other = image.with_suffix(".tif")
    io.imsave(str(other), np.zeros((60, 60), np.uint8))
    session.files.open(image)
    square(session)
    assert not session.failures
    session.files.open(other)
    (told,) = session.failures
    assert told.startswith("cells_seg.npy holds the cells of cells.png")
    session.files.open(image)
    assert len(session.failures) == 1


@pytest.mark.parametrize("filename", ["/gone/cells.png", "C:\\gone\\cells.png", "/gone/other.tif", None])
def test_an_image_that_only_its_seg_file_holds_is_saved_with_the_cells(
    session: Session, tmp_path: Path, filename: str | None
) -> None:
    seg, masks = tmp_path / "cells_seg.npy", np.zeros((50, 60), np.uint16)
    image = np.random.default_rng(0).integers(0, 4000, (50, 60, 3), np.uint16)
    old = {"masks": masks, "outlines": masks, "img": image, **({} if filename is None else {"filename": filename})}
    np.save(seg, old, allow_pickle=True)
    for n in (1, 2):
        assert session.files.open(seg)
        box = Box(0, 1, 5, 15, 20 * n, 20 * n + 10)
        assert session.document.do(operations.add_cell, box, np.ones(box.shape, bool))
        session.files.autosave.settle()
        assert io.read_seg(seg).count == n
        np.testing.assert_array_equal(io.read_seg(seg).image, image)
    assert [path.name for path in tmp_path.glob("cells*")] == ["cells_seg.npy"]
    assert session.files.open(session.document.path), "it has no file, but its cells do"
    assert session.document.labels.count == 2
    np.testing.assert_array_equal(session.document.stack[0], np.moveaxis(image, -1, 0))
    session.files.take_planes_for("Z")
    assert not session.failures
    io.imsave(str(session.document.path), image)
    assert session.files.open(seg)
    square(session)
    session.files.autosave.settle()
    assert io.read_seg(seg).image is None, "the file of the image is enough"


def test_a_missing_image_is_not_replaced_by_the_one_that_its_seg_file_names(session: Session, tmp_path: Path) -> None:
    gone, other, masks = tmp_path / "gone.tif", tmp_path / "other.tif", np.zeros((50, 60), np.uint16)
    io.imsave(str(other), np.zeros((50, 60), np.uint8))
    content = {"masks": masks, "outlines": masks, "filename": str(other)}
    np.save(tmp_path / "gone_seg.npy", content, allow_pickle=True)
    assert not session.files.open(gone)
    assert "gone.tif does not exist" in session.failures.pop()
    own = np.full((50, 60), 7, np.uint8)
    np.save(tmp_path / "gone_seg.npy", {**content, "img": own}, allow_pickle=True)
    assert session.files.open(gone), "it is in the file with its cells"
    assert session.document.path == gone
    np.testing.assert_array_equal(session.document.stack[0, 0], own)
    (tmp_path / "gone_seg.npy").write_bytes(b"garbage")
    assert not session.files.open(gone)
    assert "gone.tif does not exist" in session.failures.pop()
