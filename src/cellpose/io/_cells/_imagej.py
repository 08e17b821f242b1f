"""Outlines along the borders of pixels as ROIs of ImageJ, which fills them to the pixels they came from; and back."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import FileReadError, InputError
from cellpose.io._cells._cells import Cells, axes_of, keys_of
from cellpose.io._cells._numbers import number_in, numbered
from cellpose.io._cells._rings import Outline, Polygon, outlines_of, paint, tell_without_area

__all__ = ["bind", "entry", "read_rois", "roi_bytes", "through_pixels", "write_exact_rois"]

logger = logging.getLogger(__name__)

Points = npt.NDArray[Any]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # of the path of a composite
_SHAPE, _AXES = "image_shape", "image_axes"  # in the comment of the archive, which ROI readers ignore
_LARGEST_ROI = 2**28  # bytes; enough for more than ten million corners
_OVAL_CORNERS = 720


def write_exact_rois(
    file: IO[bytes], cells: Cells, *, prefix: str = "", digits: int = 0, hyperstack: bool = False
) -> None:
    """An archive with a ROI for each label, of stacks and movies for each label of each plane; see `bind`."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = json.dumps({_SHAPE: list(cells.labels.shape), _AXES: cells.axes}).encode("ascii")
        for outline in outlines_of(cells.labels):
            plane = "" if outline.plane is None else f"-{cells.letter}{outline.plane + 1}"
            name = f"{prefix}{outline.label:0{digits}d}{plane}"
            archive.writestr(entry(name), roi_bytes(name, outline, cells, hyperstack=hyperstack))


def entry(name: str) -> zipfile.ZipInfo:
    """The entry of a ROI in an archive; a date in every file would make equal results differ."""
    return zipfile.ZipInfo(f"{name}.roi")


def bind(roi: Any, plane: int | None, letter: str, *, hyperstack: bool) -> None:
    """Bind a ROI to a plane, counted from 0.

    ImageJ counts the planes of a simple stack along one axis only; of a hyperstack, such as a stack of several
    channels, along each axis.
    """
    if plane is None:
        return
    if hyperstack:
        setattr(roi, "t_position" if letter == "t" else "z_position", plane + 1)
    else:
        roi.position = plane + 1


def roi_bytes(name: str, outline: Outline, cells: Cells, *, hyperstack: bool = False) -> bytes:
    """One ROI: a polygon, or a composite where a label has holes or several pieces."""
    from roifile import ROI_TYPE, ImagejRoi

    rings = outline.rings
    corners = np.concatenate(rings)
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(corners, name=name)
        roi.roitype = ROI_TYPE.TRACED  # ImageJ's own outlines along pixels have this type
        roi.right, roi.bottom = right, bottom
    else:
        path = np.concatenate([_path(ring) for ring in rings])
        roi = ImagejRoi(
            roitype=ROI_TYPE.RECT, name=name, left=left, top=top, right=right, bottom=bottom,
            multi_coordinates=path, shape_roi_size=path.size,
        )  # fmt: skip
    bind(roi, outline.plane, cells.letter, hyperstack=hyperstack)
    kind = cells.class_of(outline.label, outline.plane)
    if kind is not None and kind[1] is not None:
        roi.stroke_color = bytes([255, *kind[1]])
    return bytes(roi.tobytes())


def _path(ring: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Move to the first corner, lines to the others, close."""
    steps = np.full((len(ring), 3), _LINE, np.float32)
    steps[0, 0] = _MOVE
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(_CLOSE))


def read_rois(path: Path, shape: Sequence[int] | None) -> Cells:
    """Labels of the areas in a ``.zip`` or ``.roi``; lines and points are left out, with a warning."""
    if not zipfile.is_zipfile(path):
        rois, comment = [_parsed(path.read_bytes(), path.name)], b""
    else:
        with zipfile.ZipFile(path) as archive:
            rois, comment = list(_entries(archive, path)), archive.comment
    areas = [(roi, rings) for roi in rois if (rings := _rings(roi))]
    tell_without_area(path, len(rois) - len(areas), "ROIs of lines, points and texts")
    stated, axes = _shape_in(comment)
    movie = axes.startswith("T") if axes else _are_frames([roi for roi, _ in areas], path)
    planes: list[int | None] = [_plane(roi, movie=movie) for roi, _ in areas]
    if any(plane is not None for plane in planes):
        planes = [plane or 0 for plane in planes]
    names = [str(roi.name) for roi, _ in areas]
    numbers = numbered([[number_in(name) for name in names]], planes, path.name)
    shape = stated if shape is None else shape
    outlines = [rings for _, rings in areas]
    if _are_published(outlines):
        logger.info(
            f"{path}: the outlines run through pixels, which belong to the cells; holes and separate pieces are lost"
        )
        outlines = [[through_pixels(ring) for ring in rings] for rings in outlines]
    polygons = [Polygon(*item) for item in zip(outlines, numbers, planes, strict=True)]
    labels = paint(polygons, shape, str(path))
    axes = axes_of(labels, movie=movie)
    told = zip(keys_of(numbers, planes, movie=axes == "TYX"), numbers, names, strict=True)
    return Cells(labels, names={key: name for key, n, name in told if number_in(name) != n}, axes=axes)


def _entries(archive: zipfile.ZipFile, path: Path) -> Iterator[Any]:
    for info in archive.infolist():
        if info.filename.lower().endswith(".roi"):
            if info.file_size > _LARGEST_ROI:
                message = (
                    f"{path} has a ROI {info.filename} of {info.file_size} bytes; it seems corrupt, so save the ROIs "
                    "again"
                )
                raise FileReadError(message)
            yield _parsed(archive.read(info), info.filename)


def _parsed(data: bytes, name: str) -> Any:
    from roifile import ImagejRoi

    try:
        roi = ImagejRoi.frombytes(data)
    except Exception as error:  # the library raises any error on damaged bytes
        message = f"{name} is not an ImageJ ROI, or it is damaged: {type(error).__name__}: {error}"
        raise FileReadError(message) from error
    roi.name = roi.name or Path(name).stem
    return roi


def _rings(roi: Any) -> list[Points]:
    """The rings of an area, in pixels; none for a shape that encloses nothing."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE):
        return []
    if roi.roitype == ROI_TYPE.OVAL:
        return [_oval(roi.left, roi.top, roi.right, roi.bottom)]
    if roi.roitype in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT):
        return [_open(ring) for ring in roi.coordinates(multi=True) if len(ring) > 2]
    return []


