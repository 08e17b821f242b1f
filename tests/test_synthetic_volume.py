"""Synthetic volumes: repeatable, within range, labels of one piece each, as wide as asked for in every direction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cellpose import synthetic
from cellpose.errors import OptionError


@pytest.mark.parametrize("kind", synthetic.VOLUME_KINDS)
def test_volumes_are_whole_and_within_range(kind):
    one = synthetic.sample_volume(5, (10, 64, 72), kind, diameter=16)
    assert one.image.shape == (2, 10, 64, 72)
    assert one.masks.shape == (10, 64, 72)
    assert one.image.dtype == np.float32
    assert one.masks.dtype == np.int32
    assert np.isfinite(one.image).all()
    assert one.image.min() >= 0
    assert one.image.max() <= 1
    n = int(one.masks.max())
    assert n > 2
    assert [ndimage.label(one.masks == value)[1] for value in range(1, n + 1)] == [1] * n
    assert one.image[1].any() == (kind != "nuclei")
    again = synthetic.sample_volume(5, (10, 64, 72), kind, diameter=16)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.masks, again.masks)


@pytest.mark.parametrize("anisotropy", [1.0, 3.0])
def test_cells_are_flat_where_planes_are_far_apart(anisotropy):
    heights, widths = [], []
    for seed in range(4):
        masks = synthetic.sample_volume(seed, (30, 96, 96), "nuclei", 1, diameter=18, anisotropy=anisotropy).masks
        for box in ndimage.find_objects(masks):
            inside = all(part.start > 0 and part.stop < side for part, side in zip(box, masks.shape, strict=True))
            if inside:
                heights.append(box[0].stop - box[0].start)
                widths.append((box[1].stop - box[1].start + box[2].stop - box[2].start) / 2)
    # cells vary in size and are turned at random, so their medians are near a ball's
    assert np.median(widths) == pytest.approx(18, rel=0.3)
    assert np.median(widths) / np.median(heights) == pytest.approx(anisotropy, rel=0.25)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"kind": "phase"}, "phase.*allowed for volumes"),
        ({"size": (64, 64)}, "planes, height and width"),
        ({"size": (2, 64, 64)}, "at least 4"),
        ({"channels": 3}, "allowed for volumes: 1, 2"),
        ({"diameter": 1}, "2 to 2000"),
        ({"anisotropy": 0}, "0.2 to 20"),
    ],
)
def test_errors_name_the_value_and_what_is_allowed(arguments, named):
    with pytest.raises(OptionError, match=named):
        synthetic.sample_volume(0, **arguments)
