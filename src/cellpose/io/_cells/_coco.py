"""Cells as COCO: a JSON file of images, categories and annotations, whose masks are run lengths or polygons."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._face.words import listed
from cellpose._labels.check import each_plane
from cellpose.errors import FileReadError, InputError
from cellpose.io._cells._cells import PLANE_COLUMNS, Cells, axes_of, columns_of, keys_of, names_of
from cellpose.io._cells._numbers import numbered, whole
from cellpose.io._cells._rings import Polygon, outlines_of, paint, tell_without_area
from cellpose.io._limits import check_claim

__all__ = ["coco_of", "from_coco", "images_in"]

logger = logging.getLogger(__name__)

_CELL = "cell"  # the category of cells without a class


def coco_of(cells: Cells, file_name: str, *, polygons: bool = False) -> str:
    """A data set of one image, of stacks and movies of one for each plane.

    Parameters
    ----------
    cells
        What to write.
    file_name
        Of the image.
    polygons
        Outlines along the borders of pixels instead of run lengths: COCO's have no holes.
    """
    names = list(dict.fromkeys([*cells.class_names, _CELL]))
    if len(names) > 1 and all(cells.class_of(*cell) for cell in cells.present):
        names.remove(_CELL)
    categories = {name: number for number, name in enumerate(names, 1)}
    planes = each_plane(cells.labels)
    height, width = planes.shape[1:]
    images = [
        {"id": z + 1, "file_name": file_name, "height": height, "width": width}
        | ({PLANE_COLUMNS[cells.letter]: z} if cells.labels.ndim == 3 else {})
        for z in range(len(planes))
    ]
    annotations: list[dict[str, Any]] = []
    for z, plane in enumerate(planes):
        for label, row in (_polygon_rows if polygons else _run_rows)(plane):
            kind = cells.class_of(label, z)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": z + 1,
                    "category_id": categories[kind[0] if kind else _CELL],
                    **row,
                    "iscrowd": 0,
                    "label": label,
                    "name": cells.name_of(label, z),
                    **({"measurements": measured} if (measured := cells.measured(label, z)) else {}),
                }
            )
    content = {
        "info": {"description": f"cells of {file_name}"},
        "images": images,
        "categories": [{"id": n, "name": name, "supercategory": _CELL} for name, n in categories.items()],
        "annotations": annotations,
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _run_rows(plane: npt.NDArray[np.int32]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Segmentation, box and area of each label, from the runs down the columns."""
    from cellpose.io._cells._kernels import encode_runs

    height, width = plane.shape
    flat = plane.ravel(order="F")
    if not flat.size:
        return
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    kept = flat[starts] > 0
    starts, lengths = starts[kept], lengths[kept]
    owners = flat[starts]
    order = np.argsort(owners, kind="stable")
    starts, lengths, owners = starts[order], lengths[order], owners[order]
    labels, firsts = np.unique(owners, return_index=True)
    if not labels.size:
        return
    ends = np.append(firsts[1:], owners.size)
    letters, text_ends = encode_runs(starts, lengths, ends, flat.size)
    texts, begin = letters.tobytes().decode("ascii"), 0
    areas = np.add.reduceat(lengths, firsts).tolist()
    boxes = _boxes(starts, lengths, firsts, height).tolist()
    for label, end, area, box in zip(labels.tolist(), text_ends.tolist(), areas, boxes, strict=True):
        segmentation = {"size": [height, width], "counts": texts[begin:end]}
        yield label, {"segmentation": segmentation, "area": area, "bbox": box}
        begin = end


def _boxes(
    starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], firsts: npt.NDArray[np.int64], height: int
) -> npt.NDArray[np.int64]:
    """``x, y, width, height`` of each mask; a run may continue at the top of the next column."""
    stops = starts + lengths - 1
    x0, x1 = starts // height, stops // height
    low = np.where(x0 == x1, starts % height, 0)
    high = np.where(x0 == x1, stops % height, height - 1)
    left, right = np.minimum.reduceat(x0, firsts), np.maximum.reduceat(x1, firsts)
    top, bottom = np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)
    boxes: npt.NDArray[np.int64] = np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)
    return boxes


def _polygon_rows(plane: npt.NDArray[np.int32]) -> Iterator[tuple[int, dict[str, Any]]]:
    with_holes = 0
    for outline in outlines_of(plane):
        with_holes += outline.has_holes
        outer = [polygon[0] for polygon in outline.polygons]
        corners = np.concatenate(outer)
        low, high = corners.min(axis=0), corners.max(axis=0)
        yield (
            outline.label,
            {
                "segmentation": [ring.ravel().tolist() for ring in outer],
                "area": sum(_area(ring) for ring in outer),
                "bbox": [*low.tolist(), *(high - low).tolist()],
            },
        )
    if with_holes:
        logger.warning(
            f"{with_holes} cells have holes, which COCO polygons cannot hold: they are filled; use run lengths to "
            "keep them"
        )


def _area(ring: npt.NDArray[np.int32]) -> int:
    x, y = ring.astype(np.int64).T
    return int(x @ np.roll(y, -1) - np.roll(x, -1) @ y) // 2


