"""Reading an image with its cells, in any thread; nothing here touches the open image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose._machine.reading import reading
from cellpose.errors import CellposeError, FileReadError
from cellpose.gui._texts import tr
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model import Document, LabelStore, Picture
from cellpose.gui.model._folder import images_of
from cellpose.gui.model._images import FileImage, file_image, image_of_file, movie_of_folder, stack_of_seg
from cellpose.gui.model._journal import state_of
from cellpose.gui.model._links import apart, restore_links
from cellpose.gui.model._mask_files import labels_of_file, masks_beside, pieces
from cellpose.gui.model._seg_file import AXIS_KEY, one_path, restore, restore_flows, restore_restored, seg_path
from cellpose.io import VIEWS, Segmentation, holds_objects

__all__ = ["Masks", "OpenedImage", "read"]

_LARGE = 2**28  # bytes of a _seg.npy from which the image is shown before the cells are read
_ARRAYS = ("masks", "outlines", "flows", "img", "img_restore", "masks_restore")


@dataclass(frozen=True, eq=False)
class Masks:
    """Labels of an image file.

    Parameters
    ----------
    path
        The file.
    labels
        int32 (Z, Y, X).
    apart
        Labels with a number for each connected piece, if the file has only one value; else None.
    """

    path: Path
    labels: npt.NDArray[np.int32]
    apart: npt.NDArray[np.int32] | None

    @classmethod
    def of_file(cls, path: Path, shape: tuple[int, int, int]) -> Masks:
        """Read a file for an image of this shape; raises as `labels_of_file` does."""
        labels = labels_of_file(path, shape)
        return cls(path, labels, pieces(labels))


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image that was read.

    Parameters
    ----------
    document
        The image with its cells.
    state
        `state_of` the file its cells came from.
    seg
        Its ``_seg.npy`` without masks and outlines; None: there is none.
    beside
        The most likely mask file beside the image.
    masks
        The content of that file, if it was read.
    on_disk
        `state_of` the ``_seg.npy`` of the image, without its content, before it was read; ``"none"`` if it could not
        be read.
    failure
        What is wrong: why the image was opened without the cells of a file, or whose cells they are.
    """

    document: Document
    state: str
    seg: Segmentation | None
    beside: Path | None = None
    masks: Masks | None = None
    on_disk: str = "none"
    failure: str = ""

    def with_labels(self, labels: npt.NDArray[np.int32]) -> Document:
        """The document with these cells."""
        return _with_labels(self.document, labels)


def read(
    path: Path,
    autoload_masks: bool,
    report: Report,
    show: Callable[[Document], None],
    as_stack: bool = False,
    axis: str = "",
) -> OpenedImage:
    """Read an image with its segmentation, or a ``_seg.npy`` with its image.

    Parameters
    ----------
    path
        Either file.
    autoload_masks
        Take ``<image>_masks.tif`` beside an image instead of its ``_seg.npy``.
    report
        Called with the fraction done.
    show
        Called with the image as a document without cells, if the cells will take long to read.
    as_stack
        Whether files without axis names are read as stacks of planes.
    axis
        The axis of the planes of this file as chosen by the user, ``"Z"`` or ``"T"``; empty: as stated in its
        ``_seg.npy`` or in the file itself.

    Raises
    ------
    FileReadError
        If a file cannot be read.
    """
    seg, is_seg = seg_path(path), path.suffix.lower() == ".npy" and holds_objects(path)
    if is_seg or (not path.exists() and _holds_image(seg)):
        cells = path if is_seg else seg
        image, opened, only_here = _image_of_seg(cells, as_stack, axis, elsewhere=is_seg)
        whole = _with_seg(_document(opened, None, image), cells, report, show)
        whole.document.only_in_seg = only_here
        return whole
    opened, on_disk = _image_of(path, seg, as_stack, axis, report), state_of(seg)
    if seg.is_file() and not autoload_masks:
        early = _document(opened, None, path)
        try:
            whole = _with_seg(early, seg, report, show)
            return replace(whole, failure=opened.left_out or _shared(path, seg, whole.seg))
        except CellposeError as error:
            failure = tr(
                "the image is open without its cells, and their file is kept under another name when you save: {error}",
                error=error,
            )
            return OpenedImage(_document(opened, None, path, early.picture), "none", None, failure=failure)
    report(0.5)
    beside, masks, failure = next(iter(masks_beside(path)), None), None, opened.left_out
    if autoload_masks and beside is not None:
        try:
            masks = Masks.of_file(beside, opened.shape)
        except CellposeError as error:
            failure = tr("the image is open without masks: {error}", error=error)
    document = _document(opened, None if masks is None else masks.labels, path)
    state = "none" if masks is None else f"masks{state_of(masks.path)}"
    return OpenedImage(document, state, None, beside, masks, on_disk, failure)


