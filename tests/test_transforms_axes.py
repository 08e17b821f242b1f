"""Axes and channels: what is obeyed, what is concluded, what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellpose import transforms
from cellpose.errors import AxesError, AxisRangeError, InputError
from cellpose.transforms import prepare_transformer, prepare_unet

RNG = np.random.default_rng(0)


def ramp(*shape: int) -> np.ndarray:
    """Every pixel another number, so that a wrong axis cannot look right."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def same(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_array_equal(got, want)


# ----------------------------------------------------------------------------------------------- which generation


def test_face_chooses_the_generation_by_what_is_given():
    image = ramp(12, 14, 3)
    assert transforms.convert_image(image).shape == (12, 14, 3)
    assert transforms.convert_image(image, channels=None).shape == (12, 14, 2)
    assert transforms.convert_image(image, channels=[2, 3]).shape == (12, 14, 2)
    assert transforms.convert_image(image, nchan=1).shape == (12, 14, 1)
    assert transforms.convert_image(image, nchan=None).shape == (12, 14, 3)


def test_face_takes_a_plain_second_number_as_channel_axis():
    same(transforms.convert_image(ramp(2, 12, 14), 0), ramp(2, 12, 14).transpose(1, 2, 0))
    with pytest.raises(AxesError, match=r"give \[cytoplasm, nuclei\]"):
        transforms.convert_image(ramp(2, 12, 14), 2, channel_axis=0)


# ----------------------------------------------------------------------------------------------------------- U-Net


def test_unet_obeys_named_axes():
    image = ramp(5, 20, 3, 22)  # z, y, c, x
    got = prepare_unet(image, [3, 1], channel_axis=2, z_axis=0, do_3D=True)
    same(got, image.transpose(0, 1, 3, 2)[..., [2, 0]])
    # negative numbers and a z behind the channels too
    same(prepare_unet(image.transpose(2, 1, 3, 0), [3, 1], channel_axis=0, z_axis=-1, do_3D=True), got)
    same(prepare_unet(image.transpose(1, 0, 3, 2), [3, 1], channel_axis=-1, z_axis=1, do_3D=True), got)


def test_unet_obeys_a_named_axis_of_length_one():
    image = ramp(6, 1, 12, 14)
    same(prepare_unet(image, None, channel_axis=0, z_axis=1, do_3D=True)[0], image[:2, 0].transpose(1, 2, 0))


def test_unet_does_not_take_the_named_z_for_channels():
    image = ramp(2, 6, 12, 14)  # two planes of six channels
    assert prepare_unet(image, [5, 6], z_axis=0, do_3D=True).shape == (2, 12, 14, 2)


def test_unet_named_channels_of_many_are_no_stack():
    image = ramp(30, 32, 7)
    same(prepare_unet(image, [7, 1], channel_axis=2), image[..., [6, 0]])


def test_unet_thin_image_with_channels_last_keeps_its_axes():
    image = ramp(5, 30, 2)
    same(prepare_unet(image, [1, 2], channel_axis=-1), image)
    same(prepare_unet(image, [1, 2]), image)


def test_unet_long_last_channel_axis_is_questioned(caplog):
    image = ramp(3, 30, 32)
    with caplog.at_level(logging.WARNING, "cellpose"):
        same(prepare_unet(image, [1, 2], channel_axis=-1), image[:2].transpose(1, 2, 0))
    assert "channel_axis=0 is used instead" in caplog.text


@pytest.mark.parametrize("channels", [None, [0, 0], [1, 0]])
def test_unet_stack_of_planes_without_names(channels, caplog):
    image = ramp(12, 30, 32)
    with caplog.at_level(logging.INFO, "cellpose"):
        got = prepare_unet(image, channels)
    same(got[..., 0], image)
    assert not got[..., 1].any()
    assert "z_axis=0 assumed" in caplog.text


def test_unet_refuses_a_stack_in_which_no_axis_may_hold_channels():
    with pytest.raises(AxesError, match=r"\(12, 13, 30, 32\).*give channel_axis"):
        prepare_unet(ramp(12, 13, 30, 32), [1, 2], do_3D=True)


def test_unet_channels():
    image = ramp(12, 14, 3)
    same(prepare_unet(image, [2, 0])[..., 0], image[..., 1])
    same(prepare_unet(image, [[2, 3]]), image[..., 1:])
    same(prepare_unet(image, [0, 3])[..., 0], image.astype(np.float32).mean(axis=-1))
    same(prepare_unet(image[..., :1], [3, 2])[..., 0], image[..., 0])
    # two channels asked to be three: one channel of zeros is added, not two
    assert prepare_unet(image[..., :2], None, nchan=3).shape == (12, 14, 3)


def test_unet_says_so_if_a_chosen_channel_is_constant(caplog):
    image = ramp(12, 14, 3)
    image[..., 1] = 7
    with caplog.at_level(logging.WARNING, "cellpose"):
        prepare_unet(image, [2, 1])
    assert "channel 2" in caplog.text


# ----------------------------------------------------------------------------------------------------- transformer


