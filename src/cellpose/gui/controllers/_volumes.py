"""Going through the planes of a volume, and the frames of a movie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellpose.gui.model import Document

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Volumes"]

_THICK = 2.0  # pixels between planes from which cells fall apart unless steps are isotropic


class Volumes:
    """The planes or frames of the open image, where it has several.

    Parameters
    ----------
    session
        Whose image it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._flat_single_stroke: bool | None = None  # the choice for single planes, while a volume is open
        self._turned = 0.0  # of the wheel, in steps that are not yet a plane

    @property
    def n_planes(self) -> int:
        """How many planes or frames the open image has; 0 where there is none."""
        document = self._session.document
        return 0 if document is None else document.labels.shape[0]

    @property
    def is_open(self) -> bool:
        """Whether a volume or a movie is open."""
        return self.n_planes > 1

    @property
    def is_volume(self) -> bool:
        """Whether a volume is open."""
        return self._session.document is not None and self._session.document.is_volume

    def open(self, document: Document) -> None:
        """Begin in the middle of a volume, or with the first frame of a movie."""
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
        """The choices for single planes again."""
        if self._flat_single_stroke is not None:
            self._session.view.single_stroke, self._flat_single_stroke = self._flat_single_stroke, None

    def see(self, plane: int) -> None:
        """See a plane, or the nearest that there is."""
        self._session.view.plane = min(max(plane, 0), max(self.n_planes - 1, 0))

    def step(self, by: int) -> None:
        """See the plane so many places on."""
        self.see(self._session.view.plane + by)

    def turn(self, steps: float) -> None:
        """The wheel was turned by so many steps, away from the user: planes before."""
        self._turned += steps
        whole = int(self._turned)
        self._turned -= whole
        if whole:
            self.step(-whole)

    def go(self, by: int) -> None:
        """The next plane of a volume, or the next image of the folder."""
        if self.is_open:
            self.step(by)
        else:
            self._session.files.go(by)

    def page(self, by: int = 1) -> None:
        """The next plane of a volume, or the next view of a single plane."""
        if self.is_open:
            self.step(by)
        else:
            self._session.next_view(by)

    def toggle_stacks(self) -> None:
        """Whether files that do not name their axes hold planes; the open one is read anew."""
        session = self._session
        session.files.as_stacks = not session.files.as_stacks
        document = session.document
        if document is not None and document.path is not None and not document.labels.count and not session.held:
            session.files.begin(document.path)

    def layout(self, name: str) -> None:
        """See the sections of a volume or, chosen again, the plane alone."""
        view = self._session.view
        view.layout = "one plane" if view.layout == name else name
