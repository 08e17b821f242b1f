"""Finding the masks of an image."""

from __future__ import annotations

import os
from pathlib import Path

from cellpose.errors import FileMissingError
from cellpose.io import MASK_ENDINGS, SEG, SiblingFiles

__all__ = ["find_masks"]

PathLike = str | os.PathLike[str]

_SUFFIXES = (".tif", ".tiff", ".png", ".ome.tif", ".zarr")
# files edited in the window come first
_USUAL = (SEG, *(ending for ending in MASK_ENDINGS if ending != SEG))


def _endings(mask_filter: str | None) -> tuple[str, ...]:
    if mask_filter is None:
        return _USUAL
    if mask_filter.lower().endswith((".npy", *_SUFFIXES)):
        return (mask_filter,)
    return tuple(mask_filter + suffix for suffix in _SUFFIXES)


def find_masks(
    image: PathLike,
    siblings: SiblingFiles,
    mask_filter: str | None = None,
    folder: PathLike | None = None,
    imf: str = "",
) -> Path:
    """The file of the masks of an image.

    Parameters
    ----------
    image
        The image file.
    siblings
        Folders whose listing is known.
    mask_filter
        Suffix that the masks' names add to the image's name, such as "_cp_masks"; None: ``_seg.npy``, else
        ``_cp_masks``, else ``_masks``.
    folder
        Folder of the masks, if they are not beside the image or in the folder ``masks`` there.
    imf
        Suffix of the image's name that the masks' names lack.

    Raises
    ------
    FileMissingError
        If there are no masks.
    """
    parent, name = os.path.split(os.path.splitext(os.fspath(image))[0])
    names = [name[: -len(imf)], name] if imf and name.lower().endswith(imf.lower()) else [name]
    endings = _endings(mask_filter)
    folders = [os.fspath(folder)] if folder else [parent, os.path.join(parent, "masks")]
    for ending in endings:
        for place in folders:
            for stem in names:
                found = siblings.one_of(os.path.join(place, stem), (ending,))
                if found and os.path.realpath(found) != os.path.realpath(image):
                    return Path(found)
    message = (
        f"no masks of {image} were found: there is no {names[0]} with any of {', '.join(endings)} in "
        f"{' or '.join(place or os.curdir for place in folders)}. Segment it first, or give the folder of the masks "
        "(--masks_dir) and the ending of their names (--mask_filter)"
    )
    raise FileMissingError(message)
