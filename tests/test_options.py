"""Options are checked when they are made, and their errors tell what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from cellpose import errors
from cellpose.errors import CellposeError, MissingExtraError, OptionError
from cellpose.options import Blocks, Evaluation, Masking, Normalization, Tiling, describe


def test_values_out_of_range_name_the_range() -> None:
    with pytest.raises(OptionError, match=r"batch_size=0 is not allowed; it must be a number at least 1"):
        Tiling(batch_size=0)
    with pytest.raises(OptionError, match="diameter=-3"):
        Evaluation(diameter=-3)
    with pytest.raises(OptionError, match="diameter='wide'"):
        Evaluation(diameter="wide")


@pytest.mark.parametrize("value", [None, "3", [3], float("nan"), float("inf"), 2.5])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match="it must be a whole number at least 1"):
        Tiling(batch_size=value)


def test_numbers_of_other_types_are_taken() -> None:
    assert Tiling(batch_size=np.float32(4)).batch_size == 4
    assert isinstance(Tiling(bsize=64.0).bsize, int)
    assert Masking(min_size=2.5).min_size == 2.5  # fewer pixels than this
    assert Masking(flow_threshold=float("inf")).flow_threshold == float("inf")
    assert Normalization.of(np.bool_(False)) == Normalization(normalize=False)


@pytest.mark.parametrize("percentile", [(-1, 99), (99, 1), (1, 101), (5, 5), 5, (1, 50, 99)])
def test_percentiles_are_ordered_and_between_0_and_100(percentile: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="percentile"):
        Normalization(percentile=percentile)


def test_normalize_argument_is_a_bool_or_a_dict() -> None:
    assert Normalization.of(True) == Normalization()
    assert Normalization.of(False, invert=True) == Normalization(normalize=False, invert=True)
    # As published, the dict speaks for itself and the invert argument counts beside a bool only.
    assert not Normalization.of({"percentile": (2, 98)}, invert=True).invert
    assert Normalization.of({"percentile": (2, 98), "axis": -1}).percentile == (2, 98)
    with pytest.raises(OptionError, match="sharpen"):
        Normalization.of({"sharpen": 3})
    with pytest.raises(OptionError, match="'yes'"):
        Normalization.of("yes")


def test_options_are_frozen_and_described() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Masking().min_size = 3
    for options in (Normalization, Tiling, Blocks, Masking, Evaluation):
        for name, facts in describe(options).items():
            assert facts["help"], name
            assert facts["default"] == getattr(options(), name)


def test_steps_are_resolved_once() -> None:
    for nothing in (None, 0):
        assert Masking(niter=nothing).steps == 200
        assert [Masking(niter=nothing).at_scale(scale).steps for scale in (0.5, 1, 3, 1000)] == [400, 200, 66, 1]
    assert Masking(niter=33.7).steps == Masking(niter=33.7).at_scale(0.5).steps == 33
    assert Masking(min_size=7).at_scale(0.5) == Masking(min_size=7, niter=400)


def test_flows_are_checked_above_a_threshold_of_zero() -> None:
    assert [Masking(flow_threshold=given).most_error for given in (None, 0, -1, 0.4)] == [None, None, None, 0.4]


def test_masks_may_be_as_large_as_they_like() -> None:
    assert Masking(max_size_fraction=float("inf")).max_size_fraction == float("inf")
    for wrong in (-0.1, float("nan"), None):
        with pytest.raises(OptionError, match="max_size_fraction"):
            Masking(max_size_fraction=wrong)


def test_sigmas_and_weights_are_three_numbers() -> None:
    assert [Evaluation(flow3D_smooth=given).flow_sigmas for given in (None, 2, [2], (1, 2, 3))] == [
        (0, 0, 0), (2, 2, 2), (2, 2, 2), (1, 2, 3),
    ]  # fmt: skip
    assert [Evaluation(view_weights=given).plane_weights for given in (None, np.array([2, 1, 0]))] == [
        (1, 1, 1), (2, 1, 0),
    ]  # fmt: skip
    for wrong in ([1, 2], -1, "much", [[1, 2, 3]], float("inf")):
        with pytest.raises(OptionError, match="flow3D_smooth="):
            Evaluation(flow3D_smooth=wrong)
    for wrong in ([1, 2], (1, 0, 0), (1, 1, -1), "all", 1):
        with pytest.raises(OptionError, match="view_weights="):
            Evaluation(view_weights=wrong)


def test_errors_are_one_tree_and_refine_built_in_ones() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, CellposeError)
        if error is not CellposeError:
            assert any(b.__module__ == "builtins" and b is not Exception for b in error.__mro__[1:-3]), name


def test_missing_extra_tells_how_to_install_it() -> None:
    error = MissingExtraError("dask", "distributed", "run on a cluster")
    assert "pip install 'cellpose[distributed]'" in str(error)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize("name", ["normalize", "norm3D", "invert"])
@pytest.mark.parametrize("wrong", ["no", b"", 1j, [], {}, object()], ids=lambda wrong: type(wrong).__name__)
def test_what_is_true_or_false_is_checked(name: str, wrong: Any) -> None:
    with pytest.raises(OptionError, match=name):
        Normalization.of({name: wrong})
