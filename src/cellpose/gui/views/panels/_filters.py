"""The image sharpened, smoothed, evened out or inverted."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QLabel

from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import CollapsibleGroup, Group, button, check_box, number_box, row

__all__ = ["Filtering"]

_LARGEST_PX = 10_000

# For each number its label, the step of its box, and what it does.
_NUMBERS = {
    "background_radius": ("background radius", 5.0, "pixels, more than that of cells; takes away a ground below them"),
    "sharpen_radius": ("sharpen radius", 1.0, "pixels; takes away what is larger: an uneven background"),
    "smooth_radius": ("smooth radius", 0.5, "pixels; takes away what is smaller: noise"),
    "tile_norm_blocksize": ("tile_norm blocksize", 10.0, "pixels; each block gets a brightness of its own"),
    "tile_norm_smooth3D": ("tile_norm smooth3D", 0.5, "planes over which blocks of stacks are evened out"),
}


class Filtering(Group):
    """None, filter, and what the filter does."""

    def __init__(self, session: Session) -> None:
        super().__init__("Image filtering")
        self._session = session
        settings, filters = session.settings, session.filters
        self.none = button("none", filters.clear, "the raw image, for the eye and for the model")
        self.filter = button("filter", filters.apply, "filter the image; the model sees it so too")
        for choice in (self.none, self.filter):
            choice.setCheckable(True)
            choice.setProperty("choice", True)
            choice.clicked.connect(lambda: self._show_state())  # also where nothing came of it
        self.form.addRow(row(self.none, self.filter, even=True))
        self.more = CollapsibleGroup("custom filter settings")
        form = self.more.form
        self.numbers = {}
        for name, (label, step, hint) in _NUMBERS.items():
            box = number_box(settings, name, 0, _LARGEST_PX, step, decimals=1, entered=filters.apply)
            title = QLabel(label)
            for widget in (box, title):
                widget.setToolTip(hint)
            self.numbers[name] = box
            form.addRow(title, box)
        self.norm3d = check_box("norm3D", settings, "norm3D")
        self.norm3d.setToolTip("one brightness for the whole stack instead of one per plane")
        self.invert = check_box("invert", settings, "invert")
        form.addRow(row(self.norm3d, self.invert))
        self.form.addRow(self.more)
        session.opened.connect(lambda _: self._watch())
        session.jobs.changed.connect(self._show_job)
        self._show_state()

    def _watch(self) -> None:
        document = self._session.document
        if document is not None:
            document.restored_changed.connect(lambda: self._show_state())
        self._show_state()

    def _show_job(self, job: Job[Any]) -> None:
        if job.name == self._session.filters.job:
            self._show_state()

    def _show_state(self) -> None:
        on, works = self._session.filters.is_on, self._session.jobs.running(self._session.filters.job) is not None
        self.none.setChecked(not on)
        self.filter.setChecked(on)
        self.filter.setText("filtering..." if works else "filter")
