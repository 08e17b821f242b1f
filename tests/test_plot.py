"""Pictures of images, masks and flows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import plot, utils
from cellpose.errors import FileWriteError, InputError, OptionError


@pytest.fixture
def masks() -> np.ndarray:
    labels = np.zeros((40, 50), np.uint16)
    labels[4:14, 5:15] = 1
    labels[4:14, 15:25] = 2
    labels[25:35, 30:45] = 3
    return labels


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------------------- flows


def test_opposite_flows_have_opposite_hues() -> None:
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False).reshape(8, 8)
    flows = np.stack([np.sin(angles), np.cos(angles)])
    flows[:, 0, 0] = 0  # so that the lengths differ and are scaled
    hue, saturation, value = np.moveaxis(utils.rgb_to_hsv(plot.dx_to_circ(flows) / 255.0), -1, 0)
    turn = (hue[4:] - hue[:4]) % 1
    np.testing.assert_allclose(turn[1:], 0.5, atol=0.02)  # colors are whole numbers
    assert plot.dx_to_circ(flows)[0, 0].tolist() == [0, 0, 0]
    assert (saturation.ravel()[1:] > 0.7).all()
    # (1 + cos) / 2 of the nearest of three hues 120 degrees apart
    assert (value.ravel()[1:] > 0.74).all()


def test_flows_of_a_volume() -> None:
    flows = np.random.default_rng(0).standard_normal((3, 4, 8, 9)).astype(np.float32)
    assert plot.dx_to_circ(flows).shape == (4, 8, 9, 3)
    with pytest.raises(InputError, match=r"\(4, 8, 9\)"):
        plot.dx_to_circ(np.zeros((4, 8, 9)))


# ------------------------------------------------------------------------------------------------------------ images


def test_channels_get_their_colors() -> None:
    first, second = np.mgrid[:20, :30].astype(float)
    rgb = plot.image_to_rgb(np.stack([first, second]), channels=[3, 1])
    assert rgb.dtype == np.uint8
    assert not rgb[..., 1].any()
    assert (np.diff(rgb[:, 5, 2].astype(int)) >= 0).all()
    assert (np.diff(rgb[5, :, 0].astype(int)) >= 0).all()
    np.testing.assert_array_equal(rgb, plot.image_to_rgb(np.stack([first, second], axis=-1), channels=[3, 1]))


@pytest.mark.parametrize("channels", [[0, 0], [2, 0], None, [0]])
def test_one_channel_is_gray(image: np.ndarray, channels: list[int] | None) -> None:
    rgb = plot.image_to_rgb(image, channels=channels)
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 1])
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
    assert (rgb.min(), rgb.max()) == (0, 255)


@pytest.mark.parametrize(("value", "shown"), [(0, 0), (0.5, 127), (7, 255)])
def test_a_constant_image_does_not_wrap(value: float, shown: int) -> None:
    assert np.unique(plot.image_to_rgb(np.full((8, 8), value))).tolist() == [shown]


def test_a_low_image_is_not_taken_for_channels() -> None:
    assert plot.image_to_rgb(np.zeros((3, 20))).shape == (3, 20, 3)
    assert plot.image_to_rgb(np.zeros((4, 20, 3))).shape == (4, 20, 3)


def test_what_is_no_image_is_named() -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 4, 5\)"):
        plot.image_to_rgb(np.zeros((2, 3, 4, 5)))
    with pytest.raises(OptionError, match=r"channels=\[0, 4\]"):
        plot.image_to_rgb(np.zeros((5, 5)), channels=[0, 4])


# ------------------------------------------------------------------------------------------------------------- masks


def test_masks_on_white(masks: np.ndarray) -> None:
    picture = plot.mask_rgb(masks)
    assert (picture[masks == 0] == 255).all()
    hsv = utils.rgb_to_hsv(picture[masks > 0] / 255.0)
    assert (hsv[:, 1:] > 0.49).all()
    assert np.unique(picture[masks == 1], axis=0).shape == (1, 3)
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    hues = [utils.rgb_to_hsv(plot.mask_rgb(masks, colors)[masks == k][0] / 255.0)[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(hues, [0, 1 / 3, 2 / 3], atol=0.01)  # colors are whole numbers


def test_large_labels_need_little_memory(masks: np.ndarray, image: np.ndarray) -> None:
    large = np.where(masks == 3, 60_000_000, masks.astype(np.int32))
    tracemalloc.start()
    pictures = [plot.mask_rgb(large), plot.mask_overlay(image, large)]
    for draw in (lambda: plot.mask_rgb(large, np.eye(3)), lambda: plot.mask_overlay(image, large, np.eye(3))):
        with pytest.raises(InputError, match="60000000"):
            draw()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # a table over all numbers has 480 MB and more
    for picture in pictures:
        assert (picture[masks == 3] != picture[0, 0]).any()


def test_an_overlay_is_gray_outside(masks: np.ndarray, image: np.ndarray) -> None:
    picture = plot.mask_overlay(image, masks)
    outside = picture[masks == 0]
    np.testing.assert_array_equal(outside[:, 0], outside[:, 2])
    # 1.5 times as bright, up to the rounding to whole numbers
    np.testing.assert_allclose(outside[:, 0], np.minimum(1.5 * image[masks == 0].astype(float), 255), atol=1)
    np.testing.assert_array_equal(picture.max(axis=-1)[masks == 0], outside[:, 0])
    assert (picture[masks > 0].min(axis=-1) == 0).all()  # full saturation


def test_a_seed_gives_the_same_picture_again(masks: np.ndarray, image: np.ndarray) -> None:
    pictures = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        pictures.append((plot.mask_rgb(masks), plot.mask_overlay(image, masks)))
    for k in (0, 1):
        np.testing.assert_array_equal(pictures[0][k], pictures[1][k])
        assert (pictures[0][k] != pictures[2][k]).any()


def test_an_overlay_takes_the_mean_of_the_channels(masks: np.ndarray, image: np.ndarray) -> None:
    colors = np.eye(3)
    stack = np.stack([image, image])
    for picture in (stack, np.moveaxis(stack, 0, -1), image / 255.0):
        # 1 for the rounding to whole numbers
        difference = plot.mask_overlay(picture, masks, colors).astype(int) - plot.mask_overlay(image, masks, colors)
        assert np.abs(difference).max() <= 1


def test_overlays_need_an_image_and_colors_that_fit(masks: np.ndarray, image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"\(40, 49\) and masks \(40, 50\)"):
        plot.mask_overlay(image[:, 1:], masks)
    for draw in (lambda c: plot.mask_overlay(image, masks, c), lambda c: plot.mask_rgb(masks, c)):
        with pytest.raises(InputError, match=r"\(3, 3\) is needed"):
            draw(np.zeros((2, 3)))


# ---------------------------------------------------------------------------------------------------------- outlines


def test_modes_of_outlines() -> None:
    masks = np.zeros((7, 9), int)
    masks[2:5, 2:5] = 1
    masks[2:5, 5:8] = 2
    drawn = {m: plot.outline_view(np.zeros((7, 9)), masks, mode=m)[..., 0] > 0 for m in ("inner", "outer", "thick")}
    assert drawn["inner"].sum() == 16
    np.testing.assert_array_equal(drawn["inner"], utils.masks_to_outlines(masks))
    np.testing.assert_array_equal(drawn["inner"] | drawn["outer"], drawn["thick"])
    np.testing.assert_array_equal(drawn["outer"] & (masks > 0), np.isin(np.arange(9), (4, 5)) & (masks > 0))
    assert (drawn["outer"] & (masks == 0)).sum() == 18
    subpixel = plot.outline_view(np.zeros((7, 9)), masks, mode="subpixel")[..., 0] > 0
    assert (subpixel <= drawn["thick"]).all()
    assert subpixel.any()


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 2), (2, 40, 50), (40, 50, 3), (40, 50, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_outlines_on_any_image(masks: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    image = np.full(shape, 7, dtype)
    view = plot.outline_view(image, masks, color=[0, 200, 0])
    assert view.shape == (40, 50, 3)
    assert view.dtype == dtype
    outlines = (view == [0, 200, 0]).all(axis=-1)
    assert outlines.sum() == 36 + 36 + 46
    assert (view[~outlines][:, 0] == 7).all()
    assert (image == 7).all()


def test_outlines_say_what_they_need(masks: np.ndarray, image: np.ndarray) -> None:
    with pytest.raises(OptionError, match="mode='thin'"):
        plot.outline_view(image, masks, mode="thin")
    with pytest.raises(OptionError, match="three numbers"):
        plot.outline_view(image, masks, color=[1, 0])
    with pytest.raises(InputError, match=r"\(39, 50\)"):
        plot.outline_view(image[1:], masks)


# ----------------------------------------------------------------------------------------------------------- patches


def test_a_patch_covers_the_masks() -> None:
    masks = np.zeros((100, 120), int)
    masks[60:80, 90:110] = 1
    y, x = plot.interesting_patch(masks, bsize=30)
    assert len(y) == len(x) == 30
    assert y[0] <= 60
    assert x[0] <= 90
    assert y[-1] >= 79
    assert x[-1] >= 109
    y, x = plot.interesting_patch(np.roll(masks, (20, 10), axis=(0, 1)), bsize=30)
    assert (y[-1], x[-1]) == (99, 119)
    with pytest.raises(OptionError, match="bsize=1"):
        plot.interesting_patch(masks, bsize=1)


def test_a_disk_is_cut_at_the_border() -> None:
    y, x = plot.disk((0, 0), 3, 10, 10)
    assert len(y) == 11
    y, x = plot.disk((5, 5), 2, 20, 20)
    assert sorted(zip(y.tolist(), x.tolist(), strict=True))[0] == (3, 5)
    assert len(y) == 13


# ----------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("shape", [(40, 50), (2, 40, 50), (40, 50, 3), (40, 50, 4)])
def test_a_figure_has_four_panels(masks: np.ndarray, shape: tuple[int, ...], tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(12, 3))
    image = np.random.default_rng(0).integers(0, 4096, shape, dtype=np.uint16)
    flows = plot.dx_to_circ(np.random.default_rng(0).standard_normal((2, 40, 50)))
    plot.show_segmentation(figure, image, masks, flows, channels=[1, 2], file_name=tmp_path / "a.b.tif")
    titles = ["original image", "predicted outlines", "predicted masks", "predicted cell pose"]
    assert [axes.get_title() for axes in figure.axes] == titles
    outlined = np.asarray(figure.axes[1].images[0].get_array())
    assert (outlined[utils.masks_to_outlines(masks)] == [255, 0, 0]).all()
    names = ["a.b_flows.jpg", "a.b_outlines.jpg", "a.b_overlay.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert cv2.imread(str(tmp_path / name)).shape == (40, 50, 3)
    # JPEG is not exact; random colors side by side suffer most
    saved = cv2.imread(str(tmp_path / "a.b_flows.jpg"))[..., ::-1]
    assert np.abs(saved.astype(int).mean((0, 1)) - flows.mean((0, 1))).max() < 10


@pytest.mark.parametrize("scale", [1, 1 / 255, 257])
def test_a_color_image_is_shown_as_it_is(masks: np.ndarray, scale: float) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    given = rgb if scale == 1 else rgb.astype(np.float32) * scale
    plot.show_segmentation(figure, given, masks, rgb)
    shown = np.asarray(figure.axes[0].images[0].get_array()).astype(int)
    # beyond 8 bits the percentiles set the range: at most the 2 in 256 values beyond them move, and 3 levels with them
    assert np.abs(shown - rgb).max() <= (1 if scale <= 1 else 4)


def test_figures_say_what_they_need(masks: np.ndarray, image: np.ndarray, tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    flows = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(InputError, match=r"img has shape \(39, 50, 3\)"):
        plot.show_segmentation(figure, image[1:], masks, flows)
    with pytest.raises(FileWriteError, match=r"could not write .*there is no folder .*create it"):
        plot.show_segmentation(figure, image, masks, flows, file_name=tmp_path / "missing" / "a.tif")


def test_images_that_are_no_images() -> None:
    labels = np.zeros((4, 5), int)
    with pytest.raises(InputError, match="complex128"):
        plot.image_to_rgb(np.zeros((4, 5), complex))
    with pytest.raises(InputError, match="complex128"):
        plot.mask_overlay(np.zeros((4, 5), complex), labels)
    with pytest.raises(InputError, match="one pixel"):
        plot.interesting_patch(np.zeros((0, 5), int))
    assert plot.image_to_rgb(np.zeros((0, 5))).shape == (0, 5, 3)
    assert not plot.mask_overlay(np.full((4, 5), np.nan), labels).any()
    assert plot.image_to_rgb(np.array([[0.0, 1], [np.nan, 2]]))[1, 0].tolist() == [0, 0, 0]
