"""Volumes that the memory does not hold: opened from the disk, looked at, edited, segmented plane by plane, saved."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellpose import io, utils
from cellpose.gui.controllers._by_planes import segment_by_planes
from cellpose.gui.controllers._source import Source
from cellpose.gui.model import Document, SegmentationSettings
from cellpose.gui.model import _operations as operations
from cellpose.gui.views._window import Window
from cellpose.io import _scratch
from hand import drop, key

SHAPE = (7, 50, 60)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a volume of some kilobytes is large."""
    monkeypatch.setattr(_scratch, "_LEAST_BYTES", 10_000)
    monkeypatch.setattr(_scratch, "available_memory", lambda: 30_000)


def on_the_disk(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(getattr(array, "obj", array), mmap.mmap)


def blobs() -> np.ndarray:
    """Bright bodies through several planes, which join and part, and a speck."""
    stack = np.zeros(SHAPE, np.uint16)
    stack[0:4, 5:20, 5:20] = 900
    stack[2:6, 5:20, 30:50] = 700
    stack[4:7, 30:45, 8:18] = 800
    stack[6, 30:45, 24:40] = 800
    stack[3, 47:49, 55:58] = 900
    return stack


class Pieces:
    """A network that finds what is bright, each piece of a plane a cell."""

    model_name, diam_labels = "pieces", 30.0

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def eval(self, image: np.ndarray, **_options: Any) -> tuple[Any, ...]:
        self.shapes.append(image.shape)
        plane = image[..., 0]
        return (
            ndimage.label(plane > plane.max() / 2 if plane.max() > 0.5 else plane > 1e9)[0].astype(np.uint16),
            [],
            None,
        )


@pytest.mark.parametrize("min_size", [0, 20])
def test_planes_one_by_one_give_what_all_at_once_give(min_size: int) -> None:
    stack = blobs()[:, None]
    source = Source.of(Document(stack), SegmentationSettings(diameter=20.0), None, None)
    found = segment_by_planes(
        Pieces(), source, {**source.options, "stitch_threshold": 0.3, "min_size": min_size}, lambda _: None
    )
    planes = np.stack([ndimage.label(plane > 0)[0] for plane in blobs()])
    expected = utils.stitch3D(planes, stitch_threshold=0.3)
    expected = utils.fill_holes_and_remove_small_masks(expected, min_size=min_size)
    assert found.max() == expected.max() == (5 if min_size == 0 else 4)
    pairs = np.unique(np.stack([found.ravel(), np.asarray(expected).ravel()]), axis=1)
    assert pairs.shape[1] == found.max() + 1, "the same cells, whatever their numbers"


def test_a_volume_is_opened_edited_segmented_and_saved_from_the_disk(
    window: Window, qtbot: Any, tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, session, network = tmp_path / "a.ome.tif", window.session, Pieces()
    tifffile.imwrite(path, blobs(), ome=True, metadata={"axes": "ZYX"}, compression="zlib")
    drop(window, path)
    document = session.document
    assert session.volumes.is_open
    assert on_the_disk(document.stack)
    assert on_the_disk(document.labels.planes)
    for name in ("Home", "PageDown", "End"):
        key(window, name)
    window.grab()
    assert session.view.plane == SHAPE[0] - 1
    monkeypatch.setattr(session.segmentation, "_loaded", lambda *_: network)
    session.settings.stitch_threshold = 0.3
    session.segmentation.run()
    qtbot.waitUntil(lambda: not session.jobs.any, timeout=30_000)
    assert network.shapes == [(*SHAPE[1:], 1)] * SHAPE[0], "a plane after the other"
    assert session.cell_count() == 4
    assert on_the_disk(document.labels.planes)
    session.document.do(operations.delete, [1])
    session.undo()
    session.document.do(operations.delete, [2])
    kept = document.labels.planes > 0
    session.files.save()
    qtbot.waitUntil(lambda: not session.jobs.any, timeout=30_000)
    seg = io.read_seg(tmp_path / "a.ome_seg.npy")
    assert np.array_equal(seg.masks > 0, kept)
    drop(window, path)
    assert session.cell_count() == 3
    assert on_the_disk(session.document.labels.planes)
