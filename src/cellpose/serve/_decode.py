"""The process that reads uploads: a file that crashes or bloats a decoder breaks this process and nothing else.

It reads one line of JSON per file from standard input and answers with one line on standard output.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import AxesError, CellposeError, InputError
from cellpose.io import Image, read_image, within_memory
from cellpose.serve._about import About
from cellpose.serve._picture import colored, span

__all__ = ["main", "prepare"]

Array = npt.NDArray[Any]

_MOST_CHANNELS = 32
_UNNAMED_CHANNELS = 4  # a longer axis without a name holds planes
_THUMBNAIL = 160  # pixels
# The largest image takes 12 bytes per pixel: three channels of 32 bits.
_BYTES = 12
# A decoder and its libraries need memory besides the image; reordering the axes makes a second copy.
_ROOM = 3 * 2**30


def prepare(source: Path, folder: Path, most_pixels: float) -> About:
    """Read an image, write it as ``image.npy`` (T, Z, Y, X, C) with a thumbnail, and return the facts about it.

    Raises
    ------
    CellposeError
        If the file cannot be read, is too large, or is not an image.
    """
    with within_memory(int(most_pixels * _BYTES), most_pixels):  # refused by its header, before it is decoded
        image = read_image(source)
    data = _arranged(image)
    pixels = math.prod(data.shape[:4])
    if pixels > most_pixels:
        message = f"{source} has {pixels / 1e6:.1f} megapixels; at most {most_pixels / 1e6:g} are allowed"
        raise InputError(message)
    data = _plain(data)
    np.save(folder / "image.npy", data)
    t, z, y, x, c = data.shape
    about = About(
        width=x,
        height=y,
        planes=z,
        times=t,
        channels=c,
        dtype=str(data.dtype),
        channel_names=_names(image, c),
        pixel_size_um=image.pixel_size_um,
        spans=tuple(span(data[..., k], c) for k in range(c)),
    )
    _write_thumbnail(folder / "thumbnail.jpg", data[t // 2, z // 2], about)
    return about


def _arranged(image: Image) -> Array:
    """The pixels arranged as (T, Z, Y, X, C)."""
    axes, shape = image.axes, image.data.shape
    for place, letter in enumerate(axes):
        if letter == "Q" and shape[place] > 1:
            named = "C" if "C" not in axes and shape[place] <= _UNNAMED_CHANNELS else "Z" if "Z" not in axes else "T"
            if named in axes:
                break
            axes = axes[:place] + named + axes[place + 1 :]
    kept = [place for place, letter in enumerate(axes) if shape[place] > 1 or letter in "YX"]
    letters = "".join(axes[place] for place in kept)
    if "Y" not in letters or "X" not in letters or not set(letters) <= set("TZYXC") or len(set(letters)) < len(letters):
        message = f"an image with axes {image.axes} of shape {shape} is not allowed; allowed are T, Z, C, Y and X"
        raise AxesError(message)
    data = image.data.reshape([shape[place] for place in kept])
    data = data.transpose([letters.index(letter) for letter in "TZYXC" if letter in letters])
    lengths = dict(zip((letter for letter in "TZYXC" if letter in letters), data.shape, strict=True))
    if lengths.get("C", 1) > _MOST_CHANNELS:
        message = f"the image has {lengths['C']} channels; at most {_MOST_CHANNELS} are allowed"
        raise AxesError(message)
    arranged: Array = data.reshape([lengths.get(letter, 1) for letter in "TZYXC"])
    return arranged


def _plain(data: Array) -> Array:
    """The pixels as uint8, uint16 or float32, without loss that matters to a network."""
    if data.dtype.kind not in "buif":
        message = f"an image of dtype {data.dtype} cannot be segmented; allowed are integers and floating-point numbers"
        raise InputError(message)
    kept = data.dtype in (np.uint8, np.uint16, np.float32)
    plain = data.dtype.newbyteorder("=") if kept else np.dtype(np.uint8 if data.dtype == bool else np.float32)
    return np.ascontiguousarray(data, plain)


def _names(image: Image, count: int) -> tuple[str, ...]:
    names = tuple(name[:60] for name in image.channel_names)
    return names if len(names) == count else ()


def _write_thumbnail(path: Path, plane: Array, about: About) -> None:
    import cv2

    step = max(1, max(plane.shape[:2]) // (2 * _THUMBNAIL))
    picture = colored(plane[::step, ::step], about.spans)
    scale = min(1.0, _THUMBNAIL / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    path.write_bytes(bytes(cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]))


def _limit_memory(n_bytes: int) -> None:
    """Make the system refuse memory beyond this, whatever a decoder requests."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows, nor if a lower limit is set already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(order: dict[str, Any], most_pixels: float) -> dict[str, Any]:
    source = Path(order["source"])
    try:
        about = prepare(source, Path(order["folder"]), most_pixels)
    except MemoryError:
        return {"error": "the image needs more memory than is allowed"}
    except CellposeError as error:
        # clients must not see paths of the server
        return {"error": str(error).replace(str(source), order["name"])}
    except Exception as error:  # whatever error a malicious file causes in a library
        return {"error": f"the image could not be read ({type(error).__name__})"}
    return {"about": asdict(about)}


def main() -> int:
    """Answer until standard input ends."""
    most_pixels = float(sys.argv[1])
    _limit_memory(int(most_pixels * _BYTES * 3) + _ROOM)
    # output of libraries must not be taken for an answer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line), most_pixels)) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
