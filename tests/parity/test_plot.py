"""What the original needs scikit-image for, against its numbers; here scikit-image is not needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellpose import plot, utils
from conftest import Parity, parity_rows


def result_of(parity: Parity, key: str) -> Any:
    """What this implementation gives for a key."""
    inputs, topic = parity.load("inputs"), parity.load("utils_metrics")
    name = key.split("/")[1]
    if name == "get_mask_stats":
        _, _, labels, part = key.split("/")
        stats = utils.get_mask_stats(inputs[f"lab/{labels}"].astype(np.int32))
        return stats[("convexity", "solidity", "compactness").index(part)]
    if name == "get_masks_unet":
        return utils.get_masks_unet(np.moveaxis(inputs["noise/touching"].astype(np.float32), 0, -1), 0, 0)
    if name == "get_masks_unet_2":
        return utils.get_masks_unet(np.moveaxis(inputs["noise/touching"][:2].astype(np.float32), 0, -1), 0.5)
    masks = topic["in/plot/lab"].astype(np.int32)
    _, _, image, *mode = name.split("_")
    how = {"color": [0, 255, 0]} if image == "color" else {"mode": mode[0]} if mode else {}
    return plot.outline_view(inputs["real/0" if image == "0" else "real/1"][:60, :64], masks, **how)


@pytest.mark.parametrize("row", parity_rows("plot_skimage"))
def test_row(parity: Parity, row: dict[str, Any]) -> None:
    """Every row of the manifest."""
    result, expected = result_of(parity, row["key"]), parity.load("plot_skimage")[row["key"]]
    assert result.shape == expected.shape
    assert result.dtype == np.dtype(row["dtype"])
    if row["tol"] == "exact":
        np.testing.assert_array_equal(result, expected)
    elif row["tol"].startswith("rtol"):
        np.testing.assert_allclose(result, expected, rtol=float(row["tol"].split()[1]))
    else:
        assert np.abs(result.astype(float) - expected).max() <= float(row["tol"].split()[1])
