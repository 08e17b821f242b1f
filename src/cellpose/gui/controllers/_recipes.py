"""The present settings to be run elsewhere: copied as a command line, or as Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._recipe import Recipe

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Recipes"]


class Recipes:
    """What the File menu copies.

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
        """Copy Python that does it."""
        self._copy("Python", lambda recipe: recipe.python(folder=folder))

    def _copy(self, what: str, write: Callable[[Recipe], str]) -> None:
        session, document, settings = self._session, self._session.document, self._session.settings
        if document is None or document.path is None:
            session.told.emit("open an image of a file first")
            return
        filters = document.restored.filters if document.restored else {}
        channels = session.segmentation.channels().get("channels")
        n_channels, image = document.stack.shape[1], document.path.absolute()
        facts: dict[str, Any] = {
            "image": image,
            "model": settings.model,
            "gpu": settings.gpu,
            "channels": None if channels is None else (channels[0], channels[1]),
            "diameter": settings.diameter or None,
            "percentile": (settings.lower, settings.upper),
            "filters": {name: value for name, value in filters.items() if value},
            "masking": settings.masking_of(document.is_volume),
            "volume": settings.volume() if document.is_volume else None,
        }
        is_volume, all_used = document.is_volume, document.channels.shape[1] == n_channels
        trains = channels is not None and facts["diameter"] is None

        def work(_report: Report) -> str:
            from cellpose import io

            known = all_used if is_volume else io.imread_2D(image).shape[-1] == n_channels
            trained = session.segmentation.trained_diameter() if trains else None
            return write(Recipe(**facts, trained_diameter=trained, n_channels=None if known else n_channels))

        def done(text: str) -> None:
            session.copied.emit(text)
            session.told.emit(f"copied as {what}")

        def failed(error: Exception) -> None:
            session.failed.emit(f"not copied: {error}")

        session.jobs.start(self.job, work, done, failed)
