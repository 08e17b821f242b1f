"""Which help page belongs to which part of the window."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

__all__ = ["PLACES", "place_of"]

# Class of a part of the window or of a dialog: the help section about it.
PLACES = {
    "Views": "window#look",
    "Drawing": "window#correct",
    "CellLook": "window#look",
    "SegmentationPanel": "window#the-settings",
    "Filtering": "window#restore-and-filter",
    "VolumePanel": "window#volumes",
    "TimePanel": "movies",
    "FolderDock": "window#the-most-doubtful-cells-first",
    "CellsDock": "window#the-most-doubtful-cells-first",
    "ClassNames": "window#classes-and-regions",
    "TrainingDock": "window#train",
    "Scene": "window#correct",
    "SectionViews": "window#volumes",
    "Divider": "window#restore-and-filter",
    "PlaneBar": "window#volumes",
    "TurningView": "window#volumes",
    "Welcome": "window#open-and-segment",
    "OpeningBar": "window#open-and-segment",
    "TourBubble": "first_steps",
    "Notice": "troubleshooting",
    "BatchWindow": "window#whole-folders",
    "TrainingDialog": "window#what-the-dialog-asks",
    "ContributionDialog": "contributing_data#contribute",
    "KeySheet": "window#keys",
    "KeyDialog": "window#keys",
    "Palette": "window#keys",
}


def place_of(widget: QWidget | None) -> str:
    """The help page or section about a widget or its nearest parent."""
    while widget is not None:
        place = PLACES.get(type(widget).__name__)
        if place is not None:
            return place
        widget = widget.parentWidget()
    return "window"
