"""Formats of microscopes and of other programs: DAX, NRRD, and CZI, ND2, LIF through bioio."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._machine.optional import optional
from cellpose.errors import FileMissingError, FileReadError
from cellpose.io._axes import UNKNOWN_AXIS, FileAxes, known_letters
from cellpose.io._image import Image
from cellpose.io._interval import seconds
from cellpose.io._limits import check_claim
from cellpose.io._open import head_of

__all__ = ["BIOIO_SUFFIXES", "read_bioio", "read_dax", "read_nrrd"]

logger = logging.getLogger(__name__)

BIOIO_SUFFIXES = (".czi", ".lif", ".nd2")

_INF_BYTES = 1 << 16  # a description has a few lines
_DAX_SIZE = re.compile(r"frame dimensions\s*=\s*(\d+)\s*x\s*(\d+)", re.IGNORECASE)
_DAX_FRAMES = re.compile(r"number of frames\s*=\s*(\d+)", re.IGNORECASE)


def read_dax(path: Path) -> Image:
    """A stack of uint16 frames, described by the text file of the same name that ends in ``.inf``."""
    description = path.with_suffix(".inf")
    if not description.is_file():
        message = f"{path} needs the description {description}, which does not exist"
        raise FileMissingError(message)
    text = head_of(description, _INF_BYTES).decode("utf-8", "replace")
    size, frames = _DAX_SIZE.search(text), _DAX_FRAMES.search(text)
    if size is None:
        message = f"{description} has no line 'frame dimensions = WIDTH x HEIGHT'; add it"
        raise FileReadError(message)
    width, height = int(size[1]), int(size[2])
    stored = path.stat().st_size
    if width == 0 or height == 0:
        message = f"{description} gives frames of {width} x {height} pixels; both must be at least 1"
        raise FileReadError(message)
    count = int(frames[1]) if frames is not None else stored // (2 * width * height)
    check_claim(path, 2 * width * height * count, stored)
    order = ">" if "big endian" in text.lower() else "<"
    data = np.fromfile(path, np.dtype(f"{order}u2"), count=width * height * count)
    if data.size != width * height * count:
        message = f"{path} is truncated: it holds {stored} bytes, {count} frames of {width} x {height} need more"
        raise FileReadError(message)
    return Image(data.astype(np.uint16, copy=False).reshape(count, height, width), UNKNOWN_AXIS + "YX")


def read_nrrd(path: Path) -> Image:
    """An NRRD; volumes, stored as (x, y, z), come out with the last axis first."""
    nrrd = optional("nrrd", "formats", "read .nrrd files")
    with open(path, "rb") as file:
        header = nrrd.read_header(file)
        sizes = [int(side) for side in header["sizes"]]
        plain = str(header.get("encoding", "raw")) == "raw" and "data file" not in header
        claimed = int(np.prod(sizes, dtype=object)) * _bytes_of_nrrd(str(header.get("type", "")))
        check_claim(path, claimed, path.stat().st_size if plain else None)
        if "data file" in header or "datafile" in header:
            # another path named by the file: following it could read anything
            message = f"{path} has its pixels in another file; save it as one .nrrd with the pixels inside"
            raise FileReadError(message)
        skipped = max(int(header.get(key, 0)) for key in ("line skip", "lineskip", "byte skip", "byteskip"))
        if min(sizes, default=0) < 1 or skipped > path.stat().st_size:
            message = (
                f"{path} is corrupt: its header gives sizes {sizes} and skips {skipped} lines or bytes; download or "
                "copy it again"
            )
            raise FileReadError(message)
        data = nrrd.read_data(header, file, str(path))
    if data.ndim == 3:
        stack = np.ascontiguousarray(data.transpose(2, 0, 1))
        return Image(stack, "ZYX", file_axes=FileAxes("ZYX", stack.shape, assumed="ZYX"))
    return Image(np.ascontiguousarray(data), "YX" if data.ndim == 2 else UNKNOWN_AXIS * data.ndim)


def _bytes_of_nrrd(kind: str) -> int:
    if kind == "double" or "long long" in kind or "64" in kind:
        return 8
    if kind == "float" or "32" in kind or kind in ("int", "signed int", "unsigned int", "uint"):
        return 4
    return 2 if "short" in kind or "16" in kind else 1


def read_bioio(path: Path) -> Image:
    """CZI, ND2 or LIF: times, channels, planes, Y and X of the first scene, the first of all other axes."""
    reader = _open_bioio(path)
    sizes = {letter: int(reader.dims[letter][0]) for letter in reader.dims.order}
    others = [letter for letter, length in sizes.items() if letter not in "TCZYXS" and length > 1]
    if others:
        logger.warning(f"{path} has more than one of {', '.join(others)}; only the first is read")
    # bioio names every axis; those of length 1 carry no information
    axes = "".join(letter for letter in "TZCYXS" if sizes.get(letter, 1) > 1 or letter in "YX")
    itemsize = np.dtype(reader.dtype).itemsize
    check_claim(path, itemsize * int(np.prod([sizes[letter] for letter in axes], dtype=object)))
    data = np.asarray(reader.get_image_data(axes))
    shape = tuple(sizes.values())
    file_axes = FileAxes(known_letters("".join(sizes), shape), shape)
    names = tuple(str(name) for name in reader.channel_names or ())
    interval = _bioio_interval(reader)
    return Image(
        data, known_letters(axes, data.shape), _bioio_pixel_size(reader), names, file_axes, interval_s=interval
    )


def _open_bioio(path: Path) -> Any:
    bioio = optional("bioio", "formats", f"read {path.suffix.lower()} files")
    attempts = logging.getLogger("bioio")
    level = attempts.level
    attempts.setLevel(logging.ERROR)  # it prints why each reader failed
    try:
        return bioio.BioImage(path)
    except Exception as error:
        if type(error).__name__ != "UnsupportedFileFormatError":
            raise
        message = (
            f"{path} could not be read, it seems corrupt or truncated; if no {path.suffix.lower()} file can be read, "
            "install cellpose[formats]"
        )
        raise FileReadError(message) from error
    finally:
        attempts.setLevel(level)


def _bioio_interval(reader: Any) -> float | None:
    """Seconds between frames; readers give a `timedelta`, a number of seconds, or nothing."""
    found = getattr(reader, "time_interval", None)
    return seconds(found.total_seconds() if isinstance(found, timedelta) else found, "s")


def _bioio_pixel_size(reader: Any) -> tuple[float | None, float | None, float | None]:
    sizes = reader.physical_pixel_sizes

    def size(axis: str) -> float | None:
        value = getattr(sizes, axis, None)
        return float(value) if value else None

    return size("Z"), size("Y"), size("X")
