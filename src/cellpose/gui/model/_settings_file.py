"""Segmentation settings as a file, to reuse or share; also reads the settings of a command line run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cellpose._machine.reading import read_json
from cellpose._machine.writing import replacing
from cellpose._version import version
from cellpose.errors import FileReadError
from cellpose.gui._texts import tr
from cellpose.gui.model._choices import settings_to_keep, take_settings
from cellpose.gui.model._settings import SegmentationSettings

__all__ = ["read_settings", "write_settings"]

_FORMAT, _RUN = "cellpose settings", "cellpose run"

# Settings of a run, by their names on the command line.
_SAME_NAMES = (
    "diameter", "flow_threshold", "cellprob_threshold", "min_size", "niter", "invert", "background_radius",
    "sharpen_radius", "smooth_radius", "tile_norm_blocksize", "tile_norm_smooth3D",
)  # fmt: skip


def write_settings(path: Path, settings: SegmentationSettings) -> None:
    """Write the settings as JSON.

    Raises
    ------
    FileWriteError
        If the file cannot be written.
    """
    values = {**settings_to_keep(settings), **settings.filters()}
    content = {"format": _FORMAT, "format_version": 1, "version": version, "segmentation": values}
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def read_settings(path: Path, settings: SegmentationSettings, has_model: Callable[[str], bool]) -> list[str]:
    """Load settings from a file, or from the ``cellpose_run.json`` of a run; return the names of unusable ones.

    Raises
    ------
    FileReadError
        If the file is neither.
    """
    content = read_json(path)
    form = content.get("format") if isinstance(content, dict) else None
    if form == _FORMAT and isinstance(content.get("segmentation"), dict):
        values = content["segmentation"]
    elif form == _RUN and isinstance(content.get("options"), dict):
        values = _of_run(content)
    else:
        message = tr(
            "{path} holds no settings; choose a file that this window saved, or the cellpose_run.json of a run",
            path=path,
        )
        raise FileReadError(message)
    return take_settings(settings, values, has_model, filters=True)


def _of_run(content: Mapping[str, Any]) -> dict[str, Any]:
    options = content["options"]
    values = {name: options[name] for name in _SAME_NAMES if options.get(name) is not None}
    model = content.get("models", {}).get("model", {})
    values["model"] = options.get("pretrained_model") or model.get("name", "")
    values["channels"] = [options.get("chan") or 0, options.get("chan2") or 0]
    percentiles = options.get("norm_percentile")
    if isinstance(percentiles, list) and len(percentiles) == 2:
        values["lower"], values["upper"] = percentiles
    return values