def images_in(content: Any) -> list[str]:
    """The names of the images of a data set, each once."""
    return list(dict.fromkeys(str(entry.get("file_name")) for entry in _entries(content, "images")))


def from_coco(content: Any, source: Path, shape: Sequence[int] | None, image: str | None) -> Cells:
    """The cells of one image of a data set."""
    names = images_in(content)
    if not names:
        message = f"{source} is not a COCO data set: it lists no images"
        raise FileReadError(message)
    if image is None and len(names) > 1:
        message = f"{source} holds the cells of {len(names)} images; choose one with image=: {listed(names, 8)}"
        raise InputError(message)
    if image is not None and image not in names:
        message = f"{source} has no image {image!r}; it has {listed(names, 8)}"
        raise InputError(message)
    entries = [e for e in _entries(content, "images") if str(e.get("file_name")) == (image or names[0])]
    movie = any("frame" in entry for entry in entries)
    key = PLANE_COLUMNS["t" if movie else "z"]
    planes = {entry["id"]: _plane(entry[key]) if key in entry else None for entry in entries}
    stack = any(plane is not None for plane in planes.values())
    height, width = (int(entries[0][side]) for side in ("height", "width"))
    full = tuple(shape) if shape is not None else ((len(entries), height, width) if stack else (height, width))
    rows = [row for row in _entries(content, "annotations") if row.get("image_id") in planes]
    n_rows = len(rows)
    rows = [row for row in rows if row.get("segmentation")]
    tell_without_area(source, n_rows - len(rows), "annotations without a mask")
    of_rows = [planes[row["image_id"]] for row in rows]
    numbers = numbered([[whole(row.get("label")) for row in rows]], of_rows, source.name)
    labels = _painted(rows, numbers, of_rows, full, source)
    categories = {entry.get("id"): str(entry.get("name")) for entry in _entries(content, "categories")}
    axes = axes_of(labels, movie=movie)
    keys = keys_of(numbers, of_rows, movie=axes == "TYX")
    pairs = list(zip(keys, rows, strict=True))
    kinds = {cell: categories.get(row.get("category_id"), _CELL) for cell, row in pairs}
    measured = {cell: row["measurements"] for cell, row in pairs if isinstance(row.get("measurements"), dict)}
    return Cells(
        labels,
        {cell: kind for cell, kind in kinds.items() if kind != _CELL},
        names=names_of(keys, numbers, [row.get("name") for row in rows]),
        table=columns_of(measured),
        axes=axes,
    )


def _plane(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _entries(content: Any, name: str) -> list[dict[str, Any]]:
    given = content.get(name) if isinstance(content, dict) else None
    return [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []


def _painted(
    rows: list[dict[str, Any]],
    numbers: list[int],
    planes: list[int | None],
    shape: tuple[int, ...],
    source: Path,
) -> npt.NDArray[np.int32]:
    """Run lengths, and polygons on top."""
    polygons = [
        Polygon([np.asarray(part, np.float64).reshape(-1, 2)], number, plane)
        for row, number, plane in zip(rows, numbers, planes, strict=True)
        if isinstance(row["segmentation"], list)
        for part in row["segmentation"]
    ]
    check_claim(source, 4 * int(np.prod(shape)))
    labels = paint(polygons, shape, str(source)) if polygons else np.zeros(shape, np.int32)
    taken = 0
    for z, plane in enumerate(each_plane(labels)):
        flat = plane.ravel(order="F")
        for row, number, at in zip(rows, numbers, planes, strict=True):
            if (at or 0) == z and isinstance(row["segmentation"], dict):
                taken += _fill_runs(flat, row["segmentation"], number, plane.shape, source)
        plane[...] = flat.reshape(plane.shape, order="F")
    if taken:
        logger.warning(f"{source}: masks overlap in {taken} pixels; these belong to the later cell")
    return labels


def _fill_runs(
    flat: npt.NDArray[np.int32], segmentation: dict[str, Any], number: int, shape: tuple[int, ...], source: Path
) -> int:
    """Paint one mask; the number of pixels that had another label."""
    from cellpose.io._cells._kernels import decode_runs

    given = segmentation.get("counts")
    if isinstance(given, str):
        letters = np.frombuffer(given.encode("ascii", "replace"), np.uint8).astype(np.int64)
        counts = np.empty(letters.size, np.int64)
        n = decode_runs(letters, counts)
        counts = counts[: max(n, 0)]
    else:
        counts = np.asarray(given, np.int64).ravel()
        n = counts.size
    if n < 0 or tuple(segmentation.get("size", ())) != tuple(shape) or counts.sum() != flat.size or (counts < 0).any():
        message = f"{source}: the run lengths of cell {number} do not fill an image of shape {tuple(shape)}"
        raise FileReadError(message)
    ends = np.cumsum(counts)
    taken = 0
    for start, end in zip(ends[0:-1:2].tolist(), ends[1::2].tolist(), strict=True):
        taken += int(np.count_nonzero(flat[start:end]))
        flat[start:end] = number
    return taken
