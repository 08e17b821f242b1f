"""Tables of cells: values of scikit-image, relations of labels, spots, scores."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import ndimage

from cellpose import dynamics, measure
from cellpose.errors import InputError, MissingExtraError, OptionError

regionprops_table = pytest.importorskip("skimage.measure", reason="scikit-image is the reference").regionprops_table

PLANAR = [
    "label", "area", "num_pixels", "bbox", "area_bbox", "extent", "centroid", "centroid_local",
    "equivalent_diameter_area", "axis_major_length", "axis_minor_length", "inertia_tensor", "inertia_tensor_eigvals",
    "euler_number", "eccentricity", "orientation", "perimeter", "perimeter_crofton", "area_filled", "area_convex",
    "solidity", "feret_diameter_max",
]  # fmt: skip
SOLID = PLANAR[:14]
INTENSITY = [
    "intensity_mean", "intensity_std", "intensity_min", "intensity_median", "intensity_max", "centroid_weighted",
    "centroid_weighted_local",
]  # fmt: skip


def random_labels(seed: int, shape: tuple[int, ...] = (90, 110)) -> np.ndarray:
    """Labels with holes, in pieces, at the border, of single pixels, touching, with gaps in their numbers."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, np.int64)
    places = tuple(rng.integers(0, shape, (30, len(shape))).T)
    seeds[places] = rng.permutation(90)[:30] + 1
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    labels = seeds[tuple(nearest)]
    noise = ndimage.gaussian_filter(rng.random(shape), 2)
    labels[noise < np.quantile(noise, 0.4)] = 0
    labels[rng.random(shape) < 0.03] = 0
    labels[tuple(rng.integers(0, shape, (5, len(shape))).T)] = np.arange(200, 205)
    return labels


def assert_same(ours: dict, theirs: dict, rtol: float = 1e-9) -> None:
    """Rounding differs by a few units in the last place, in sums of squares by their square root."""
    for name, expected in theirs.items():
        found = np.asarray(ours[name], np.float64)
        if name == "orientation":  # of round labels it is that of the rounding
            assert np.abs(np.sin(found - expected)).max() < 1e-6
            continue
        atol = 1e-6 if name.startswith(("axis_minor", "eccentricity")) else 1e-9
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_planes_have_the_values_of_scikit_image(seed: int) -> None:
    labels = random_labels(seed)
    image = np.random.default_rng(seed).integers(0, 60000, (*labels.shape, 2)).astype(np.uint16)
    assert_same(
        measure.table(labels, image, PLANAR + INTENSITY),
        regionprops_table(labels, image, properties=PLANAR + INTENSITY),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32])
def test_labels_of_any_type_and_layout(dtype: type) -> None:
    labels = random_labels(9, (60, 70)).astype(dtype)
    for view in (labels[:, ::-1], np.asfortranarray(labels), labels[::2, ::2], labels.T):
        expected = regionprops_table(view.astype(np.int64), properties=PLANAR)
        assert_same(measure.table(view, properties=PLANAR), expected)


def test_volumes_have_the_values_of_scikit_image() -> None:
    labels = random_labels(1, (12, 30, 40))
    image = np.random.default_rng(1).integers(0, 255, labels.shape).astype(np.uint8)
    assert_same(
        measure.table(labels, image, SOLID + INTENSITY), regionprops_table(labels, image, properties=SOLID + INTENSITY)
    )


def test_floats_are_summed_in_double_precision() -> None:
    labels = random_labels(2)
    image = np.random.default_rng(2).random(labels.shape).astype(np.float32)
    ours = measure.table(labels, image, INTENSITY)
    # scikit-image sums float32 in float32
    assert_same(ours, regionprops_table(labels, image.astype(np.float64), properties=INTENSITY))
    assert_same(ours, regionprops_table(labels, image, properties=INTENSITY), rtol=1e-5)


