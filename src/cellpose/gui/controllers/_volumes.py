"""Going through the planes of a volume, and the frames of a movie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellpose.gui.model import Document

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Volumes"]

_THICK = 2.0  # distance between planes, in pixels, from which cells fall apart unless steps are isotropic


class Volumes:
    """The planes or frames of the open image, if it has several.

    Parameters
    ----------
    session
        Whose image it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._flat_single_stroke: bool | None = None  # the setting for single planes, kept while a volume is open
        self._turned = 0.0  # accumulated wheel steps, less than one plane

    @property
    def n_planes(self) -> int:
        """Number of planes or frames of the open image; 0 if none is open."""
        document = self._session.document
        return 0 if document is None else document.labels.shape[0]

    @property
    def is_open(self) -> bool:
        """Whether a volume or a movie is open."""
        return self.n_planes > 1

    @property
    def is_volume(self) -> bool:
        """Whether a volume is open, not a movie."""
        return self._session.document is not None and self._session.document.is_volume

    def open(self, document: Document) -> None:
        """Start in the middle of a volume, or at the first frame of a movie."""
        planes, height, width = document.labels.shape
        view = self._session.view
        view.plane, view.cross = 0 if document.is_movie else planes // 2, (height // 2, width // 2)
        settings = self._session.settings
        view.z_aspect = settings.anisotropy = document.z_aspect
        settings.isotropic_steps = document.z_aspect >= _THICK
        if document.is_volume and self._flat_single_stroke is None:
            self._flat_single_stroke, view.single_stroke = view.single_stroke, False  # cells go through several planes
        elif not document.is_volume:
            self.leave()

    def leave(self) -> None:
        """Restore the settings for single planes."""
        if self._flat_single_stroke is not None:
            self._session.view.single_stroke, self._flat_single_stroke = self._flat_single_stroke, None

    def see(self, plane: int) -> None:
        """Show a plane, or the nearest existing one."""
        self._session.view.plane = min(max(plane, 0), max(self.n_planes - 1, 0))

    def step(self, by: int) -> None:
        """Show the plane ``by`` places on."""
        self.see(self._session.view.plane + by)

    def turn(self, steps: float) -> None:
        """Handle a turn of the wheel by some steps; away from the user shows earlier planes."""
        self._turned += steps
        whole = int(self._turned)
        self._turned -= whole
        if whole:
            self.step(-whole)

    def go(self, by: int) -> None:
        """Show the next plane of a volume, or the next image of the folder."""
        if self.is_open:
            self.step(by)
        else:
            self._session.files.go(by)

    def page(self, by: int = 1) -> None:
        """Show the next plane of a volume, or the next view of a single plane."""
        if self.is_open:
            self.step(by)
        else:
            self._session.next_view(by)

    def toggle_stacks(self) -> None:
        """Switch whether files without axis names are read as stacks; the open file is read again."""
        session = self._session
        session.files.as_stacks = not session.files.as_stacks
        document = session.document
        if document is not None and document.path is not None and not document.labels.count and not session.held:
            session.files.begin(document.path)

    def layout(self, name: str) -> None:
        """Show the sections of a volume or, chosen again, the plane alone."""
        view = self._session.view
        view.layout = "one plane" if view.layout == name else name
