"""Opening and saving: images, their segmentations, and the way through a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import CellposeError, FileReadError
from cellpose.gui.controllers._autosave import Autosave
from cellpose.gui.model import Document
from cellpose.gui.model import _operations as operations
from cellpose.gui.model._classes import CLASSES_KEY
from cellpose.gui.model._folder import images_of
from cellpose.gui.model._images import Opened, image_of_file, stack_of_plane
from cellpose.gui.model._journal import state_of
from cellpose.gui.model._mask_files import labels_of_file, masks_beside, pieces
from cellpose.gui.model._provenance import Origin
from cellpose.gui.model._seg_file import restore, restore_settings, seg_path

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Files"]

_SECTION = "files"


class Files:
    """The files of a session.

    Parameters
    ----------
    session
        Whose images are opened and saved.

    Attributes
    ----------
    autosave
        What writes the ``_seg.npy`` by itself, and the journal.
    autoload_masks
        Open ``<image>_masks.tif`` beside an image instead of its ``_seg.npy``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.autosave = Autosave(session)
        self.autoload_masks = session.preferences.section(_SECTION).get("autoload_masks") is True

    def toggle_autoload(self) -> None:
        """Whether masks are opened instead of the ``_seg.npy``, now and after the next start."""
        self.autoload_masks = not self.autoload_masks
        self._session.preferences.put(_SECTION, {"autoload_masks": self.autoload_masks})

    def open(self, path: Path) -> bool:
        """Open an image with its segmentation, or a ``_seg.npy`` with its image; whether that succeeded."""
        if self._session.removing:
            self._session.told.emit("finish deleting first")
            return False
        self.autosave.settle()  # the file that is read may be that of the open image
        try:
            if path.suffix == ".npy":
                self._open_seg(path)
            else:
                self._open_image(path)
        except (CellposeError, OSError, MemoryError) as error:
            self._session.failed.emit(f"{path.name} was not opened: {error}")
            return False
        return True

    def open_masks(self, path: Path) -> bool:
        """Take the labels of an image file for the open image; whether that succeeded."""
        document = self._session.document
        if document is None:
            self._session.failed.emit("open an image first, then its masks")
            return False
        try:
            dense = self._cells_of(path, document.labels.shape)
        except (CellposeError, OSError, MemoryError) as error:
            self._session.failed.emit(f"{path.name} was not opened: {error}")
            return False
        edit = document.do(operations.replace_all, dense, name="load masks")
        document.note_origin(edit, Origin("load masks", path.name, int(dense.max(initial=0))))
        return edit is not None

    def _cells_of(self, path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.int32]:
        """Labels of a file; of a mask with one value only the user says whether each piece of it is a cell."""
        labels = labels_of_file(path, shape)
        apart = pieces(labels)
        if apart is None:
            return labels
        question = f"{path.name} has one value only, in {int(apart.max())} pieces. Make a cell of each piece?"
        return apart if self._session.dialogs.ask_yes("Masks without numbers", question) else labels

    def masks_beside(self) -> Path | None:
        """The file of masks beside the open image that is most likely meant; None where there is none."""
        document = self._session.document
        return None if document is None or document.path is None else next(iter(masks_beside(document.path)), None)

    def save(self) -> None:
        """Write the ``_seg.npy`` of the open image, in the background."""
        if self._session.document is None or self._session.document.path is None:
            self._session.told.emit("there is no image of a file to save")
            return
        self.autosave.save()

    def neighbour(self, step: int) -> Path | None:
        """The image so many places on in the folder of the open one, round and round; None where there is none."""
        document = self._session.document
        if document is None or document.path is None:
            return None
        names = self.images()
        if document.path not in names:
            return names[0] if names else None
        return names[(names.index(document.path) + step) % len(names)]

    def images(self) -> list[Path]:
        """The images of the folder of the open one, in the order in which they are gone through."""
        document, folder = self._session.document, self._session.folder
        if document is None or document.path is None:
            return []
        here = images_of(document.path.parent)
        if not folder.doubt_first or folder.path != document.path.parent:
            return here
        listed = [path for path in folder.images if path in here]
        return [*listed, *(path for path in here if path not in listed)]

    def go(self, step: int) -> None:
        """Open the image so many places on in the folder."""
        path = self.neighbour(step)
        if path is not None:
            self.open(path)

    def _open_image(self, path: Path) -> None:
        opened = image_of_file(path)
        seg = seg_path(path)
        if seg.is_file() and not self.autoload_masks:
            self._open_with(opened, io.read_seg(seg), path)
            return
        beside = next(iter(masks_beside(path)), None)
        masks = beside if self.autoload_masks else None
        _, _, height, width = opened.channels.shape
        labels = None if masks is None else self._cells_of(masks, (1, height, width))
        self.autosave.leave()
        document = self._open_as(opened, labels, path)
        self.autosave.attach(document, "none" if masks is None else f"masks{state_of(masks)}")
        document.loaded()
        if beside is not None and masks is None and not document.labels.count:
            self._session.told.emit(f"{beside.name} lies beside the image; Load masks opens it")

    def _open_seg(self, path: Path) -> None:
        seg = io.read_seg(path)
        named = Path(seg.filename) if seg.filename else None
        beside = path.parent / named.name if named else None
        image = next((place for place in (named, beside) if place is not None and place.is_file()), None)
        if image is not None:
            self._open_with(image_of_file(image), seg, image)
        elif seg.image is not None:  # files of older versions hold the image itself
            stack = stack_of_plane(np.asarray(seg.image), str(path))
            self._open_with(Opened(stack, stack), seg, path.with_name(_image_name(path)))
        else:
            message = f"{path} names the image {seg.filename!r}, which is not there; put the image beside the file"
            raise FileReadError(message)

    def _open_as(self, opened: Opened, labels: npt.NDArray[Any] | None, path: Path) -> Document:
        facts = {"channels": opened.channels, "pixel_um": opened.pixel_um, "channel_names": opened.channel_names}
        return self._session.open_array(opened.stack, labels, path, **facts)

    def _open_with(self, opened: Opened, seg: io.Segmentation, path: Path) -> None:
        self.autosave.leave()
        document = self._open_as(opened, np.asarray(seg.masks), path)
        restore(document, seg)
        self.autosave.attach(document, state_of(seg_path(path), seg.content))
        document.loaded()
        self._session.review.classes.read(seg.content.get(CLASSES_KEY))
        if restore_settings(self._session.settings, seg):
            self._session.filters.apply()


def _image_name(seg: Path) -> str:
    """Of the image that a ``_seg.npy`` belongs to, where only that file is left."""
    return f"{seg.stem.removesuffix('_seg')}.tif"
