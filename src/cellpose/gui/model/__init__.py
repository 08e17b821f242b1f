"""The data that the window edits: images, labels with their history, flows, settings. No Qt here."""

from __future__ import annotations

from cellpose.gui.model._box import Box
from cellpose.gui.model._document import Document, Flows, Prepared
from cellpose.gui.model._labels import CELL, Edit, LabelStore
from cellpose.gui.model._picture import Picture
from cellpose.gui.model._restored import Restored
from cellpose.gui.model._settings import SegmentationSettings
from cellpose.gui.model._view import ViewState

__all__ = [
    "CELL",
    "Box",
    "Document",
    "Edit",
    "Flows",
    "LabelStore",
    "Picture",
    "Prepared",
    "Restored",
    "SegmentationSettings",
    "ViewState",
]