def _open(ring: Points) -> Points:
    """Without the first corner at the end, which closes the parts of composites."""
    return ring[:-1] if np.array_equal(ring[0], ring[-1]) else ring


def _oval(left: int, top: int, right: int, bottom: int) -> Points:
    angle = np.linspace(0, 2 * np.pi, _OVAL_CORNERS, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angle)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angle)
    return np.stack([x, y], axis=1)


def _are_frames(rois: Sequence[Any], path: Path) -> bool:
    """Whether ROIs lie in the frames of a movie, not in the planes of a stack.

    Raises
    ------
    InputError
        If they lie in several planes of several frames.
    """
    planes, frames = ({getattr(roi, name) for roi in rois} for name in ("z_position", "t_position"))
    if len(planes) > 1 and len(frames) > 1:
        message = f"{path} has ROIs in several planes of several frames; save those of each frame in a file of its own"
        raise InputError(message)
    return len(frames) > 1


def _plane(roi: Any, *, movie: bool) -> int | None:
    """The plane, of a movie the frame, counted from 0; None: the ROI belongs to all."""
    position = (roi.t_position if movie else roi.z_position) or roi.position
    return int(position) - 1 if position > 0 else None


def _shape_in(comment: bytes) -> tuple[list[int] | None, str]:
    """The shape of the labels, and their axes where the archive is of a version that states them."""
    try:
        told = json.loads(comment.decode("ascii"))
        shape, axes = told[_SHAPE], str(told.get(_AXES, ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None, ""
    return (shape, axes) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else (None, "")


def _are_published(outlines: list[list[Points]]) -> bool:
    """Whether these are outlines from pixel to pixel, as `save_rois` writes them, rather than along borders of pixels.

    Those go from each pixel to a neighbor, straight or diagonally, which outlines along borders never do. Labels
    of a few pixels have outlines along borders in both forms.
    """
    found = [_from_pixel_to_pixel(ring) for rings in outlines for ring in rings]
    return None not in found and any(found)


def _from_pixel_to_pixel(ring: Points) -> bool | None:
    """None: neither from pixel to pixel nor along borders."""
    if not np.array_equal(ring, np.rint(ring)):
        return None
    steps = np.diff(ring, axis=0, append=ring[:1]).astype(np.int64)
    slant = (steps != 0).all(axis=1)
    if not slant.any() and not _goes_on(steps).any():
        return False
    return True if np.abs(steps).max() <= 1 else None


def _goes_on(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    following = np.roll(steps, -1, axis=0)
    on: npt.NDArray[np.bool_] = steps[:, 0] * following[:, 1] == steps[:, 1] * following[:, 0]
    return on


def through_pixels(ring: Points) -> Points:
    """The outline along borders of the pixels that an outline runs through or encloses.

    Examples
    --------
    >>> through_pixels(np.array([[1, 1], [1, 2], [2, 2], [3, 2], [3, 1], [2, 1]])).tolist()
    [[1, 1], [4, 1], [4, 3], [1, 3]]
    """
    import cv2

    from cellpose.io._cells._rings import trace

    if not _from_pixel_to_pixel(ring):
        return ring
    corners = np.asarray(ring, np.int32)
    low = corners.min(axis=0)
    width, height = corners.max(axis=0) - low + 1
    filled = np.zeros((height, width), np.uint8)
    cv2.fillPoly(filled, [corners - low], 1)
    # parts that touch only at a corner are separate outlines
    found = trace(filled.astype(np.int32))
    border: Points = found.points[found.starts[0] : found.ends[0]] + low
    return border
