"""Going through an image field by field: nothing is missed, nothing is shown twice for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model._fields import Fields
from cellpose.gui.views._window import Window
from hand import key


@pytest.mark.parametrize(("height", "width"), [(1000, 1000), (300, 1700), (37, 41), (5000, 10)])
@pytest.mark.parametrize("view", [(0.3, 0.2), (0.55, 0.11), (0.004, 0.5), (2.0, 0.4)])
def test_every_pixel_is_looked_at_in_few_views(height: int, width: int, view: tuple[float, float]) -> None:
    fields, looked_at = Fields(height, width), np.zeros((height, width), bool)
    size = max(1.0, view[0] * height), max(1.0, view[1] * width)
    views, place = 0, fields.following(*size)
    while place is not None:
        (y0, y1), (x0, x1) = (
            (middle - length / 2, middle + length / 2) for middle, length in zip(place, size, strict=True)
        )
        fields.mark((y0, x0, y1, x1))
        looked_at[max(0, round(y0)) : round(y1) + 1, max(0, round(x0)) : round(x1) + 1] = True
        views, place = views + 1, fields.following(*size)
        assert views <= 96 * 96
    assert fields.share == 1
    if min(size[0] / height, size[1] / width) > 0.1:
        assert looked_at.mean() > 0.97
        assert views <= np.prod(
            [np.ceil(1.1 * whole / length) for whole, length in zip((height, width), size, strict=True)]
        )


def test_the_key_goes_from_field_to_field_and_the_minimap_shows_what_was_seen(window: Window) -> None:
    window.session.open_array(np.zeros((1, 1, 400, 600), np.uint8))
    told: list[str] = []
    window.session.told.connect(told.append)
    key(window, "F")
    assert told[-1].startswith("all of the image is in view")
    window.scene.box.setRange(xRange=(0, 200), yRange=(0, 200), padding=0)
    y0, _, y1, _ = window.session.seen
    places = set()
    for _ in range(40):
        key(window, "F")
        if told[-1] == "all of the image was looked at":
            break
        assert window.session.field_by_field.fields.share > 0
        seen = window.session.seen
        assert seen[2] - seen[0] == pytest.approx(y1 - y0), "the same zoom"
        places.add(tuple(round(end) for end in seen))
    else:
        raise AssertionError(told)
    assert 2 <= len(places) <= 12
    window.grab()
    key(window, "F")
    assert "%" in told[-1], "from the start again"
    window.session.open_array(np.zeros((1, 1, 400, 600), np.uint8))
    assert window.session.field_by_field.fields is None
