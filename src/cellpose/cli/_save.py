"""The results of one image: which files, and where."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path

import numpy as np

from cellpose import io
from cellpose.cli._model import Result

logger = logging.getLogger("cellpose.cli")

__all__ = ["output_paths", "save_results", "save_with_axes"]


def save_results(file: Path, image: np.ndarray, result: Result, model: str, args: Namespace) -> list[Path]:
    """Write all results that the command line asks for, and name the files.

    Everything goes to ``--savedir`` where it is given, else beside the image (``--dir_above``: one folder up).

    Parameters
    ----------
    file, image
        The image file, and the array in it.
    result
        What the model found.
    model
        Its name, noted in the ``_seg.npy``.
    args
        The command line.

    Raises
    ------
    FileWriteError
        If a file cannot be written.
    InputError
        If the masks cannot be written in the format asked for.
    """
    paths = output_paths(file, args)
    args = _possible(result, args)
    if args.save_png or args.save_tif or args.save_flows or args.save_outlines or args.save_txt or args.save_mpl:
        _save_masks(paths, file, image, result, args)
    if args.save_rois:
        io.write_rois(result.masks, _in_place(_rois_zip(paths)))
    if not args.no_npy:
        _save_seg(paths, file, result, model, args)
    return [path for path in _asked_for(paths, args) if path.is_file()]


def output_paths(file: Path, args: Namespace) -> io.OutputPaths:
    """Where the results of an image go."""
    return io.OutputPaths(
        file,
        savedir=args.savedir,
        dir_above=args.dir_above,
        in_folders=args.in_folders,
        suffix=io.output_suffix(args.output_name, args.savedir, args.dir or file.parent),
    )


def save_with_axes(file: Path, image: io.Image, result: Result, args: Namespace) -> list[Path]:
    """Write masks in the formats that know axes and sizes, if the command line asks for them."""
    paths, axes, sizes = output_paths(file, args), result.axes, image.pixel_size_um
    masks = io.smallest_labels(result.masks)
    written: list[Path] = []
    if args.save_zarr:
        written.append(_in_place(paths.masks_zarr))
        io.write_ome_zarr(written[-1], masks, axes, pixel_size_um=sizes, labels=True, overwrite=True)
    if args.save_ome_tif:
        written.append(_in_place(paths.masks_ome_tif))
        io.write_ome_tiff(written[-1], masks, axes, pixel_size_um=sizes)
    if args.zarr_labels:
        written.append(io.write_labels(file, args.zarr_labels, masks, axes))
    return written


def _possible(result: Result, args: Namespace) -> Namespace:
    """The command line without files that cannot hold times and planes both."""
    if result.masks.ndim < 4:
        return args
    names = [
        name for name in ("save_rois", "save_txt", "save_outlines", "save_flows", "save_mpl") if getattr(args, name)
    ]
    if names:
        logger.warning(f"no {', '.join(names)} of a movie of stacks: masks are written as TIFF and OME-Zarr only")
    return Namespace(**{**vars(args), **dict.fromkeys(names, False), "no_npy": True})


def _in_place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _seg_npy(paths: io.OutputPaths) -> Path:
    """In the folder of the results; in_folders does not touch it, since the window looks for it beside the image."""
    return paths.folder / f"{paths.base}_seg.npy"


def _rois_zip(paths: io.OutputPaths) -> Path:
    return paths.folder / "rois" / paths.rois_zip.name if paths.in_folders else paths.rois_zip


def _save_masks(paths: io.OutputPaths, file: Path, image: np.ndarray, result: Result, args: Namespace) -> None:
    io.save_masks(
        image,
        result.masks,
        result.flows,
        str(file),
        png=args.save_png,
        tif=args.save_tif,
        channels=[args.chan, args.chan2],
        suffix=paths.suffix,
        save_flows=args.save_flows,
        save_outlines=args.save_outlines,
        dir_above=args.dir_above,
        in_folders=args.in_folders,
        savedir=args.savedir,
        save_txt=args.save_txt,
        save_mpl=args.save_mpl,
        axes=result.axes,
    )
    if args.save_png and result.masks.ndim == 2 and not result.masks.any():
        # programs that started us read this file back whether or not there was a cell
        io.imsave(_in_place(paths.masks_png), result.masks.astype(np.uint16))


def _save_seg(paths: io.OutputPaths, file: Path, result: Result, model: str, args: Namespace) -> None:
    content = io.seg_content(
        result.masks,
        result.flows,
        str(file),
        channels=[args.chan, args.chan2],
        diameter=result.diameter_px,
        model=model,
    )
    if result.restored is not None:
        content |= {"restore": args.restore_type, "ratio": 1.0, "img_restore": result.restored}
    io.write_seg(_in_place(_seg_npy(paths)), content)


def _asked_for(paths: io.OutputPaths, args: Namespace) -> list[Path]:
    """All files that this command line may give."""
    asked: list[Path] = []
    if args.save_png or args.save_tif:
        asked += [paths.masks_png] * args.save_png + [paths.masks_tif]
    if args.save_outlines:
        asked.append(paths.outlines_png)
    if args.save_outlines or args.save_txt:
        asked.append(paths.outlines_txt)
    if args.save_flows:
        asked += [paths.flows_tif, paths.dP_tif, paths.cellprob_tif]
    if args.save_mpl:
        asked.append(paths.summary_png)
    if args.save_rois:
        asked.append(_rois_zip(paths))
    if not args.no_npy:
        asked.append(_seg_npy(paths))
    return asked
