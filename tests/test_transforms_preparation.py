"""How an image becomes what a network takes: which channels, in which order, at which size, on which scale."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from cellpose.errors import AxesError, AxisRangeError
from cellpose.io import open_plane
from cellpose.options import Normalization
from cellpose.transforms import Preparation
from cellpose.transforms._channels import Channels, choose_channels

AS_IS = Normalization(normalize=False)
# Two rows, two columns, three channels of 1 to 4, 10 to 40, 100 to 400.
PIXELS = np.array([[[1, 10, 100], [2, 20, 200]], [[3, 30, 300], [4, 40, 400]]], np.uint16)


def same(got: np.ndarray, want: object) -> None:
    np.testing.assert_array_equal(got, want)


# -------------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize(
    ("channels", "channel_pair", "nchan", "picked", "count", "mean"),
    [
        ([2, 1], True, 2, (1, 0), 2, False),
        ([3, 0], True, 2, (2,), 2, False),
        ([0, 0], True, 2, (0, 1, 2), 2, True),
        ([0, 2], True, 2, (0, 1, 2), 2, True),
        (None, True, 2, (0, 1), 2, False),
        (None, True, 4, (0, 1, 2), 4, False),
        (None, True, None, (0, 1, 2), 3, False),
        ([[3, 1]], True, 2, (2, 0), 2, False),
        (None, False, None, (0, 1, 2), 3, False),
        ([0, 0], False, None, (0, 1, 2), 3, False),
        ([3, 1], False, None, (2, 0), 2, False),
        ([3, 0], False, None, (2,), 1, False),
        ([3, 1, 2], False, None, (2, 0, 1), 3, False),
    ],
)
def test_channels_that_a_network_sees(channels, channel_pair, nchan, picked, count, mean):
    chosen = choose_channels(PIXELS.shape, channels, channel_pair=channel_pair, nchan=nchan)
    assert chosen == Channels(picked, count, mean)


@pytest.mark.parametrize("channels", [[0, 0], [1, 0], [2, 1]])
def test_one_channel_is_seen_whatever_is_chosen(channels):
    for pair in (True, False):
        chosen = choose_channels((4, 4, 1), channels, channel_pair=pair, nchan=2)
        assert chosen == Channels((0,), 2 if pair else 1)


def test_channels_that_are_left_out_are_told(caplog):
    with caplog.at_level(logging.WARNING, "cellpose.transforms"):
        choose_channels((4, 4, 5), None, channel_pair=True, nchan=2)
        choose_channels((4, 4, 5), None, channel_pair=False, nchan=None)
        choose_channels((4, 4, 5), [5, 1], channel_pair=False, nchan=None)  # chosen: nothing to tell
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "the first 2 of 5 channels are used; choose others with channels"
    assert second == (
        "the first 3 of 5 channels are used; choose others with channels, or name z_axis if these are planes"
    )


@pytest.mark.parametrize("pair", [True, False])
def test_channels_that_cannot_be_chosen(pair):
    with pytest.raises(AxisRangeError, match="channel 4 was chosen"):
        choose_channels(PIXELS.shape, [4, 0], channel_pair=pair, nchan=2)
    with pytest.raises(AxesError, match=r"channels='red'"):
        choose_channels(PIXELS.shape, "red", channel_pair=pair, nchan=2)


def test_values_of_chosen_channels():
    same(Channels((2, 0), 2)(PIXELS)[..., 0], [[100, 200], [300, 400]])
    same(Channels((1,), 2)(PIXELS)[1], [[30, 0], [40, 0]])
    same(Channels((0, 1, 2), 2, mean=True)(PIXELS)[0], [[37, 0], [74, 0]])
    assert Channels((0, 1), 2)(PIXELS).dtype == np.float32
    assert np.shares_memory(Channels((0, 1), 2).view(PIXELS), PIXELS)


# ----------------------------------------------------------------------------------------------------- preparation


# 8 rows, 8 columns; the channels are 1, 10 and 100 times one ramp from 0 to 63.
RAMP = np.arange(64).reshape(8, 8)
IMAGE = np.stack([RAMP, 10 * RAMP, 100 * RAMP], -1).astype(np.uint16)
FULL = Normalization(percentile=(0, 100))


def test_a_plane_is_a_stack_of_one_and_stays_as_it_is():
    image = IMAGE.copy()
    seen = Preparation([3, 1], channel_axis=-1, normalization=FULL)(image)
    same(image, IMAGE)
    assert (seen.shape, seen.dtype) == ((1, 8, 8, 2), np.float32)
    for c in range(2):
        np.testing.assert_allclose(seen[0, ..., c], RAMP / 63, rtol=1e-6)


def test_inverted():
    seen = Preparation([2, 0], channel_axis=-1, normalization=Normalization(percentile=(0, 100), invert=True))(IMAGE)
    np.testing.assert_allclose(seen[0, ..., 0], 1 - RAMP / 63, atol=1e-6)
    same(seen[..., 1], np.zeros((1, 8, 8)))  # nothing is there to invert


def test_arranged_keeps_intensities():
    image = np.moveaxis(IMAGE, -1, 0)
    same(Preparation([2, 1], channel_axis=0).arranged(image)[0], IMAGE[..., [1, 0]])
    same(Preparation(channel_axis=0, channel_pair=False, normalization=AS_IS)(image)[0], IMAGE)
    view = Preparation(channel_axis=0).view(image)
    same(view, IMAGE)
    assert view.dtype == np.uint16
    assert np.shares_memory(view, image)


def test_planes_have_one_scale_or_one_each():
    stack = np.stack([RAMP, 10 * RAMP]).astype(float)
    one = Preparation([0, 0], z_axis=0, stack=True, normalization=FULL)(stack)
    same(one[..., 0].max(axis=(1, 2)), np.float32([0.1, 1]))
    each = Preparation([0, 0], z_axis=0, stack=True, planes_apart=True, normalization=FULL)(stack)
    same(each[0], each[1])
    same(each[..., 0].max(axis=(1, 2)), [1, 1])


def test_one_plane_has_the_same_scale_together_and_apart():
    image = np.arange(12.0).reshape(3, 4)
    same(Preparation([0, 0])(image), Preparation([0, 0], planes_apart=True)(image))


def test_bands_are_the_rows_of_the_whole():
    image = np.random.default_rng(0).integers(0, 999, (40, 30, 3)).astype(np.uint16)
    for preparation in (Preparation([3, 1]), Preparation([0, 0]), Preparation(channel_pair=False)):
        whole, bands = preparation(image)[0], preparation.bands(open_plane(image))
        for start in (0, 16):
            np.testing.assert_allclose(bands(start, start + 24), whole[start : start + 24], atol=1e-6)


def test_sizes_that_the_network_sees():
    preparation = Preparation(scale=0.5, z_scale=2.0)
    assert preparation.size((40, 60)) == (20, 30)
    assert preparation.size((7, 40, 60)) == (14, 20, 30)
    assert Preparation().size((41, 61)) == (41, 61)
