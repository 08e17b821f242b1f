"""The paths of all results of an image."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = [
    "DEFAULT_SUFFIX",
    "PICTURES",
    "OutputPaths",
    "groups_of_same_results",
    "output_suffix",
    "warn_of_same_results",
]

logger = logging.getLogger(__name__)

DEFAULT_SUFFIX = "_cp_masks"
# what stands before the suffix in names of results that are not masks
PICTURES = ("_outlines", "_flows", "_dP", "_cellprob", "_cp_output")

PathLike = str | os.PathLike[str]


def output_suffix(output_name: str | None, savedir: PathLike | None = None, image_dir: PathLike | None = None) -> str:
    """The suffix of the masks that an ``--output_name`` means.

    An empty name gives the masks the same name as the image; beside the image that would overwrite it, so there
    the usual suffix is kept.

    Parameters
    ----------
    output_name
        The name given by the user; None: nothing.
    savedir
        Folder of the results; None: beside the image.
    image_dir
        Folder of the images.

    Examples
    --------
    >>> output_suffix(None), output_suffix("_x"), output_suffix("")
    ('_cp_masks', '_x', '_cp_masks')
    >>> output_suffix("", savedir="out", image_dir="in")
    ''
    """
    if output_name:
        return output_name
    elsewhere = bool(savedir) and (not image_dir or os.path.realpath(savedir or "") != os.path.realpath(image_dir))
    return "" if output_name == "" and elsewhere else DEFAULT_SUFFIX


@dataclass(frozen=True)
class OutputPaths:
    """Paths of all results of one image.

    Parameters
    ----------
    image
        The image file.
    savedir
        Folder of the results; None: that of the image.
    dir_above
        Without ``savedir``: the folder above that of the image.
    in_folders
        Sort the results into sub-folders ``masks``, ``outlines``, ``txt_outlines`` and ``flows``.
    suffix
        Text between the name of the image and the extension of the masks.

    Examples
    --------
    >>> paths = OutputPaths("data/a.b.tif", savedir="out", in_folders=True)
    >>> paths.masks_tif.as_posix(), paths.outlines_txt.as_posix(), paths.seg_npy.as_posix()
    ('out/masks/a.b_cp_masks.tif', 'out/txt_outlines/a.b_cp_outlines.txt', 'data/a.b_seg.npy')
    """

    image: PathLike
    savedir: PathLike | None = None
    dir_above: bool = False
    in_folders: bool = False
    suffix: str = DEFAULT_SUFFIX

    @property
    def folder(self) -> Path:
        """Folder of the results, before sub-folders."""
        if self.savedir:
            return Path(self.savedir)
        beside = Path(self.image).parent
        return Path(os.path.abspath(beside)).parent if self.dir_above else beside

    @property
    def base(self) -> str:
        """Name of the image without its last extension."""
        return os.path.splitext(os.path.basename(self.image))[0]

    @property
    def stem(self) -> str:
        """Path of the image without its last extension: what stands beside the image starts with it."""
        return os.path.splitext(os.fspath(self.image))[0]

    def _in(self, kind: str, name: str) -> Path:
        return self.folder / kind / name if self.in_folders else self.folder / name

    @property
    def masks_png(self) -> Path:
        """Label image as PNG."""
        return self._in("masks", f"{self.base}{self.suffix}.png")

    @property
    def masks_tif(self) -> Path:
        """Label image as TIFF."""
        return self._in("masks", f"{self.base}{self.suffix}.tif")

    @property
    def restored_tif(self) -> Path:
        """The restored image."""
        return self._in("restored", f"{self.base}_dn.tif")

    @property
    def of_restored(self) -> OutputPaths:
        """The paths of results of the restored image."""
        return replace(self, image=f"{self.stem}_dn.tif")

    @property
    def masks_ome_tif(self) -> Path:
        """Label image as OME-TIFF, with named axes."""
        return self._in("masks", f"{self.base}{self.suffix}.ome.tif")

    @property
    def masks_zarr(self) -> Path:
        """Label image as OME-Zarr."""
        return self._in("masks", f"{self.base}{self.suffix}.zarr")

    @property
    def outlines_png(self) -> Path:
        """The image with the outlines of its cells."""
        return self._in("outlines", f"{self.base}_outlines{self.suffix}.png")

    @property
    def outlines_txt(self) -> Path:
        """Outlines as text, one line per cell."""
        return self._in("txt_outlines", f"{self.base}_cp_outlines.txt")

    @property
    def flows_tif(self) -> Path:
        """The colors of the flows."""
        return self._in("flows", f"{self.base}_flows{self.suffix}.tif")

    @property
    def dP_tif(self) -> Path:
        """The flow vectors."""
        return self._in("flows", f"{self.base}_dP{self.suffix}.tif")

    @property
    def cellprob_tif(self) -> Path:
        """The cell probability (logit)."""
        return self._in("flows", f"{self.base}_cellprob{self.suffix}.tif")

    @property
    def summary_png(self) -> Path:
        """One figure: image, outlines, labels and flows."""
        return self.folder / f"{self.base}_cp_output{self.suffix}.png"

    @property
    def rois_zip(self) -> Path:
        """ImageJ ROIs."""
        return self.folder / f"{self.base}_rois.zip"

    @property
    def seg_npy(self) -> Path:
        """Always beside the image, where the GUI and the training look for it."""
        return Path(f"{self.stem}_seg.npy")


def groups_of_same_results(
    images: Sequence[PathLike], *, savedir: PathLike | None = None, dir_above: bool = False
) -> list[list[PathLike]]:
    """Images whose results have the same names."""
    same: dict[tuple[Path, str], list[PathLike]] = defaultdict(list)
    for image in images:
        paths = OutputPaths(image, savedir, dir_above)
        same[paths.folder, paths.base].append(image)
    return [group for group in same.values() if len(group) > 1]


def warn_of_same_results(groups: Sequence[Sequence[PathLike]]) -> None:
    """Name the images, in groups of `groups_of_same_results`, of which the last one alone will have results."""
    for group in groups:
        logger.warning(
            f"results of {', '.join(map(str, group))} have the same names: only those of {group[-1]!s} will be "
            "kept; segment them into separate folders (savedir) to keep all"
        )