def test_pixels_with_nan_make_their_own_label_nan_only() -> None:
    labels = np.array([[1, 1, 2, 2]])
    found = measure.table(labels, np.array([[1.0, np.nan, 2.0, 4.0]]), ["intensity"])
    assert np.isnan(found["intensity_median"][0])
    assert found["intensity_mean"][1] == found["intensity_median"][1] == 3


@pytest.mark.parametrize("picture", ["pixel", "line", "diagonal", "ring", "far", "square"])
def test_drawn_labels(picture: str) -> None:
    labels = np.zeros((12, 15), int)
    if picture == "pixel":
        labels[4, 5] = 1
    elif picture == "line":
        labels[3, 2:13] = 1
    elif picture == "diagonal":
        np.fill_diagonal(labels, 1)
    elif picture == "ring":
        labels[2:9, 3:12] = 1
        labels[4:7, 5:10] = 0
        labels[5, 7] = 2
        labels[8, 11] = labels[2, 3] = 0
    elif picture == "far":
        labels[0, 0] = labels[11, 14] = labels[0, 9] = 1
    else:
        labels[2:8, 4:10] = 1
    expected = regionprops_table(labels, properties=PLANAR)
    assert_same(measure.table(labels, properties=PLANAR), expected)


def test_large_numbers_are_kept() -> None:
    labels = np.zeros((20, 20), np.uint32)
    labels[2:5, 3:9], labels[10:18, 2:4] = 2_000_000_000, 7
    found = measure.table(labels, labels.astype(float))
    assert found["label"].tolist() == [7, 2_000_000_000]
    assert found["intensity_mean"].tolist() == [7, 2e9]
    assert found["neighbor_nearest_label"].tolist() == [2_000_000_000, 7]


def test_without_cells_there_are_columns_without_rows() -> None:
    for shape in ((9, 11), (3, 9, 11)):
        found = measure.table(
            np.zeros(shape, int), np.zeros((*shape, 2)), pixel_size_um=0.5, nuclei=np.zeros(shape, int)
        )
        assert {len(column) for column in found.values()} == {0}
        assert {"label", "centroid-0", "intensity_mean-1", "border_distance", "nuclei_count"} <= found.keys()


def test_bands_of_a_large_plane_hold_all_labels(monkeypatch) -> None:
    labels = random_labels(3)
    labels[:, 50] = 300  # reaches over all bands
    image = np.random.default_rng(3).random(labels.shape)
    whole = measure.table(labels, image)
    monkeypatch.setattr("cellpose.measure._regions._BAND_VALUES", 300)
    banded = measure.table(labels, image)
    for name, column in whole.items():
        np.testing.assert_array_equal(banded[name], column)


def test_names_of_older_versions_and_names_that_only_scikit_image_has() -> None:
    labels = random_labels(4)
    image = np.random.default_rng(4).random(labels.shape)
    # as in manuals
    names = ["label", "area", "mean_intensity", "major_axis_length", "minor_axis_length", "moments_hu"]
    found = measure.table(labels, image, names)
    assert [*found][:5] == names[:5]
    expected = regionprops_table(labels, image, properties=("intensity_mean", "axis_major_length", "moments_hu"))
    np.testing.assert_allclose(found["mean_intensity"], expected["intensity_mean"])
    np.testing.assert_allclose(found["major_axis_length"], expected["axis_major_length"])
    np.testing.assert_allclose(found["moments_hu-3"], expected["moments_hu-3"])


def test_columns_of_no_cells_are_those_of_cells() -> None:
    names = ["area", "centroid", "weighted_centroid", "moments", "moments_hu"]
    labels = random_labels(4)
    some, none = (measure.table(each, each, names) for each in (labels, np.zeros_like(labels)))
    assert [*none] == [*some]
    assert {column.shape for column in none.values()} == {(0,)}


