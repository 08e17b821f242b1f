"""What a report and plots need to know of each image, in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.measure._files import Frame, Measured

__all__ = ["ImageSummary", "size_column", "summary_of"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]

_SIDE = 520  # pixels along the longer side of a picture
_MOST_ZOOM = 3
_HUE_STEP = 0.618034  # the golden section: neighbouring numbers get colours far apart


@dataclass(frozen=True, eq=False)
class ImageSummary:
    """One image in a report."""

    name: str
    n_cells: int
    n_frames: int
    masks: str
    picture: bytes
    medians: dict[str, float]


def size_column(columns: Columns) -> tuple[str, str]:
    """The column that says how large cells are, in micrometres where all of them have these; and its unit."""
    for name, unit in (("area_um2", "µm²"), ("volume_um3", "µm³")):
        if name in columns and not np.isnan(columns[name]).any():
            return name, unit
    flat = "centroid-2" not in columns
    return "area", "px" if flat else "voxels"


def summary_of(name: str, measured: Measured) -> ImageSummary:
    """What is kept of an image when its table is joined to the others."""
    columns = measured.columns
    kept = [key for key in columns if key in ("area", "area_um2", "volume_um3") or key.startswith("intensity_mean")]
    medians = {key: float(np.nanmedian(columns[key])) for key in kept if measured.n_cells}
    if "centroid-2" in columns and "area" in medians:  # what scikit-image calls the area of a stack
        medians = {"volume" if key == "area" else key: value for key, value in medians.items()}
    return ImageSummary(
        name, measured.n_cells, measured.n_frames, measured.masks.name, picture_of(measured.shown), medians
    )


def picture_of(frame: Frame) -> bytes:
    """The image, or the plane with most cells of a stack, with the outlines of its cells; a JPEG."""
    import cv2

    from cellpose.plot import image_to_rgb

    labels, channels = frame.labels, frame.channels
    if labels.ndim == 3:
        most = int(np.argmax((labels > 0).sum(axis=(1, 2))))
        labels, channels = labels[most], channels[most]
    scale = min(_MOST_ZOOM, _SIDE / max(*labels.shape, 1))
    size = (max(1, round(labels.shape[1] * scale)), max(1, round(labels.shape[0] * scale)))
    step = max(1, int(0.5 / scale))  # of large planes only some pixels are looked at
    labels, channels = labels[::step, ::step], channels[::step, ::step]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(_coloured(channels, image_to_rgb), size, interpolation=way)
    small = cv2.resize(labels.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)  # exact for any label
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # lines of two pixels are seen in small pictures, too
    marked = (small > 0) & (cv2.dilate(small, cross) != cv2.erode(small, cross))
    picture[marked] = _hues(small[marked].astype(np.int64))
    return bytes(cv2.imencode(".jpg", picture[..., ::-1], _sharp_colours(cv2))[1])


def _sharp_colours(cv2: Any) -> list[int]:
    """Options of a JPEG whose colours are as fine as its gray, for thin lines."""
    return [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def _coloured(channels: Array, to_rgb: Any) -> npt.NDArray[np.uint8]:
    """One channel gray, two green and magenta, three or more as RGB."""
    n = channels.shape[-1]
    if n == 3 and channels.dtype == np.uint8:
        return np.ascontiguousarray(channels)
    gray = [to_rgb(channels[..., k])[..., 0] for k in range(min(n, 3))]
    order = {1: (0, 0, 0), 2: (1, 0, 1)}.get(n, (0, 1, 2))
    return np.stack([gray[k] for k in order], axis=-1)


def _hues(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    from cellpose.utils import hsv_to_rgb

    hsv = np.empty((labels.size, 3))
    hsv[:, 0], hsv[:, 1], hsv[:, 2] = labels * _HUE_STEP % 1, 0.9, 1.0
    return np.asarray(255 * np.asarray(hsv_to_rgb(hsv)), np.uint8)
