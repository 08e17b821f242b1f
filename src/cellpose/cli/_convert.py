"""``cellpose convert``: masks to the formats of other programs, and back."""

from __future__ import annotations

import argparse
import csv
import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose._face.words import listed
from cellpose._progress.display import waiting
from cellpose._progress.stages import about_image
from cellpose.cli._logging import display_of, logging_to_user, say_at_end
from cellpose.cli._summary import count_of
from cellpose.errors import CellposeError, FileMissingError, FileWriteError, InputError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from cellpose.io import CellFormat, Cells

__all__ = ["convert_command"]

logger = logging.getLogger("cellpose.cli")

_EPILOG = """\
In a folder, each image is converted once: from its masks (_cp_masks, _masks, _seg.npy), else from a file of another
program. --to, or the ending of --output, selects the format. Masks made from outlines have the size of the image beside
them, or of --like, or else the smallest size that holds all outlines.

  cellpose convert images --to geojson
  cellpose convert images --to coco --savedir coco --table measurements/measurements.csv
  cellpose convert cell_rois.zip annotations.geojson --to tif --like cell.tif
  cellpose convert cell_cp_masks.tif --output cell.svg

formats:
"""

# Which files of an image are taken from a folder, by the endings of the names, where it has no masks.
_OF_OTHERS = ("_rois.zip", ".geojson", "_coco.json", "_outlines.csv", "_cells.parquet", "_cp_outlines.txt")
_IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".ome.tif", ".ome.tiff", ".npy")


def convert_command(words: Sequence[str]) -> int:
    """Convert the files of a command line; 0, or 1 where one failed; it is named and the others continue."""
    args = _parser().parse_args(list(words))
    _check(args)
    with logging_to_user(verbose=args.verbose):
        return _convert(args)


def _check(args: Namespace) -> None:
    from cellpose.io import cell_format_of

    if bool(args.to) == bool(args.output):
        message = "give either --to with a format, or --output with a file name whose ending selects the format"
        raise OptionError(message)
    if args.output and (len(args.inputs) > 1 or Path(args.inputs[0]).is_dir()) and not _is_zarr(Path(args.inputs[0])):
        message = "--output is for a single input; for folders or several inputs give --to, and --savedir"
        raise OptionError(message)
    cell_format_of(Path(args.output), args.to or None, writing=True)
    if args.form:
        cell_format_of(Path(args.inputs[0]), args.form, writing=False)
    if not args.to and args.savedir:
        message = "--savedir cannot be used with --output, which names the file; give --to instead of --output"
        raise OptionError(message)


def _convert(args: Namespace) -> int:
    from cellpose import io
    from cellpose.io import cell_format_of

    form = cell_format_of(Path(args.output), args.to or None, writing=True)
    with waiting("looking for files"):
        files = list(dict.fromkeys(file for given in args.inputs for file in _files(Path(given), form, args.form)))
    table = _Table(Path(args.table)) if args.table else None
    like = _shape_of_image(Path(args.like)) if args.like else None
    if args.savedir:
        io.check_dir(args.savedir)
    written: dict[Path, None] = {}
    n_cells, failed, unmeasured = 0, [], []
    alike = Counter(map(_base, files))
    with display_of("files", len(files), verbose=args.verbose) as display:
        for index, file in enumerate(files):
            with display.job(file.name), about_image(file.name):
                try:
                    for image, target, cells in _cells_of(file, form, args, like):
                        alone = alike[_base(file)] == 1
                        rows = table.rows_of(image, cells, elsewhere=alone) if table else {}
                        if table and args.output and not rows["label"].size:  # the user says how the image is called
                            rows = table.rows_of(target.with_name(_base(target)), cells, elsewhere=alone)
                        _write(target, cells, form, rows, written, overwrite=args.overwrite)
                        written[target] = None
                        n_cells += len(cells.present)
                        if table and cells.present and not rows["label"].size:
                            unmeasured.append(image.name)
                except MissingExtraError:  # the same for all files
                    raise
                except Exception as error:  # whatever is wrong with one file must not stop the batch
                    failed.append(file)
                    told = str(error) if isinstance(error, CellposeError) else f"{type(error).__name__}: {error}"
                    logger.error(f"{file} failed: {told}")
                    logger.debug(f"{file} failed", exc_info=True)
            display.advance(index + 1)
    if unmeasured:
        names = listed(list(dict.fromkeys(unmeasured)))
        logger.warning(f"{args.table} has no rows of {names}: their cells have no measurements")
    say_at_end(_summary(n_cells, list(written), len(failed), form))
    return 1 if failed else 0