def _document(
    image: FileImage, labels: npt.NDArray[Any] | LabelStore | None, path: Path | None, picture: Picture | None = None
) -> Document:
    return Document(
        image.stack,
        labels,
        path,
        channels=image.channels,
        pixel_um=image.pixel_um,
        channel_names=image.channel_names,
        picture=picture,
        z_aspect=image.z_aspect,
        axis=image.axis,
        interval_s=image.interval_s,
    )


def _image_of(path: Path, seg: Path, as_stack: bool, axis: str, report: Report) -> FileImage:
    """The image of a file, or the movie of a folder."""
    if path.is_dir() and not io.is_zarr(path):
        return movie_of_folder(path, images_of(path))
    image = io.open_image(path, report)
    if not axis and image.data.ndim > 2 and seg.is_file():
        axis = _axis_in(seg)
    return file_image(image, path, as_stack, axis)


def _axis_in(seg: Path) -> str:
    """The axis of an image's planes, if its ``_seg.npy`` states that they are frames."""
    try:
        return "T" if io.read_seg(seg, without=(*_ARRAYS, VIEWS)).content.get(AXIS_KEY) == "T" else ""
    except CellposeError:
        return ""  # reported when its cells are read


def _holds_image(seg: Path) -> bool:
    """Whether there is such a ``_seg.npy``, with the image in it."""
    try:
        return io.read_seg(seg, without=_ARRAYS).image is not None
    except CellposeError:
        return False


def _with_labels(early: Document, labels: npt.NDArray[np.int32] | LabelStore) -> Document:
    image = FileImage(
        early.stack,
        early.channels,
        early.pixel_um,
        early.channel_names,
        z_aspect=early.z_aspect,
        axis=early.axis,
        interval_s=early.interval_s,
    )
    return _document(image, labels, early.path, early.picture)


def _with_seg(early: Document, seg: Path, report: Report, show: Callable[[Document], None]) -> OpenedImage:
    report(0.1)
    on_disk = state_of(seg)
    if seg.stat().st_size > _LARGE:
        early.is_provisional = True
        show(early)
    # cells first, then flows: the masks of the file are never in memory together with all the data kept
    with reading(seg):
        document = _with_cells(early, seg)
    report(0.6)
    with reading(seg):
        rest = io.read_seg(seg, without=(*(key for key in _ARRAYS if key not in ("flows", "img_restore")), VIEWS))
        restore_flows(document, rest)
        restore_restored(document, rest)
    report(0.9)
    return OpenedImage(document, state_of(seg, rest.content), rest, on_disk=on_disk)


def _shared(path: Path, seg: Path, content: Segmentation | None) -> str:
    """What to tell if a ``_seg.npy`` is also that of another image, for which it was written; else empty."""
    other = next(iter(io.image_places(path, content.filename if content is not None else "")), path)
    if other == path or seg_path(other) != seg or not other.exists() or other.samefile(path):
        return ""
    return tr(
        "{seg} holds the cells of {other}, and {name} would be saved in it, too; give one of the images another name",
        seg=seg.name,
        other=other.name,
        name=path.name,
    )


def _with_cells(early: Document, seg: Path) -> Document:
    content = io.read_seg(seg, without=tuple(key for key in _ARRAYS if key != "masks"))
    masks, links = np.asarray(content.masks), np.zeros(0, np.int32)
    if early.is_movie and masks.ndim == 3:
        masks, links = apart(masks)
    document = _with_labels(early, LabelStore(masks))
    restore(document, content)
    if (links > 0).any():
        restore_links(document.labels, links[1:])
    return document


def _image_of_seg(
    path: Path, as_stack: bool, axis: str, *, elsewhere: bool
) -> tuple[Path, FileImage, npt.NDArray[Any] | None]:
    """The path of the image of a ``_seg.npy``, the image, and its array if only the ``_seg.npy`` holds it.

    Without ``elsewhere``, the image is that in the file, also where another image is named.
    """
    seg = io.read_seg(path, without=_ARRAYS)
    named = io.image_places(path, seg.filename)
    places = [one_path(place) for place in named if elsewhere]
    is_movie = seg.content.get(AXIS_KEY) == "T"
    image = next((place for place in places if place.is_file() or io.is_zarr(place)), None)
    if image is None and is_movie and (folder := next((place for place in places if place.is_dir()), None)):
        return folder, movie_of_folder(folder, images_of(folder)), None
    if image is not None:
        axis = axis or ("T" if is_movie else "")
        return image, image_of_file(image, as_stack or seg.masks.ndim == 3, axis), None
    if seg.image is None:
        message = tr(
            "{path} names the image {filename!r}, which is not there; put the image beside the file",
            path=path,
            filename=seg.filename,
        )
        raise FileReadError(message)
    # files of older versions contain the image itself
    kept = np.asarray(io.read_seg(path, without=("masks", "outlines", "flows")).image)
    stack = stack_of_seg(kept, seg.masks.shape, str(path))
    fits = bool(named) and seg_path(named[0]) == path
    name = named[0].name if fits else f"{path.stem.removesuffix('_seg')}.tif"
    return path.with_name(name), FileImage(stack, stack), kept
