"""Every public name of the published versions 3 and 4 is here, with its parameters, or stands below with a reason.

The names were listed by ``dump_public_names.py`` from installed packages; modules that need Qt are not in the lists.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PRIVATE = "a private helper of the original, of which nothing here has the shape"
STAY_AWAY = {
    "core._from_device": PRIVATE,
    "core._to_device": PRIVATE,
    "core._use_gpu_torch": PRIVATE,
    "dynamics._extend_centers": PRIVATE,
    "dynamics._extend_centers_gpu": PRIVATE,
    "train._reshape_norm_save": PRIVATE,
    "transforms._convert_image_3d": PRIVATE,
    "denoise.criterion": "a loss object kept in the module; the losses are functions here",
    "denoise.criterion2": "the same",
    "denoise.ctype": "a loop variable left in the module",
    "denoise.ltype": "the same",
    "denoise.ntype": "the same",
    "denoise.seg_train_noisy": "trains a segmentation network on degraded images, with options that it ignores",
    "dynamics.float32": "a type of a library that the original imports by name",
    "dynamics.int32": "the same",
    "export": "a script whose names could not be listed without its libraries; `python -m cellpose.export` is here",
    "segformer": "the MiT-B5 transformer of version 3, which is not supported",
    "test_mkl": "a test of MXNet, the library of version 1",
    "vit.sam_model_registry": "of the package segment_anything, which is not needed here",
}


def rows(version: int) -> list[tuple[str, str, Any]]:
    table = json.loads((HERE / f"public_names_{version}.json").read_text(encoding="utf-8"))
    return [
        (module, name, what)
        for module, names in table.items()
        if module not in STAY_AWAY
        for name, what in names.items()
        if f"{module}.{name}" not in STAY_AWAY
    ]


NAMES = [(version, *row) for version in (3, 4) for row in rows(version)]


def lacking(function: Any, names: list[str] | None) -> list[str]:
    """Parameters that a function does not take. Other names of one are taken by a function that says ``also``."""
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        function = inspect.unwrap(function)
        if getattr(function, "__code__", None) is None:
            return []
        parameters = inspect.signature(function).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return []
    ours = {parameter.name for parameter in parameters}
    return [name for name in names or [] if name not in ours]


# One parameter, two names: `cellpose._face.keywords.also_called` takes both.
ALSO = {"_label_overlap": {"x", "y"}, "cache_model_path": {"backbone"}, "load_model": {"PATH"}}


@pytest.mark.parametrize(("version", "module", "name", "what"), NAMES, ids=[f"{v}:{m}.{n}" for v, m, n, _ in NAMES])
def test_name_is_here(version: int, module: str, name: str, what: Any) -> None:
    found = getattr(importlib.import_module(f"cellpose.{module}".rstrip(".")), name)
    if isinstance(what, list):
        assert set(lacking(found, what)) <= ALSO.get(name, set())
    if isinstance(what, dict):
        for method, parameters in what["class"].items():
            assert set(lacking(getattr(found, method), parameters)) <= ALSO.get(method, set()), method


def test_nothing_stays_away_that_is_here() -> None:
    for name in STAY_AWAY:
        module, _, attribute = name.partition(".")
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            getattr(importlib.import_module(f"cellpose.{module}"), attribute)


def test_other_names_cost_nothing_before_they_are_used() -> None:
    code = (
        "import sys, cellpose.utils, cellpose.io, cellpose.plot, cellpose.metrics, cellpose.transforms; "
        "print([m for m in ('torch', 'numba', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_modules_and_loggers_are_attributes() -> None:
    from cellpose import dynamics, io, models, plot, transforms, utils

    assert (models.transforms, models.dynamics, models.utils, models.plot, models.io) == (
        transforms,
        dynamics,
        utils,
        plot,
        io,
    )
    assert io.io_logger.name == "cellpose.io"
    assert dynamics.dynamics_logger.name == "cellpose.dynamics"
    with pytest.raises(AttributeError, match=r"'cellpose\.models' has no attribute 'nothing'"):
        models.nothing  # noqa: B018
