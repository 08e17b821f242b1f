"""The current settings for use elsewhere: as a command line, as Python, or as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._recipe import Recipe
from cellpose.gui.model._saved import saved
from cellpose.gui.model._settings_file import read_settings, write_settings

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Recipes"]


class Recipes:
    """The commands of the File menu that copy, save and load settings.

    Parameters
    ----------
    session
        Whose image and settings are written down.
    """

    job = "recipe"

    def __init__(self, session: Session) -> None:
        self._session = session

    def copy_command(self, *, folder: bool = False) -> None:
        """Copy a command line that makes the masks of the open image, or of all images of its folder."""
        self._copy("command", lambda recipe: recipe.command(folder=folder))

    def copy_python(self, *, folder: bool = False) -> None:
        """Copy Python code that does the same."""
        self._copy("Python", lambda recipe: recipe.python(folder=folder))

    def save_settings(self) -> None:
        """Write the settings to a file chosen by the user."""
        session = self._session
        suggested = (session.files.folder() or Path()) / "cellpose_settings.json"
        path = session.dialogs.ask_save(tr("Save settings"), suggested)
        if path is None:
            return
        path = path if path.suffix else path.with_suffix(".json")
        try:
            write_settings(path, session.settings)
        except CellposeError as error:
            session.failed.emit(tr("settings not saved: {error}", error=error))
            return
        session.told.emit(saved(path))

    def load_settings(self) -> None:
        """Load the settings from a file chosen by the user."""
        session = self._session
        kinds = tr("Settings (*.json);;All files (*)")
        path = session.dialogs.ask_open(
            tr("Load settings, or cellpose_run.json of a run"), kinds, session.files.folder()
        )
        if path is None:
            return
        try:
            left_out = read_settings(path, session.settings, session.models.is_here)
        except CellposeError as error:
            session.failed.emit(tr("settings not loaded: {error}", error=error))
            return
        if left_out:
            session.failed.emit(
                tr(
                    "of the settings in {name} these cannot be used here: {settings}",
                    name=path.name,
                    settings=", ".join(left_out),
                )
            )
        else:
            session.told.emit(tr("took the settings of {name}", name=path.name))

    def recipe(self, image: Path) -> Callable[[], Recipe]:
        """A function giving the current settings for an image; call it in a thread, as it may load a network."""
        session, document, settings = self._session, self._session.document, self._session.settings
        filters = session.filters.in_effect
        channels = session.segmentation.channels().get("channels")
        is_volume = document is not None and document.is_volume
        facts: dict[str, Any] = {
            "image": image,
            "model": settings.model,
            "gpu": settings.gpu,
            "channels": None if channels is None else (channels[0], channels[1]),
            "diameter": settings.diameter or None,
            "percentile": (settings.lower, settings.upper),
            "filters": {name: value for name, value in filters.items() if value},
            "masking": settings.masking_of(is_volume),
            "volume": settings.volume() if is_volume else None,
            "restore": "" if session.filters.coming is not None else session.restoration.done,
        }
        trains = channels is not None and facts["diameter"] is None

        def made() -> Recipe:
            trained = session.segmentation.trained_diameter(facts["model"], gpu=facts["gpu"]) if trains else None
            return Recipe(**facts, trained_diameter=trained)

        return made

    def _copy(self, what: str, write: Callable[[Recipe], str]) -> None:
        session, document = self._session, self._session.document
        if document is None or document.path is None:
            session.told.emit(tr("open an image of a file first"))
            return
        n_channels, image = document.stack.shape[1], document.path.absolute()
        has_planes, all_used = document.has_planes, document.channels.shape[1] == n_channels
        recipe = self.recipe(image)

        def work(_report: Report) -> str:
            from cellpose import io

            known = all_used if has_planes else io.imread_2D(image).shape[-1] == n_channels
            return write(replace(recipe(), n_channels=None if known else n_channels))

        def done(text: str) -> None:
            session.copied.emit(text)
            session.told.emit(tr("copied as {what}", what=what))

        def failed(error: Exception) -> None:
            session.failed.emit(tr("not copied: {error}", error=error))

        session.jobs.start(self.job, work, done, failed)
