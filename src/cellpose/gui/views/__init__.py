"""The visible parts of the window: widgets without logic of their own."""

from __future__ import annotations
