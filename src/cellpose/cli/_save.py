"""The results of one image: which files, and where."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path

import numpy as np

from cellpose import io
from cellpose.cli._images import name_of
from cellpose.cli._model import SegmentedImage
from cellpose.errors import OptionError

logger = logging.getLogger("cellpose.cli")

__all__ = [
    "asked_for",
    "check_possible",
    "masks_and_other_results",
    "output_paths",
    "save_results",
    "save_with_axes",
    "warn_of_blocks",
]


def save_results(file: Path, image: np.ndarray, result: SegmentedImage, model: str, args: Namespace) -> list[Path]:
    """Write all results that the command line asks for, and name the files.

    Everything goes to ``--savedir`` where it is given, else beside the image (``--dir_above``: one folder up).

    Parameters
    ----------
    file, image
        The image file, and the array in it.
    result
        The results of the model.
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
    args = _possible(file, result.masks.ndim, args)
    written: list[Path] = []
    if args.save_png or args.save_tif or args.save_flows or args.save_outlines or args.save_txt or args.save_mpl:
        written += _save_masks(paths, file, image, result, args)
    if args.save_tif and result.restored is not None:
        written += _save_restored(paths, result.restored, result)
    if args.save_rois:
        written.append(_in_place(_rois_zip(paths)))
        several = image.squeeze().ndim > result.masks.ndim  # channels beside planes or times
        io.write_rois(result.masks, written[-1], exact=args.exact_rois, axes=result.axes, hyperstack=several)
    if not args.no_npy:
        written.append(_save_seg(paths, file, result, model, args))
    return written


def output_paths(file: Path, args: Namespace) -> io.OutputPaths:
    """Where the results of an image go."""
    return io.OutputPaths(
        file,
        savedir=args.savedir,
        dir_above=args.dir_above,
        in_folders=args.in_folders,
        suffix=io.output_suffix(args.output_name, args.savedir, args.dir or file.parent),
    )


def masks_and_other_results(file: Path, args: Namespace) -> tuple[list[Path], list[Path]]:
    """Where masks may go, and where flows and the restored image may."""
    paths = output_paths(file, args)
    # TIFF also stands in for other formats, and is the format of masks made in blocks
    masks = [
        paths.masks_tif,
        *([paths.masks_png] if args.save_png else []),
        *([paths.masks_ome_tif] if args.save_ome_tif else []),
        *([paths.masks_zarr] if args.save_zarr else []),
    ]
    others = [paths.masks_png, paths.flows_tif, paths.dP_tif, paths.cellprob_tif]
    if args.restore_type and args.save_tif:
        others += [paths.restored_tif, paths.of_restored.masks_tif]
    return masks, others


def save_with_axes(file: Path, image: io.Image, result: SegmentedImage, args: Namespace) -> list[Path]:
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


def check_possible(file: Path, image: io.Image, args: Namespace, *, planes_by_name: bool) -> None:
    """Refuse an image before its network runs if nothing that is asked for can be written of it.

    Parameters
    ----------
    file, image, args
        The image file, what is in it, and the command line.
    planes_by_name
        Whether an axis that the file calls Z is one of planes to the model.

    Raises
    ------
    OptionError
        If so, according to the axes of the file.
    """
    ndim = _ndim_of_masks(image, args, planes_by_name=planes_by_name)
    refused = _refused(ndim, args)
    if refused and set(refused) == set(asked_for(args)):
        hint = "cannot save 3D outputs as PNG, use tif option instead: --save_tif"
        if refused != ["save_png"]:
            hint = f"{_KINDS[ndim]} cannot have {_in_words(refused)}; add --save_tif"
        message = f"{hint} ({name_of(file, args)} has axes {image.axes}, shape {image.data.shape})"
        raise OptionError(message)


def _possible(file: Path, ndim: int, args: Namespace) -> Namespace:
    """The command line without the results that masks of so many axes cannot have; a warning names these.

    Masks that would then be lost are written as TIFF.
    """
    refused = _refused(ndim, args)
    if not refused:
        return args
    kept = {name: False for name in refused if name != "no_npy"} | ({"no_npy": True} if "no_npy" in refused else {})
    told = f"{name_of(file, args)}: not written, because {_KINDS[ndim]} cannot have them: {_in_words(refused)}"
    if set(refused) == set(asked_for(args)):
        told += "; the masks are written as TIFF"
        kept["save_tif"] = True
    logger.warning(told)
    return Namespace(**{**vars(args), **kept})