def test_transformer_stack_without_names(caplog):
    image = ramp(8, 12, 14)
    with caplog.at_level(logging.INFO, "cellpose"):
        same(prepare_transformer(image, do_3D=True)[..., 0], image)
    assert "z_axis=0 assumed" in caplog.text


def test_transformer_stack_concludes_the_channel_axis():
    image = ramp(8, 2, 12, 14)
    same(prepare_transformer(image, do_3D=True), image.transpose(0, 2, 3, 1))
    same(prepare_transformer(image.transpose(1, 2, 0, 3), z_axis=2, do_3D=True), image.transpose(0, 2, 3, 1))


def test_transformer_refuses_a_tie_and_shows_both_axes():
    with pytest.raises(AxesError, match="channel_axis=1 or channel_axis=2"):
        prepare_transformer(ramp(8, 3, 3, 14), do_3D=True)


def test_transformer_planes_along_a_named_axis_without_do_3d():
    image = ramp(12, 8, 14)
    same(prepare_transformer(image, z_axis=1)[..., 0], image.transpose(1, 0, 2))


def test_transformer_legacy_channels():
    image = ramp(12, 14, 4)
    same(prepare_transformer(image, [0, 0]), image[..., :3])
    same(prepare_transformer(image, [2, 1]), image[..., [1, 0]])
    same(prepare_transformer(image, [4, 0]), image[..., 3:])
    same(prepare_transformer(image[..., :1], [2, 1]), image[..., :1])
    with pytest.raises(AxisRangeError, match="channel 5 was chosen"):
        prepare_transformer(image, [5, 1])


def test_transformer_says_that_channels_are_left_out(caplog):
    with caplog.at_level(logging.WARNING, "cellpose"):
        assert prepare_transformer(ramp(20, 30, 32)).shape == (30, 32, 3)
    assert "first 3 of 20 channels" in caplog.text


# ------------------------------------------------------------------------------------------------------------ both

BOTH = pytest.mark.parametrize("prepare", [lambda x, **k: prepare_unet(x, None, **k), prepare_transformer])


@BOTH
@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8", ">f8"]
)
def test_every_real_dtype(prepare, dtype):
    image = (np.arange(168) % 2 if dtype == "?" else np.arange(168) % 100).reshape(12, 14).astype(dtype)
    got = prepare(image)
    assert got.dtype == np.float32
    assert got.dtype.isnative
    same(got[..., 0], image.astype("f4"))


@BOTH
@pytest.mark.parametrize("dtype", [np.complex64, object, "U3", "M8[s]"])
def test_dtypes_without_order_are_refused(prepare, dtype):
    with pytest.raises(InputError, match="dtype"):
        prepare(np.zeros((12, 14), dtype))


@BOTH
@pytest.mark.parametrize("shape", [(0, 14), (12, 0, 3), (0,), ()])
def test_no_pixels_or_no_plane(prepare, shape):
    with pytest.raises(InputError):
        prepare(np.zeros(shape))


@BOTH
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 5, 6)])
def test_other_numbers_of_axes(prepare, shape):
    with pytest.raises(AxesError, match=f"{len(shape)} axes"):
        prepare(np.ones(shape))


@BOTH
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((12, 14), {"do_3D": True}),
        ((3, 12, 14), {"channel_axis": 3}),
        ((3, 12, 14), {"z_axis": -4}),
        ((3, 12, 14), {"channel_axis": 0, "z_axis": -3}),
        ((3, 12, 14), {"channel_axis": "c"}),
        ((3, 12, 14), {"channel_axis": 0.5}),
    ],
)
def test_impossible_axes(prepare, shape, options):
    with pytest.raises(AxesError, match=str(shape[0])) if "channel_axis" not in options else pytest.raises(AxesError):
        prepare(np.ones(shape), **options)


def test_the_z_axis_of_a_plane(caplog):
    plane = ramp(12, 14)
    with caplog.at_level(logging.INFO, "cellpose"):
        same(prepare_unet(plane, [0, 0], z_axis=0), prepare_unet(plane, [0, 0]))
    assert "single plane: z_axis is not used" in caplog.text
    with pytest.raises(AxesError, match="need a stack"):
        prepare_unet(plane, [0, 0], z_axis=0, do_3D=True)
    with pytest.raises(AxesError, match=r"z_axis=0 .* single plane; leave it out"):
        prepare_transformer(plane, z_axis=0)


def test_as_many_planes_as_channels_are_told(caplog):
    stack = ramp(3, 3, 20, 24)
    same(prepare_unet(stack, [1, 2]), np.moveaxis(stack[:, :2], 1, -1))
    assert "axes 0 and 1 of shape (3, 3, 20, 24) are equally long: 1 is taken for the channels" in caplog.text
    caplog.clear()
    prepare_unet(stack, [1, 2], channel_axis=1, z_axis=0)
    prepare_unet(ramp(4, 3, 20, 24), [1, 2])
    assert not caplog.text


@BOTH
def test_one_pixel(prepare):
    assert prepare(np.full((1, 1), 5))[0, 0, 0] == 5
    assert prepare(np.full((1, 1, 1, 1, 1), 5)).flat[0] == 5


