"""Images that the memory does not hold: left on the disk, with the same pixels, and cancelled in the middle."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cellpose import io
from cellpose.errors import FileReadError
from cellpose.io import _scratch


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which any array of a kilobyte is large."""
    monkeypatch.setattr(_scratch, "_LEAST_BYTES", 1000)
    monkeypatch.setattr(_scratch, "available_memory", lambda: 3000)


def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60_000, (6, 20, 30)).astype(np.uint16)


def on_the_disk(array: np.ndarray) -> bool:
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return isinstance(getattr(owner, "obj", owner), mmap.mmap)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiffs(tmp_path: Path, small_memory: None, compression: str | None, byteorder: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack(), compression=compression, byteorder=byteorder, ome=True, metadata={"axes": "ZYX"})
    told: list[float] = []
    image = io.open_image(path, told.append)
    assert on_the_disk(image.data)
    assert np.array_equal(image.data, stack())
    assert image.axes == "ZYX"
    assert not on_the_disk(io.read_image(path).data)
    if compression:
        assert told[-1] == 1


def test_zarr(tmp_path: Path, small_memory: None) -> None:
    pytest.importorskip("zarr")
    io.write_ome_zarr(tmp_path / "a.zarr", stack(), "ZYX")
    image = io.open_image(tmp_path / "a.zarr")
    assert on_the_disk(image.data)
    assert np.array_equal(image.data, stack())


def test_npy(tmp_path: Path, small_memory: None) -> None:
    np.save(tmp_path / "a.npy", stack())
    image = io.open_image(tmp_path / "a.npy")
    assert on_the_disk(image.data)
    assert np.array_equal(image.data, stack())


def test_small_images_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack())
    assert not on_the_disk(io.open_image(tmp_path / "a.tif").data)


def test_reading_ends_where_it_is_canceled(tmp_path: Path, small_memory: None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack(), compression="zlib")
    told: list[float] = []

    def report(share: float) -> None:
        told.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.open_image(tmp_path / "a.tif", report)
    assert told == [pytest.approx(1 / 6)]


def test_no_room_on_the_disk_is_told(tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_n: int) -> None:
        raise OSError(28, "No space left on device")

    tifffile.imwrite(tmp_path / "a.tif", stack(), compression="zlib")
    monkeypatch.setattr(_scratch, "_mapped", full)
    with pytest.raises(FileReadError, match="TMPDIR"):
        io.open_image(tmp_path / "a.tif")


def test_segmentations_are_written_and_read_alike(tmp_path: Path, small_memory: None) -> None:
    labels = np.zeros((4, 20, 30), np.int32)
    labels[1:3, 3:9, 3:9], labels[2, 12:18, 12:18] = 1, 2
    content = io.seg_content(labels, None, "a.tif")
    assert on_the_disk(content["masks"])
    assert on_the_disk(content["outlines"])
    io.write_seg(tmp_path / "a_seg.npy", content)
    seg = io.read_seg(tmp_path / "a_seg.npy")
    assert np.array_equal(seg.masks, labels)
    assert seg.outlines[1, 3, 3] == 1
    assert seg.outlines[1, 5, 5] == 0
