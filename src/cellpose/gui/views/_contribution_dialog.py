"""The dialog that asks for license, consent and origin before a segmentation is sent to a server."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from cellpose.contributions import CONSENT, LICENCES
from cellpose.gui._texts import tr
from cellpose.gui.controllers._contributing import Contributing
from cellpose.gui.views.panels._names import give_names

__all__ = ["ContributionDialog"]

_WHOLE = tr("Outline every cell, and mark what you cannot decide as a region to ignore.")
_PER_MILLE = 1000


class ContributionDialog(QDialog):  # type: ignore[misc]
    """Stays open while sending, so the user can correct what the server rejects.

    Parameters
    ----------
    contributing
        Its form changes as the user edits.
    parent
        The window.
    """

    def __init__(self, contributing: Contributing, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Contribute this segmentation"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(620)
        self._contributing, form = contributing, contributing.form
        self.server, self.token = QLineEdit(form.server), QLineEdit(form.token)
        self.contributor, self.source, self.note = QLineEdit(form.contributor), QLineEdit(form.source), QLineEdit()
        self.note.setText(form.note)
        self.licence = QComboBox()
        self.consent = QCheckBox(tr("I agree"))
        self.problem, self.progress = QLabel(), QProgressBar()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.send = self.buttons.addButton("Send", QDialogButtonBox.ButtonRole.ActionRole)
        self._fill()
        self._lay_out()
        self._connect()
        give_names(self)
        self._check()

    def _fill(self) -> None:
        for name, meaning in LICENCES.items():
            self.licence.addItem(meaning, name)
        self.licence.setCurrentIndex(self.licence.findData(self._contributing.form.licence))
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText(tr("if the server asks for one"))
        self.contributor.setPlaceholderText(tr("name or pseudonym"))
        self.source.setPlaceholderText(tr("laboratory, data set or microscope"))
        self.note.setPlaceholderText(tr("stain, magnification, a link (optional)"))
        self.server.setToolTip(tr("address of a server that was started with cellpose serve --contributions FOLDER"))
        self.token.setToolTip(tr("who runs the server has it; it is not kept"))
        self.contributor.setToolTip(tr("under which you are named with the models, as CC-BY asks for"))
        self.source.setToolTip(tr("write it in the same way each time: no new model may be worse on any source"))
        self.note.setToolTip(tr("anything else that a reviewer should know"))
        self.licence.setToolTip(tr("of the image and of its cells"))
        self.consent.setToolTip(tr("without it nothing is sent"))
        self.problem.setObjectName("problem")
        self.problem.setWordWrap(True)
        self.problem.setMinimumHeight(2 * self.problem.fontMetrics().lineSpacing())
        self.problem.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.progress.setRange(0, _PER_MILLE)
        self.progress.setTextVisible(False)
        kept = self.progress.sizePolicy()
        kept.setRetainSizeWhenHidden(True)  # nothing moves when it appears or disappears
        self.progress.setSizePolicy(kept)
        self.progress.setAccessibleName(tr("how much is sent"))
        self.progress.hide()

    def _lay_out(self) -> None:
        rows = QFormLayout()
        rows.setHorizontalSpacing(16)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, box in (
            (tr("server"), self.server),
            (tr("token"), self.token),
            (tr("contributor"), self.contributor),
            (tr("source"), self.source),
            (tr("note"), self.note),
            (tr("license"), self.licence),
        ):
            rows.addRow(title, box)
        what, whole, terms = QLabel(self._contributing.what), QLabel(_WHOLE), QLabel(CONSENT)
        what.setObjectName("heading")
        whole.setObjectName("faint")
        for label in (what, whole, terms):
            label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 20, 20, 16)
        layout.setSpacing(12)
        for widget in (what, whole):
            layout.addWidget(widget)
        layout.addLayout(rows)
        for widget in (terms, self.consent, self.problem, self.progress, self.buttons):
            layout.addWidget(widget)

    def _connect(self) -> None:
        given = self._contributing
        for name in ("server", "token", "contributor", "source", "note"):
            getattr(self, name).textChanged.connect(lambda text, name=name: self._take(name, text))
        self.licence.currentIndexChanged.connect(lambda _: self._take("licence", self.licence.currentData()))
        self.consent.toggled.connect(lambda agreed: self._take("consent", agreed))
        self.send.clicked.connect(self._send)
        self.buttons.rejected.connect(self.reject)
        given.progressed.connect(self._show_progress)
        given.sent.connect(self._done)
        given.failed.connect(self._show_failure)

    def _take(self, name: str, value: object) -> None:
        setattr(self._contributing.form, name, value)
        self._check()

    def _check(self) -> None:
        problem = self._contributing.form.problem()
        self.problem.setText(problem)
        self.send.setEnabled(not problem)

    def _send(self) -> None:
        self.problem.setText("")
        self.send.setEnabled(False)
        self.progress.setValue(0)
        self.progress.show()
        self._contributing.send()

    def _show_progress(self, share: float) -> None:
        self.progress.setValue(round(share * _PER_MILLE))

    def _show_failure(self, why: str) -> None:
        self.progress.hide()
        self.problem.setText(why)
        self.send.setEnabled(not self._contributing.form.problem())

    def _done(self, _words: str) -> None:
        self.accept()

    def done(self, result: int) -> None:
        """Close: cancel a sending in progress, and show nothing that arrives later."""
        given = self._contributing
        for signal, slot in (
            (given.progressed, self._show_progress),
            (given.sent, self._done),
            (given.failed, self._show_failure),
        ):
            signal.disconnect(slot, missing_ok=True)
        given.cancel()
        super().done(result)
