"""OME-TIFF whose planes lie in several files (Micro-Manager, Yokogawa, Harmony): which ones, and where each plane is.

The OME-XML in such a file names the others. Only files in the folder of the file that names them, or below it, are
opened, and only those that are what they are said to be. Where one is missing, the planes that the file itself holds
are read, and the log says so.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cellpose._face.words import listed
from cellpose._machine.reading import reading
from cellpose.errors import FileReadError
from cellpose.io._ome_series import OmeSeries
from cellpose.io._tiff_check import check_directories

__all__ = ["COMPANION", "companion_series", "once_per_set", "series_of_set"]

logger = logging.getLogger(__name__)

#: end of the name of a file that holds only the OME-XML of a set
COMPANION = ".companion.ome"

_ROOT_UUID = re.compile(r"<(?:\w+:)?OME\b[^>]*?\bUUID\s*=\s*[\"']([^\"']*)")
_MOST_NAMES = 4  # files named in a message
_LETTERS = "TCZ"

Place = tuple[int, ...]  # of a plane along T, C and Z


@dataclass(frozen=True)
class _Block:
    """A TiffData element: planes that follow one another in a file."""

    name: str
    uuid: str
    ifd: int
    first: int
    count: int | None


@dataclass(frozen=True)
class _Described:
    """An Image element: how many planes it has, and in which files they are."""

    pixels: Any
    order: str  # letters of T, C and Z, slowest first
    sizes: dict[str, int]
    blocks: tuple[_Block, ...]

    @property
    def names(self) -> list[str]:
        """Names of the files, each once; "" for the file itself."""
        return list(dict.fromkeys(block.name for block in self.blocks))

    @property
    def n_planes(self) -> int:
        """Number of planes over all axes."""
        return math.prod(self.sizes.values())

    def place(self, number: int) -> Place:
        """Along T, C and Z, of a plane by its number in the order of the file."""
        at = dict(zip(self.order, np.unravel_index(number, [self.sizes[a] for a in self.order]), strict=True))
        return tuple(int(at[letter]) for letter in _LETTERS)


def series_of_set(path: Path, tif: Any) -> OmeSeries | None:
    """The planes of the set that an open file is part of; None where tifffile finds all of them in the file itself.

    Raises
    ------
    FileReadError
        If a file of the set cannot be read, or its planes are unlike the others.
    """
    found = _described(path, tif.pages[0].description)
    images, uuid = found or ([], "")
    if found is None or (images and not any(image.blocks for image in images)):
        return None
    mine = [(k, image) for k, image in enumerate(images) if _own_names(image, path, uuid)]
    if not mine:
        if images and len(images[0].names) == 1:  # a file that was renamed
            return _renamed(path, tif, images[0])
        logger.warning(
            f"{path} is part of a set of files whose OME-XML does not list it by this name: it lists "
            f"{_listed(images[0].names) if images else 'none'}. Only the planes in this file are read"
        )
        return _as_they_stand(path, tif, images[0].pixels if images else None)
    number, image = mine[0]
    own = _own_names(image, path, uuid)
    if number == 0 and len(image.names) == 1:
        return None if image.names[0] in ("", path.name) else _renamed(path, tif, image)
    files, lacking = _files(image, path.parent, own, path, uuid)
    if lacking:
        logger.warning(
            f"{path} is one of a set of {len(image.names)} files, of which {len(lacking)} are missing "
            f"({_listed(lacking)}): only the planes in this file are read"
        )
        files = dict.fromkeys(own, path)
    return _series(path, tif, image, files, len(mine), whole=not lacking)


def companion_series(path: Path) -> OmeSeries:
    """The planes of the set that a file of OME-XML describes.

    Raises
    ------
    FileReadError
        If a file of the set is missing or cannot be read, or its planes are unlike the others.
    """
    images = [_image(pixels) for pixels in _all(ElementTree.fromstring(path.read_bytes()), "Pixels")]
    if not images or not images[0].blocks:
        message = f"{path} describes no image in TIFF files; give one of the TIFF files"
        raise FileReadError(message)
    files, lacking = _files(images[0], path.parent, (), path, "")
    if lacking:
        message = f"{path}: {len(lacking)} of {len(images[0].names)} files of the set are missing: {_listed(lacking)}"
        raise FileReadError(message)
    return _series(path, None, images[0], files, len(images), whole=True)


def once_per_set(files: Sequence[Path]) -> list[Path]:
    """The files, without those that are read as part of an earlier one; the log lists the latter."""
    place = {_key(file): k for k, file in enumerate(files)}
    left_out: set[int] = set()
    for k, file in enumerate(files):
        if k in left_out or not file.name.lower().endswith((".tif", ".tiff")):
            continue
        members = _members(file)
        if members:
            others = {place[key] for key in map(_key, members) if key in place} - {k}
            left_out |= others
            logger.warning(
                f"{_listed([member.name for member in members])} are one set of {len(members)} files: "
                f"read once, results under the name of {file.name}"
            )
    return [file for k, file in enumerate(files) if k not in left_out]


def _members(path: Path) -> list[Path]:
    """The files whose planes are read with this one; none if it is complete, or if one of them is missing."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            found = _described(path, tif.pages[0].description)
    except Exception:  # the error is reported when it is read
        return []
    images, uuid = found or ([], "")
    for image in images:
        own = _own_names(image, path, uuid)
        if own and len(image.names) > 1:
            files, lacking = _files(image, path.parent, own, path, uuid)
            return [] if lacking else list(files.values())
    return []


