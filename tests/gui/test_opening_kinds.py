"""Files of every kind, whole and damaged, as they are opened in the window."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose.gui.model import Picture

RAMP = np.arange(16).reshape(1, 1, 4, 4)


@pytest.mark.parametrize("dtype", ["bool", "i1", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_pictures_are_made_of_every_real_dtype(dtype: str) -> None:
    picture = Picture.of((RAMP - (8 if dtype[0] == "i" else 0)).astype(dtype))
    shown = picture.table(0, 255)[picture.planes[0, 0]]
    assert shown.min() == 0
    assert shown.max() == 255
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()
