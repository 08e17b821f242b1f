"""The window's reactions to keys and the pointer; no widgets here."""

from __future__ import annotations
