"""The message after files were saved."""

from __future__ import annotations

from pathlib import Path

from cellpose.gui._texts import tr, tr_n

__all__ = ["saved"]


def saved(*files: Path) -> str:
    """Name the file that was saved and its folder; of several files in one folder, how many.

    Examples
    --------
    >>> print(saved(Path("/data/a_rois.zip")))
    saved a_rois.zip in /data
    >>> print(saved(Path("/data/a_tracks.csv"), Path("/data/a_lineage.csv")))
    saved 2 files in /data
    """
    folder = files[0].absolute().parent
    if len(files) == 1:
        return tr("saved {name} in {folder}", name=files[0].name, folder=folder)
    return tr_n("saved {n} file in {folder}", "saved {n} files in {folder}", len(files), folder=folder)
