"""Opening and saving images and their segmentations, and going through a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cellpose.errors import CellposeError
from cellpose.gui._texts import mark, tr
from cellpose.gui.controllers._autosave import Autosave
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.controllers._opening import Masks, OpenedImage, read
from cellpose.gui.model import Document
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._classes import CLASSES_KEY
from cellpose.gui.model._folder import images_of
from cellpose.gui.model._mask_files import masks_beside
from cellpose.gui.model._provenance import Origin
from cellpose.gui.model._seg_file import restore_settings, seg_path
from cellpose.io import is_zarr

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Files"]

_SECTION = "files"
_STROKE_S = 0.1  # between checks whether a stroke has ended


class Files:
    """The files of a session.

    Parameters
    ----------
    session
        Whose images are opened and saved.

    Attributes
    ----------
    autosave
        Writes the ``_seg.npy`` automatically, and the journal.
    name, masks_name
        Names of the jobs that open images, and masks alone.
    autoload_masks
        Open ``<image>_masks.tif`` beside an image instead of its ``_seg.npy``.
    as_stacks
        Whether files without axis names are read as stacks of planes; ``--Zstack`` sets it.
    """

    name, masks_name = "open", "load masks"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.autosave = Autosave(session)
        self.autoload_masks = session.preferences.section(_SECTION).get("autoload_masks") is True
        self.as_stacks = False
        self._axes: dict[Path, str] = {}  # the axis of the planes in files, where the user chose it
        self._wanted: Path | None = None  # the file being read
        self._next: tuple[Path, Callable[[], None] | None] | None = None  # to be opened after that
        self._token: object = None  # of the latest call of `begin`; results of earlier calls are dropped

    def toggle_autoload(self) -> None:
        """Switch whether masks are opened instead of the ``_seg.npy``, now and in later sessions."""
        self.autoload_masks = not self.autoload_masks
        self._session.preferences.put(_SECTION, {"autoload_masks": self.autoload_masks})

    def begin(self, path: Path, then: Callable[[], None] | None = None) -> None:
        """Open an image with its segmentation, or a ``_seg.npy`` with its image, in the background.

        Parameters
        ----------
        path
            Either file. If the cells take long to read, the image is shown first and can be drawn on.
        then
            Called when the file is open.
        """
        image = self._may_open() and self._image_of(path)
        if not image:
            return
        path = image
        if self._drawn_on:
            self._next = path, then
            self._session.told.emit(tr("{name} is opened as soon as the cells of this image are read", name=path.name))
            return
        document = self._session.document
        if document is not None and document.path is not None and path in (document.path, seg_path(document.path)):
            if self.open(path) and then is not None:  # at once, so that no edit comes between reading and showing
                then()
            return
        self._wanted, token, autoload, as_stack = path, object(), self.autoload_masks, self.as_stacks
        self._token, axis = token, self._axes.get(path, "")

        def show(early: Document) -> None:
            self._session.prepare(early)
            self._session.in_main(lambda: self._show(token, early))

        def work(report: Report) -> OpenedImage:
            opened = read(path, autoload, report, show, as_stack, axis)
            self._session.prepare(opened.document)
            return opened

        self._session.jobs.start(
            self.name,
            work,
            lambda opened: self._arrived(token, opened, then),
            lambda error: self._not_opened(path, error),
        )

    def open(self, path: Path) -> bool:
        """Open a file as `begin` does, wait for it, and return whether it succeeded."""
        image = self._may_open() and self._image_of(path)
        if not image:
            return False
        self.settle()
        self._session.jobs.cancel(self.name)
        self.autosave.settle()  # the file to read may be that of the open image
        return self._open(image)

    def begin_movie(self, folder: Path) -> None:
        """Open a folder with one image per frame as a movie, as `begin` opens a file."""
        self._axes[folder] = "T"
        self.begin(folder)

    def take_planes_for(self, axis: str) -> None:
        """Reopen the open file with its planes as frames in time (``"T"``) or planes in depth (``"Z"``)."""
        session, document = self._session, self._session.document
        if document is None or document.path is None:
            session.told.emit(tr("open a file of planes first"))
        elif session.held or document.path.is_dir():
            session.told.emit(session.held or tr("the frames of this movie are the images of a folder"))
        else:
            before, self._axes[document.path] = self._axes.get(document.path, ""), axis
            if not self.open(document.path):
                self._axes[document.path] = before

    def settle(self) -> None:
        """Wait for cells that are still being read, if drawn cells must be added to them."""
        if self._drawn_on and self._wanted is not None:
            path = self._wanted
            self._session.jobs.cancel(self.name)
            self._open(path)

    def cancel(self) -> None:
        """Stop reading. An image already shown stays, but cannot be edited, because its cells are unknown."""
        self._session.jobs.cancel(self.name)
        self._wanted = self._next = self._token = None
        self._lock(tr("the cells of this image were not read, since opening was canceled; open it again to edit them"))

    @property
    def is_opening(self) -> bool:
        """Whether an image or masks are being read."""
        return any(self._session.jobs.running(name) is not None for name in (self.name, self.masks_name))

    @property
    def opening(self) -> str:
        """The current work, as text for the status bar."""
        document, wanted = self._session.document, self._wanted
        shown = document is not None and document.is_provisional
        return (
            ""
            if wanted is None
            else tr("reading the cells of {name}", name=wanted.name)
            if shown
            else tr("opening {name}", name=wanted.name)
        )

    def open_masks(self, path: Path) -> None:
        """Take the labels of an image file for the open image, in the background."""
        session, document = self._session, self._session.document
        if document is None:
            session.failed.emit(tr("open an image first, then its masks"))
            return
        if session.held:
            session.told.emit(session.held)
            return
        shape = document.labels.shape

        def done(masks: Masks) -> None:
            if document is session.document:
                labels = self._wanted_of(masks)
                origin = Origin(mark("load masks"), path.name, int(labels.max(initial=0)))
                steps, beside = session.steps, {"origins": (*document.origins, origin)}
                steps.do(document, operations.replace_all, labels, pixels=labels.size, name=origin.what, beside=beside)

        session.jobs.start(
            self.masks_name,
            lambda _report: Masks.of_file(path, shape),
            done,
            lambda error: session.failed.emit(tr("{name} was not opened: {error}", name=path.name, error=error)),
        )

    def _wanted_of(self, masks: Masks) -> npt.NDArray[np.int32]:
        """Labels of a file; if a mask has only one value, ask the user whether each piece is a cell."""
        if masks.apart is None:
            return masks.labels
        question = tr(
            "{name} has one value only, in {pieces} pieces. Make a cell of each piece?",
            name=masks.path.name,
            pieces=int(masks.apart.max()),
        )
        return masks.apart if self._session.dialogs.ask_yes(tr("Masks without numbers"), question) else masks.labels

    def folder(self) -> Path | None:
        """The folder of the open image; None if there is none."""
        document = self._session.document
        return None if document is None or document.path is None else document.path.parent

    def masks_beside(self) -> Path | None:
        """The most likely mask file beside the open image; None if there is none."""
        document = self._session.document
        return None if document is None or document.path is None else next(iter(masks_beside(document.path)), None)

    def save(self) -> None:
        """Write the ``_seg.npy`` of the open image, in the background."""
        if self._session.document is None or self._session.document.path is None:
            self._session.told.emit(tr("there is no image of a file to save"))
            return
        if self._session.held:
            self._session.told.emit(self._session.held)
            return
        self.autosave.save(tell=True)

    def neighbour(self, step: int) -> Path | None:
        """The image ``step`` places on in the folder of the open one, wrapping around; None if there is none."""
        document = self._session.document
        if document is None or document.path is None:
            return None
        names = self.images()
        here = self._wanted if self._wanted in names else document.path  # for quick repeated steps
        if here not in names:
            return names[0] if names else None
        return names[(names.index(here) + step) % len(names)]

    def images(self) -> list[Path]:
        """The images in the folder of the open one, in browsing order."""
        document, folder = self._session.document, self._session.folder
        if document is None or document.path is None:
            return []
        here = images_of(document.path.parent)
        if folder.order == "name" or folder.path != document.path.parent:
            return here
        there = set(here)
        listed = [path for path in folder.images if path in there]
        return list(dict.fromkeys([*listed, *here]))

    def go(self, step: int) -> None:
        """Open the image ``step`` places on in the folder."""
        document, path = self._session.document, self.neighbour(step)
        if document is None or document.path is None:
            return
        if path is None:
            self._session.failed.emit(
                tr("{parent} has no images any more, or cannot be read", parent=document.path.parent)
            )
        elif path == document.path and not self.is_opening:
            self._session.told.emit(tr("{name} is the only image of its folder", name=path.name))
        else:
            self.begin(path)

    @property
    def _drawn_on(self) -> bool:
        """Whether cells were drawn on an image whose own cells are still being read."""
        document = self._session.document
        return document is not None and document.is_provisional and bool(document.history.edits) and self.is_opening

    def _may_open(self) -> bool:
        if self._session.removing:
            self._session.told.emit(tr("finish deleting first"))
        return not self._session.removing

    def _image_of(self, path: Path) -> Path | None:
        """The file itself, or the first image of a folder; None, with a message, if the folder has none."""
        if not path.is_dir() or is_zarr(path) or self._axes.get(path) == "T":
            return path
        first = next(iter(images_of(path)), None)
        if first is None:
            self._session.failed.emit(
                tr("{path} holds no image; give a folder with TIFF, PNG or JPEG files, or a file", path=path)
            )
        return first

    def _open(self, path: Path) -> bool:
        try:
            axis = self._axes.get(path, "")
            opened = read(path, self.autoload_masks, lambda _: None, lambda _: None, self.as_stacks, axis)
        except (CellposeError, OSError, MemoryError) as error:
            self._not_opened(path, error)
            return False
        self._take(opened)
        return True

    def _show(self, token: object, early: Document) -> None:
        """Show the image before its cells are read."""
        if token is self._token:
            self.autosave.leave()
            self._session.show(early)

    def _arrived(self, token: object, opened: OpenedImage, then: Callable[[], None] | None) -> None:
        session = self._session
        if token is not self._token:
            return
        if session.document is not None and session.document.is_provisional and session.pointer.mode == "drawing":
            again = threading.Timer(_STROKE_S, lambda: session.in_main(lambda: self._arrived(token, opened, then)))
            again.daemon = True
            again.start()  # never interrupt a stroke
            return
        self._take(opened)
        if then is not None:
            then()
        if self._next is not None:
            following, self._next = self._next, None
            self.begin(*following)

    def _take(self, opened: OpenedImage) -> None:
        session, before = self._session, self._session.document
        self._wanted = self._token = None
        document = opened.document
        if opened.masks is not None and opened.masks.apart is not None:
            document = opened.with_labels(self._wanted_of(opened.masks))
        drawn = []
        if before is not None and before.is_provisional and before.path == document.path:
            drawn = [before.labels.mask(cell) for cell in before.labels.ids.tolist()]
        self.autosave.leave()
        self.autosave.attach(document, opened.state, opened.on_disk)
        session.show(document)
        if opened.failure:
            session.failed.emit(opened.failure)
        for box, mask in drawn:
            document.do(operations.add_cell, box, mask)
        if opened.seg is not None:
            session.review.classes.read(opened.seg.content.get(CLASSES_KEY))
            filtered = restore_settings(session.settings, opened.seg)
            if document.restored is not None:
                session.view.view = "restored"
            elif filtered:
                session.filters.apply()
        elif opened.masks is None and opened.beside is not None and not document.labels.count:
            session.told.emit(tr("{name} lies beside the image; Load masks opens it", name=opened.beside.name))

    def _not_opened(self, path: Path, error: Exception) -> None:
        self._wanted = self._next = self._token = None
        self._lock(tr("the cells of this image could not be read: {error}", error=error))
        self._session.failed.emit(tr("{name} was not opened: {error}", name=path.name, error=error))

    def _lock(self, reason: str) -> None:
        document = self._session.document
        if document is not None and document.is_provisional:
            document.locked = reason
