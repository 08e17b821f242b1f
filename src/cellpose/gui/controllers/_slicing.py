"""Training slices of the open volume in all three directions, and training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellpose.gui._texts import tr, tr_n
from cellpose.gui.controllers._jobs import Report
from cellpose.gui.model._seg_file import seg_path

if TYPE_CHECKING:
    from cellpose.gui.controllers._session import Session

__all__ = ["Slicing"]

_FOLDER = "train"


class Slicing:
    """Cuts slices as ``cellpose slices`` does, with the cells as they are now.

    Parameters
    ----------
    session
        Whose volume is cut.
    """

    name = "slices"

    def __init__(self, session: Session) -> None:
        self._session = session

    def cut(self) -> None:
        """Write slices with their cells to a folder beside the volume, in the background, and open the first."""
        session, document, saving = self._session, self._session.document, self._session.files.autosave
        if document is None or document.path is None or not document.is_volume:
            session.failed.emit(tr("open a volume of a file first, then cut training slices of it"))
            return
        if session.held or not document.labels.count:
            session.told.emit(
                session.held or tr("correct the cells of the volume first; slices without cells teach nothing")
            )
            return
        path, folder = document.path, document.path.parent / _FOLDER
        anisotropy, unnamed = session.settings.anisotropy, session.files.as_stacks
        if not document.is_saved or not seg_path(path).is_file():
            saving.save()
        writing = session.jobs.running(saving.name)
        written_first = writing.thread if writing is not None else None

        def work(_report: Report) -> list[Path]:
            from cellpose import io, train

            if written_first is not None:
                written_first.join()  # slices are cut with the cells in the file
            image = io.read_image(path)
            z_axis = 0 if unnamed and not image.declares("Z") else None
            return train.make_slices(
                [path], folder, z_axis=z_axis, anisotropy=anisotropy, mask_filter="_no_other_masks", seg=True
            )

        def done(written: list[Path]) -> None:
            if not written:
                session.failed.emit(
                    tr(
                        "no new slice of {name}: none holds a cell, or those in {folder} were changed and stay",
                        name=path.name,
                        folder=folder,
                    )
                )
                return
            session.told.emit(
                tr_n(
                    "{n} slice written to {folder}; Ctrl+T trains on it",
                    "{n} slices written to {folder}; Ctrl+T trains on them",
                    len(written),
                    folder=folder,
                )
            )
            if session.document is document:
                session.files.begin(written[0])

        session.told.emit(tr("cutting slices of {name} ...", name=path.name))
        session.jobs.start(
            self.name,
            work,
            done,
            lambda error: session.failed.emit(tr("no slices of {name}: {error}", name=path.name, error=error)),
        )