def _key(path: Path) -> str:
    return os.path.normcase(os.path.abspath(path))


# ------------------------------------------------------------------------------------------------------ the OME-XML


def _described(path: Path, description: str) -> tuple[list[_Described], str] | None:
    """The images that the OME-XML of a file knows, and the UUID of the file; None where it has no OME-XML."""
    root = _parsed(description)
    if root is None:
        return None
    uuid = root.get("UUID", "")
    binary = next(_all(root, "BinaryOnly"), None)
    if binary is not None:
        master = _inside(path.parent, binary.get("MetadataFile", ""))
        root = _metadata(master) if master is not None and _key(master) != _key(path) else None
        if root is None:
            logger.warning(
                f"{path} has its metadata in {binary.get('MetadataFile')!r}, which is missing: only the planes in "
                "this file are read"
            )
            return [], uuid
    return [_image(pixels) for pixels in _all(root, "Pixels")], uuid


def _parsed(text: str) -> Any:
    if not text.rstrip("\0 \r\n").endswith("OME>"):
        return None
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _metadata(file: Path) -> Any:
    import tifffile

    if not file.is_file():
        return None
    try:
        if file.name.lower().endswith((".tif", ".tiff")):
            with tifffile.TiffFile(file) as tif:
                return _parsed(tif.pages[0].description)
        return ElementTree.fromstring(file.read_bytes())
    except (ElementTree.ParseError, tifffile.TiffFileError, ValueError, OSError):
        return None


def _all(root: Any, name: str) -> Iterator[Any]:
    return (element for element in root.iter() if str(element.tag).rpartition("}")[2] == name)


def _image(pixels: Any) -> _Described:
    sizes = {letter: max(int(pixels.get(f"Size{letter}", 1)), 1) for letter in _LETTERS}
    samples = [int(channel.get("SamplesPerPixel", 1)) for channel in _all(pixels, "Channel")]
    if samples and max(samples) > 1:
        sizes["C"] = max(sizes["C"] // max(samples), 1)
    order = pixels.get("DimensionOrder", "XYCZT")[:1:-1].upper()
    order = order if sorted(order) == sorted(_LETTERS) else "TZC"
    return _Described(pixels, order, sizes, tuple(_block(data, order, sizes) for data in _all(pixels, "TiffData")))


def _block(data: Any, order: str, sizes: dict[str, int]) -> _Block:
    uuid = next(_all(data, "UUID"), None)
    first = 0
    for letter in order:
        first = first * sizes[letter] + int(data.get(f"First{letter}", 0))
    count = data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else None))
    return _Block(
        name="" if uuid is None else uuid.get("FileName", ""),
        uuid="" if uuid is None else (uuid.text or "").strip(),
        ifd=int(data.get("IFD", 0)),
        first=first,
        count=None if count is None else int(count),
    )


# -------------------------------------------------------------------------------------------------------- the files


def _own_names(image: _Described, path: Path, uuid: str) -> list[str]:
    """The names that an image has for a file: its name, else that of its UUID; "" where none is written."""
    named = [name for name in image.names if _last(name) == path.name]
    if named:
        return named
    known = [block.name for block in image.blocks if block.uuid and block.uuid == uuid]
    return list(dict.fromkeys(known)) or [name for name in image.names if not name]


def _last(name: str) -> str:
    return PureWindowsPath(name).name  # understands both kinds of slashes


def _inside(folder: Path, name: str) -> Path | None:
    """The file that a name in the metadata stands for; never one outside the folder."""
    if not _last(name):
        return None
    plain = PureWindowsPath(name)
    below = plain.anchor == "" and ".." not in plain.parts
    at = folder.joinpath(*plain.parts) if below else folder / plain.name
    # a set that was moved still names its old folders
    return at if at.is_file() else folder / plain.name


