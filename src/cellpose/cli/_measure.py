"""``cellpose measure``: a table of the cells of segmented images, with plots and a report."""

from __future__ import annotations

import argparse
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellpose._progress.display import waiting
from cellpose.cli._each import each_image, tell_failures
from cellpose.cli._images import check_writable, name_of
from cellpose.cli._logging import logging_to_user, say_at_end
from cellpose.cli._summary import count_of
from cellpose.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from cellpose.measure import FileOptions, Run

__all__ = ["measure_command"]

logger = logging.getLogger("cellpose.cli")

_FOLDER = "measurements"
# as --save_mpl names pictures, so that no command takes them for images
_PLOT = "_cp_output.png"
_EPILOG = """\
Masks are taken from image_seg.npy, else image_cp_masks (TIFF, PNG, OME-TIFF, OME-Zarr), else image_masks. Names and
values of columns are those of scikit-image, in pixels; names of columns in micrometers contain um.

  cellpose --dir images --save_tif
  cellpose measure --dir images
  cellpose measure --dir images --nuclei _nuclei_masks --spots 0 --pixel_size_um 0.108
  cellpose measure --dir images --mask_filter _masks --properties area mean_intensity texture --formats csv h5ad
"""


def measure_command(words: Sequence[str]) -> int:
    """Measure the images of a command line; 0, or 1 where one could not be measured, or 130 after Ctrl-C."""
    args = _parser().parse_args(list(words))
    if bool(args.dir) == bool(args.image_path):
        message = "give either --dir, a folder of images, or --image_path, one image"
        raise OptionError(message)
    with logging_to_user(verbose=args.verbose):
        return _measure(args)


def _measure(args: Namespace) -> int:
    from cellpose import measure

    options = _options(args)
    options.check()
    _check_libraries(args)
    with waiting("looking for images"):
        files = _files(args)
    if args.dir or Path(args.image_path).exists():
        check_writable([_folder(args)])
    run = measure.Run()
    try:
        each_image(files, lambda file: _measure_one(file, options, run, args), run.failed, args)
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    if not run.images:
        return tell_failures(len(files), 0, run.failed, "measured")
    with waiting("writing tables and report"):
        written = _write(run, args)
    say_at_end(
        f"{count_of(run.n_cells, 'cell')} in {count_of(len(run.images), 'image')}"
        f"{f', {len(run.failed)} failed' if run.failed else ''}; results in {_folder(args)}: "
        f"{', '.join(path.name for path in written)}"
    )
    return tell_failures(len(files), len(run.images), run.failed, "measured")


def _measure_one(file: Path, options: FileOptions, run: Run, args: Namespace) -> None:
    from cellpose import measure

    measured = measure.measure_file(file, options, siblings=run.siblings, name=name_of(file, args))
    run.add(measured)
    logger.info(f"{measured.name}: {measured.n_cells} cells of {measured.masks.name}")


def _options(args: Namespace) -> FileOptions:
    from cellpose import measure

    properties = tuple(args.properties) if args.properties else None
    if args.texture:
        properties = (*(properties or ("shape", "intensity", "border", "neighbors")), "texture")
    return measure.FileOptions(
        properties=properties,
        mask_filter=args.mask_filter,
        masks_dir=args.masks_dir,
        img_filter=args.img_filter,
        nuclei=args.nuclei,
        spots=tuple(args.spots),
        spots_method=args.spots_method,
        spots_sigma=tuple(args.spots_sigma),
        spots_threshold=args.spots_threshold,
        pixel_size_um=None if args.pixel_size_um is None else tuple(args.pixel_size_um),
        channel_axis=args.channel_axis,
        axes=args.axes,
    )


def _check_libraries(args: Namespace) -> None:
    """Say before the work, not after it, that a table cannot be written."""
    import importlib.util

    needed = {"parquet": ["pyarrow"], "h5ad": ["anndata", "pandas"]}
    for name in args.formats:
        for library in needed.get(name, []):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, "measure", f"write a table as .{name}")