def _summary(n_cells: int, written: list[Path], n_failed: int, form: CellFormat) -> str:
    told = f"{count_of(n_cells, 'cell')} in {count_of(len(written), 'file')}" if written else "nothing was written"
    told += f", {n_failed} failed" if n_failed else ""
    folders = list(dict.fromkeys(path.parent for path in written))
    if len(written) == 1:
        return f"{told}: {written[0]}"
    if not written:
        return told
    where = str(folders[0]) if len(folders) == 1 else f"{len(folders)} folders"
    return f"{told} in {where}: *{form.endings[0]}"


def _is_zarr(path: Path) -> bool:
    from cellpose import io

    return path.is_dir() and io.is_zarr(path)


def _files(given: Path, form: CellFormat, wanted: str | None) -> list[Path]:
    """The file itself, or one file per image of a folder."""
    if not given.exists():
        message = f"{given} does not exist; give a file or a folder"
        raise FileMissingError(message)
    if given.is_file() or _is_zarr(given):
        return [given]
    from cellpose.io import CELL_FORMATS, MASK_ENDINGS, one_per_image

    endings = (*MASK_ENDINGS, *_OF_OTHERS)
    if wanted:
        own = CELL_FORMATS[wanted].endings
        endings = (*(end for end in endings if end.endswith(own)), *own)
    else:
        endings = tuple(end for end in endings if end not in form.endings)
    found = one_per_image(given, endings)
    if not found:
        message = f"no file in {given} ends in {', '.join(endings)}; give the files themselves, or --from with a format"
        raise InputError(message)
    return list(found.values())


def _base(file: Path) -> str:
    """The name of the image that a file belongs to, without its extension."""
    from cellpose.io import CELL_FORMATS, MASK_ENDINGS

    ends = {*MASK_ENDINGS, *_OF_OTHERS, *(end for form in CELL_FORMATS.values() for end in form.endings)}
    fitting = [end for end in ends if file.name.lower().endswith(end) and len(file.name) > len(end)]
    return file.name[: -len(max(fitting, key=len))] if fitting else file.stem


def _cells_of(
    file: Path, form: CellFormat, args: Namespace, like: tuple[int, ...] | None
) -> Iterator[tuple[Path, Path, Cells]]:
    """Image without its extension, target and cells: a data set of many images gives one file for each."""
    from cellpose import io
    from cellpose._machine.reading import read_json
    from cellpose.io import cell_format_of, images_in_coco

    folder, base = Path(args.savedir) if args.savedir else file.parent, _base(file)
    source = cell_format_of(file, args.form, writing=False)
    names = images_in_coco(read_json(file)) if source.name.startswith("coco") and not args.image else []
    if len(names) < 2:
        cells = _fitted(_read(file, args, args.image), file, source, like)
        io.tell_of_no_labels(file, cells.labels)
        if cells.labels.ndim == 3 and "T" not in cells.axes:
            io.tell_of_planes_apart(file, cells.labels, "If these are times, give --axes TYX")
        target = Path(args.output) if args.output else folder / f"{base}{form.endings[0]}"
        named = Path(args.image or next(iter(names), base))
        yield file.parent / named.parent / (named.stem if args.image or names else base), target, cells
        return
    if args.output:
        message = (
            f"{file} holds the cells of {len(names)} images; give --to to write one file per image, or choose one "
            "with --image"
        )
        raise InputError(message)
    for name in names:
        image = file.parent / Path(name).parent / Path(name).stem
        yield image, folder / f"{Path(name).stem}{form.endings[0]}", _read(file, args, name)