def _files(
    image: _Described, folder: Path, own: Iterable[str], path: Path, uuid: str
) -> tuple[dict[str, Path], list[str]]:
    """The file for each name, and the names of those that are missing, or are different files under the same name."""
    files: dict[str, Path] = {}
    lacking: list[str] = []
    expected = {block.name: block.uuid for block in image.blocks}
    own = set(own)
    for name in image.names:
        file = path if name in own else _inside(folder, name)
        if file is None or not file.is_file():
            lacking.append(name)
        elif file != path and not _is_the_one(file, expected[name], uuid):
            lacking.append(f"{name}, which is another file of this name")
        else:
            files[name] = file
    return files, lacking


def _is_the_one(file: Path, expected: str, ours: str) -> bool:
    """Whether a file has the expected UUID, or none; some programs write one UUID into all files."""
    import tifffile

    try:
        with tifffile.TiffFile(file) as tif:
            found = _ROOT_UUID.search(tif.pages[0].description[:4096])
    except Exception:  # reported when it is read
        return True
    return found is None or not expected or found[1] in ("", expected, ours)


def _listed(names: Sequence[str]) -> str:
    return listed([name or "a file without a name" for name in names], _MOST_NAMES)


# ------------------------------------------------------------------------------------------------------- the planes


def _series(
    path: Path, tif: Any, image: _Described, files: dict[str, Path], n_images: int, *, whole: bool
) -> OmeSeries:
    at: dict[Place, Any] = {}
    for file, blocks in _by_file(image, files).items():
        for place, page in _pages(file, tif if tif is not None and file == path else None, image, blocks):
            at.setdefault(place, page)
    named = image.n_planes if whole else max(sum(b.count or 0 for b in image.blocks if b.name in files), 1)
    if len(at) < named:
        message = f"{named - len(at)} of the {named} planes that {path} names are missing; copy or save the files again"
        raise FileReadError(message)
    keyframe = next(iter(at.values()))
    _check_alike(keyframe, at.values())
    order = [_LETTERS.index(letter) for letter in image.order]
    ranges = [sorted({place[k] for place in at}) for k in order]
    if math.prod(map(len, ranges)) != len(at):  # planes from different files
        pages = [page for _, page in sorted(at.items())]
        return OmeSeries(pages, keyframe, "Q" + keyframe.axes, (len(pages), *keyframe.shape), image.pixels, n_images)
    pages = [at[tuple(chosen[order.index(k)] for k in range(3))] for chosen in itertools.product(*ranges)]
    shape = (*map(len, ranges), *keyframe.shape)
    return OmeSeries(pages, keyframe, image.order + keyframe.axes, shape, image.pixels, n_images)


def _by_file(image: _Described, files: dict[str, Path]) -> dict[Path, list[_Block]]:
    blocks: dict[Path, list[_Block]] = {}
    for block in image.blocks:
        if block.name in files:
            blocks.setdefault(files[block.name], []).append(block)
    return blocks


def _pages(file: Path, opened: Any, image: _Described, blocks: Sequence[_Block]) -> Iterator[tuple[Place, Any]]:
    """The existing pages of one file, each with its place; the file is closed afterwards."""
    with reading(file), _tiff(file, opened) as tif:
        there = len(tif.pages)
        for block in blocks:
            count = there if block.count is None else block.count
            for k in range(max(min(count, there - block.ifd, image.n_planes - block.first), 0)):
                yield image.place(block.first + k), tif.pages[block.ifd + k].aspage()


@contextmanager
def _tiff(file: Path, opened: Any) -> Iterator[Any]:
    import tifffile

    if opened is not None:
        yield opened
        return
    check_directories(file)
    with tifffile.TiffFile(file) as tif:
        yield tif


def _check_alike(keyframe: Any, pages: Iterable[Any]) -> None:
    for page in pages:
        if page is not None and (page.shape, page.dtype) != (keyframe.shape, keyframe.dtype):
            message = (
                f"{page.parent.filename} has planes of shape {page.shape}, {page.dtype}, and "
                f"{keyframe.parent.filename} of {keyframe.shape}, {keyframe.dtype}; all planes of a set must be alike"
            )
            raise FileReadError(message)


def _renamed(path: Path, tif: Any, image: _Described) -> OmeSeries:
    return _series(path, tif, image, dict.fromkeys(image.names, path), 1, whole=True)


def _as_they_stand(path: Path, tif: Any, pixels: Any) -> OmeSeries:
    pages = [page.aspage() for page in tif.pages]
    _check_alike(pages[0], pages)
    return OmeSeries(pages, pages[0], "Q" + pages[0].axes, (len(pages), *pages[0].shape), pixels)
