"""Movies: segmenting all frames, linking cells through time, and the display."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QProgressBar

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import CollapsibleGroup, Group, button, check_box, number_box, row

__all__ = ["TimePanel"]


class TimePanel(Group):
    """Running on all frames, linking with its options, tails. Hidden for single planes and volumes."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Time"))
        self._session, movies, view = session, session.movies, session.view
        self.run = button(
            tr("run on all frames"),
            self._run_or_cancel,
            tr("each frame for itself, with the same model, diameter and thresholds (Ctrl+Alt+Enter)"),
        )
        self.link = button(tr("link cells"), movies.link, tr("which cell is which in the next frame (Ctrl+K)"))
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(10)
        self.progress.setRange(0, 1)
        self.progress.setAccessibleName(tr("progress of the linking"))
        self.tails = check_box(tr("tails"), view, "tails_on")
        self.tails.setToolTip(tr("the ways of the cells through the last frames; a ring is a division (Shift+W)"))
        self.tail_frames = number_box(view, "tail_frames", 1, 10_000, 1, 0)
        self.tail_frames.setSuffix(tr(" frames"))
        self.tail_frames.setAccessibleName(tr("frames that a tail goes back"))
        self.form.addRow(self.run)
        self.form.addRow(self.link, self.progress)
        self.form.addRow(row(self.tails, self.tail_frames))
        self._add_options()
        session.jobs.changed.connect(self._show_job)
        session.opened.connect(lambda _: self._show())
        session.pointer.mode_changed.connect(lambda _: self._show())
        self._show()

    def _add_options(self) -> None:
        settings = self._session.movies.settings
        self.more = CollapsibleGroup(tr("options of links"))
        self.distance = number_box(settings, "max_distance", 0, 100_000, 1, 1)
        self.distance.blank = 0.0
        self.distance.setToolTip(tr("pixels that a cell moves at most from frame to frame; 0: its diameter"))
        self.gap = number_box(settings, "max_gap", 0, 10_000, 1, 0)
        self.gap.setToolTip(tr("frames in which a cell may be missing before its track ends"))
        self.overlap = number_box(settings, "min_overlap", 0.01, 1, 0.05, 2)
        self.overlap.setToolTip(tr("cells of two frames that agree by this share are the same, wherever others are"))
        self.divisions = check_box(tr("cells divide"), settings, "divisions")
        self.fill = check_box(tr("put missing cells back"), settings, "fill_gaps")
        self.fill.setToolTip(
            tr("into the frames that a track misses, in the shape that the cell has in the nearest frame")
        )
        self.more.form.addRow(tr("max distance (pixels)"), self.distance)
        self.more.form.addRow(tr("max gap (frames)"), self.gap)
        self.more.form.addRow(tr("min overlap"), self.overlap)
        self.more.form.addRow(self.divisions)
        self.more.form.addRow(self.fill)
        self.form.addRow(self.more)

    def _run_or_cancel(self) -> None:
        runs = self._session.segmentation
        if runs.is_running:
            runs.cancel()
        else:
            runs.run_all_frames()

    def _show_job(self, job: Job[Any]) -> None:
        session = self._session
        if job.name in (session.movies.linking, session.segmentation.name):
            self._show()

    def _show(self) -> None:
        session, movies, runs = self._session, self._session.movies, self._session.segmentation
        self.setVisible(movies.is_open)
        self.run.setText(tr("cancel") if runs.is_running else tr("run on all frames"))
        self.run.setEnabled(movies.is_open and (runs.is_running or not (session.held or runs.is_ending)))
        self.link.setText(tr("cancel") if movies.is_linking else tr("link cells"))
        self.link.setEnabled(movies.is_open and not session.held)
        self.progress.setRange(0, 0 if movies.is_linking else 1)  # the duration is unknown
        self.progress.reset()
