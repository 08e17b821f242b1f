"""The plugin for napari: `napari.yaml` says what it brings, and napari loads each part when it is asked for.

What is done with layers stands apart from the widgets, in functions that need neither napari nor Qt.
"""

from __future__ import annotations

__all__: list[str] = []