# Results available only for planes, and results available for neither stacks nor movies of stacks.
_OF_PLANES = ("save_png", "save_outlines", "save_txt", "save_mpl")
_OF_STACKS = ("save_rois", "no_npy")
_ALWAYS = ("save_tif", "save_flows", "save_zarr", "save_ome_tif", "zarr_labels")
_KINDS = {3: "a stack or movie", 4: "a movie of stacks"}


def asked_for(args: Namespace) -> list[str]:
    """The options that ask for results; ``no_npy`` stands for the ``_seg.npy`` that it leaves out."""
    names = (*_OF_PLANES, *_OF_STACKS, *_ALWAYS)
    return [name for name in names if bool(getattr(args, name)) != (name == "no_npy")]


def _refused(ndim: int, args: Namespace) -> list[str]:
    cannot = {3: _OF_PLANES, 4: (*_OF_PLANES, *_OF_STACKS)}.get(ndim, ())
    return [name for name in asked_for(args) if name in cannot]


def _in_words(names: list[str]) -> str:
    return ", ".join("_seg.npy" if name == "no_npy" else f"--{name}" for name in names)


def warn_of_blocks(file: Path, args: Namespace) -> None:
    """Name the results that are asked for and not written where an image is segmented in blocks."""
    lost = [name for name in asked_for(args) if name not in _ALWAYS or name == "save_flows"]
    if lost:
        as_tif = "; the masks are written as TIFF" if "save_png" in lost else ""
        told = f"{name_of(file, args)}: not written, because the image is segmented in blocks: {_in_words(lost)}"
        logger.warning(told + as_tif)


def _ndim_of_masks(image: io.Image, args: Namespace, *, planes_by_name: bool) -> int:
    """Number of axes that the masks of an image will have; 2 also where its axes are not named."""
    given = {axis % image.data.ndim for axis in (args.channel_axis, args.z_axis) if axis is not None}
    planes = args.z_axis is not None
    letters = [letter for k, letter in enumerate(image.axes) if k not in given and image.data.shape[k] > 1]
    repeated = {"T", "Z"} if planes_by_name and not planes else {"T"}
    return 2 + planes + len(repeated & set(letters)) if "Y" in letters else 2


def _in_place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _seg_npy(paths: io.OutputPaths) -> Path:
    """Path of the ``_seg.npy``, never in a sub-folder, since the window looks for it beside the image."""
    return paths.folder / f"{paths.base}_seg.npy"


def _rois_zip(paths: io.OutputPaths) -> Path:
    return paths.folder / "rois" / paths.rois_zip.name if paths.in_folders else paths.rois_zip


def _save_masks(
    paths: io.OutputPaths, file: Path, image: np.ndarray, result: SegmentedImage, args: Namespace
) -> list[Path]:
    return io.save_masks(
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


def _save_restored(paths: io.OutputPaths, image: np.ndarray, result: SegmentedImage) -> list[Path]:
    """The restored image, and where it is larger than the image its masks."""
    several = image.shape[-1] > 1
    axes = result.axes + "C" * several
    pixels = image if several else image[..., 0]
    written = [_in_place(paths.restored_tif)]
    io.write_tiff(written[0], pixels, axes=axes if pixels.ndim == len(axes) else None)
    if result.masks_restored is not None:
        written.append(_in_place(paths.of_restored.masks_tif))
        io.write_tiff(written[-1], io.smallest_labels(result.masks_restored), axes=result.axes)
    return written


def _save_seg(paths: io.OutputPaths, file: Path, result: SegmentedImage, model: str, args: Namespace) -> Path:
    content = io.seg_content(
        result.masks,
        result.flows,
        str(file),
        channels=[args.chan, args.chan2],
        diameter=result.diameter_px,
        model=model,
    )
    if result.restored is not None:
        content |= {"restore": args.restore_type, "ratio": result.ratio, "img_restore": result.restored}
    if result.masks_restored is not None:
        content["masks_restore"] = result.masks_restored
    target = _in_place(_seg_npy(paths))
    kept = io.keep_work(target)
    if kept is not None:
        logger.warning(f"{target.name} held the work of a person on its cells; it is kept as {kept.name}")
    io.write_seg(target, content)
    return target
