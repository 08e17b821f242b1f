"""The image restored by a network, or sharpened, smoothed, equalized or inverted by a filter; both side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QLabel, QProgressBar, QPushButton

from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Job
from cellpose.gui.controllers._restoration import BUNDLED_SET, SETS, TASKS
from cellpose.gui.controllers._session import Session
from cellpose.gui.views.panels._bound import (
    CollapsibleGroup,
    Group,
    SliderRow,
    button,
    check_box,
    number_box,
    own_keys,
    row,
)

__all__ = ["Filtering"]

_LARGEST_PX = 10_000
_FILE = tr("a file…")

# For each number: its label, the step of its box, the end of its slider, and its effect.
_NUMBERS = {
    "background_radius": (
        tr("background radius"),
        5.0,
        200,
        tr("pixels, more than that of cells; takes away what is wider"),
    ),
    "sharpen_radius": (tr("sharpen radius"), 1.0, 50, tr("pixels; takes away what is larger: an uneven background")),
    "smooth_radius": (tr("smooth radius"), 0.5, 10, tr("pixels; takes away what is smaller: noise")),
    "tile_norm_blocksize": (
        tr("tile_norm blocksize"),
        10.0,
        500,
        tr("pixels; each block gets a brightness of its own"),
    ),
    "tile_norm_smooth3D": (tr("tile_norm smooth3D"), 0.5, 10, tr("planes over which blocks of stacks are evened out")),
}
_HINTS = {
    "denoise": tr("take away noise"),
    "deblur": tr("make it sharper"),
    "upsample": tr("enlarge small cells to the size that models know; needs the diameter; not for volumes"),
    "oneclick": tr("noise, blur and undersampling in one step"),
}
_OF_SETS = {
    BUNDLED_SET: tr("comes with cellpose, one network for all of it"),
    "cyto3": tr("published, cells of many kinds"),
    "cyto2": tr("published, cells"),
    "nuclei": tr("published, nuclei"),
}


class Filtering(Group):
    """None, filter, the tasks of networks, which picture is shown, and what the filter does."""

    def __init__(self, session: Session) -> None:
        super().__init__(tr("Restoration and filters"))
        self._session = session
        filters = session.filters
        self.none = self._choice(tr("none"), filters.clear, tr("the raw image, for the eye and for the model"))
        self.filter = self._choice(tr("filter"), filters.apply, tr("filter the image; the model sees it so too"))
        self.tasks = {
            task: self._choice(
                name, partial(self._start_or_cancel, task), tr("{what}; the model sees it so too", what=_HINTS[task])
            )
            for task, name in TASKS.items()
        }
        self.form.addRow(row(self.none, self.filter, self.tasks["oneclick"], even=True))
        self.form.addRow(row(*(self.tasks[task] for task in ("denoise", "deblur", "upsample")), even=True))
        self._add_model()
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(10)
        self.progress.setAccessibleName(tr("progress of restoring"))
        self.progress.hide()
        self.form.addRow(self.progress)
        self._add_pictures()
        self._add_filter()
        session.opened.connect(lambda _: self._watch())
        session.jobs.changed.connect(self._show_job)
        session.view.events.compare.connect(lambda _: self._show_state())
        session.view.events.view.connect(lambda _: self._show_state())
        self._show_state()

    def _choice(self, title: str, run: Any, hint: str) -> QPushButton:
        made = button(title, run, hint)
        made.setCheckable(True)
        made.setProperty("choice", True)
        made.setProperty("narrow", True)
        made.clicked.connect(lambda: self._show_state())  # also if nothing came of it
        return made

    def _add_model(self) -> None:
        self.model = QComboBox()
        own_keys(self.model)
        self.model.setToolTip(
            tr("what the restoration models were trained on; published ones are downloaded when used")
        )
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.activated.connect(lambda place: self._choose(self.model.itemData(place)))
        self.form.addRow(tr("restoration model"), self.model)
        self._session.settings.events.restorer.connect(lambda _: self._show_models())
        self._show_models()

    def _add_pictures(self) -> None:
        view = self._session.view
        self.original = self._choice(tr("original"), lambda: self._see("image"), tr("see the image as it is"))
        self.restored = self._choice(
            tr("restored"), lambda: self._see("restored"), tr("see what was restored or filtered")
        )
        self.compare = self._choice(
            tr("compare"), lambda: setattr(view, "compare", True), tr("both, with a divider to drag (Shift+R)")
        )
        self.save = button(
            tr("save"), self._session.exports.restored, tr("save the restored image as <image>_dn.tif, float32")
        )
        self.save.setProperty("narrow", True)
        self.form.addRow(row(self.original, self.restored, self.compare, self.save, even=True))

    def _add_filter(self) -> None:
        session, settings, filters = self._session, self._session.settings, self._session.filters
        self.more = CollapsibleGroup(tr("custom filter settings"))
        form = self.more.form
        self.live = QCheckBox(tr("live preview"))
        own_keys(self.live)
        self.live.setToolTip(tr("filter anew whenever a number changes"))
        self.live.setChecked(filters.live)
        self.live.toggled.connect(lambda on: setattr(filters, "live", on))
        self.numbers, self.sliders = {}, {}
        for name, (label, step, end, hint) in _NUMBERS.items():
            box = number_box(settings, name, 0, _LARGEST_PX, step, decimals=1, entered=filters.enter)
            title, line = QLabel(label), SliderRow(box, settings, name, (0, end))
            for widget in (line, box, line.slider, title):
                widget.setToolTip(hint)
            self.numbers[name], self.sliders[name] = box, line
            form.addRow(title, line)
        self.norm3d = check_box(tr("norm3D"), settings, "norm3D")
        self.norm3d.setToolTip(tr("one brightness for the whole stack instead of one per plane"))
        self.invert = check_box(tr("invert"), settings, "invert")
        self.invert.setToolTip(tr("dark cells on a bright ground become bright"))
        form.addRow(row(self.live, self.norm3d, self.invert))
        self.form.addRow(self.more)
        filters.unset.connect(lambda: self._show_settings())
        session.opened.connect(lambda _: self._show_state())

    def _show_settings(self) -> None:
        """Unfold the settings of the filter, with the focus on the first."""
        self.more.expand(animate=False)
        if not self.more.isAncestorOf(QApplication.focusWidget()):
            box = next(iter(self.numbers.values()))
            box.setFocus(Qt.FocusReason.OtherFocusReason)
            box.selectAll()

    def _see(self, view: str) -> None:
        self._session.view.compare = False
        self._session.view.view = view

    def _start_or_cancel(self, task: str) -> None:
        restoration = self._session.restoration
        if restoration.task == task:
            restoration.cancel()
        else:
            restoration.start(task)

    def _choose(self, chosen: str) -> None:
        if chosen == _FILE:
            self._session.restoration.choose_file()
        else:
            self._session.settings.restorer = chosen
        self._show_models()

    def _watch(self) -> None:
        document = self._session.document
        if document is not None:
            document.restored_changed.connect(lambda: self._show_state())
        self._show_state()

    def _show_models(self) -> None:
        chosen = self._session.settings.restorer
        with QSignalBlocker(self.model):
            self.model.clear()
            for name in (*SETS, *([chosen] if chosen not in SETS else [])):
                self.model.addItem(Path(name).name, name)
                self.model.setItemData(self.model.count() - 1, _OF_SETS.get(name, name), 3)  # Qt.ToolTipRole
            self.model.addItem(_FILE, _FILE)
            self.model.setCurrentIndex(self.model.findData(chosen))
        self._show_state()

    def _show_job(self, job: Job[Any]) -> None:
        restoration = self._session.restoration
        if job.name == restoration.job:
            works = bool(restoration.task)
            self.progress.setVisible(works)
            self.progress.setRange(0, 0 if works and job.progress == 0 else 100)
            self.progress.setValue(round(100 * job.progress))
        if job.name in (restoration.job, self._session.filters.job):
            self._show_state()

    def _show_state(self) -> None:
        if not hasattr(self, "more"):
            return
        session, restoration = self._session, self._session.restoration
        document, done, task = session.document, restoration.done, restoration.task
        there = document is not None and document.restored is not None
        self.none.setChecked(not there and not task)
        self.filter.setChecked(session.filters.is_on)
        self.filter.setText(
            tr("filtering...") if session.jobs.running(session.filters.job) is not None else tr("filter")
        )
        for name, made in self.tasks.items():
            made.setText(tr("cancel") if name == task else TASKS[name])
            made.setChecked(name == task or (not task and done == restoration.model_for(name)))
            made.setEnabled(not restoration.is_file or name == "denoise")
        if document is not None and document.has_planes:
            self.tasks["upsample"].setEnabled(False)
        compares, view = session.compares, session.view.view
        self.original.setChecked(view == "image" and not compares)
        self.restored.setChecked(view == "restored" and not compares)
        self.compare.setChecked(compares)
        for made in (self.original, self.restored, self.compare, self.save):
            made.setEnabled(there)
