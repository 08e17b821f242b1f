"""What the window does when a key is pressed or the pointer moves; no widgets here."""

from __future__ import annotations
