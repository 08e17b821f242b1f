"""What the window edits, without the window: images, labels with their history, flows, settings. No Qt here."""

from __future__ import annotations
