"""The File menu."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cellpose.gui._texts import mark, tr
from cellpose.gui.controllers._exports import OWN_ENTRIES, TABLES
from cellpose.gui.controllers._session import Session
from cellpose.gui.controllers.commands._command import Command, Conditions
from cellpose.io import CELL_FORMATS, CellFormat

__all__ = ["commands"]

_IMAGES = tr(
    "Images (*.tif *.tiff *.png *.jpg *.jpeg *.gif *.bmp *.nd2 *.czi *.lif *.flex *.dax *.nrrd *_seg.npy);;"
    "All files (*)"
)
_MASKS = tr("Masks (*.tif *.tiff *.png *.jpg *.jpeg)")
_EXPORT = tr("Export cells and measurements")
_SEGS = tr("Segmentations (*_seg.npy *.npy)")


def commands(session: Session) -> list[Command]:
    """Opening, browsing the folder, saving."""
    files, exports, saving = session.files, session.exports, session.files.autosave
    recipes = session.recipes

    def load() -> None:
        path = session.dialogs.ask_open(tr("Load image"), _IMAGES, files.folder())
        if path is not None:
            files.begin(path)

    def load_folder() -> None:
        path = session.dialogs.ask_folder(tr("Load folder of images, or OME-Zarr"), files.folder())
        if path is not None:
            files.begin(path)

    def load_seg() -> None:
        path = session.dialogs.ask_open(tr("Load processed/labelled image (_seg.npy)"), _SEGS, files.folder())
        if path is not None:
            files.begin(path)

    def load_masks() -> None:
        path = session.dialogs.ask_open(tr("Load masks"), _MASKS, files.masks_beside())
        if path is not None:
            files.open_masks(path)

    def toggle_autosave() -> None:
        saving.enabled = not saving.enabled

    when = Conditions(session)
    quiet, has_image, has_cells = when.quiet, when.image, when.cells & when.quiet

    def copies(what: str, copy: Callable[..., None], key: str) -> Iterator[Command]:
        name, title = f"file.copy_{what.lower()}", tr("Copy as {what}", what=tr(what))
        yield Command(name, title, copy, (key,), "6", enabled=when.file)
        folder = tr("{title}, for the folder", title=title)
        yield Command(f"{name}_folder", folder, lambda: copy(folder=True), (), "6", enabled=when.file)

    def export(form: CellFormat) -> Command:
        title = tr("Cells as {name} ({ending})", name=form.name, ending=form.endings[0])
        run = lambda: exports.cells(form)  # noqa: E731
        return Command(f"file.save_{form.name}", title, run, (), "55", enabled=has_cells, submenu=_EXPORT)

    def measurements(suffix: str, title: str) -> Command:
        title = tr("Measurements as {title} (_measurements.{suffix})", title=title, suffix=suffix)
        run = lambda: exports.measurements(suffix)  # noqa: E731
        return Command(f"file.measure_{suffix}", title, run, (), "56", enabled=has_cells, submenu=_EXPORT)

    return [
        Command("file.open", tr("Load image"), load, ("Ctrl+L",), enabled=quiet),
        Command("file.open_folder", tr("Load folder, or OME-Zarr"), load_folder, ("Ctrl+Shift+L",), enabled=quiet),
        Command(
            "file.autoload",
            tr("Autoload masks from _masks.tif file"),
            files.toggle_autoload,
            group="2",
            checked=lambda: files.autoload_masks,
        ),
        Command(
            "file.as_stacks",
            tr("Files without names of axes are Z stacks"),
            session.volumes.toggle_stacks,
            group="2",
            checked=lambda: files.as_stacks,
        ),
        Command(
            "file.autosave",
            tr("Disable autosave _seg.npy file"),
            toggle_autosave,
            group="2",
            checked=lambda: not saving.enabled,
        ),
        Command("file.masks", tr("Load masks (tif/png/jpg)"), load_masks, ("Ctrl+M",), "3", enabled=has_image),
        Command("file.seg", tr("Load processed/labelled image (_seg.npy)"), load_seg, ("Ctrl+P",), "3", enabled=quiet),
        Command(
            "file.previous",
            tr("Previous image, or plane"),
            lambda: session.volumes.go(-1),
            ("Left", "Shift+A"),
            "4",
            enabled=has_image,
        ),
        Command(
            "file.next",
            tr("Next image, or plane"),
            lambda: session.volumes.go(1),
            ("Right", "D"),
            "4",
            enabled=has_image,
        ),
        Command(
            "file.save",
            tr("Save masks and image (_seg.npy)"),
            files.save,
            ("Ctrl+S",),
            "5",
            enabled=when.to_save & quiet,
        ),
        Command("file.save_masks", tr("Save masks as PNG/tif"), exports.masks, ("Ctrl+N",), "5", enabled=has_cells),
        Command(
            "file.save_outlines",
            tr("Save Outlines as text for imageJ"),
            exports.outlines,
            ("Ctrl+O",),
            "5",
            enabled=has_cells,
        ),
        Command(
            "file.save_rois",
            tr("Save outlines as .zip of ROI files"),
            exports.rois,
            ("Ctrl+R",),
            "5",
            enabled=has_cells,
        ),
        Command(
            "file.save_flows", tr("Save Flows and cellprob as tif"), exports.flows, ("Ctrl+F",), "5", enabled=has_cells
        ),
        Command("file.save_table", tr("Save table of cells (CSV)"), exports.table, (), "5", enabled=has_cells),
        *(export(form) for name, form in CELL_FORMATS.items() if name not in OWN_ENTRIES),
        *(measurements(suffix, title) for suffix, title in TABLES.items()),
        Command(
            "file.contribute",
            tr("Contribute this segmentation…"),
            session.contributing.ask,
            (),
            "55",
            enabled=has_cells,
        ),
        Command("file.history", tr("History of this file"), session.review.tell_history, (), "7", enabled=when.open),
        *copies(mark("command"), recipes.copy_command, "Ctrl+Alt+C"),
        *copies("Python", recipes.copy_python, "Ctrl+Alt+P"),
        Command("file.save_settings", tr("Save settings…"), recipes.save_settings, (), "65"),
        Command("file.load_settings", tr("Load settings…"), recipes.load_settings, (), "65", enabled=quiet),
    ]
