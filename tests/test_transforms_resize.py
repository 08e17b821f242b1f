"""Resizing: every dtype, any number of channels, and plane directions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellpose import transforms
from cellpose.errors import AxesError, InputError, OptionError

RNG = np.random.default_rng(0)
DTYPES = ["?", "u1", "i1", "u2", "i2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interpolation", [0, 1, 2, 3])
def test_every_dtype(dtype, interpolation):
    image = RNG.integers(0, 2 if dtype == "?" else 100, (20, 24, 3)).astype(dtype)
    got = transforms.resize_image(image, 31, 17, interpolation=interpolation)
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    want = cv2.resize(image.astype(np.float64), (17, 31), interpolation=interpolation)
    kind = np.dtype(dtype).kind
    if kind == "b":
        # what is exactly halfway may fall on either side
        settled = np.abs(want - 0.5) > 1e-6
        np.testing.assert_array_equal(got[settled], want[settled] > 0.5)
        return
    if kind in "iu":
        want = np.clip(want, np.iinfo(dtype).min, None)  # cubic interpolation overshoots
    # integers are rounded, and OpenCV's own integer arithmetic may be one off; float16 has 11 bits
    np.testing.assert_allclose(got.astype(float), want, atol=1.0 if kind in "iu" else 0.06)


def test_inputs_stay_as_they_are():
    image = RNG.random((20, 24, 3))
    before = image.copy()
    transforms.resize_image(image, 7, 9)
    np.testing.assert_array_equal(image, before)


def test_large_labels_survive():
    labels = np.array([[1, 2**31 + 5], [2**62, 7]], np.int64)
    np.testing.assert_array_equal(transforms.resize_image(labels, 4, 4, interpolation=0)[::2, ::2], labels)
    labels = np.array([[1, 2**31 + 5]], np.uint32)
    np.testing.assert_array_equal(transforms.resize_image(labels, 2, 2, interpolation=0)[:1], labels)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_nearest_pixels_are_those_of_opencv(Ly, Lx, new_y, new_x):
    image = RNG.integers(0, 1000, (Ly, Lx)).astype(np.int32)
    want = transforms.resize_safe(image, new_y, new_x, interpolation=0)
    np.testing.assert_array_equal(transforms.resize_safe(image.astype(np.int64), new_y, new_x, interpolation=0), want)


@pytest.mark.parametrize("channels", [1, 2, 5, 130, 600])
@pytest.mark.parametrize("interpolation", [0, 1, 3])
def test_any_number_of_channels(channels, interpolation):
    image = RNG.random((20, 24, channels), np.float32)
    got = transforms.resize_image(image, 9, 11, interpolation=interpolation)
    one = transforms.resize_image(image[..., -1], 9, 11, interpolation=interpolation, no_channels=True)
    assert got.shape == (9, 11, channels)
    # OpenCV sums the channels of a pixel in another order than single planes
    np.testing.assert_allclose(got[..., -1], one, atol=2e-6)


def test_long_images():
    assert transforms.resize_image(np.zeros((3, 70_000), np.float32), rsz=[2, 1], no_channels=True).shape == (6, 70_000)


def test_sizes_are_cut_off_and_never_zero():
    assert transforms.scaled_shape((101, 3), (0.5, 0.1)) == (50, 1)
    assert transforms.resize_image(np.zeros((9, 9, 1)), rsz=0.01).shape == (1, 1, 1)
    assert transforms.resize_image(np.zeros((9, 9, 1)), Ly=4, rsz=2).shape == (4, 18, 1)


def test_a_stack_of_the_same_size_is_a_copy():
    stack = RNG.random((2, 5, 6, 1))
    got = transforms.resize_image_3d(stack, (2, 5, 6))
    np.testing.assert_array_equal(got, stack)
    assert not np.shares_memory(got, stack)
    assert not np.shares_memory(transforms.resize_image(stack, 5, 6), stack)


@pytest.mark.parametrize("view", transforms.PLANE_VIEWS, ids=lambda v: v.name)
def test_plane_views(view):
    stack = RNG.random((3, 4, 5, 2))
    planes = view.planes(stack)
    assert planes.shape[0] == stack.shape[view.permutation[0]]
    assert {"zyx".index(a.lower()) for a in view.name} == set(view.components)
    # the axes of the planes are those that their flows belong to, in this order
    assert planes.shape[1:3] == tuple(stack.shape[axis] for axis in view.components)
    np.testing.assert_array_equal(view.restore(planes), stack)


def test_what_is_refused():
    image = np.zeros((9, 9, 1))
    for options in ({}, {"rsz": 0}, {"rsz": -1}, {"rsz": np.nan}, {"rsz": [1, 2, 3]}, {"Ly": 0, "Lx": 4}, {"Ly": 4}):
        with pytest.raises(OptionError):
            transforms.resize_image(image, **options)
    with pytest.raises(AxesError):
        transforms.resize_image(np.zeros(5), rsz=1)
    with pytest.raises(AxesError):
        transforms.resize_image(np.zeros((2, 2, 2, 2, 2)), rsz=1)
    with pytest.raises(AxesError):
        transforms.resize_image_3d(image, (2, 2, 2))
    with pytest.raises(OptionError):
        transforms.resize_image_3d(image[None], (2, 0, 2))
    for bad in (np.zeros((0, 4)), np.zeros((4, 4), complex)):
        with pytest.raises(InputError):
            transforms.resize_image(bad, rsz=2)