def _files(args: Namespace) -> list[Path]:
    from cellpose import io

    if args.image_path:
        return [Path(args.image_path)]
    ending = args.mask_filter if args.mask_filter and not args.mask_filter.endswith(".npy") else "_masks"
    names = io.get_image_files(
        args.dir, ending, imf=args.img_filter or None, look_one_level_down=args.look_one_level_down
    )
    nuclei = args.nuclei or ""
    files = [Path(name) for name in names]
    kept = [file for file in files if not (nuclei and file.stem.lower().endswith(nuclei.lower()))]
    return io.once_per_set(kept or files)


def _folder(args: Namespace) -> Path:
    return Path(args.savedir) if args.savedir else Path(args.dir or Path(args.image_path).parent) / _FOLDER


def _write(run: Run, args: Namespace) -> list[Path]:
    from cellpose import io, measure

    folder = _folder(args)
    io.check_dir(folder)
    columns, spots = run.columns(), run.spots()
    written = []
    for suffix in dict.fromkeys(args.formats):
        written.append(folder / f"{args.name}.{suffix}")
        measure.write_table(written[-1], columns)
    if args.spots:
        written.append(folder / f"{args.name}_spots.csv")
        measure.write_table(written[-1], spots)
    tables = [path.name for path in written]
    plots = {}
    try:
        plots = {} if args.no_plots else measure.plots_of(columns, run.images, run.channel_names)
    except MissingExtraError as error:
        logger.warning(f"no plots are drawn: {error}")
    for kind, content in plots.items():
        written.append(folder / f"{args.name}_{kind}{_PLOT}")
        with io.replacing(written[-1]) as file:
            file.write(content)
    if not args.no_report:
        title = str(Path(args.dir or args.image_path).resolve())
        text = measure.report_of(title, columns, run.images, plots, run.failed, tables)
        written.append(folder / f"{args.name}_report.html")
        with io.replacing(written[-1]) as file:
            file.write(text.encode())
    return written


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose measure",
        description="Measure the cells of segmented images: one table, plots and a report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dir", default="", metavar="FOLDER", help="folder of images with their masks")
    add("--image_path", default="", metavar="FILE", help="one image (without --dir)")
    add("--look_one_level_down", action="store_true", help="also search the folders inside --dir")
    add(
        "--img_filter", default="", metavar="TEXT", help="use only images whose names end in this, before the extension"
    )
    add("--mask_filter", metavar="TEXT", help="ending of mask names, such as _cp_masks (default: see below)")
    add("--masks_dir", metavar="FOLDER", help="folder of the masks (default: that of the image)")
    add("--channel_axis", type=int, metavar="N", help="axis of the channels (default: from the file)")
    add("--axes", metavar="LETTERS", help="axes of the images, such as TZYX, instead of those in the files")
    add(
        "--pixel_size_um",
        type=float,
        nargs="+",
        metavar="X",
        help="pixel size in micrometers, or one size for each of z, y, x (default: from the files)",
    )
    add(
        "--properties",
        nargs="+",
        metavar="NAME",
        help="columns by their names in scikit-image, and groups: shape, intensity, border, neighbors, texture "
        "(default: all groups but texture)",
    )
    add("--texture", action="store_true", help="add the group texture")
    add("--nuclei", metavar="TEXT", help="ending of the names of nuclei masks; assigns each nucleus to its cell")
    add("--spots", nargs="+", default=[], metavar="CHANNEL", help="count spots in these channels, names or 0, 1, ...")
    add("--spots_method", default="log", choices=["log", "dog"], help="method to find spots (default: log)")
    add("--spots_sigma", type=float, nargs=2, default=[1, 5], metavar=("MIN", "MAX"), help="sizes of spots, in pixels")
    add("--spots_threshold", type=float, metavar="X", help="minimum contrast of spots (default: six times the noise)")
    add("--savedir", metavar="FOLDER", help=f"folder of the results (default: {_FOLDER} in that of the images)")
    add("--name", default=_FOLDER, metavar="TEXT", help=f"start of the names of results (default: {_FOLDER})")
    add(
        "--formats",
        nargs="+",
        default=["csv"],
        choices=["csv", "parquet", "h5ad"],
        help="formats of the table (default: csv)",
    )
    add("--no_plots", action="store_true", help="draw no plots")
    add("--no_report", action="store_true", help="write no report")
    add("--verbose", action="store_true", help="show the log")
    return parser
