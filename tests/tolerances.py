"""How far two ways of computing one network may be apart."""

from __future__ import annotations

from typing import Any

import numpy as np

# Libraries choose their kernels by the processor and by the size of a batch, and so the order of sums in float32. What
# each layer rounds is amplified by those after it: differences of 1e-5 of the largest number are seen. Faults give more
# than 1e-2.
ROUNDING = 1e-4


def assert_same_network(found: Any, expected: Any, share: float = ROUNDING) -> None:
    """Arrays that are equal but for rounding: no difference is more than ``share`` of the largest number expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * float(np.abs(expected).max()))
