"""Exporting to the file formats of other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellpose import io, transforms
from cellpose.errors import FileWriteError
from cellpose.gui._texts import tr
from cellpose.gui.model import CELL, Document
from cellpose.gui.model._cell_files import as_csv, cells_of, marks_of, times_of
from cellpose.gui.model._classes import Classes
from cellpose.gui.model._labels import Table
from cellpose.gui.model._links import Lineage, numbered_links
from cellpose.gui.model._movie_tracks import numbered_lineage
from cellpose.gui.model._saved import saved
from cellpose.gui.model._seg_file import as_file, flows_to_write
from cellpose.io import CellFormat, write_text

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["OWN_ENTRIES", "TABLES", "Exports"]


#: Cell formats with their own entries in the File menu.
OWN_ENTRIES = ("tif", "png", "seg", "outlines")
#: Formats of measurements, those of ``cellpose measure``.
TABLES = {"csv": "CSV", "parquet": "Parquet", "h5ad": "AnnData"}
_PNG_LABELS = 2**16 - 1  # the most that a PNG holds


class Exports:
    """The entries of the File menu that write files beside the image, each in the background.

    Parameters
    ----------
    session
        Whose labels are written.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def masks(self) -> None:
        """Labels as ``_cp_masks.png``, or as a TIFF where PNG cannot hold them."""
        self.write(tr("masks"), lambda document, labels, path: _save(document, labels, path, png=labels.ndim == 2))

    def outlines(self) -> None:
        """Outlines as ``_cp_outlines.txt``, for ImageJ."""
        if not self._is_plane(tr("outlines")):
            return
        self.write(tr("outlines"), lambda document, labels, path: _save(document, labels, path, text=True))

    def rois(self) -> None:
        """Outlines as ``_rois.zip``, for ImageJ."""

        def write(document: Document, labels: npt.NDArray[Any], path: Path) -> list[Path]:
            target = path.with_name(f"{path.stem}_rois.zip")
            axes = f"{document.axis}YX"[-labels.ndim :]
            io.write_rois(labels, target, axes=axes, hyperstack=document.stack.shape[1] > 1)
            return [target]

        self.write(tr("ROIs"), write)

    def table(self) -> None:
        """The table of cells as ``_cells.csv``."""
        session, document = self._session, self._session.document
        rows = self._rows()
        names, pixel_um = list(session.review.classes.names), session.scale.pixel_um
        planes, lineage = 3 if document is not None and document.has_planes else 2, self._lineage(rows)
        interval = None if document is None else document.interval_s

        def write(_document: Document, labels: npt.NDArray[Any], path: Path) -> list[Path]:
            stack, target = labels if planes == 3 else labels[None], path.with_name(f"{path.stem}_cells.csv")
            write_text(target, as_csv(stack, rows, names, pixel_um, lineage, interval))
            return [target]

        self.write(tr("the table"), write)

    def cells(self, form: CellFormat) -> None:
        """Cells with classes and scores in another program's format; the file is named as by ``cellpose convert``."""
        session, document = self._session, self._session.document
        if document is not None and document.is_movie:
            session.told.emit(
                tr("{name}: of planes and volumes only; save the masks as TIFF, or the tracks", name=form.name)
            )
            return
        if not form.stacks and not self._is_plane(form.name):
            return
        rows, voxel_um = self._rows(), self._voxel_um()
        classes = Classes()
        classes.read(session.review.classes.content())

        def write(_document: Document, labels: npt.NDArray[Any], path: Path) -> list[Path]:
            target = path.with_name(path.stem + form.endings[0])
            io.write_cells(target, cells_of(labels, rows, classes, voxel_um), form.name)
            return [target]

        if document is not None:
            self.write(tr("cells ({name})", name=form.name), write)

    def measurements(self, suffix: str) -> None:
        """Measurements of each cell as from ``cellpose measure``, with score and class: ``_measurements.<suffix>``."""
        session, document = self._session, self._session.document
        rows, voxel_um, names = self._rows(), self._voxel_um(), list(session.review.classes.names)
        lineage = self._lineage(rows)

        def write(document: Document, labels: npt.NDArray[Any], path: Path) -> list[Path]:
            from cellpose import measure

            image = np.moveaxis(document.channels if labels.ndim == 3 else document.channels[0], -3, -1)
            ndim = 2 if lineage is not None else labels.ndim
            sides = [side for side in voxel_um[3 - ndim :] if side is not None]
            sizes = sides if len(sides) == ndim else None
            if lineage is None:
                columns, times = measure.table(labels, image, pixel_size_um=sizes), {}
            else:
                frames = [measure.table(*pair, pixel_size_um=sizes) for pair in zip(labels, image, strict=True)]
                columns, times = _joined(frames), times_of(lineage, document.interval_s)
            n = len(columns["label"])
            told = {"image": np.full(n, path.name), "label": columns.pop("label"), **times, **marks_of(rows, names)}
            target = path.with_name(f"{path.stem}_measurements.{suffix}")
            measure.write_table(target, told | columns)
            return [target]

        if document is not None:
            self.write(tr("measurements ({suffix})", suffix=suffix), write)

    def _lineage(self, rows: Table) -> Lineage | None:
        """Tracks of a movie's cells, numbered as in the files; ``rows`` are the table rows of the cells."""
        document = self._session.document
        if document is None or not document.is_movie:
            return None
        return numbered_lineage(rows, numbered_links(rows, document.labels.ids))

    def _voxel_um(self) -> tuple[float | None, float | None, float | None]:
        """Depth, height and width of a voxel in micrometers; None where unknown."""
        pixel_um, document = self._session.scale.pixel_um, self._session.document
        if pixel_um is None or document is None:
            return None, None, None
        depth = pixel_um[0] * document.z_aspect if document.z_aspect != 1 else None  # 1 can also mean unknown
        return depth, *pixel_um

    def restored(self) -> None:
        """The restored or filtered image as ``_dn.tif``, float32; if it is larger than the image, also its masks.

        For a model, these are its output values. For a filter, they are the values that networks receive: 0 and 1
        are the percentiles of the settings.
        """
        session, document = self._session, self._session.document
        restored = None if document is None else document.restored
        if document is None or document.path is None or restored is None:
            session.told.emit(tr("there is no restored or filtered image of a file to save"))
            return
        stack, options = document.stack, session.settings.normalization(restored.filters)
        labels = document.labels.frozen()[0] if restored.ratio > 1 and not session.held else None

        def write(path: Path) -> list[Path]:
            paths = io.OutputPaths(path)
            image = np.moveaxis(stack if restored.stack is None else restored.stack, 1, -1)
            if restored.stack is None:
                image = transforms.apply_normalization(image, options)
            pixels, axes = image.astype(np.float32, copy=False), f"{document.axis}YXC"
            if pixels.shape[-1] == 1:
                pixels, axes = pixels[..., 0], axes[:3]
            if len(pixels) == 1:
                pixels, axes = pixels[0], axes[1:]
            io.write_tiff(paths.restored_tif, pixels, axes=axes)
            if labels is None:
                return [paths.restored_tif]
            from cellpose.denoise import at_image_size

            large, _ = at_image_size(labels.labels()[0], image.shape[1:3])
            io.write_tiff(paths.of_restored.masks_tif, io.smallest_labels(large), axes="YX")
            return [paths.restored_tif, paths.of_restored.masks_tif]

        self._start(tr("the restored image"), document.path, write)

    def _is_plane(self, what: str) -> bool:
        """Whether outlines can be written; for a volume, show a message that they cannot."""
        document = self._session.document
        if document is not None and document.has_planes:
            self._session.told.emit(
                tr("{what}: of single planes only; save the masks of a volume or movie as TIFF", what=what)
            )
            return False
        return True

    def _rows(self) -> Table:
        """Rows of the table, in the order of the cell numbers in the files."""
        document = self._session.document
        return np.zeros(0, CELL) if document is None else document.labels.table[document.labels.ids]

    def flows(self) -> None:
        """Flows and cell probability as TIFF."""
        document = self._session.document
        if document is not None and document.is_movie:
            self._session.told.emit(tr("flows of movies are not saved; `cellpose --save_flows` writes them"))
            return
        if document is not None and (document.flows is None or document.flows.dP is None):
            self._session.told.emit(tr("there are no flows to save; run a segmentation first"))
            return
        self.write(tr("flows"), lambda document, labels, path: _save(document, labels, path, flows=True))

    def write(self, what: str, write: Callable[[Document, npt.NDArray[Any], Path], list[Path]]) -> None:
        """Write files beside the image, in the background; if that folder is not writable, into another.

        Parameters
        ----------
        what
            Name of the files, for messages.
        write
            Called with the document, labels numbered 1..n, and the path of the image or another path to write beside;
            returns the files written.
        """
        session, document = self._session, self._session.document
        if document is None or document.path is None:
            session.told.emit(tr("there is no image of a file to save {what} of", what=what))
            return
        if session.held or not document.labels.count:
            session.told.emit(session.held or tr("there are no cells to save {what} of", what=what))
            return
        frozen = document.labels.frozen()[0]

        def work(place: Path) -> list[Path]:
            labels = frozen.labels()
            return write(document, labels[0] if labels.shape[0] == 1 else labels, place)

        self._start(what, document.path, work)

    def _start(self, what: str, path: Path, work: Callable[[Path], list[Path]]) -> None:
        """Write beside a path in the background; if that folder is not writable, in one the user chooses."""
        session, path = self._session, as_file(path)

        def failed(error: Exception) -> None:
            session.failed.emit(tr("{what} not saved: {error}", what=what, error=error))
            if isinstance(error, FileWriteError):
                title = tr(
                    "{parent} cannot be written to: save {what} in another folder", parent=path.parent, what=what
                )
                folder = session.dialogs.ask_folder(title)
                if folder is not None:
                    start(folder / path.name)

        def start(place: Path) -> None:
            session.jobs.start(
                f"save {what}", lambda _: work(place), lambda files: session.told.emit(saved(*files)), failed
            )

        start(path)


def _joined(frames: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Join the tables of frames, whose cells have different labels, into one sorted by label."""
    order = np.argsort(np.concatenate([frame["label"] for frame in frames]))
    return {name: np.concatenate([frame[name] for frame in frames])[order] for name in frames[0]}


def _save(
    document: Document,
    labels: npt.NDArray[Any],
    path: Path,
    *,
    png: bool = False,
    text: bool = False,
    flows: bool = False,
) -> list[Path]:
    png = png and int(labels.max()) <= _PNG_LABELS
    tif, paths = not (png or text or flows), io.OutputPaths(path)
    io.save_masks(
        np.moveaxis(document.stack, 1, -1) if document.has_planes else np.moveaxis(document.stack[0], 0, -1),
        labels,
        flows_to_write(document.flows, labels.shape),
        str(path),
        png=png,
        tif=tif,
        save_txt=text,
        save_flows=flows,
    )
    written = {
        paths.masks_png: png,
        paths.masks_tif: tif,
        paths.outlines_txt: text,
        **dict.fromkeys((paths.flows_tif, paths.dP_tif, paths.cellprob_tif), flows),
    }
    return [file for file, wanted in written.items() if wanted]
