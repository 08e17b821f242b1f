"""From layers to images and back; without napari."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellpose import io
from cellpose.dynamics import masks_to_flows
from cellpose.errors import AxesError, InputError, OptionError
from cellpose.napari import _files, _samples
from cellpose.napari._click import Clicks, cell_at
from cellpose.napari._layers import Source, check_axes, guess_axes, is_large, sources, take
from cellpose.napari._measuring import images_of, measure_labels
from cellpose.napari._results import KEY, Found, finder_at, is_edited, layer_tuples, masks_anew
from cellpose.napari._segmenting import Loaded, choices, segment, segment_in_bands
from cellpose.napari._settings import SegmentSettings
from cellpose.napari._tasks import Cancelled, Task
from cellpose.napari._training import examples, pairs
from small_model import discs, small_file, toy_model


class Image(SimpleNamespace):
    """What is read of an Image layer of napari."""

    def __init__(self, data: Any, name: str = "image", rgb: bool = False, **more: Any) -> None:
        given = {"metadata": {}, "multiscale": False} | more
        super().__init__(data=data, name=name, rgb=rgb, **given)
        ndim = len((data[0] if self.multiscale else data).shape) - rgb
        self.scale = given.get("scale", np.ones(ndim))
        self.translate = given.get("translate", np.zeros(ndim))


class Labels(SimpleNamespace):
    """The same of a Labels layer."""


def labels_layer(data: Any, name: str, **more: Any) -> Any:
    return Labels(data=data, name=name, rgb=False, multiscale=False, metadata=more.get("metadata", {}))


def test_axes_are_named_by_the_layer_or_by_their_number() -> None:
    assert guess_axes(Image(np.zeros((5, 9, 8)))) == "ZYX"
    assert guess_axes(Image(np.zeros((3, 9, 8)))) == "CYX"
    assert guess_axes(Image(np.zeros((9, 8, 4)), rgb=True)) == "YXC"
    assert guess_axes(Image(np.zeros((5, 6, 9, 8)))) == "TZYX"
    assert guess_axes(Image(np.zeros((3, 9, 8)), axis_labels=("t", "y", "x"))) == "TYX"
    assert check_axes(" tyx", Image(np.zeros((3, 9, 8)))) == "TYX"
    for wrong in ("YX", "ZZYX", "ZXY", "ZCYX", "QYX"):
        with pytest.raises(AxesError, match="one letter for each axis"):
            check_axes(wrong, Image(np.zeros((3, 2, 9, 8)) if len(wrong) == 4 else np.zeros((3, 9, 8)), "layer"))


def test_channels_of_layers_can_be_chosen() -> None:
    layers = [Image(np.zeros((9, 8, 3)), "rgb", rgb=True), Image(np.zeros((2, 9, 8)), "two"), labels_layer(1, "cells")]
    assert [source.text for source in sources(layers)] == [
        "rgb", "rgb: red", "rgb: green", "rgb: blue", "two", "two: channel 1", "two: channel 2",
    ]  # fmt: skip


def test_cells_and_nuclei_become_channels() -> None:
    one, two = np.arange(72.0).reshape(9, 8), np.ones((9, 8, 3))
    taken = take(Source(Image(one)), Source(Image(two, rgb=True), 1))
    assert (taken.image.axes, taken.image.data.shape, taken.channels) == ("YXC", (9, 8, 2), (1, 2))
    np.testing.assert_array_equal(taken.image.data[..., 0], one)
    assert take(Source(Image(one))).channels == (0, 0)
    with pytest.raises(InputError, match="same shape"):
        take(Source(Image(one)), Source(Image(one[:5], "small")))


def test_the_shown_plane_lies_where_it_was() -> None:
    stack = np.arange(5 * 9 * 8).reshape(5, 9, 8)
    layer = Image(stack, scale=np.array([3.0, 0.5, 0.5]), translate=np.array([10.0, 1.0, 2.0]))
    taken = take(Source(layer), position=(2.2, 0, 0))
    np.testing.assert_array_equal(taken.image.data, stack[2])
    assert (taken.image.axes, taken.kept_shape) == ("YX", (1, 9, 8))
    assert taken.placing["scale"] == (3.0, 0.5, 0.5)
    assert taken.placing["translate"] == (16.0, 1.0, 2.0)
    channels_first = Image(np.zeros((2, 9, 8)), scale=np.array([1.0, 0.5, 0.5]))
    assert take(Source(channels_first)).placing["scale"] == (0.5, 0.5)


def test_a_coarser_level_covers_the_same_ground() -> None:
    fine = np.zeros((64, 32))
    layer = Image([fine, fine[::2, ::2], fine[::4, ::4]], multiscale=True, scale=np.ones(2), translate=np.zeros(2))
    taken = take(Source(layer), level=2)
    assert taken.image.data.shape == (16, 8)
    assert taken.placing == {"scale": (4.0, 4.0), "translate": (1.5, 1.5)}
    assert is_large(Image(np.broadcast_to(np.uint8(0), (9000, 9000))))
    assert not is_large(Image(np.broadcast_to(np.uint8(0), (900, 9000, 3)), rgb=True))


def test_what_is_wanted_becomes_keywords() -> None:
    stitched = SegmentSettings(mode="stitch", stitch_threshold=0.3).keywords()
    assert stitched["stitch_threshold"] == 0.3
    assert "do_3D" not in stitched
    assert SegmentSettings().keywords()["diameter"] is None
    with pytest.raises(OptionError, match="cellprob_threshold"):
        SegmentSettings(cellprob_threshold=float("nan")).keywords()


@pytest.mark.parametrize("mode", ["plane", "planes", "stitch"])
def test_live_masks_equal_those_of_a_run(tmp_path: Path, mode: str) -> None:
    model = toy_model(tmp_path)
    image = discs(96, 120) if mode == "plane" else discs(5, 96, 120)
    told: list[float] = []
    taken = take(Source(Image(image, "discs")))
    found = segment(model, taken, SegmentSettings(mode=mode), told.append)
    assert found.count() > 0
    assert told[-1] == 1
    np.testing.assert_array_equal(masks_anew(found, found.settings), found.masks)
    other = SegmentSettings(mode=mode, cellprob_threshold=0.5, min_size=30, flow_threshold=0.0)
    again = segment(model, taken, other, told.append)
    np.testing.assert_array_equal(masks_anew(found, other), again.masks)


def test_large_planes_run_in_bands(tmp_path: Path) -> None:
    model, taken = toy_model(tmp_path), take(Source(Image(discs(96, 120))), lazy=True)
    whole, bands = (run(model, taken, SegmentSettings(), lambda _: None) for run in (segment, segment_in_bands))
    assert bands.count() == whole.count() > 0
    np.testing.assert_array_equal(bands.masks > 0, whole.masks > 0)
    assert not bands.is_live
    with pytest.raises(InputError, match="no flows"):
        masks_anew(bands, SegmentSettings())


def two_cells() -> Found:
    cells = np.zeros((40, 60), np.int32)
    cells[5:22, 3:20], cells[5:22, 20:40] = 1, 2
    flows = 5 * masks_to_flows(cells)
    return Found(cells, np.zeros((40, 60, 3), np.uint8), flows, np.where(cells, 4.0, -9.0), "m", source="image")


def test_results_become_layers() -> None:
    found = two_cells()
    layers = layer_tuples(found, {"scale": (2.0, 2.0)}, ["flows", "probability", "outlines"])
    assert [(keywords["name"], kind) for _, keywords, kind in layers] == [
        ("image flows", "image"), ("image probability", "image"), ("image masks", "labels"),
        ("image outlines", "labels"),
    ]  # fmt: skip
    assert all(keywords["scale"] == (2.0, 2.0) for _, keywords, _ in layers)
    outlines = layers[3][0]
    assert outlines[5, 4] == 1
    assert outlines[10, 10] == 0
    layer = SimpleNamespace(data=layers[2][0], metadata=layers[2][1]["metadata"])
    assert not is_edited(layer)
    layer.data[0, 0] = 9
    assert is_edited(layer)


def test_a_click_adds_a_cell_and_removes_one() -> None:
    found, labels = two_cells().shaped((1, 40, 60)), np.zeros((1, 40, 60), np.int32)
    finder = finder_at(found, (0,))
    indices, number = cell_at(labels, finder, (0, 10, 25), 0.0)
    labels[indices] = number
    assert number == 1
    np.testing.assert_array_equal(labels[0] > 0, found.masks[0] == 2)
    assert cell_at(labels, finder, (0, 35, 50), 0.0) is None
    indices, number = cell_at(labels, finder, (0, 10, 25), 0.0)
    labels[indices] = number
    assert not labels.any()


@pytest.mark.parametrize(
    ("button", "modifiers", "active", "mode", "n"),
    [
        (1, (), True, "pan_zoom", 1),
        (2, (), True, "pan_zoom", 2),
        (1, ("Control",), True, "pan_zoom", 2),
        (1, (), False, "pan_zoom", 2),
        (1, (), True, "paint", 2),
    ],
)
def test_only_plain_left_clicks_on_the_layer_count(
    button: int, modifiers: Any, active: bool, mode: str, n: int
) -> None:
    found = two_cells()
    layer = labels_layer(found.masks.copy(), "cells", metadata={KEY: {"found": found}})
    layer.world_to_data = lambda position: position
    layer.data_setitem = layer.data.__setitem__
    layers = SimpleNamespace(selection=SimpleNamespace(active=None))
    viewer = SimpleNamespace(mouse_drag_callbacks=[], layers=layers)
    Clicks(viewer, lambda: layer, lambda: 0.0, lambda _text: None).turn(True)
    assert layers.selection.active is layer
    assert layer.mode == "pan_zoom"
    layer.mode = mode
    if not active:
        layers.selection.active = "shapes"
    position = tuple(int(side[0]) for side in np.nonzero(found.masks))
    press = SimpleNamespace(type="mouse_press", button=button, modifiers=modifiers, position=position)
    for _ in viewer.mouse_drag_callbacks[0](viewer, press):
        press.type = "mouse_release"
    assert len(np.unique(layer.data[layer.data > 0])) == n


def test_seg_files_come_back_with_their_flows(tmp_path: Path) -> None:
    found = two_cells()
    data, keywords, _ = layer_tuples(found.shaped((1, 40, 60)), {})[0]
    written = _files.write_labels(str(tmp_path / "cells.npy"), data, keywords)
    assert written == [str(tmp_path / "cells_seg.npy")]
    io.imsave(tmp_path / "cells.tif", np.arange(2400, dtype=np.uint16).reshape(40, 60))
    content = io.load_npy(written[0])
    io.write_seg(written[0], content | {"filename": str(tmp_path / "gone" / "cells.tif")})
    reader = _files.get_reader(written)
    assert reader is not None
    layers = {keywords["name"]: (data, keywords) for data, keywords, _ in reader(written)}
    assert list(layers) == ["cells", "cells flows", "cells probability", "cells masks"]
    np.testing.assert_array_equal(layers["cells masks"][0], found.masks)
    kept = layers["cells masks"][1]["metadata"][KEY]["found"]
    assert kept.is_live
    np.testing.assert_allclose(kept.dP, found.dP, atol=1e-6)
    assert kept.model == "m"


def file_of_the_window(path: Path) -> Path:
    labels = np.zeros((20, 30), np.uint16)
    for number in (1, 2, 3):
        labels[5:12, 9 * number - 7 : 9 * number] = number
    regions, changes = [np.array([[0, 1, 1], [0, 5, 5], [0, 1, 5]])], [["now", "added mask", [[1], [2]]]]
    of_cells = {"ismanual": np.array([True, False, False]), "checked": np.array([False, True, True])}
    more = {"classes": np.array([1, 2, 3]), "class_names": {"names": ["immune"]}, "manual_changes": changes}
    content = io.seg_content(labels, None, path.parent / "a.png")
    io.write_seg(path, content | of_cells | more | {io.IGNORED_KEY: regions})
    return path


def test_the_work_of_a_person_stays_in_a_file(tmp_path: Path) -> None:
    path = file_of_the_window(tmp_path / "a_seg.npy")
    before = io.load_npy(path)
    labels, keywords, _ = next(layer for layer in _files.read(path) if layer[2] == "labels")
    for _ in range(2):
        _files.write_labels(str(path), labels, keywords)
        after = io.load_npy(path)
        for key in ("ismanual", "checked", "classes", "class_names", "manual_changes", io.IGNORED_KEY):
            np.testing.assert_equal(after[key], before[key])
    labels[labels == 2] = 0
    labels[4, 23] = 3
    labels[15:18, 15:18] = 4
    _files.write_labels(str(path), labels, keywords)
    after = io.load_npy(path)
    assert after["ismanual"].tolist() == [True, False, True, True]
    assert after["checked"].tolist() == [False, False, True, False]
    assert after["classes"].tolist() == [1, 0, 3, 0]
    assert after["manual_changes"][:1] == before["manual_changes"]
    (_, action, place), *more = after["manual_changes"][1:]
    assert (action, more) == ("removed mask", [])
    np.testing.assert_array_equal(place, np.nonzero(before["masks"] == 2))
    assert os.listdir(tmp_path) == ["a_seg.npy"]


def test_a_file_with_the_work_of_a_person_is_kept(tmp_path: Path) -> None:
    path = file_of_the_window(tmp_path / "a_seg.npy")
    drawn = np.zeros((20, 30), np.uint8)
    drawn[2:5, 2:5] = 1
    _files.write_labels(str(path), drawn, {"metadata": {}})
    assert io.read_seg(tmp_path / "a_seg_kept.npy").count == 3
    labels, keywords, _ = _files.read(path)[0]
    file_of_the_window(path)  # the window has saved it meanwhile
    _files.write_labels(str(path), labels, keywords)
    assert io.read_seg(tmp_path / "a_seg_kept1.npy").count == 3
    for _ in range(3):  # what this layer has written itself is not kept
        _files.write_labels(str(path), labels, keywords)
        _files.write_labels(str(tmp_path / "b_seg.npy"), labels, keywords)
    assert sorted(os.listdir(tmp_path)) == ["a_seg.npy", "a_seg_kept.npy", "a_seg_kept1.npy", "b_seg.npy"]


def test_an_image_that_only_its_file_holds_stays_there(tmp_path: Path) -> None:
    path, image = file_of_the_window(tmp_path / "a_seg.npy"), np.arange(600, dtype=np.uint16).reshape(20, 30)
    io.write_seg(path, io.load_npy(path) | {"img": image})
    for n in (2, 1):
        (shown, _, _), (labels, keywords, _) = _files.read(path)
        np.testing.assert_array_equal(shown, image)
        labels[labels > n] = 0
        _files.write_labels(str(path), labels, keywords)
        assert io.read_seg(path).count == n
        np.testing.assert_array_equal(io.read_seg(path).image, image)
    _files.write_labels(str(tmp_path / "b_seg.npy"), labels, keywords)
    np.testing.assert_array_equal(io.read_seg(tmp_path / "b_seg.npy").image, image)
    _files.write_labels(str(path), labels, {"metadata": {}})  # labels of another layer
    np.testing.assert_array_equal(io.read_seg(tmp_path / "a_seg_kept.npy").image, image)
    _files.write_labels(str(path), labels, keywords)
    io.imsave(tmp_path / "a.png", image)
    _, (labels, keywords, _) = _files.read(path)
    _files.write_labels(str(path), labels, keywords)
    assert io.read_seg(path).image is None, "the file of the image is enough"


@pytest.mark.parametrize("named", ["{}/first/a.png", "C:\\data\\a.png", "a.png"])
def test_a_copied_folder_shows_its_own_image(tmp_path: Path, named: str) -> None:
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    for folder, shown in (("first", image), ("copy", image[::-1])):
        (tmp_path / folder).mkdir()
        io.imsave(tmp_path / folder / "a.png", shown)
        path = file_of_the_window(tmp_path / folder / "a_seg.npy")
        io.write_seg(path, io.load_npy(path) | {"filename": named.format(tmp_path)})
    np.testing.assert_array_equal(_files.read(path)[0][0], image[::-1])


def test_other_files_and_labels_are_left_alone(tmp_path: Path) -> None:
    assert _files.get_reader("image.npy") is None
    assert _files.get_reader(["a_seg.npy", "b.tif"]) is None
    with pytest.raises(InputError, match="one frame"):
        _files.write_labels(str(tmp_path / "x_seg.npy"), np.zeros((2, 3, 4, 5), int), {})
    drawn = np.zeros((8, 9), np.uint8)
    drawn[2:5, 2:5] = 1
    (path,) = _files.write_labels(str(tmp_path / "x_seg.npy"), drawn, {"metadata": {}})
    layers = _files.read(path)
    assert [keywords["name"] for _, keywords, _ in layers] == ["x masks"]


def test_frames_are_measured_each_by_itself() -> None:
    movie = np.zeros((2, 10, 10), int)
    movie[0, 1:4, 1:4], movie[1, 5:9, 5:9] = 1, 1
    columns = measure_labels(movie, [movie * 3.0, movie * 5.0], ["area", "intensity"], planes=True)
    assert columns["frame"].tolist() == [0, 1]
    assert columns["area"].tolist() == [9, 16]
    assert columns["intensity_mean-1"].tolist() == [5, 5]
    assert "intensity_mean" not in measure_labels(movie[:1])
    with pytest.raises(InputError, match="same shape"):
        measure_labels(movie, [movie[:, :5]])


def test_labels_find_the_image_they_are_drawn_on() -> None:
    cells, nuclei = Image(np.ones((9, 8)), "cells A"), Image(np.zeros((9, 8)), "nuclei A")
    drawn = labels_layer(np.eye(9, 8, dtype=int), "cells A drawn")
    found = labels_layer(np.eye(9, 8, dtype=int), "x", metadata={KEY: {"found": Found(np.eye(9), source="nuclei A")}})
    other = labels_layer(np.eye(4, dtype=int), "of another shape")
    assert [(pair.image.name, pair.labels.name) for pair in pairs([cells, nuclei, drawn, found, other])] == [
        ("cells A", "cells A drawn"), ("nuclei A", "x"),
    ]  # fmt: skip
    stack = np.zeros((4, 9, 8), int)
    stack[2, :3, :3] = 5
    images, _ = examples(pairs([Image(np.arange(288).reshape(4, 9, 8), "stack"), labels_layer(stack, "stack")]))
    assert len(images) == 1
    np.testing.assert_array_equal(images[0], np.arange(288).reshape(4, 9, 8)[2])
    with pytest.raises(InputError, match="the chosen layers have no cells"):
        examples(pairs([cells, labels_layer(np.zeros((9, 8), int), "empty")]))


def test_intensities_are_measured_where_the_cells_were_found() -> None:
    one, two, three = (Image(np.zeros((9, 8)), name) for name in ("one", "two", "three"))
    chance = Image(np.zeros((9, 8)), "two probability", metadata={KEY: {"model": "m"}})
    drawn, images = labels_layer(np.eye(9, 8, dtype=int), "drawn"), [chance, one, two, three]
    assert images_of(drawn, images) == [one]
    assert images_of(drawn, images, active=three) == [three]
    assert images_of(drawn, images, active=drawn) == [one]
    assert images_of(drawn, [chance]) == []
    for names, expected in ((("two", ""), [two]), (("two", "one"), [one, two]), (("renamed since", ""), [three])):
        found = Found(np.eye(9, 8), source=names[0], nuclei=names[1])
        made = labels_layer(np.eye(9, 8, dtype=int), "x", metadata={KEY: {"found": found}})
        assert images_of(made, images, active=three) == expected


def test_cells_remember_the_layers_that_they_were_found_in(tmp_path: Path) -> None:
    layers = [Image(discs(64, 64), "membranes"), Image(discs(64, 64), "nuclei")]
    cells, nuclei = sources(layers)
    model, settings = toy_model(tmp_path), SegmentSettings()
    for run in (segment, segment_in_bands):
        found = run(model, take(cells, nuclei), settings, lambda _: None)
        assert (found.source, found.nuclei) == ("membranes", "nuclei")
        assert run(model, take(cells), settings, lambda _: None).nuclei == ""


@pytest.mark.parametrize("make", [_samples.cells_with_nuclei, _samples.nuclei, _samples.volume, _samples.movie])
def test_samples_have_their_truth(make: Any) -> None:
    *images, (labels, keywords, kind) = make()
    assert kind == "labels"
    assert labels.max() > 5
    assert not keywords["visible"]
    assert all(data.shape == labels.shape for data, _, _ in images)


def test_models_that_are_here_come_first() -> None:
    offered = choices()
    here = [choice.installed for choice in offered]
    assert here == sorted(here, reverse=True)
    assert offered[0].name == "generalist"
    assert "cpsam" in [choice.name for choice in offered]
    bundled, *published = choices("restoration")
    assert (bundled.name, bundled.installed) == ("oneclick", True)
    assert all("cyto" in choice.name or "nuclei" in choice.name for choice in published)


def test_tasks_tell_how_far_they_are_and_end_when_cancelled() -> None:
    def work(report: Any) -> str:
        report("begins")
        report(0.5)
        return "done"

    def all_of(task: Task[Any]) -> tuple[list[Any], Any]:
        steps, told = task.steps(), []
        while True:
            try:
                told.append(next(steps))
            except StopIteration as end:
                return [news for news in told if news is not None], end.value

    assert all_of(Task(work)) == (["begins", 0.5], "done")

    def fails(_report: Any) -> None:
        message = "bad"
        raise InputError(message)

    with pytest.raises(InputError, match="bad"):
        all_of(Task(fails))
    ended: list[bool] = []

    def endless(report: Any) -> None:
        try:
            while True:
                report(0.1)
        except Cancelled:
            ended.append(True)
            raise

    task: Task[None] = Task(endless)
    steps = task.steps()
    next(steps)
    task.cancel()
    assert list(steps) is not None
    assert ended == [True]


def test_a_model_whose_file_was_replaced_is_loaded_again(tmp_path: Path) -> None:
    """As by a training under the same name."""
    loaded, path = Loaded(), str(small_file(tmp_path))
    first = loaded.get(path, print)
    assert loaded.get(path, print) is first
    small_file(tmp_path, nbase=(2, 4, 16))
    assert loaded.get(path, print).nbase == [2, 4, 16]