def test_what_does_not_fit_is_refused() -> None:
    labels = random_labels(5, (40, 50))
    with pytest.raises(InputError, match=r"moveaxis\(image, 0, -1\)"):
        measure.table(labels, np.zeros((2, 40, 50)))
    with pytest.raises(InputError, match="needs an image"):
        measure.table(labels, properties=["mean_intensity"])
    with pytest.raises(OptionError, match=r"nonsense.*feret_diameter_max"):
        measure.table(labels, properties=["area", "nonsense"])
    with pytest.raises(OptionError, match="2: one for each axis"):
        measure.table(labels, pixel_size_um=(1, 2, 3))
    with pytest.raises(OptionError, match="-1"):
        measure.table(labels, pixel_size_um=-1)
    with pytest.raises(InputError, match="nuclei"):
        measure.table(labels, nuclei=np.zeros((3, 3), int))
    with pytest.raises(OptionError, match="spots_channel=3"):
        measure.table(labels, np.zeros((40, 50, 2)), spots=np.zeros((0, 3)), spots_channel=3)
    with pytest.raises(InputError, match="outside"):
        measure.table(labels, spots=np.array([[99.0, 3.0, 1.0]]))


def test_a_missing_library_is_named_with_its_extra(monkeypatch) -> None:
    for name in ("skimage.measure", "skimage.feature", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    cells = np.ones((5, 5), int)
    assert measure.table(cells, cells)["area"] == [25]  # needs none of them
    with pytest.raises(MissingExtraError, match=r"scikit-image is needed.*cellpose\[measure\]"):
        measure.table(cells, properties=["moments"])
    with pytest.raises(MissingExtraError, match=r"find spots.*cellpose\[measure\]"):
        measure.find_spots(cells)
    with pytest.raises(MissingExtraError, match=r"pandas is needed.*cellpose\[measure\]"):
        measure.table(cells, as_frame=True)


def test_frames_of_pandas() -> None:
    pytest.importorskip("pandas", reason="needs the extra measure (pip install 'cellpose[measure]')")
    labels = random_labels(6, (40, 50))
    frame = measure.table(labels, as_frame=True)
    assert len(frame) == np.unique(labels[labels > 0]).size
    assert frame.columns[0] == "label"


def test_micrometres() -> None:
    labels = random_labels(7)
    square = measure.table(labels, pixel_size_um=0.25)
    expected = regionprops_table(
        labels, properties=["area", "perimeter", "feret_diameter_max", "centroid"], spacing=(0.25, 0.25)
    )
    np.testing.assert_allclose(square["area_um2"], expected["area"])
    np.testing.assert_allclose(square["perimeter_um"], expected["perimeter"])
    np.testing.assert_allclose(square["feret_diameter_max_um"], expected["feret_diameter_max"])
    np.testing.assert_allclose(square["centroid_um-1"], expected["centroid-1"])
    oblong = measure.table(labels, pixel_size_um=(0.5, 0.25))
    expected = regionprops_table(labels, properties=["axis_major_length", "feret_diameter_max"], spacing=(0.5, 0.25))
    np.testing.assert_allclose(oblong["axis_major_length_um"], expected["axis_major_length"])
    np.testing.assert_allclose(oblong["feret_diameter_max_um"], expected["feret_diameter_max"])
    assert "perimeter_um" not in oblong  # it has no meaning there
    stack = measure.table(random_labels(7, (9, 30, 30)), pixel_size_um=(2, 0.5, 0.5))
    np.testing.assert_allclose(stack["volume_um3"], stack["area"] / 2)


@pytest.mark.parametrize("sides", [(2.0, 0.5, 0.5), (0.5, 0.5, 0.5)])
def test_micrometres_of_what_only_scikit_image_measures_in_volumes(sides: tuple[float, ...]) -> None:
    labels = np.zeros((12, 30, 30), int)
    labels[2:9, 3:12, 4:20], labels[3:10, 15:28, 5:14] = 1, 2
    names = ["feret_diameter_max", "area_convex", "area_filled"]
    found = measure.table(labels, labels, ["label", *names], pixel_size_um=sides)
    expected = regionprops_table(labels, properties=names, spacing=sides)
    np.testing.assert_allclose(found["feret_diameter_max_um"], expected["feret_diameter_max"])
    np.testing.assert_allclose(found["volume_convex_um3"], expected["area_convex"])
    empty = measure.table(np.zeros((3, 4, 5), int), properties=["feret_diameter_max"], pixel_size_um=sides)
    assert empty["feret_diameter_max_um"].size == 0


def test_neighbours() -> None:
    labels = np.zeros((10, 20), int)
    labels[2:6, 2:6], labels[2:6, 6:10], labels[6, 10], labels[9, 19] = 1, 2, 3, 4
    found = measure.table(labels, properties=["neighbors", "border"])
    assert found["neighbors_touching"].tolist() == [1, 1, 0, 0]  # corners do not touch
    assert found["neighbors_border_share"].tolist() == [4 / 16, 4 / 16, 0, 0]
    assert found["neighbor_nearest_label"].tolist() == [2, 3, 2, 3]
    assert found["neighbor_nearest_distance"][0] == 4
    assert found["border_distance"].tolist() == [2, 2, 3, 0]
    assert found["border_touching"].tolist() == [False, False, False, True]


def test_the_nearest_neighbour_of_thick_planes_is_that_in_micrometres() -> None:
    labels = np.zeros((3, 9, 9), int)
    labels[0, 4, 4], labels[1, 4, 4], labels[0, 4, 6] = 1, 2, 3
    assert measure.table(labels)["neighbor_nearest_label"][0] == 2
    found = measure.table(labels, pixel_size_um=(5, 1, 1))
    assert found["neighbor_nearest_label"][0] == 3
    assert found["neighbor_nearest_distance_um"][0] == 2


def test_one_cell_has_no_neighbour() -> None:
    found = measure.table(np.ones((4, 4), int))
    assert found["neighbor_nearest_label"].tolist() == [0]
    assert math.isnan(found["neighbor_nearest_distance"][0])


def test_nuclei_belong_to_the_cell_that_holds_most_of_them() -> None:
    cells, nuclei = np.zeros((12, 30), int), np.zeros((12, 30), int)
    cells[:, :10], cells[:, 10:20] = 5, 9
    nuclei[2:4, 2:4], nuclei[6:9, 3:6], nuclei[2:4, 7:11], nuclei[2:6, 24:28] = 1, 2, 3, 4
    nuclei[8:10, 18:22] = 6  # half of it is outside
    found = measure.nuclei_in_cells(cells, nuclei)
    assert found["label"].tolist() == [1, 2, 3, 4, 6]
    assert found["cell"].tolist() == [5, 5, 5, 0, 0]
    assert found["overlap"].tolist() == [1, 1, 0.75, 0, 0]
    image = np.where(nuclei > 0, 10.0, 4.0)
    table = measure.table(cells, image, [], nuclei=nuclei)
    assert table["nuclei_count"].tolist() == [3, 0]
    assert table["nucleus_label"].tolist() == [2, 0]
    assert table["nuclei_area"].tolist() == [4 + 9 + 6, 0]
    assert table["nucleus_intensity_mean"][0] == 10
    assert math.isnan(table["nucleus_intensity_mean"][1])
    assert table["cytoplasm_intensity_mean"][0] == 4


def puncta(shape: tuple[int, ...] = (60, 80)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = np.zeros(shape)
    places = np.array([[12, 15], [20, 30], [40, 60], [45, 20]])
    image[tuple(places.T)] = 1
    image = ndimage.gaussian_filter(image, 2)
    image = 1000 * image / image.max() + rng.normal(100, 10, shape)
    cells = np.zeros(shape, int)
    cells[5:30, 5:40], cells[32:55, 50:75] = 4, 2
    return image, cells, places


@pytest.mark.parametrize("method", measure._spots.METHODS)
def test_spots_are_those_of_scikit_image(method: str) -> None:
    feature = pytest.importorskip("skimage.feature")
    image, cells, places = puncta()
    find = feature.blob_log if method == "log" else feature.blob_dog
    expected = find(image, min_sigma=1, max_sigma=5, threshold=100)
    found = measure.find_spots(image, method, min_sigma=1, max_sigma=5, threshold=100)
    np.testing.assert_array_equal(found, expected)
    # without a threshold the noise tells it, whatever the exposure
    for factor in (1, 1e-3):
        spots = measure.find_spots(image * factor, method)
        assert sorted(map(tuple, spots[:, :2].astype(int))) == sorted(map(tuple, places))
    table = measure.table(cells, image, ["area"], spots=spots, spots_channel=0, pixel_size_um=0.5)
    assert table["spots_count"].tolist() == [1, 2]
    np.testing.assert_allclose(table["spots_density"], table["spots_count"] / table["area"])
    np.testing.assert_allclose(table["spots_per_um2"], table["spots_count"] / table["area_um2"])
    assert (table["spots_intensity"] > 1000).all()


def test_nothing_has_no_spots() -> None:
    assert measure.find_spots(np.zeros((9, 9))).shape == (0, 3)
    table = measure.table(np.ones((9, 9), int), properties=[], spots=measure.find_spots(np.zeros((9, 9))))
    assert table["spots_count"].tolist() == [0]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_hide_no_spots_and_no_texture(odd: float, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image: pip install 'cellpose[measure]'")
    y, x = np.mgrid[:40, :50]
    image = np.random.default_rng(0).random(y.shape) + 80 * np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 8)
    broken = image.copy()
    broken[:2, :3] = odd
    given = broken.copy()
    assert [20, 30] in measure.find_spots(broken)[:, :2].tolist()
    np.testing.assert_array_equal(broken, given)
    assert "6 of 2000 intensities are not finite" in caplog.text
    labels = np.zeros(y.shape, int)
    labels[10:30, 20:40] = 1
    textures = [measure.table(labels, each, ["texture"])["texture_contrast"][0] for each in (image, broken)]
    # the maximum, in 6 pixels more, moves the percentiles a little
    np.testing.assert_allclose(textures[1], textures[0], rtol=0.2)


def test_texture_is_of_the_pixels_of_the_label_only() -> None:
    labels = np.zeros((40, 60), int)
    labels[5:35, 3:28], labels[5:35, 32:57] = 1, 2
    image = np.zeros((40, 60, 2))
    image[:, ::2] = 1  # stripes
    image[:, 30:, 0] = 0.5  # and one half without
    image[..., 1] = np.random.default_rng(0).random((40, 60)).round(2)
    found = measure.table(labels, image, ["texture"])
    assert found["texture_contrast-0"][0] > found["texture_contrast-0"][1] == 0
    assert found["texture_energy-0"][1] == 1
    turned = np.where(labels[..., None] > 0, image, image[::-1])  # other values around the labels
    again = measure.table(labels, turned, ["texture"])
    np.testing.assert_array_equal(found["texture_correlation-1"], again["texture_correlation-1"])


def test_texture_of_stacks_is_that_of_their_planes() -> None:
    plane, image = random_labels(8), np.random.default_rng(8).integers(0, 9, (90, 110))
    flat = measure.table(plane, image, ["texture"])
    stack = measure.table(np.stack([plane] * 3), np.stack([image] * 3), ["texture"])
    for name, column in flat.items():
        np.testing.assert_allclose(stack[name], column)


def test_scores() -> None:
    cells = np.zeros((40, 40), int)
    cells[4:16, 4:16], cells[20:34, 18:36] = 3, 7
    flows = [None, 5 * dynamics.masks_to_flows(cells), np.where(cells == 3, 4.0, 0.0)]
    found = measure.table(cells, properties=[], flows=flows, model="nuclei-cells")
    assert found["label"].tolist() == [3, 7]
    np.testing.assert_allclose(found["flow_error"], 0, atol=1e-9)
    np.testing.assert_allclose(found["probability"], [1 / (1 + math.exp(-4)), 0.5])
    assert (found["correct"] <= 1).all()
    assert found["score"][0] > found["score"][1]
    assert "correct" not in measure.table(cells, properties=[], flows=flows[1:])
