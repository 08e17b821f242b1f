"""Models that estimate the diameter first."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.errors import FileReadError, InputError, UnsafeFileError
from cellpose.models import Cellpose, CellposeModel, SizeModel, _size
from small_model import discs, small_file
from toy import toy_from_formula


@pytest.fixture(scope="module")
def cellpose(tmp_path_factory):
    """A size model that says 15 pixels for every style."""
    folder = tmp_path_factory.mktemp("sized")
    path = small_file(folder, "mine")
    parameters = {"A": np.zeros(256), "smean": np.zeros(256, np.float32), "diam_mean": 30.0, "ymean": np.log(0.5)}
    np.save(folder / "mine_size.npy", parameters, allow_pickle=True)
    model = Cellpose(model_type=path)
    model.cp.net = toy_from_formula(2)
    return model


def test_attributes(cellpose):
    assert isinstance(cellpose.cp, CellposeModel)
    assert isinstance(cellpose.sz, SizeModel)
    assert cellpose.sz.cp is cellpose.cp
    assert cellpose.diam_mean == cellpose.sz.diam_mean == 30
    assert cellpose.pretrained_size.endswith("mine_size.npy")
    assert set(cellpose.sz.params) == {"A", "smean", "diam_mean", "ymean"}


def test_size_of_discs(cellpose):
    diameter, from_style = cellpose.sz.eval(discs(72, 96), channels=[0, 0])
    assert from_style == pytest.approx(15)
    # The discs have 9 pixels across; the toy network finds them a little wider.
    assert 7 < diameter < 16
    diameters, from_styles = cellpose.sz.eval([discs(72, 96)] * 2, channels=[0, 0])
    assert diameters == [diameter] * 2
    assert from_styles == [from_style] * 2


def test_four_values(cellpose):
    image = discs(72, 96)
    estimated = cellpose.sz.eval(image, channels=[0, 0])[0]
    for unknown in (None, 0):
        masks, _, _, diams = cellpose.eval(image, diameter=unknown)
        assert diams == estimated
    np.testing.assert_array_equal(masks, cellpose.cp.eval(image, channels=[0, 0], diameter=estimated)[0])
    assert cellpose.eval(image)[3] == 30
    assert cellpose.eval([image, image], diameter=None)[3] == [estimated] * 2
    assert cellpose.eval((i for i in [image, image]), diameter=[20, 30])[3] == [20, 30]


@pytest.mark.parametrize("unknown", [0, None])
def test_diameters_that_are_missing_in_a_list_are_estimated(cellpose, unknown):
    image, blank = discs(72, 96), np.zeros((72, 96), np.uint8)
    estimated = cellpose.sz.eval(image, channels=[0, 0])[0]
    two = np.stack([blank, image], axis=-1)
    masks, _, _, diams = cellpose.eval(
        [two, image, two], diameter=[40, unknown, unknown], channels=[[1, 0], [0, 0], [2, 0]]
    )
    assert diams == [40, estimated, estimated]
    np.testing.assert_array_equal(masks[1], cellpose.cp.eval(image, channels=[0, 0], diameter=estimated)[0])
    assert cellpose.eval([image, image], diameter=[unknown, unknown])[3] == [estimated] * 2
    assert cellpose.eval([image], diameter=[unknown])[3] == [estimated]
    with pytest.raises(InputError, match="diameter has 3 values for 2 images"):
        cellpose.eval([image, image], diameter=[unknown, 30, 30])


def test_nothing_found(cellpose):
    assert cellpose.sz.eval(np.zeros((40, 50)), channels=[0, 0]) == (30.0, pytest.approx(15))


def test_stacks_are_sized_by_planes(cellpose, caplog):
    plane = discs(48, 72)
    volume = np.stack([np.full_like(plane, 20), plane, plane, plane, np.full_like(plane, 20)])
    alone = cellpose.sz.eval(plane, channels=[0, 0])[0]
    assert alone != 30
    # planes without cells do not count
    for image, axes in (
        (volume, {"z_axis": 0}),
        (np.stack([volume, volume], axis=1), {"z_axis": 0, "channel_axis": 1}),
    ):
        sized, of_style = cellpose.sz.eval(image, do_3D=True, channels=[0, 0], **axes)
        assert sized == pytest.approx(alone)
        assert of_style == pytest.approx(15)
    for options in ({"do_3D": True, "anisotropy": 2.0}, {"stitch_threshold": 0.3}, {}):
        masks, _, _, diams = cellpose.eval(volume, diameter=None, z_axis=0, **options)
        assert diams == sized
        given = cellpose.cp.eval(volume, diameter=sized, z_axis=0, channels=[0, 0], **options)[0]
        np.testing.assert_array_equal(masks, given)
    several = cellpose.eval([volume, volume], diameter=0, z_axis=0, stitch_threshold=0.3)[3]
    assert several == [sized] * 2


def test_nothing_in_a_stack(cellpose):
    assert cellpose.sz.eval(np.zeros((6, 2, 40, 50)), channels=[0, 0]) == (30, pytest.approx(15))


def test_a_large_stack_is_looked_at_in_some_planes(cellpose, monkeypatch):
    seen = []
    run = _size.segment_images
    monkeypatch.setattr(
        _size,
        "segment_images",
        lambda network, images, *rest: (seen.append(images.count), run(network, images, *rest))[1],
    )
    cellpose.sz.eval(np.stack([discs(30, 40)] * 50), do_3D=True, z_axis=0, channels=[0, 0])
    assert seen == [5, 5]


def test_estimates_of_styles(cellpose):
    styles = np.zeros((3, 256))
    np.testing.assert_allclose(cellpose.sz._size_estimation(styles), 15)
    cellpose.sz.params["ymean"] = -9.0
    try:
        assert cellpose.sz._size_estimation(styles[0]) == 5
    finally:
        cellpose.sz.params["ymean"] = np.log(0.5)


def test_files_that_are_no_size_models(cellpose, tmp_path):
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    np.save(tmp_path / "dict.npy", {"A": 1}, allow_pickle=True)
    for name in ("numbers.npy", "dict.npy"):
        with pytest.raises(FileReadError, match="size model"):
            SizeModel(cellpose.cp, pretrained_size=tmp_path / name)

    class Evil:
        def __reduce__(self):
            return print, ("run by a size model",)

    np.save(tmp_path / "evil.npy", np.array({"A": Evil()}, dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeFileError):
        SizeModel(cellpose.cp, pretrained_size=tmp_path / "evil.npy")
