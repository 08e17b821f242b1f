"""Options are checked when they are made, and their errors tell what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from cellpose import errors
from cellpose.errors import CellposeError, MissingExtraError, OptionError
from cellpose.options import Evaluation, Masking, Normalization, Tiling, describe


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
    for options in (Normalization, Tiling, Masking, Evaluation):
        for name, facts in describe(options).items():
            assert facts["help"], name
            assert facts["default"] == getattr(options(), name)


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
