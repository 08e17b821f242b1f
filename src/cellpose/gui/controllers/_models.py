"""The list of models, and downloading those that are not installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from cellpose import weights
from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._preload import load_networks
from cellpose.nets import FAMILIES

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["ModelChoice", "Models"]

_KINDS = {"bundled": tr("comes with cellpose"), "user": tr("added by you"), "trained": tr("trained here")}


class ModelChoice(NamedTuple):
    """A model in the list.

    Parameters
    ----------
    name
        As ``CellposeModel`` takes it.
    kind
        ``"bundled"``, ``"user"``, ``"trained"`` or ``"published"``.
    installed
        Whether its file is here.
    note
        What the model was made for.
    size_mib
        Size of its file; 0: unknown.
    takes_channels
        Whether it needs the channel of cells and the channel of nuclei, as U-Nets do.
    """

    name: str
    kind: str
    installed: bool
    note: str
    size_mib: float
    takes_channels: bool


class Models:
    """The models of a session.

    Parameters
    ----------
    session
        Whose settings name the chosen one.

    Attributes
    ----------
    changed : Signal()
        The list of models, or of installed models, changed.
    """

    job = "download"
    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: list[str] = []
        self.wanted: str | None = None  # the model being downloaded

    def choices(self) -> list[ModelChoice]:
        """Bundled models first, then the user's own, then published models, newest first."""
        found: dict[str, ModelChoice] = {}
        for model in weights.list_models():
            info = model.info
            if model.task != "segmentation" or (info is not None and not info.supported):
                continue
            note = info.note if info else _KINDS.get(model.kind, "")
            pair = info is None or FAMILIES[info.family].channel_pair
            size = info.size_mib if info else 0.0
            found.setdefault(model.name, ModelChoice(model.name, model.kind, model.installed, note, size, pair))
        for name in self._asked:
            found.setdefault(name, ModelChoice(name, "user", True, _KINDS["user"], 0.0, True))
        return list(found.values())

    def chosen(self) -> ModelChoice | None:
        """The model named in the settings; None if there is no such model."""
        return self._named(self._session.settings.model)

    def choose(self, name: str) -> None:
        """Choose the model for the next run; if it is not installed, offer to download it first."""
        choice = self._named(name)
        if choice is None:
            return
        if choice.installed:
            self._take(choice)
            return
        size = tr(" (about {size_mib:.0f} MB)", size_mib=choice.size_mib) if choice.size_mib else ""
        question = tr("The model {name} is not on this computer. Download it{size}?", name=name, size=size)
        if self._session.dialogs.ask_yes(tr("Download a model"), question):
            self.download(name)
        self.changed.emit()  # widgets must show the model in the settings

    def download(self, name: str) -> None:
        """Download a published model in the background, and choose it when it has arrived."""
        session = self._session

        def work(report: Report) -> None:
            weights.pull(name, progress=lambda have, total: report(have / total if total else 0.0))

        def done(_result: None) -> None:
            self.wanted = None
            session.told.emit(tr("{name} is here", name=name))
            choice = self._named(name)
            if choice is not None:
                self._take(choice)
            self.changed.emit()

        def failed(error: Exception) -> None:
            self.wanted = None
            session.failed.emit(tr("NET ERROR: {error}", error=error))
            self.changed.emit()

        self.wanted = name
        session.jobs.start(self.job, work, done, failed)
        session.told.emit(tr("downloading {name}", name=name))

    def cancel_download(self) -> None:
        """Stop the download; the partial file is kept, and the next download continues from it."""
        self._session.jobs.cancel(self.job)
        self.wanted = None
        self.changed.emit()

    def add(self, path: Path) -> None:
        """Check a model file, copy it into the models folder and choose it, in the background."""
        session = self._session

        def work(_report: Report) -> str:
            load_networks()
            return weights.add_model(path).name

        def done(name: str) -> None:
            self.changed.emit()
            self.choose(name)
            session.told.emit(tr("added the model {name}", name=name))

        session.jobs.start(
            "add model", work, done, lambda error: session.failed.emit(tr("no model was added: {error}", error=error))
        )
        session.told.emit(tr("reading {name}", name=path.name))

    def remove_chosen(self) -> None:
        """Remove the chosen model from the user's list; its file stays."""
        name = self._session.settings.model
        try:
            weights.remove_model(name)
        except CellposeError as error:
            self._session.failed.emit(str(error))
            return
        self._session.settings.model = weights.default_model()
        self.changed.emit()
        self._session.told.emit(
            tr("{name} is off the list; its file stays in {model_dir}", name=name, model_dir=weights.model_dir())
        )

    def can_remove(self) -> bool:
        """Whether the user added the chosen model."""
        choice = self.chosen()
        return choice is not None and choice.kind == "user"

    def is_here(self, name: str) -> bool:
        """Whether the model of this name is installed."""
        choice = self._named(name)
        return choice is not None and choice.installed

    def _named(self, name: str) -> ModelChoice | None:
        for choice in self.choices():
            if choice.name == name:
                return choice
        if name and Path(name).is_file():  # a file given by its path
            self._asked.append(name)
            return ModelChoice(name, "user", True, _KINDS["user"], 0.0, True)
        return None

    def _take(self, choice: ModelChoice) -> None:
        settings = self._session.settings
        settings.model = choice.name
        diameter = _diameter_of(choice)
        if diameter:
            settings.diameter = diameter


def _diameter_of(choice: ModelChoice) -> float:
    """Training diameter in pixels, if known without loading the model; else 0."""
    file = weights.find(choice.name)
    if file is None:
        return 0.0
    if file.info is not None:
        return file.info.diam_mean
    try:
        return float(file.card.get("diam_labels") or 0.0)
    except (TypeError, ValueError):
        return 0.0
