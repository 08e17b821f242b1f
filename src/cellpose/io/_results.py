"""Masks, outlines, flows and pictures of a segmentation, written beside the image or to a folder of choice."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.writing import make_folder
from cellpose.errors import InputError, MissingExtraError
from cellpose.io._cells._text import format_outlines
from cellpose.io._find import is_result
from cellpose.io._label_image import holds_labels
from cellpose.io._output import DEFAULT_SUFFIX, OutputPaths, groups_of_same_results, warn_of_same_results
from cellpose.io._per_image import ImageResult, per_image
from cellpose.io._write import PathLike, smallest_labels, write_bytes, write_png, write_text, write_tiff

__all__ = ["save_masks"]

logger = logging.getLogger(__name__)

_PNG_LABELS = np.iinfo(np.uint16).max
_RED = (255, 0, 0)


@dataclass(frozen=True)
class _Wanted:
    """Which files are asked for."""

    png: bool
    tif: bool
    flows: bool
    outlines: bool
    text: bool
    summary: bool
    axes: str | None = None


def save_masks(
    images: Any,
    masks: Any,
    flows: Any,
    file_names: Any,
    png: bool = True,
    tif: bool = False,
    channels: Sequence[int] = (0, 0),
    suffix: str = DEFAULT_SUFFIX,
    save_flows: bool = False,
    save_outlines: bool = False,
    dir_above: bool = False,
    in_folders: bool = False,
    savedir: PathLike | None = None,
    save_txt: bool = False,
    save_mpl: bool = False,
    axes: str | None = None,
) -> list[Path]:
    """Write the results of one image or of several.

    All requested files are written, even if there are no masks. A warning lists results that a stack cannot have.

    Parameters
    ----------
    images
        The image, or a list of images; needed for ``save_outlines`` and ``save_mpl``.
    masks
        Labels (Y, X) or (Z, Y, X), or a list of such. They are written as uint16, above 65535 labels as uint32.
    flows
        The second value that ``eval`` returns, or a list of such.
    file_names
        Path of the image, or a list of paths.
    png
        Write ``<name><suffix>.png`` (only (Y, X) and up to 65535 labels; otherwise a TIFF).
    tif
        Write ``<name><suffix>.tif``, losslessly compressed.
    channels
        Channels shown in pictures.
    suffix
        Suffix after the name of the image.
    save_flows
        Write ``<name>_flows<suffix>.tif`` (colors), ``_dP`` (flows) and ``_cellprob``.
    save_outlines
        Write ``<name>_outlines<suffix>.png``, the image with red outlines, and the outlines as text, of single planes.
    dir_above
        Without ``savedir``, write to the folder above that of the image.
    in_folders
        Write to sub-folders ``masks``, ``outlines``, ``txt_outlines`` and ``flows``.
    savedir
        Folder for the results, created if missing; None: that of the image.
    save_txt
        Write ``<name>_cp_outlines.txt``, see ``outlines_to_text``, of single planes.
    save_mpl
        Write ``<name>_cp_output<suffix>.png``, a picture of image, outlines, masks and flows, of single planes; needs
        matplotlib.
    axes
        Axes of the masks, kept in the TIFF, such as ``"TYX"``; None: planes and stacks of planes.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        If the lists differ in length, the masks are not labels, a stack is requested only as PNG, or the image itself
        would be overwritten.
    FileWriteError
        If a file cannot be written.
    MissingExtraError
        If ``save_mpl`` is True without matplotlib.
    """
    wanted = _Wanted(png, tif, save_flows, save_outlines, save_outlines or save_txt, save_mpl, axes)
    written: list[Path] = []
    results = per_image(images, masks, flows, file_names)
    names = [result.file_name for result in results]
    warn_of_same_results(groups_of_same_results(names, savedir=savedir, dir_above=dir_above))
    for result in results:
        paths = OutputPaths(result.file_name, savedir, dir_above, in_folders, suffix)
        written += _save_one(result, smallest_labels(result.masks), paths, wanted, channels)
    return written


def _save_one(
    result: ImageResult, labels: npt.NDArray[Any], paths: OutputPaths, wanted: _Wanted, channels: Sequence[int]
) -> list[Path]:
    wanted = _possible(labels, wanted, result.file_name)
    _check_keeps_image(result.file_name, paths, wanted)
    # what is computed is computed first: a wrong argument must not leave half of the files
    flows = _checked(result.flows) if wanted.flows else []
    outlines = _outline_picture(result.image, labels, channels) if wanted.outlines else None
    summary = _summary_picture(result, labels, channels) if wanted.summary else None
    written: list[Path] = []

    def ready(path: Path) -> Path:
        make_folder(path.parent)
        written.append(path)
        return path

    if wanted.png:
        write_png(ready(paths.masks_png), labels)
    if wanted.tif:
        write_tiff(ready(paths.masks_tif), labels, axes=wanted.axes or _axes(labels.ndim))
    if outlines is not None:
        write_png(ready(paths.outlines_png), outlines)
    if wanted.text:
        from cellpose.utils import outlines_list

        write_text(ready(paths.outlines_txt), format_outlines(outlines_list(labels)))
    if wanted.flows:
        colors, dP, cellprob = flows
        write_tiff(ready(paths.flows_tif), colors)
        write_tiff(ready(paths.dP_tif), dP.astype(np.float32, copy=False))
        write_tiff(ready(paths.cellprob_tif), cellprob.astype(np.float32, copy=False))
    if summary is not None:
        write_bytes(ready(paths.summary_png), summary)
    return written


def _axes(ndim: int) -> str | None:
    return "ZYX"[-ndim:] if ndim in (2, 3) else None


def _possible(labels: npt.NDArray[Any], wanted: _Wanted, name: str) -> _Wanted:
    """The results that can be written of these labels; the others are named in a warning."""
    if labels.ndim > 2:
        if wanted.png and not wanted.tif:
            message = "cannot save 3D outputs as PNG, use tif option instead"
            raise InputError(message)
        of_planes = {
            "masks as PNG": wanted.png,
            "the picture of outlines": wanted.outlines,
            "outlines as text": wanted.text,
            "the summary picture": wanted.summary,
        }
        refused = ", ".join(what for what, asked in of_planes.items() if asked)
        if refused:
            logger.warning(f"{name}: not written: {refused}: masks of shape {labels.shape} have more than one plane")
        wanted = replace(wanted, png=False, outlines=False, text=False, summary=False)
    if not labels.any():
        logger.warning(f"{name}: no masks found; the files are empty")
    if wanted.png and int(labels.max(initial=0)) > _PNG_LABELS:
        logger.warning(f"{name}: found more than 65535 masks, cannot save PNG, saving as TIF")
        wanted = replace(wanted, png=False, tif=True)
    return wanted


def _check_keeps_image(file_name: str, paths: OutputPaths, wanted: _Wanted) -> None:
    image = os.path.realpath(file_name)
    for asked, path in ((wanted.png, paths.masks_png), (wanted.tif, paths.masks_tif)):
        if asked and os.path.realpath(path) == image:
            message = f"the masks would overwrite the image {file_name}; give a suffix or another savedir"
            raise InputError(message)
        near = path.name == Path(file_name).name or os.path.dirname(os.path.realpath(path)) == os.path.dirname(image)
        if asked and near and path.exists() and not (is_result(path) or holds_labels(path)):
            message = f"the masks would overwrite {path}, which is an image; give another suffix or savedir"
            raise InputError(message)


def _checked(flows: Sequence[Any] | None) -> list[npt.NDArray[Any]]:
    """Colors, flows and cell probability."""
    if flows is None or len(flows) < 3:
        held = 0 if flows is None else len(flows)
        message = f"flows hold {held} arrays; give the three that eval returns: colors, flows, cell probability"
        raise InputError(message)
    return [np.asarray(item) for item in flows[:3]]


def _outline_picture(image: Any, labels: npt.NDArray[Any], channels: Sequence[int]) -> npt.NDArray[np.uint8]:
    from cellpose.utils import masks_to_outlines

    if image is None:
        message = "outlines are drawn on the image, but no image was given; give images, or save_outlines=False"
        raise InputError(message)
    picture = _colors(np.asarray(image), labels.shape, channels)
    picture[masks_to_outlines(labels)] = _RED
    return picture


def _colors(image: npt.NDArray[Any], shape: tuple[int, ...], channels: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The image as RGB (Y, X, 3): three channels as their colors, fewer by ``channels``."""
    from cellpose.plot import image_to_rgb
    from cellpose.transforms import normalize99

    if image.ndim == 3 and image.shape[:2] != shape and image.shape[1:] == shape:
        image = np.moveaxis(image, 0, -1)
    if image.shape[:2] != shape or image.ndim > 3:
        message = f"masks of shape {shape} do not fit an image of shape {image.shape}"
        raise InputError(message)
    if image.ndim == 2 or image.shape[-1] < 3:
        rgb: npt.NDArray[np.uint8] = image_to_rgb(image.copy(), channels=list(channels)).astype(np.uint8)
        return rgb
    if image.dtype == np.uint8:
        return image[..., :3].astype(np.uint8)
    planes = [np.clip(normalize99(image[..., c].astype(np.float32)), 0, 1) for c in range(3)]
    picture: npt.NDArray[np.uint8] = (255 * np.stack(planes, axis=-1)).astype(np.uint8)
    return picture


def _summary_picture(result: ImageResult, labels: npt.NDArray[Any], channels: Sequence[int]) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(library="matplotlib", extra="plot", purpose="draw the summary picture") from error
    from cellpose.plot import show_segmentation

    if not result.flows:
        message = "save_mpl needs the flows that eval returns, at least their colors; give flows, or save_mpl=False"
        raise InputError(message)
    image = np.asarray(result.image)
    if image.ndim == 3 and min(image.shape) > 3:  # more channels than colors
        image = _colors(image, labels.shape, channels)
    figure = Figure(figsize=(12, 3))
    FigureCanvasAgg(figure)
    show_segmentation(figure, image.copy(), labels, result.flows[0], channels=list(channels))
    coded = io.BytesIO()
    figure.savefig(coded, dpi=300, format="png")
    return coded.getvalue()