def test_unet_rows_and_pixels_with_more_axes_keep_two():
    for shape, plane in {(1, 1, 1, 20): (1, 20), (1, 20, 1, 1): (20, 1), (1, 1, 1, 1): (1, 1)}.items():
        assert transforms.prepare_unet(np.ones(shape), [0, 0]).shape == (*plane, 2)


@BOTH
def test_not_finite(prepare, caplog):
    image = RNG.random((12, 14)).astype(np.float32)
    image[0, 0], image[1, 1], image[2, 2] = np.nan, np.inf, -np.inf
    before = image.copy()
    with caplog.at_level(logging.WARNING, "cellpose"):
        got = prepare(image)[..., 0]
    finite = np.isfinite(image)
    same(got[finite], image[finite])
    assert got[0, 0] == got[2, 2] == image[finite].min()
    assert got[1, 1] == image[finite].max()
    assert "3 of" in caplog.text
    same(image, before)


@BOTH
def test_nothing_finite_and_too_large_for_float32(prepare):
    assert not prepare(np.full((12, 14), np.nan)).any()
    large = np.ones((12, 14))
    large[0, 0] = 1e300
    assert np.isfinite(prepare(large)).all()


@BOTH
def test_tensors(prepare):
    image = torch.arange(168.0, requires_grad=True).reshape(12, 14)
    same(prepare(image)[..., 0], np.arange(168).reshape(12, 14))


@BOTH
def test_result_shares_no_memory_with_the_image(prepare):
    image = RNG.random((12, 14, 2)).astype(np.float32)
    assert not np.shares_memory(prepare(image), image)


@settings(deadline=None, max_examples=60)
@given(
    order=st.permutations("zyxc"),
    channels=st.integers(1, 4),
    planes=st.integers(1, 12),
)
def test_named_axes_in_any_order(order, channels, planes):
    sizes = {"z": planes, "y": 13, "x": 15, "c": channels}
    image = RNG.integers(0, 1000, [sizes[a] for a in order])
    z, c = order.index("z"), order.index("c")
    # the axes that are left keep their order
    want = image.transpose(z, *(k for k, a in enumerate(order) if a in "yx"), c)
    same(prepare_transformer(image, channel_axis=c, z_axis=z, do_3D=True), want[..., :3])
    same(prepare_unet(image, None, channel_axis=c, z_axis=z, do_3D=True, nchan=None), want)


@pytest.mark.parametrize("channels", [3, [2], [-1, 2], [1.5, 2], "rg", [[1], [2]]])
def test_channels_that_are_none(channels):
    with pytest.raises(AxesError, match="cytoplasm, nuclei"):
        prepare_unet(ramp(12, 14, 3), channels)


# --------------------------------------------------------------------------------------------------------- helpers


def test_reshape_of_a_stack():
    image = ramp(10, 12, 14, 3)
    same(transforms.reshape(image, [3, 1]), image[..., [2, 0]])
    # the original puts the channels first whatever the number of axes
    same(transforms.reshape(image, [3, 1], chan_first=True), image[..., [2, 0]].transpose(3, 0, 1, 2))


def test_update_axis():
    assert transforms.update_axis(None, [0], 4) is None
    assert transforms.update_axis(3, np.array([0, 1]), 4) == 1


@pytest.mark.parametrize("prepare", [lambda x, **k: prepare_unet(x, [0, 0], **k), prepare_transformer])
def test_a_plane_of_colors_is_no_stack(prepare):
    for shape, axis in (
        ((64, 72, 3), {}),
        ((64, 72, 4), {}),
        ((64, 72, 3), {"channel_axis": 2}),
        ((3, 64, 72), {"channel_axis": 0}),
    ):
        with pytest.raises(AxesError, match="one plane with"):
            prepare(ramp(*shape), do_3D=True, **axis)
    assert prepare(ramp(64, 72, 3), do_3D=True, z_axis=0).shape[:3] == (64, 72, 3)
    assert prepare(ramp(64, 72, 3), do_3D=True, z_axis=2).shape[:3] == (3, 64, 72)
    assert prepare(ramp(3, 64, 72), do_3D=True).shape[:3] == (3, 64, 72)


@pytest.mark.parametrize("transformer", [False, True])
@pytest.mark.parametrize("do_3D", [False, True])
def test_what_is_assumed_is_what_is_done(transformer, do_3D):
    for shape in ((4, 30, 32), (30, 32, 3), (9, 30, 32), (5, 2, 30, 32), (2, 5, 30, 32), (5, 30, 32, 3), (12, 30, 32)):
        if do_3D and shape == (30, 32, 3):
            continue
        letters = transforms.assumed_axes(shape, transformer=transformer, choosing=True, do_3D=do_3D)
        named = {name: letters.index(a) for name, a in (("channel_axis", "C"), ("z_axis", "Z")) if a in letters}
        prepare = prepare_transformer if transformer else lambda x, **k: prepare_unet(x, [0, 0], **k)
        same(prepare(ramp(*shape), do_3D=do_3D), prepare(ramp(*shape), do_3D=do_3D, **named))
    assert transforms.assumed_axes((30, 32), transformer=transformer, choosing=True, do_3D=do_3D) == ""
