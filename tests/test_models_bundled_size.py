"""The size models that come with the bundled models."""

from __future__ import annotations

import numpy as np
import pytest

from cellpose import models, synthetic, weights
from cellpose.utils import diameters


@pytest.fixture(scope="module", params=sorted(weights.bundled_models()))
def model(request):
    return models.Cellpose(model_type=request.param)


def test_the_bundled_models_have_size_models(model):
    name = model.cp.model_name
    assert models.size_model_path(name) == model.pretrained_size
    assert model.pretrained_size.endswith(f"{name}_size.npy")
    features = {"generalist": 256, "nuclei-cells": 128}[name]  # the last level of the network
    assert model.sz.params["A"].shape == model.sz.params["smean"].shape == (features,)
    assert model.sz.diam_mean == model.cp.diam_mean == 30


@pytest.mark.parametrize("diameter", [12, 30, 55])
def test_diameters_of_nuclei_are_found(model, diameter):
    """Within a factor of 1.25, as for 95 % of the validation images; and so are the nuclei."""
    made = synthetic.sample(3, (256, 256), "nuclei", channels=1, diameter=diameter)
    masks, _, _, found = model.eval(made.image[0], diameter=None)
    truth = diameters(made.masks)[0]
    assert 1 / 1.25 < found / truth < 1.25
    assert abs(int(np.asarray(masks).max()) - int(made.masks.max())) <= 0.3 * made.masks.max()