def _read(file: Path, args: Namespace, image: str | None) -> Cells:
    """The cells of one image, with the axes that the user names."""
    from cellpose import io

    cells = io.read_cells(file, form=args.form, image=image)
    if not args.axes:
        return cells
    if cells.labels.ndim != 3:
        message = f"--axes {args.axes} does not fit masks of shape {cells.labels.shape}; leave it out for single planes"
        raise InputError(message)
    return replace(cells, axes=args.axes)


def _fitted(cells: Cells, file: Path, source: CellFormat, like: tuple[int, ...] | None) -> Cells:
    """Cells of outlines, given the size of the image that they belong to where the file does not state it."""
    if source.module == "_label_files" or source.name.startswith(("coco", "spatialdata")):
        return cells
    beside = (file.with_name(_base(file) + end) for end in _IMAGES)
    image = next((path for path in beside if path.is_file() and path != file), None)
    size = like or (_shape_of_image(image) if image else None)
    shape = cells.labels.shape
    if size is None and not cells.labels.size:
        message = f"{file} holds no outlines, and does not state the size of its image; give --like with the image"
        raise InputError(message)
    if size is None:
        return cells
    wanted = (*(max(n, *size[-3:-2]) if len(size) > 2 else n for n in shape[:-2]), *size[-2:])  # no plane is lost
    if wanted == shape:
        return cells
    labels = np.zeros(wanted, np.int32)
    common = tuple(slice(0, min(a, b)) for a, b in zip(wanted, shape, strict=True))
    labels[common] = cells.labels[common]
    if np.count_nonzero(labels) < np.count_nonzero(cells.labels):
        logger.warning(f"{file}: some outlines extend beyond the image of shape {wanted}; they are clipped")
    return replace(cells, labels=labels)


def _shape_of_image(path: Path) -> tuple[int, ...]:
    """(Y, X), or more of stacks and movies."""
    from cellpose import io

    image = io.read_image(path)
    if "Y" not in image.axes or "X" not in image.axes:
        return tuple(image.data.shape[:2] if image.data.ndim < 4 else image.data.shape[-2:])
    return tuple(n for letter, n in zip(image.axes, image.data.shape, strict=True) if letter != "C")


def _write(
    target: Path, cells: Cells, form: CellFormat, rows: dict[str, Any], written: Collection[Path], *, overwrite: bool
) -> None:
    from cellpose import io

    if target in written:
        message = (
            f"could not write {target}: this run has already written it, for another image of that name; convert such "
            "images one by one (those of a data set with --image), each with another --savedir"
        )
        raise FileWriteError(message)
    if target.exists() and not overwrite:
        message = f"could not write {target}: it exists already; give --overwrite, or --savedir with another folder"
        raise FileWriteError(message)
    io.write_cells(target, cells, form.name, table=rows or None)
    logger.info(f"{target}: {count_of(len(cells.present), 'cell')}")


