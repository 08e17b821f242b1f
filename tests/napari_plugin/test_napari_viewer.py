"""The widgets in a real viewer without a screen."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("QT_API", "pyside6")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of napari and its libraries
    pytest.importorskip("napari", reason="napari is not installed")

from cellpose.napari._results import KEY
from small_model import discs, small_file, toy_model

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def application() -> Any:
    """Qt without a screen."""
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() or QApplication(["pytest", "-platform", "offscreen"])


@pytest.fixture
def viewer() -> Any:
    """The model of a viewer: what widgets see of it, without a window."""
    from napari.components import ViewerModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ViewerModel()


def wait(row: Any, until: Callable[[], bool] | None = None) -> None:
    from qtpy.QtTest import QTest

    end = time.monotonic() + 60
    while (row.is_running if until is None else not until()) and time.monotonic() < end:
        QTest.qWait(10)
    assert not row.is_running


@pytest.fixture
def segmenting(viewer: Any, tmp_path: Path) -> Any:
    from cellpose.napari._segment_widget import SegmentWidget

    widget = SegmentWidget(viewer)
    widget._loaded.get = lambda *_: toy_model(tmp_path)
    return widget


def test_cells_of_a_layer_become_labels(viewer: Any, segmenting: Any) -> None:
    segmenting.run_or_told = segmenting.row.guarded(segmenting.run)
    assert "no image layer" in segmenting.row.words.text()
    viewer.add_image(discs(96, 120), name="discs", scale=(0.5, 0.5))
    for tick in segmenting.wanted.values():
        tick.setChecked(True)
    segmenting.row.button.click()
    wait(segmenting.row)
    names = [layer.name for layer in viewer.layers]
    assert names == ["discs", "discs flows", "discs probability", "discs masks", "discs outlines"]
    labels = viewer.layers["discs masks"]
    assert labels.data.max() > 0
    assert tuple(labels.scale) == (0.5, 0.5)
    segmenting.row.button.click()
    wait(segmenting.row)
    assert [layer.name for layer in viewer.layers] == names


def test_thresholds_work_at_once_and_leave_edited_labels_alone(viewer: Any, segmenting: Any) -> None:
    viewer.add_image(discs(96, 120), name="discs")
    segmenting.row.button.click()
    wait(segmenting.row)
    labels = segmenting.labels
    before = labels.data.copy()
    segmenting.least.setValue(10_000)
    wait(segmenting.anew)
    assert not labels.data.any()
    segmenting.least.setValue(15)
    wait(segmenting.anew)
    np.testing.assert_array_equal(labels.data, before)
    y, x = np.argwhere(before)[0]
    segmenting.clicking.setChecked(True)
    segmenting.clicks.click((y, x))
    assert not (labels.data == before[y, x]).any()
    segmenting.clicks.click((y, x))
    assert labels.data[y, x] > 0
    segmenting.least.setValue(10_000)
    wait(segmenting.anew)
    assert labels.data.any()
    assert "was edited" in segmenting.row.words.text()


def test_a_plane_of_a_stack_and_a_run_that_is_cancelled(viewer: Any, segmenting: Any) -> None:
    viewer.add_image(discs(5, 96, 120), name="stack", scale=(2, 1, 1))
    assert segmenting.axes.text() == "ZYX"
    assert segmenting.anisotropy.value() == 2
    viewer.dims.set_point(0, 6)
    segmenting.row.button.click()
    wait(segmenting.row)
    assert segmenting.labels.data.shape == (1, 96, 120)
    assert segmenting.labels.translate[0] == 6
    segmenting.mode.setCurrentIndex(2)
    segmenting.row.button.click()
    segmenting.row.cancel()
    wait(segmenting.row)
    assert segmenting.row.words.text() == "canceled"
    assert segmenting.labels.data.shape == (1, 96, 120)


def test_the_table_and_the_layer_follow_each_other(viewer: Any) -> None:
    from cellpose.napari._measure_widget import MeasureWidget

    labels = np.zeros((40, 50), int)
    labels[2:8, 2:8], labels[20:30, 30:45] = 3, 7
    viewer.add_image(labels * 2.0, name="image")
    layer = viewer.add_labels(labels, name="drawn")
    widget = MeasureWidget(viewer)
    widget.row.button.click()
    wait(widget.row)
    assert layer.features["area"].tolist() == [36, 150]
    assert layer.features["index"].tolist() == [3, 7]
    widget.go_to(1)
    assert layer.selected_label == 7
    assert widget.table.currentIndex().row() == 1
    np.testing.assert_allclose(viewer.camera.center[-2:], (24.5, 37))
    widget.groups["score"].setChecked(True)
    widget.row.button.click()
    assert "scores need" in widget.row.words.text()


def test_only_the_images_that_the_cells_were_found_in_are_ticked(viewer: Any) -> None:
    from cellpose.napari._measure_widget import MeasureWidget
    from cellpose.napari._results import Found

    def ticked(widget: Any) -> list[str]:
        return [layer.name for layer in widget._ticked()]

    labels = np.zeros((20, 30), int)
    labels[2:8, 2:8] = 1
    for name in ("one", "two", "three"):
        viewer.add_image(labels * 2.0, name=name)
    viewer.add_labels(labels, name="drawn")
    viewer.add_labels(labels, name="made", metadata={KEY: {"found": Found(labels, source="two")}})
    widget = MeasureWidget(viewer)
    assert widget.images.count() == 3
    assert (widget.labels.currentText(), ticked(widget)) == ("made", ["two"])
    viewer.layers.selection.active = viewer.layers["three"]
    widget.labels.setCurrentText("drawn")
    assert ticked(widget) == ["three"]
    widget.images.item(0).setCheckState(widget.images.item(2).checkState())
    viewer.layers["one"].name = "first"
    viewer.add_image(labels * 3.0, name="four")
    assert ticked(widget) == ["first", "three"], "what the user ticked stays, and no more"
    widget.row.button.click()
    wait(widget.row)
    assert [name for name in widget.columns if name.startswith("intensity_mean")] == [
        "intensity_mean-0", "intensity_mean-1",
    ]  # fmt: skip


def test_training_learns_from_labels(viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellpose.napari._train_widget import TrainWidget

    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    labels = np.zeros((64, 64), int)
    labels[5:20, 5:20], labels[30:45, 30:50] = 1, 2
    viewer.add_image(labels * 100.0 + np.random.default_rng(0).normal(0, 5, labels.shape), name="image")
    viewer.add_labels(labels, name="drawn")
    widget = TrainWidget(viewer)
    small = str(small_file(tmp_path))
    widget.base.addItem("small", small)
    widget.base.setCurrentIndex(widget.base.count() - 1)
    widget.epochs.setValue(2)
    widget.folder.setText(str(tmp_path))
    widget.name.setText("learnt")
    widget.row.button.click()
    wait(widget.row)
    assert (tmp_path / "models" / "learnt").is_file(), widget.row.words.text()
    assert "The model is in the list" in widget.row.words.text()
    # in the folder of another project, while the models folder has a model of this name
    (tmp_path / "second").mkdir()
    widget.folder.setText(str(tmp_path / "second"))
    widget.name.setText("learnt")
    widget.row.button.click()
    wait(widget.row)
    assert "The name learnt means another model: add this file" in widget.row.words.text()


def test_restoring_makes_a_layer_at_the_same_place(viewer: Any, tmp_path: Path) -> None:
    import torch

    from cellpose.napari._restore_widget import RestoreWidget
    from cellpose.nets import CPnet

    torch.save(CPnet([1, 4, 8], 1).state_dict(), tmp_path / "upsample_small")
    viewer.add_image(discs(2, 40, 50)[None], name="noisy", scale=(1, 3, 0.5, 0.5))
    widget = RestoreWidget(viewer)
    widget.choose_model(str(tmp_path / "upsample_small"))
    widget.row.button.click()
    wait(widget.row)
    restored = viewer.layers["noisy restored"]
    assert restored.data.ndim >= 3
    np.testing.assert_allclose(restored.extent.world, viewer.layers["noisy"].extent.world, atol=1e-9)


def test_layers_of_a_file_open_in_a_viewer(viewer: Any, tmp_path: Path) -> None:
    from cellpose.napari._files import read, write_labels

    labels = np.zeros((20, 30), np.int32)
    labels[3:9, 3:9] = 1
    path = write_labels(str(tmp_path / "a_seg.npy"), labels, {})[0]
    for data, keywords, kind in read(path):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    np.testing.assert_array_equal(viewer.layers["a masks"].data, labels)
    assert "found" in viewer.layers["a masks"].metadata[KEY]


@pytest.mark.parametrize("module", ["_segment_widget:SegmentWidget", "_measure_widget:MeasureWidget",
                                    "_train_widget:TrainWidget", "_restore_widget:RestoreWidget"])  # fmt: skip
def test_widgets_are_as_wide_as_their_rows(viewer: Any, module: str) -> None:
    import importlib

    file, _, name = module.partition(":")
    widget = getattr(importlib.import_module(f"cellpose.napari.{file}"), name)(viewer)
    widget.resize(200, 500)
    widget.show()
    assert widget.viewport().width() >= widget.widget().minimumSizeHint().width()
    widget.close()
