"""Size models against version 3."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import models
from conftest import parity_rows
from evaluations import compare_masks, save_recipe

CROP = (slice(20, 200), slice(30, 210))


def rows():
    """Rows on size models, but for their training; those that segment images of many tiles are slow."""
    for row in parity_rows("size"):
        if "train_size" in str(row.id) or str(row.id).startswith("in/"):
            continue
        slow = "_size_estimation" not in str(row.id) and "d30" not in str(row.id)
        yield pytest.param(*row.values, id=row.id, marks=[*row.marks, pytest.mark.slow]) if slow else row


@pytest.fixture(scope="module")
def folder(parity, tmp_path_factory):
    """The models folder of the fixtures: cyto3 and its size model."""
    folder = tmp_path_factory.mktemp("models")
    fixtures = parity.load("size")
    diam_mean, ymean = fixtures["in/diam_mean_ymean"]
    parameters = {"A": fixtures["in/A"], "smean": fixtures["in/smean"], "diam_mean": diam_mean, "ymean": ymean}
    np.save(folder / "size_cyto3.npy", parameters, allow_pickle=True)
    save_recipe(parity, "cpnet", folder / "cyto3")
    return folder


@pytest.fixture(scope="module")
def cellpose(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(folder))
        yield models.Cellpose(model_type="cyto3")


@pytest.fixture(scope="module")
def done():
    return {}


@pytest.mark.parametrize("row", list(rows()))
def test_row(parity, cellpose, done, row):
    fixtures, inputs = parity.load("size"), parity.load("inputs")
    key = row["key"]
    expected = fixtures[key]
    _, name, *rest = key.split("/")
    if name == "_size_estimation":
        styles = fixtures["in/styles"]
        style = {"batch": styles, "floor": fixtures["in/smean"] - 300 * fixtures["in/A"]}.get(rest[0])
        if style is None:
            style = styles[int(rest[0])]
        # Sums of 256 products in another order.
        np.testing.assert_allclose(cellpose.sz._size_estimation(style), expected, rtol=1e-5)
        return
    call = tuple(rest[:-1]) if len(rest) > 1 else tuple(rest)
    if (name, call) not in done:
        done[name, call] = CALLS[name](cellpose, inputs, call[0])
    got = done[name, call]
    if name == "eval":
        # The first diameter is that of masks, which move by single pixels; the second comes from the style alone.
        tolerance = 1e-3 if rest[-1] == "diam_style" else 2e-2
        np.testing.assert_allclose(got[rest[-1] == "diam_style"], expected, rtol=tolerance)
    elif rest[-1] == "masks":
        compare_masks(got[0], expected)
    else:
        np.testing.assert_allclose(got[-1], expected, rtol=2e-2)


CALLS = {
    "eval": lambda cellpose, inputs, image: cellpose.sz.eval(
        inputs[image.replace("real", "real/")][CROP], channels=[0, 0]
    ),
    "Cellpose.eval": lambda cellpose, inputs, how: cellpose.eval(
        [inputs["real/0"][CROP], inputs["real/1"][CROP]] if how == "list" else inputs["real/0"][CROP],
        diameter=30 if how == "d30" else None,
        channels=[[0, 0], [1, 2]] if how == "list" else [0, 0],
    ),
}
