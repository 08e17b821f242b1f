"""The plugin for napari: `napari.yaml` lists its parts, and napari loads each one on demand.

The functions that work on layers are separate from the widgets and need neither napari nor Qt.
"""

from __future__ import annotations

__all__: list[str] = []
