"""``CellposeModel.eval`` with small networks against the originals."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import models
from conftest import parity_rows
from evaluations import compare, read_image, read_row, result_of, save_recipe
from toy import toy_from_formula

# Rows we differ from on purpose, with the reason.
RUNS_HERE = {
    "v3/toy/stack_do3d_smlNone": "sigmas for z, y and x are taken for all weights, as version 4 does",
    "v4/toy/stack_do3d_nozNone": "without z_axis the first axis of a 3-D array is z",
    "v4/toy/stack2_autoNone": "without z_axis and channel_axis the axes are found, as version 3 does",
}
INFORMATION = "made by a fault of the original (its defaults changed in place), only for information"


@pytest.fixture(scope="module")
def model_files(parity, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {name: save_recipe(parity, name, folder / name) for name in ("cpnet_mid",)}


@pytest.fixture(scope="module")
def run(parity, model_files):
    """Results of a call as the row tells it, each call made once."""
    done: dict[tuple[str, str], object] = {}

    def one(version: str, args: str):
        if (version, args) not in done:
            net, image, options = read_row(args)
            model = models.CellposeModel(pretrained_model=model_files["cpnet_mid"])
            if net == "toy":
                model.net = toy_from_formula(2) if version == "v3" else toy_from_formula(3, "sam_vitl")
            x = read_image(parity, image)
            before = [np.copy(each) for each in (x if isinstance(x, list) else [x])]
            try:
                done[version, args] = model.eval(x, **options)
            except Exception as error:
                done[version, args] = error
            for copy, each in zip(before, x if isinstance(x, list) else [x], strict=True):
                np.testing.assert_array_equal(each, copy, err_msg="the image was changed")
        result = done[version, args]
        if isinstance(result, Exception):
            raise result
        return result

    return one


@pytest.mark.parametrize("row", parity_rows("eval"))
def test_row(parity, run, row):
    key = row["key"]
    version, _, rest = key.partition("/")
    what = rest.rpartition("/")[2]
    if row["tol"].startswith("information"):
        pytest.skip(INFORMATION)
    calls = zip(("v3", "v4") if version == "both" else (version,), row["args"].split(" | v4: "), strict=False)
    for one, args in calls:
        if row["tol"] == "raises":
            if key in RUNS_HERE:
                masks, flows, _ = run(one, args)
                assert masks.ndim == 3
                assert masks.max() > 0
                assert flows[1].shape == (3, *masks.shape)
            else:
                with pytest.raises(ValueError, match=r"\S"):
                    run(one, args)
            continue
        compare(what, result_of(what, *run(one, args)), parity.load("eval")[key])
