"""Pointer actions in the image: tools as state machines without widgets, and the choice of the active tool."""

from __future__ import annotations

from cellpose.gui.controllers.tools._pointer import Pointer
from cellpose.gui.controllers.tools._remove import RemoveMany
from cellpose.gui.controllers.tools._tool import PointerEvent, Preview, Tool

__all__ = ["Pointer", "PointerEvent", "Preview", "RemoveMany", "Tool"]
