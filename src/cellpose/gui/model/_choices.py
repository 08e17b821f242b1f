"""View settings and segmentation settings, kept between sessions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from cellpose.gui.model._palettes import COLORINGS, PALETTES
from cellpose.gui.model._preferences import Preferences, take
from cellpose.gui.model._settings import SegmentationSettings
from cellpose.gui.model._view import CORNERS, THEMES, ViewState

__all__ = ["recall", "recall_settings", "remember", "remember_settings", "settings_to_keep", "take_settings"]

_SECTION, _COLORS, _SEGMENTATION = "view", "channel_colors", "segmentation"
_WIDEST_BRUSH, _WIDEST_OUTLINE = 201, 9


def _color(value: Any) -> bool:
    return re.fullmatch("#[0-9a-fA-F]{6}", str(value)) is not None


def _any(_value: Any) -> bool:
    return True


# Fields to keep, each with a check of its values. Settings of a single image are not kept, and neither are hidden
# masks: a returning user should see the cells.
_KEPT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("outlines_on", "outlines_own", "auto_levels", "single_stroke", "disk_on"), _any),
    **dict.fromkeys(("scale_bar_on", "minimap_on", "preserve", "pressure", "ball"), _any),
    **dict.fromkeys(("cell_color", "outline_color", "scale_bar_color"), _color),
    "opacity": range(256).__contains__,
    "brush": range(1, _WIDEST_BRUSH + 1).__contains__,
    "outline_width": range(1, _WIDEST_OUTLINE + 1).__contains__,
    "palette": PALETTES.__contains__,
    "coloring": lambda value: value in COLORINGS,
    "scale_bar_corner": CORNERS.__contains__,
    "theme": THEMES.__contains__,
}


def remember(view: ViewState, preferences: Preferences) -> None:
    """Save the view settings."""
    values = {name: getattr(view, name) for name in _KEPT if hasattr(view, name)}
    preferences.put(_SECTION, values | {_COLORS: [look.color for look in view.channels]})


def recall(view: ViewState, preferences: Preferences) -> None:
    """Restore the view settings of the last session; unusable values are skipped.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     preferences = Preferences(Path(folder) / "window.json")
    ...     preferences.put("view", {"palette": "Okabe-Ito", "opacity": 999, "theme": "light"})
    ...     view = ViewState()
    ...     recall(view, preferences)
    >>> view.palette, view.opacity, view.theme
    ('Okabe-Ito', 128, 'light')
    """
    values = preferences.section(_SECTION)
    take(view, _fitting(values, _KEPT))
    colors = values.get(_COLORS)
    for number, color in enumerate(colors if isinstance(colors, list) else []):
        if _color(color):
            view.set_channel(number, color=color)


def _length(value: Any) -> bool:
    return bool(0 <= value < math.inf)


# Fields of segmentation settings. A filter belongs to one image, and each start checks whether a GPU works.
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("model", "norm3D", "keep_corrected"), _any),
    "restorer": lambda value: isinstance(value, str) and value != "",
    "diameter": lambda value: 0 <= value <= 10_000,
    "flow_threshold": lambda value: 0 <= value < math.inf,
    "cellprob_threshold": lambda value: abs(value) < math.inf,
    "min_size": lambda value: abs(value) < math.inf,
    "niter": lambda value: 0 <= value < math.inf,
    **dict.fromkeys(("lower", "upper"), lambda value: 0 <= value <= 100),
    "stitch_threshold": lambda value: 0 <= value <= 1,
    "flow3D_smooth": lambda value: 0 <= value < math.inf,
}


# Fields of a settings file, which the user writes and reads on purpose.
_FILTERS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("background_radius", "sharpen_radius", "smooth_radius", "tile_norm_blocksize", "tile_norm_smooth3D"), _length
    ),
    "invert": _any,
}


def settings_to_keep(settings: SegmentationSettings) -> dict[str, Any]:
    """The segmentation settings as plain values."""
    return {name: getattr(settings, name) for name in _SETTINGS} | {"channels": list(settings.channels)}


def remember_settings(settings: SegmentationSettings, preferences: Preferences) -> None:
    """Save the segmentation settings."""
    preferences.put(_SEGMENTATION, settings_to_keep(settings))


def recall_settings(settings: SegmentationSettings, preferences: Preferences, has_model: Callable[[str], bool]) -> None:
    """Restore the segmentation settings of the last session; missing models and unusable values are skipped."""
    take_settings(settings, preferences.section(_SEGMENTATION), has_model)


def take_settings(
    settings: SegmentationSettings,
    values: Mapping[str, Any],
    has_model: Callable[[str], bool],
    *,
    filters: bool = False,
) -> list[str]:
    """Apply stored values; return the names of unusable ones, whose settings stay unchanged."""
    usable = {**_SETTINGS, **(_FILTERS if filters else {})}
    known = _fitting(values, usable)
    if not has_model(known.get("model", "")):
        known.pop("model", None)
    if not known.get("lower", settings.lower) < known.get("upper", settings.upper):
        known.pop("lower", None)
        known.pop("upper", None)
    channels = values.get("channels")
    if isinstance(channels, list) and len(channels) == 2 and all(channel in range(4) for channel in channels):
        known["channels"] = channels
    take(settings, known)
    return [name for name in (*usable, "channels") if name in values and name not in known]


def _fitting(values: Mapping[str, Any], kept: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """The usable ones among the stored values."""
    return {name: values[name] for name, usable in kept.items() if name in values and _fits(usable, values[name])}


def _fits(usable: Callable[[Any], bool], value: Any) -> bool:
    try:
        return bool(usable(value))
    except TypeError:
        return False
