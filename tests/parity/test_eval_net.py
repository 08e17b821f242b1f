"""``CellposeModel.eval`` with networks of full size against the originals."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import models
from conftest import parity_rows
from evaluations import compare, read_image, read_row, result_of, save_recipe

INFORMATION = "the original compared with itself, only for information"
# Seeds of equal count are painted in raster order here, in the order of an unstable sort there; few masks of a random
# network pass the flow-error check, so that one of them is much.
TIES = {
    "v3/cpnet/real3_dNone_ch00/masks",
    "v3/cpnet/real3_dNone_ch12/masks",
    "v3/cpnet/real5_d15_ch12/masks",
    "v3/cpnet/real0_full/masks",
}
# The names of the files say the model: nucleitorch_0 is that of nuclei, with a diameter of 17 pixels.
FILES = {"cpnet": "cpnet", "cpnet_nuclei": "nucleitorch_0", "cpsam": "cpsam"}


@pytest.fixture(scope="module")
def run(parity, tmp_path_factory):
    """Results of a call as the row tells it; each model is made once, each call too."""
    folder = tmp_path_factory.mktemp("weights")
    loaded: dict[str, models.CellposeModel] = {}
    done: dict[str, tuple] = {}

    def model(name: str) -> models.CellposeModel:
        if name not in loaded:
            path = save_recipe(parity, name, folder / FILES[name])
            loaded[name] = models.CellposeModel(pretrained_model=path, use_bfloat16=False)
        return loaded[name]

    def one(key: str, args: str):
        name = "cpsam" if "cpsam" in key else "cpnet_nuclei" if "nuclei" in key else "cpnet"
        if args not in done:
            _, image, options = read_row(args)
            done[args] = model(name).eval(read_image(parity, image), **options)
        return done[args]

    one.model = model
    return one


def rows():
    for row in parity_rows("eval_net"):
        slow = "cpsam" in str(row.id) or "d15" in str(row.id)  # 1.2 GB of weights; images of twice the size
        yield pytest.param(*row.values, id=row.id, marks=[*row.marks, pytest.mark.slow]) if slow else row


@pytest.mark.parametrize("row", list(rows()))
def test_row(parity, run, row):
    key = row["key"]
    if row["tol"] == "information":
        pytest.skip(INFORMATION)
    expected = parity.load("eval_net")[key]
    what = key.rpartition("/")[2]
    if what == "diam":
        model = run.model("cpnet_nuclei")
        np.testing.assert_array_equal([model.diam_mean, model.diam_labels], expected)
        return
    result = run(key, row["args"])
    got = result_of(what, *result)
    if key in TIES:
        assert abs(int(got.max()) - int(expected.max())) <= 1
        assert np.mean((got > 0) != (expected > 0)) < 0.01
    else:
        compare(what, got, expected)
