"""The dialog with the settings of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cellpose import weights
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.model._training_set import TrainingSet
from cellpose.gui.model._training_settings import TrainingSettings, base_models
from cellpose.gui.views.panels._bound import row
from cellpose.gui.views.panels._names import give_names
from cellpose.gui.views.panels._number import NumberBox

__all__ = ["TrainingDialog"]

_MOST_ROWS = 10
_ROOM = 16  # screen pixels beside the text of a field
_CHANNELS = (tr("gray"), tr("red"), tr("green"), tr("blue"))
_SECOND = (tr("none"), tr("red"), tr("green"), tr("blue"))


class _Rate(NumberBox):
    """A box for learning rates, which are small: no trailing zeros; each step halves or doubles the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(8)
        self.setRange(0, 10)

    def textFromValue(self, value: float) -> str:
        """The shortest text of the value."""
        return f"{value:.8f}".rstrip("0").rstrip(".")

    def stepBy(self, steps: int) -> None:
        """Double or halve the value."""
        self.setValue(self.value() * 2.0**steps)


class TrainingDialog(QDialog):  # type: ignore[misc]
    """Shows the training images, and lets the user change the settings.

    Parameters
    ----------
    settings
        Change as the user edits.
    images
        The images of the folder.
    start
        Called if the user agrees.
    parent
        The window.
    """

    def __init__(
        self, settings: TrainingSettings, images: TrainingSet, start: Callable[[], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Train a model"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(900, 550)
        self._settings, self._images = settings, images
        self.base, self.chan, self.chan2 = QComboBox(), QComboBox(), QComboBox()
        self.rate, self.decay, self.epochs, self.name = _Rate(), _Rate(), NumberBox(), QLineEdit(settings.model_name)
        self.only = QCheckBox(tr("corrected images only ({corrected})", corrected=images.corrected))
        self.border = QCheckBox(tr("leave out cells at the border"))
        self.border.setToolTip(tr("on: training ignores cells that the border of an image cuts"))
        self.validation, self.choose = QLineEdit(settings.validation), QPushButton(tr("Choose…"))
        self.validation.setPlaceholderText(tr("none: some images are held out"))
        self.validation.setToolTip(tr("another folder of corrected images, on all of which the models are compared"))
        self.validation.ensurePolished()  # with the font that the field has
        words = self.validation.fontMetrics().horizontalAdvance(self.validation.placeholderText())
        self.validation.setMinimumWidth(words + _ROOM)
        self._hints = {line: line.toolTip() for line in (self.name, self.validation)}
        self.choose.setToolTip(tr("choose the validation folder"))
        self.choose.setAutoDefault(False)
        self.rows, self.summary, self.left_out = QTreeWidget(), QLabel(), QLabel()
        self.problem = QLabel()  # why training cannot start
        self.problem.setObjectName("problem")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.train = self.buttons.addButton("Train", QDialogButtonBox.ButtonRole.AcceptRole)
        self._fill()
        self._lay_out()
        self._connect(start)
        self.rows.setAccessibleName(tr("images to train with"))
        give_names(self)
        self._show_family()
        self._show_images()

    def _fill(self) -> None:
        settings = self._settings
        names = base_models()
        self.base.addItems(names if settings.base in names else [settings.base, *names])
        self.base.setCurrentText(settings.base)
        self.chan.addItems(_CHANNELS)
        self.chan2.addItems(_SECOND)
        self.chan.setCurrentIndex(settings.channels[0])
        self.chan2.setCurrentIndex(settings.channels[1])
        self.epochs.setDecimals(0)
        self.epochs.setRange(1, 100_000)
        worked_on = [example.corrected for example in self._images.train]
        self.only.setEnabled(any(worked_on) and not all(worked_on))
        self._show_rates()

    def _lay_out(self) -> None:
        self.form = QFormLayout()
        self.form.setHorizontalSpacing(16)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, box in (
            (tr("initial model"), self.base),
            (tr("chan to segment"), self.chan),
            (tr("chan2 (optional)"), self.chan2),
            (tr("learning rate"), self.rate),
            (tr("weight decay"), self.decay),
            (tr("epochs"), self.epochs),
            (tr("model name"), self.name),
            (tr("validation folder"), row(self.validation, self.choose)),
        ):
            self.form.addRow(title, box)
        self.form.addRow(self.only)
        self.form.addRow(self.border)
        left = QVBoxLayout()
        left.addLayout(self.form)
        left.addWidget(self.problem)
        left.addStretch(1)
        self.rows.setHeaderLabels([tr("image"), tr("cells"), tr("used to")])
        self.rows.headerItem().setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.rows.setRootIsDecorated(False)
        self.rows.setStyleSheet("QTreeView::item { padding: 3px 0 }")
        self.rows.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.rows.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.rows.header().setStretchLastSection(False)
        self.rows.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for label in (self.summary, self.left_out):
            label.setWordWrap(True)
        right = QVBoxLayout()
        right.addWidget(self.summary)
        right.addWidget(self.rows, 1)
        right.addWidget(self.left_out)
        both = QHBoxLayout()
        both.setSpacing(24)
        both.addLayout(left, 2)
        both.addLayout(right, 3)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(20, 20, 20, 16)
        whole.setSpacing(16)
        whole.addLayout(both, 1)
        whole.addWidget(self.buttons)

    def _connect(self, start: Callable[[], None]) -> None:
        settings = self._settings
        self.base.currentTextChanged.connect(self._choose_base)
        self.rate.valueChanged.connect(lambda value: setattr(settings, "learning_rate", value))
        self.decay.valueChanged.connect(lambda value: setattr(settings, "weight_decay", value))
        self.epochs.valueChanged.connect(lambda value: setattr(settings, "n_epochs", int(value)))
        self.name.textChanged.connect(self._choose_name)
        self.validation.textChanged.connect(self._choose_validation)
        self.choose.clicked.connect(self._ask_validation)
        self.only.toggled.connect(self._choose_only)
        self.border.toggled.connect(self._choose_border)
        for box in (self.chan, self.chan2):
            box.currentIndexChanged.connect(
                lambda _: setattr(settings, "channels", (self.chan.currentIndex(), self.chan2.currentIndex()))
            )
        self.buttons.rejected.connect(self.reject)
        self.buttons.accepted.connect(self.accept)
        self.accepted.connect(start)

    def _choose_base(self, base: str) -> None:
        self._settings.start_from(base)
        self._show_rates()
        self._show_family()

    def _choose_name(self, name: str) -> None:
        self._settings.model_name = name.strip()
        self._check()

    def _ask_validation(self) -> None:
        start = self._settings.validation or str(self._images.folder.parent)
        folder = QFileDialog.getExistingDirectory(self, tr("Validation folder"), start)
        if folder:
            self.validation.setText(folder)

    def _choose_validation(self, folder: str) -> None:
        self._settings.validation = folder.strip()
        self._check()
        self._show_images()

    def _check(self) -> None:
        """Check whether training can start; mark what prevents it, with the reason."""
        name, folder = self._settings.model_name, self._settings.validation
        allowed = bool(name) and not set(name) & set('/\\:*?"<>|') and name.strip(".") != ""
        taken = tr("Another model has this name: choose a new one") if weights.owner(name) else ""
        problems = {
            self.name: taken if allowed else tr('The model needs a file name: not empty, without / \\ : * ? " < > |'),
            self.validation: _why_no_folder(folder),
        }
        self.train.setEnabled(not any(problems.values()))
        for line, problem in problems.items():
            line.setToolTip(problem or self._hints[line])
            line.setProperty("wrong", bool(problem))
            line.style().unpolish(line)
            line.style().polish(line)
        self.problem.setText("\n".join(filter(None, problems.values())))
        self.problem.setVisible(bool(self.problem.text()))

    def _choose_only(self, only: bool) -> None:
        self._settings.only_corrected = only
        self._show_images()

    def _choose_border(self, ignored: bool) -> None:
        self._settings.ignore_border = ignored
        self._show_images()

    def _show_rates(self) -> None:
        self.rate.setValue(self._settings.learning_rate)
        self.decay.setValue(self._settings.weight_decay)
        self.epochs.setValue(self._settings.n_epochs)

    def _show_family(self) -> None:
        for box in (self.chan, self.chan2):
            self.form.setRowVisible(box, self._settings.is_unet)

    def _show_images(self) -> None:
        nothing = TrainingSet(self._images.folder, (), ())
        images = self._images.compared_on(nothing) if self._settings.validation else self._images
        images = images.wanted(self._settings.only_corrected, self._settings.ignore_border)
        used = [(example, "train") for example in images.train] + [(e, "compare") for e in images.held_out]
        self.rows.clear()
        for example, what in used[:_MOST_ROWS]:
            item = QTreeWidgetItem([example.path.name, str(example.cells), what])
            if example.restored:
                restored = Path(example.restored).name
                item.setText(0, tr("{name} (restored)", name=example.path.name))
                item.setToolTip(0, tr("trained on as it was segmented: after {restored}", restored=restored))
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if what == "compare":
                for column in range(3):
                    item.setForeground(column, QBrush(self.palette().placeholderText().color()))
            self.rows.addTopLevelItem(item)
        if len(used) > _MOST_ROWS:
            self.rows.addTopLevelItem(QTreeWidgetItem([tr("and {n} more", n=len(used) - _MOST_ROWS)]))
        held = tr("{n} held out to compare the model before and after training", n=len(images.held_out))
        none = tr("none held out: with 4 corrected images the model is compared before and after training")
        cells = tr_n("{n} cell", "{n} cells", images.cells)
        where = tr_n("{n} image", "{n} images", len(images.train))
        if self._settings.validation:
            none = tr("the model is compared before and after training on the validation folder")
        self.summary.setText(
            tr("{cells} in {where}; {held_out}.", cells=cells, where=where, held_out=held if images.held_out else none)
        )
        reasons = "; ".join(f"{name}: {why}" for name, why in images.left_out[:3])
        self.left_out.setVisible(bool(reasons))
        self.left_out.setText(
            tr("Left out: {reasons}{more}", reasons=reasons, more=" ..." if len(images.left_out) > 3 else "")
        )


def _why_no_folder(name: str) -> str:
    """Why the models cannot be compared on a folder; empty if they can, or if no folder is named."""
    path = Path(name).expanduser()
    if not name or path.is_dir():
        return ""
    what = tr("is a file, not a folder") if path.is_file() else tr("is not there")
    return tr(
        "The validation folder {name} {what}; choose another one, or none, to hold some images out.",
        name=name,
        what=what,
    )
