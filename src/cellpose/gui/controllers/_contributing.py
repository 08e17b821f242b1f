"""Contributing the open segmentation to a server that collects them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from cellpose import contributions
from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._contribution import ContributionForm, method_of, varying
from cellpose.gui.model._preferences import take
from cellpose.io import with_ignored

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Contributing"]

_SECTION = "contribution"  # of the preferences
_READ = 0.2  # fraction of the work done before sending starts


class Contributing:
    """Asks for license, consent and origin, and sends image and cells in the background.

    Parameters
    ----------
    session
        Whose document is sent.

    Attributes
    ----------
    form
        The questions; nothing is sent while an answer is missing or invalid.
    progressed : Signal(float)
        The fraction done.
    sent : Signal(str)
        The server received it; the value is the server's reply.
    failed : Signal(str)
        It was not sent; the value is the reason.
    """

    name = "contribute"
    progressed = Signal(float)
    sent = Signal(str)
    failed = Signal(str)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.form = ContributionForm()
        take(self.form, {**session.preferences.section(_SECTION), "token": "", "consent": False})
        if self.form.licence not in contributions.LICENCES:
            self.form.licence = ContributionForm().licence

    @property
    def is_running(self) -> bool:
        """Whether something is being sent."""
        return self._session.jobs.running(self.name) is not None

    @property
    def what(self) -> str:
        """Description of what is sent."""
        document = self._session.document
        if document is None:
            return ""
        depth, height, width = document.labels.shape
        name = document.path.name if document.path else tr("the open image")
        if depth > 1:
            return tr(
                "{name}, plane {plane} of {depth}, {width} x {height} pixels",
                name=name,
                plane=self._session.view.plane + 1,
                depth=depth,
                width=width,
                height=height,
            )
        cells = tr_n("{n} cell", "{n} cells", document.labels.count)
        return tr("{name}, {width} x {height} pixels, {cells}", name=name, width=width, height=height, cells=cells)

    def ask(self) -> None:
        """Ask how to contribute the open segmentation."""
        session = self._session
        if session.held:
            session.told.emit(session.held)
        elif session.document is not None:
            self.form.consent = False
            session.dialogs.ask_contribution(self)

    def send(self) -> None:
        """Send it as the form says; without consent nothing is sent."""
        session, document = self._session, self._session.document
        if document is None or self.form.problem():
            self.failed.emit(self.form.problem() or tr("there is no image any more"))
            return
        z = min(max(session.view.plane, 0), document.labels.shape[0] - 1)
        frozen, rows = document.labels.frozen()
        regions = [np.array(region) for region in document.labels.ignored]
        file = document.path.name if document.path else ""
        provenance = self.form.provenance(method_of(document.origins, rows), Path(file).name[-200:])
        server, token, plane = self.form.server, self.form.token.strip(), document.stack[z]
        session.preferences.put(_SECTION, self.form.kept())

        def work(report: Report) -> dict[str, Any]:
            labels = with_ignored(frozen.labels(), regions)[z]
            pair = contributions.checked_pair(varying(plane), labels)
            report(_READ)

            def tell(share: float) -> None:
                report(_READ + (1 - _READ) * share)
                session.in_main(lambda: self.progressed.emit(_READ + (1 - _READ) * share))

            return contributions.send(server, pair, provenance, token=token, report=tell)

        session.jobs.start(self.name, work, self._tell, lambda error: self.failed.emit(str(error)))

    def cancel(self) -> None:
        """Stop sending; the server deletes what has arrived."""
        self._session.jobs.cancel(self.name)

    def _tell(self, answer: dict[str, Any]) -> None:
        notes = "; ".join(map(str, answer.get("notes", [])))
        words = tr("sent as {name}; it is looked at before a model is trained on it", name=str(answer["id"])[:12])
        self.sent.emit(f"{words} ({notes})" if notes else words)
        self._session.told.emit(words)
