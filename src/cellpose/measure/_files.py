"""Measuring image files whose masks are stored beside them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._labels.arrays import same_cells
from cellpose._progress.stages import stage
from cellpose.errors import CellposeError, InputError, OptionError
from cellpose.io import (
    DEFAULT_SUFFIX,
    MASK_ENDINGS,
    SEG,
    Image,
    OutputPaths,
    Segmentation,
    SiblingFiles,
    imread,
    model_of,
    read_image,
    read_labels,
    read_seg,
    tell_of_no_labels,
    tell_of_planes_apart,
)
from cellpose.measure._find import find_masks
from cellpose.measure._spots import METHODS, find_spots
from cellpose.measure._table import table
from cellpose.measure._units import sides_um
from cellpose.measure._write import check_columns

__all__ = ["FileOptions", "Frame", "Measured", "measure_file"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileOptions:
    """What to measure in files.

    Parameters
    ----------
    properties
        As in `table`; None: all groups but texture.
    mask_filter, masks_dir, img_filter
        Suffix of the names of masks, None: ``_seg.npy``, ``_cp_masks``, ``_masks``; the folder of masks, None: that of
        the image; the suffix of the names of images that the names of their masks lack.
    nuclei
        Suffix of the names of nucleus labels; None: no nuclei.
    spots
        Channels in which to count spots, by name or by number from 0.
    spots_method, spots_sigma, spots_threshold
        See `find_spots`.
    pixel_size_um
        Side of a pixel, or one for each axis of the labels; None: as in the files.
    channel_axis
        Axis of the channels in the file; None: as the file says.
    axes
        Names of the axes of the file, overriding the file's own.
    """

    properties: tuple[str, ...] | None = None
    mask_filter: str | None = None
    masks_dir: str | os.PathLike[str] | None = None
    img_filter: str = ""
    nuclei: str | None = None
    spots: tuple[str, ...] = ()
    spots_method: str = "log"
    spots_sigma: tuple[float, float] = (1.0, 5.0)
    spots_threshold: float | None = None
    pixel_size_um: tuple[float, ...] | None = None
    channel_axis: int | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        if self.spots_method not in METHODS:
            message = f"spots_method {self.spots_method!r} is not allowed; choose {' or '.join(METHODS)}"
            raise OptionError(message)

    def check(self) -> None:
        """Before any file is read, refuse columns that no image or file can have, and options that lack a library."""
        cells = np.ones((4, 4), np.int32)
        sides = self.pixel_size_um
        if sides is not None:
            if not 1 <= len(sides) <= 3:
                message = f"pixel_size_um={sides!r} is not allowed; give one number, or two (y x) or three (z y x)"
                raise OptionError(message)
            sides_um(sides, len(sides))
        check_columns(table(cells, cells, self.properties))
        if self.spots:
            low, high = self.spots_sigma
            find_spots(cells, self.spots_method, min_sigma=low, max_sigma=high)


@dataclass(frozen=True, eq=False)
class Frame:
    """One plane or volume: its number in time, labels, and image ``(…, channels)``."""

    number: int
    labels: Array
    channels: Array
    flows: tuple[Array, Array] | None = None
    nuclei: Array | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """The table of one file.

    Parameters
    ----------
    name
        What the column ``image`` holds.
    columns
        Columns ``image``, ``frame``, ``label``, and the measurements.
    spots
        ``image``, ``frame``, ``channel``, ``label``, ``y``, ``x`` (in stacks ``z`` first), ``sigma``.
    masks
        The file of the masks.
    picture
        The frame to show, with its labels.
    """

    name: str
    columns: Columns
    spots: Columns
    masks: Path
    shown: Frame
    n_frames: int
    channel_names: tuple[str, ...] = ()
    pixel_size_um: tuple[float, ...] | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def n_cells(self) -> int:
        """Number of measured cells in all frames."""
        return len(self.columns["label"])


def measure_file(
    path: str | os.PathLike[str],
    options: FileOptions | None = None,
    *,
    siblings: SiblingFiles | None = None,
    name: str | None = None,
) -> Measured:
    """Measure the cells of one image file.

    Parameters
    ----------
    path
        The image, with its masks beside it or where ``options`` say.
    options
        What to measure; None: the defaults of `FileOptions`.
    siblings
        Listed folders, shared by the images of a run.
    name
        What the table calls the image; None: the name of the file. Images of several folders need more.

    Raises
    ------
    FileMissingError
        If it has no masks.
    InputError, FileReadError
        If a file cannot be read, or if masks and image do not match.
    """
    file, options, siblings = Path(path), options or FileOptions(), siblings or SiblingFiles()
    name = file.name if name is None else name
    stage("reading")
    image = read_image(file)
    if options.axes:
        image = image.named(options.axes)
    masks = find_masks(file, siblings, options.mask_filter, options.masks_dir, options.img_filter)
    labels, seg = _read_masks(masks)
    tell_of_no_labels(masks, labels)
    if seg is not None and options.mask_filter is None:
        _warn_of_newer(masks, labels, siblings)
    nuclei = None
    if options.nuclei is not None:
        of_nuclei = find_masks(file, siblings, options.nuclei, options.masks_dir, options.img_filter)
        nuclei = _read_masks(of_nuclei)[0]
        tell_of_no_labels(of_nuclei, nuclei)
    stage("measuring")
    spacing = _spacing(image, options)
    parts, spots, shown, told = [], [], None, False
    flows, model = _flows(file, masks, seg, labels.shape)
    for frame in _frames(image, labels, nuclei, flows, options):
        if frame.labels.ndim == 3 and not told:
            told = tell_of_planes_apart(masks, frame.labels, _planes_as_times(image))
        found = _spots(frame, image.channel_names, options)
        parts.append(_of_frame(name, frame, found, seg, model, spacing, options))
        spots += [_spot_rows(name, frame, channel, places) for channel, places in found.items()]
        shown = frame if shown is None else shown
    if shown is None:
        message = f"{file} of shape {image.data.shape} has no frames; give a movie with at least one"
        raise InputError(message)
    sides = None if spacing is None else spacing[3 - shown.labels.ndim :]
    return Measured(name, joined(parts), joined(spots), masks, shown, len(parts), image.channel_names, sides)


def joined(parts: Sequence[Columns]) -> Columns:
    """Tables joined row-wise; missing columns are filled with NaN or ""."""
    names: list[str] = []
    for part in parts:
        place = 0
        for name in part:  # columns of only some tables keep their place
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    return {name: _stacked(name, parts) for name in names}


def _stacked(name: str, parts: Sequence[Columns]) -> Array:
    filled = [part for part in parts if part and len(next(iter(part.values())))]
    if not filled:
        return next(part[name] for part in parts if name in part)
    text = any(part[name].dtype.kind in "UO" for part in filled if name in part)
    gap: Any = "" if text else np.nan
    columns = [part[name] if name in part else np.full(len(next(iter(part.values()))), gap) for part in filled]
    return np.concatenate(columns)


def _read_masks(path: Path) -> tuple[Array, Segmentation | None]:
    if path.name.lower().endswith(SEG):
        seg = read_seg(path, without=("outlines",))
        return np.asarray(seg.masks), seg
    return np.asarray(read_labels(path)), None


def _warn_of_newer(seg: Path, labels: Array, siblings: SiblingFiles) -> None:
    """Warn if other masks beside a ``_seg.npy`` were written after it, and are not the same cells."""
    stem = os.fspath(seg)[: -len(SEG)]
    others = [path for ending in MASK_ENDINGS for path in siblings.all_of(stem, ending)]
    newer = next((path for path in others if os.path.getmtime(path) > os.path.getmtime(seg)), None)
    if newer is None:
        return
    with suppress(CellposeError):
        if same_cells(_read_masks(Path(newer))[0], labels):
            return
    logger.warning(
        f"{seg} is measured, but {os.path.basename(newer)} is newer and holds other cells; to measure those, give "
        f"--mask_filter {newer[len(stem) :]}"
    )


def _planes_as_times(image: Image) -> str:
    """What to do to measure each plane of an image by itself."""
    if "T" in image.axes:
        return "To measure each plane by itself, save it as an image with masks of its own"
    axes = image.axes.replace("Z", "T") if "Z" in image.axes else "TYX"
    return f"To measure each plane by itself, give --axes {axes} (in Python FileOptions(axes={axes!r}))"


def _spacing(image: Image, options: FileOptions) -> tuple[float, float, float] | None:
    """Sides of a pixel along z, y, x in micrometers; the distance of planes is NaN if unknown."""
    if options.pixel_size_um is not None:
        sides = options.pixel_size_um
        z, y, x = (*([np.nan] * (3 - len(sides))), *sides) if len(sides) > 1 else (sides[0],) * 3
        return float(z), float(y), float(x)
    z_um, y_um, x_um = image.pixel_size_um
    if not y_um or not x_um:
        return None
    return z_um or np.nan, y_um, x_um


def _flows(
    file: Path, masks: Path, seg: Segmentation | None, shape: tuple[int, ...]
) -> tuple[tuple[Array, Array] | None, str | None]:
    """The flows and cell probability that belong to the masks, if they were kept, and the name of their model."""
    if seg is not None:
        pair, model = (seg.dP, seg.cellprob), seg.model
    elif (stem := masks.stem.removesuffix(".ome")).lower().endswith(DEFAULT_SUFFIX):
        kept = OutputPaths(masks.with_name(stem[: -len(DEFAULT_SUFFIX)] + file.suffix))
        if not (kept.dP_tif.is_file() and kept.cellprob_tif.is_file()):
            return None, None
        pair, model = (imread(kept.dP_tif), imread(kept.cellprob_tif)), model_of(kept.cellprob_tif)
    else:
        return None, None
    dP, cellprob = pair
    if dP is None or cellprob is None or cellprob.ndim != len(shape) or dP.ndim != cellprob.ndim + 1:
        return None, None
    return (dP, cellprob), model


def _frames(
    image: Image, labels: Array, nuclei: Array | None, flows: tuple[Array, Array] | None, options: FileOptions
) -> Iterator[Frame]:
    """The frames of a movie, or the image itself."""
    axis = image.place("C", options.channel_axis) if options.channel_axis is not None else image.axis("C")
    data = image.data if axis is None else np.moveaxis(image.data, axis, -1)
    letters = image.axes if axis is None else image.axes[:axis] + image.axes[axis + 1 :]
    time = letters.find("T")
    if time < 0:
        yield Frame(0, labels, _channels_last(data, labels, channels=axis is not None), _fitting(flows, labels), nuclei)
        return
    data = np.moveaxis(data, time, 0)
    if len(data) != len(labels) or (nuclei is not None and len(nuclei) != len(data)):
        message = f"masks of shape {labels.shape} do not fit a movie of {len(data)} frames; segment all frames"
        raise InputError(message)
    for number, plane in enumerate(data):
        now = None if flows is None else (flows[0][:, number], flows[1][number])
        yield Frame(
            number,
            labels[number],
            _channels_last(plane, labels[number], channels=axis is not None),
            _fitting(now, labels[number]),
            None if nuclei is None else nuclei[number],
        )


def _fitting(flows: tuple[Array, Array] | None, labels: Array) -> tuple[Array, Array] | None:
    """Flows with as many components as the labels have axes; flows of stitched planes have fewer."""
    return flows if flows is not None and len(flows[0]) == labels.ndim == flows[1].ndim else None


def _channels_last(data: Array, labels: Array, *, channels: bool) -> Array:
    """The image (…, channels), whichever axis the channels are on; the labels have the other axes."""
    if channels or data.shape == labels.shape:
        array = data if channels else data[..., np.newaxis]
        if array.shape[:-1] == labels.shape:
            return array
    for axis in range(data.ndim - 1, -1, -1):
        if data.shape[:axis] + data.shape[axis + 1 :] == labels.shape:
            return np.moveaxis(data, axis, -1)
    message = (
        f"the masks have shape {labels.shape} and the image {data.shape}; they belong to different images, or you "
        "need --axes to name the axes"
    )
    raise InputError(message)


def _spots(frame: Frame, names: tuple[str, ...], options: FileOptions) -> dict[int, Array]:
    """Spots in each requested channel."""
    low, high = options.spots_sigma
    return {
        channel: find_spots(
            frame.channels[..., channel],
            options.spots_method,
            min_sigma=low,
            max_sigma=high,
            threshold=options.spots_threshold,
        )
        for channel in (_channel(one, names, frame.channels.shape[-1]) for one in options.spots)
    }


def _channel(wanted: str, names: tuple[str, ...], n: int) -> int:
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and int(wanted) < n:
        return int(wanted)
    known = f", named {', '.join(names)}" if names else ""
    message = f"there is no channel {wanted} to find spots in; the image has {n}, numbered from 0{known}"
    raise InputError(message)


def _spot_rows(name: str, frame: Frame, channel: int, places: Array) -> Columns:
    ndim = frame.labels.ndim
    owner = frame.labels[tuple(places[:, :ndim].astype(np.int64).T)].astype(np.int64)
    rows: Columns = {
        "image": np.full(len(places), name),
        "frame": np.full(len(places), frame.number),
        "channel": np.full(len(places), channel),
        "label": owner,
    }
    return rows | {letter: places[:, k] for k, letter in enumerate("zyx"[3 - ndim :])} | {"sigma": places[:, ndim]}


def _of_frame(
    name: str,
    frame: Frame,
    spots: dict[int, Array],
    seg: Segmentation | None,
    model: str | None,
    spacing: tuple[float, float, float] | None,
    options: FileOptions,
) -> Columns:
    sides = None if spacing is None else spacing[3 - frame.labels.ndim :]
    if sides is not None and np.isnan(sides).any():
        sides = None
    first = next(iter(spots), None)
    columns = table(
        frame.labels,
        frame.channels,
        options.properties,
        pixel_size_um=sides,
        nuclei=frame.nuclei,
        spots=None if first is None else spots[first],
        spots_channel=first,
        flows=frame.flows,
        model=model,
    )
    several = {f"{key}-{first}": column for key, column in columns.items() if key.startswith("spots_")}
    columns = {key: column for key, column in columns.items() if not key.startswith("spots_")} | several
    for channel in list(spots)[1:]:
        more = table(frame.labels, frame.channels, [], pixel_size_um=sides, spots=spots[channel], spots_channel=channel)
        columns |= {f"{key}-{channel}": column for key, column in more.items() if key.startswith("spots_")}
    n = len(columns["label"])
    head: Columns = {"image": np.full(n, name), "frame": np.full(n, frame.number), "label": columns.pop("label")}
    return head | _class_of(seg, head["label"]) | columns


def _class_of(seg: Segmentation | None, labels: Array) -> Columns:
    """The class that a person assigned to each cell in the window; empty if there are none."""
    kept = None if seg is None else seg.content.get("classes")
    if seg is None or not isinstance(kept, np.ndarray) or kept.shape != (seg.count,) or not kept.any():
        return {}
    numbers = kept[labels - 1].astype(np.int64)
    given = seg.content.get("class_names")
    names = list(given.get("names", ())) if isinstance(given, dict) else []
    return {"class": np.array([names[k - 1] if 0 < k <= len(names) else str(k or "") for k in numbers], object)}