class _Table:
    """The table of a CSV, whose rows may be those of several images.

    Raises
    ------
    FileReadError
        If it cannot be read.
    InputError
        If it has no column ``label``.
    """

    def __init__(self, path: Path) -> None:
        from cellpose._machine.reading import reading

        with reading(path), open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = list(rows.fieldnames or ())
            if "label" not in names:
                message = f"{path} has the columns {', '.join(names)}; add a column named label"
                raise InputError(message)
            content = list(rows)
        self._path = path
        self._columns = {name: [row[name] or "" for row in content] for name in names}
        self._of_images: dict[Path, list[int]] = {}  # which rows
        for k, name in enumerate(self._columns.get("image", ())):
            self._of_images.setdefault(Path(name), []).append(k)
        self._alike: dict[str, list[Path]] = {}  # images by their names without folders and extensions
        for image in self._of_images:
            self._alike.setdefault(image.stem.removesuffix(".ome"), []).append(image)

    def rows_of(self, image: Path, cells: Cells, *, elsewhere: bool) -> dict[str, Any]:
        """The rows of one image, with numbers converted; all rows where the table names no images.

        Results may lie in another folder than their image: with ``elsewhere``, rows of an image of this name in any
        folder are taken where no others fit.

        Raises
        ------
        InputError
            If several images of the table fit, or several rows are of one cell.
        """
        kept = self._rows_of(image, elsewhere) if "image" in self._columns else range(len(self._columns["label"]))
        rows: dict[str, Any] = {}
        for column, values in self._columns.items():
            given = [values[k] for k in kept]
            try:
                rows[column] = np.array([float(value) if value else np.nan for value in given], np.float64)
            except ValueError:
                rows[column] = np.array(given)
        rows["label"] = rows["label"].astype(np.int64)
        by_frame = cells.axes == "TYX" and "frame" in rows
        of_cells = (rows[column].tolist() for column in (("label", "frame") if by_frame else ("label",)))
        if len(set(zip(*of_cells, strict=True))) < len(kept):
            message = (
                f"{self._path} has several rows of one label for {image.name}; give one row for each cell: with a "
                "column image for several images, and a column frame for movies, which --axes TYX names as such"
            )
            raise InputError(message)
        return rows

    def _rows_of(self, image: Path, elsewhere: bool) -> list[int]:
        """Which rows are those of an image: of images of its name the one in its folder, as far as the table tells."""
        folders, found = image.absolute().parent.parts, self._alike.get(image.name.removesuffix(".ome"), [])
        depths = {each: len(each.parent.parts) for each in found}
        here = [each for each, n in depths.items() if folders[len(folders) - n :] == each.parent.parts]
        fitting = [each for each in here if depths[each] == max(depths[other] for other in here)]
        fitting = fitting or (found if elsewhere else [])
        if len(fitting) > 1:
            message = (
                f"{self._path} has rows of {listed(fitting)}, and {image} may be each of them; give a table with the "
                "rows of one"
            )
            raise InputError(message)
        return self._of_images[fitting[0]] if fitting else []


def _parser() -> argparse.ArgumentParser:
    from cellpose.io import CELL_FORMATS

    known = "\n".join(f"  {form.name:<14} {form.endings[0]:<20} {form.what}" for form in CELL_FORMATS.values())
    parser = argparse.ArgumentParser(
        prog="cellpose convert",
        description="Convert masks to the formats of other programs, and back.",
        epilog=_EPILOG + known,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="files or folders")
    add("--to", default="", metavar="FORMAT", help="format to write, see below")
    add("--output", default="", metavar="FILE", help="file to write, of one input; its ending tells the format")
    add("--from", dest="form", metavar="FORMAT", help="format of the inputs (default: as their endings say)")
    add("--savedir", metavar="FOLDER", help="folder of what is written (default: that of each input)")
    add("--overwrite", action="store_true", help="replace files that are there")
    add(
        "--table",
        metavar="CSV",
        help="table of measurements with a column label and, for several images, a column image",
    )
    add(
        "--like",
        metavar="IMAGE",
        help="image that sets the size of masks made from outlines (default: the image beside the file)",
    )
    add(
        "--axes",
        choices=("TYX", "ZYX"),
        help="planes of the masks are the frames of a movie, or those of a stack (default: as the file says)",
    )
    add("--image", metavar="NAME", help="which image, or labels, to read from a file that holds several")
    add("--verbose", action="store_true", help="show the log")
    return parser
