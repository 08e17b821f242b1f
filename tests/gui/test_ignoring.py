"""Regions that training ignores: drawn, shown, kept beside the masks, left out of training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import io
from cellpose.gui.controllers._training import _opened
from cellpose.gui.model._training_set import training_set
from cellpose.gui.views._window import Window
from cellpose.io._ignored import IGNORED_KEY
from cellpose.io._label_image import read_labels
from hand import Modifier, click, drag, draw, key

CTRL, SHIFT = Modifier.ControlModifier, Modifier.ShiftModifier


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.png"
    cv2.imwrite(str(path), np.tile(np.arange(100, dtype=np.uint8), (90, 1)))
    return path


def test_regions_are_drawn_shown_removed_and_taken_back(window: Window, image: Path) -> None:
    window.session.files.open(image)
    document = window.session.document
    key(window, "I", SHIFT)
    drag(window, (10, 10), (10, 30), (40, 30), (40, 10))
    drag(window, (50, 50), (60, 60), (80, 90), keys=SHIFT)
    assert len(document.labels.ignored) == 2
    assert window.ignored.path.boundingRect().height() > 60
    click(window, 20, 20)
    assert len(document.labels.ignored) == 1
    key(window, "Z", CTRL)
    assert len(document.labels.ignored) == 2
    key(window, "Z", CTRL)
    key(window, "Z", CTRL)
    assert document.labels.ignored == ()
    assert window.ignored.path.isEmpty()
    key(window, "Y", CTRL)
    assert len(document.labels.ignored) == 1
    drag(window, (5, 5), (6, 5), (5, 5))
    assert len(document.labels.ignored) == 1
    assert document.labels.count == 0


def test_regions_are_kept_in_the_file_and_in_the_journal(window: Window, qtbot: object, image: Path) -> None:
    window.session.files.open(image)
    draw(window, 60, 30, 12)
    key(window, "I", SHIFT)
    drag(window, (50, 50), (60, 60), (80, 90), keys=SHIFT)
    kept = window.session.document.labels.ignored
    window.session.files.save()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)
    content = io.read_seg(image.with_name("cells_seg.npy")).content
    assert [region.shape for region in content[IGNORED_KEY]] == [(4, 3)]
    window.session.files.autosave.enabled = False
    drag(window, (5, 5), (20, 5), (20, 20), (5, 20))
    both = window.session.document.labels.ignored
    window.session.files.open(image)
    assert window.session.document.labels.ignored == both, "the journal tells of the second"
    window.session.undo()
    assert window.session.document.labels.ignored == kept


def test_training_leaves_them_out(window: Window, qtbot: object, image: Path) -> None:
    window.session.files.open(image)
    draw(window, 60, 30, 12)
    draw(window, 30, 80, 12)
    key(window, "I", SHIFT)
    drag(window, (10, 60), (30, 60), (50, 98), keys=SHIFT)  # the second cell lies in it
    opened = training_set(image.parent, _opened(window.session.document)())
    window.session.files.save()
    qtbot.waitUntil(lambda: not window.session.jobs.any, timeout=30_000)
    of_file = training_set(image.parent)
    (example,), (other,) = opened.train, of_file.train
    of_cli = read_labels(image.with_name("cells_seg.npy"))
    for labels in (other.labels, of_cli):
        assert np.array_equal(np.sign(example.labels), np.sign(labels)), "numbers differ"
    assert example.cells == other.cells == 1
    assert np.unique(example.labels).tolist() == [-1, 0, 1]
    assert (example.labels[12:49, 62:97] == -1).all()
    assert 0.1 < (example.labels == -1).mean() < 0.25
    masks = io.imread(image.with_name("cells_seg.npy"))
    assert masks.max() == 2, "the masks themselves are as they were drawn"


def test_no_gradient_comes_from_ignored_pixels_and_without_any_nothing_changes() -> None:
    import torch

    from cellpose.train._loss import _loss_fn_seg
    from cellpose.train._targets import ignored_pixels, targets_of

    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:34, 20:34] = 1, 2
    ignored = np.zeros((40, 40), bool)
    ignored[18:, 18:] = True
    target = targets_of(np.where(ignored, -1, labels))
    assert np.array_equal(ignored_pixels(target), ignored)
    y = torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(1), requires_grad=True)
    _loss_fn_seg(target[None], y).backward()
    assert not y.grad[0][:, torch.from_numpy(ignored)].any()
    assert y.grad[0][:, torch.from_numpy(~ignored)].abs().min() > 0
    plain = targets_of(labels)
    assert not ignored_pixels(plain).any()
    with torch.no_grad():
        assert _loss_fn_seg(plain[None], y) == _loss_fn_seg(plain[None], y, ignored=None), "bit for bit"


@pytest.mark.parametrize("bad", [3, "text", [np.zeros((2, 3))], [np.zeros((5, 2))], [np.full((4, 3), np.nan)], [None]])
def test_a_damaged_key_is_no_region(image: Path, window: Window, bad: object) -> None:
    masks = np.zeros((90, 100), np.uint16)
    masks[5:20, 5:20] = 1
    flows = [np.zeros((90, 100, 3), np.uint8), np.zeros((2, 90, 100), np.float32), np.zeros((90, 100), np.float32)]
    content = {**io.seg_content(masks, flows, image), IGNORED_KEY: bad}
    io.write_seg(image.with_name("cells_seg.npy"), content)
    assert window.session.files.open(image)
    assert window.session.document.labels.ignored == ()
