"""Documents as ``_seg.npy`` files: the keys of the original, and some more that it ignores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import io
from cellpose.errors import OptionError
from cellpose.gui.model._box import Box
from cellpose.gui.model._changes import changes_after
from cellpose.gui.model._classes import CLASSES_KEY, Classes
from cellpose.gui.model._colors import cell_colors
from cellpose.gui.model._corrections import FOUND_KEY, ModelCells
from cellpose.gui.model._document import Document, Flows
from cellpose.gui.model._frozen import Frozen
from cellpose.gui.model._journal import STATE_KEY
from cellpose.gui.model._labels import Edit, Regions, Table
from cellpose.gui.model._links import LINKS_KEY, numbered_links, restore_links
from cellpose.gui.model._provenance import PROVENANCE_KEY, Origin, content_of_origins, origins_of
from cellpose.gui.model._restored import Restored, content_of_restored, restored_of
from cellpose.gui.model._scores import SCORING_KEY, Scoring
from cellpose.gui.model._settings import SegmentationSettings, filters_something
from cellpose.io import IGNORED_KEY, Segmentation, regions_of
from cellpose.options import Normalization

__all__ = [
    "AXIS_KEY",
    "Snapshot",
    "as_file",
    "content_of",
    "flows_to_write",
    "one_path",
    "put_aside",
    "restore",
    "restore_flows",
    "restore_restored",
    "restore_settings",
    "seg_path",
]

AXIS_KEY = "planes"  # in the _seg.npy of a movie: "T", because the image may not state it

_OURS = ("background_radius",)  # options unknown to the original, written only if set
_REGION_KEY = "flows_region"  # in a _seg.npy: the Box covered by the flows

# Columns of the table stored beside the masks, by their keys in the file.
_KEPT = {"ismanual": "manual", "scores": "score", "checked": "checked", "classes": "kind"}


def one_path(path: Path) -> Path:
    """The same path for a file, however it was given: absolute, and without links in its folder.

    The file itself may be a link, as its ``_seg.npy`` lies beside the link.
    """
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def as_file(image: Path) -> Path:
    """The path by which results are named: of a folder that is a movie its whole name, which has no extension."""
    return image.with_name(f"{image.name}.tif") if image.is_dir() and not io.is_zarr(image) else image


def seg_path(image: Path) -> Path:
    """The file for the segmentation of an image."""
    return image.with_name(f"{as_file(image).stem}_seg.npy")


def put_aside(seg: Path) -> Path:
    """Rename a ``_seg.npy`` so that it is not overwritten; return the new, free path."""
    kept = io.name_to_keep(seg)
    seg.replace(kept)
    return kept


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a document at one moment, to write while editing continues.

    Parameters
    ----------
    labels
        Labels numbered 1..n; copied when they are written.
    rows
        Rows of the table, dtype ``CELL`` (n,).
    ids
        The numbers of these cells in the document, int32 (n,).
    flows, path, found, scoring, origins, ignored
        Those of the document.
    axis
        The axis of the document's planes.
    only_in_seg, earlier_changes
        Those of the document.
    edits
        The edits that are done.
    classes
        Names and colors of the classes, from `Classes.content`; empty: the file names none.
    settings
        The settings at that moment.
    restored, filters
        The image after a filter or a restoration model, if there is one, and the parameters of the filter.
    """

    labels: Frozen
    rows: Table
    ids: npt.NDArray[np.int32]
    flows: Flows | None
    path: Path
    settings: SegmentationSettings
    restored: Restored | None
    filters: Mapping[str, Any]
    found: ModelCells | None = None
    scoring: Scoring | None = None
    origins: tuple[Origin, ...] = ()
    classes: Mapping[str, Any] = field(default_factory=dict)
    ignored: Regions = ()
    axis: str = "Z"
    only_in_seg: npt.NDArray[Any] | None = None
    earlier_changes: tuple[Any, ...] = ()
    edits: tuple[Edit, ...] = ()

    @classmethod
    def of(cls, document: Document, settings: SegmentationSettings, classes: Classes | None = None) -> Snapshot:
        """A snapshot of a document that has a path."""
        labels, rows = document.labels.frozen()
        ids, path = document.labels.ids, document.path or Path()
        return cls(
            labels,
            rows,
            ids,
            document.flows,
            path,
            replace(settings),
            document.restored,
            document.filters,
            document.found,
            document.scoring,
            document.origins,
            {} if classes is None else classes.content(),
            document.labels.ignored,
            "T" if document.is_movie else "Z",
            document.only_in_seg,
            document.earlier_changes,
            document.history.edits,
        )

    @property
    def image(self) -> dict[str, Any]:
        """The image as content of a ``_seg.npy``; empty if it has a file of its own."""
        return {} if self.only_in_seg is None else {"img": self.only_in_seg}


def content_of(snapshot: Snapshot, state: str) -> dict[str, Any]:
    """The dict of a ``_seg.npy``; ``state`` identifies this file, see `state_of`."""
    labels, settings, flows = snapshot.labels.labels(), snapshot.settings, snapshot.flows
    planes = labels[0] if labels.shape[0] == 1 else labels
    palette = cell_colors()
    content = io.seg_content(
        planes,
        None if planes.ndim == 3 and not knows_flows(flows) else flows_to_write(flows, planes.shape),
        snapshot.path,
        channels=settings.channels,
        diameter=settings.diameter,
        model=flows.model if flows else None,
    )
    return {
        **content,
        **snapshot.image,
        **{key: snapshot.rows[name].copy() for key, name in _KEPT.items()},
        "colors": palette[snapshot.ids % len(palette)],
        "manual_changes": changes_after(snapshot.earlier_changes, snapshot.edits, planes=len(labels)),
        "flow_threshold": settings.flow_threshold,
        "cellprob_threshold": settings.cellprob_threshold,
        "normalize_params": {
            **{name: value for name, value in asdict(Normalization()).items() if name not in _OURS},
            "percentile": [settings.lower, settings.upper],
            "norm3D": settings.norm3D,
            **{name: value for name, value in snapshot.filters.items() if value or name not in _OURS},
        },
        **content_of_restored(snapshot.restored),
        **_enlarged(content["masks"], snapshot.restored),
        **({} if snapshot.found is None else {FOUND_KEY: snapshot.found.content()}),
        **({} if snapshot.scoring is None else {SCORING_KEY: snapshot.scoring.content()}),
        **({CLASSES_KEY: dict(snapshot.classes)} if snapshot.classes else {}),
        PROVENANCE_KEY: content_of_origins(snapshot.origins, snapshot.rows),
        **({IGNORED_KEY: [np.array(region) for region in snapshot.ignored]} if snapshot.ignored else {}),
        **({_REGION_KEY: np.array(flows.region)} if flows is not None and flows.region is not None else {}),
        **({AXIS_KEY: "T", LINKS_KEY: numbered_links(snapshot.rows, snapshot.ids)} if snapshot.axis == "T" else {}),
        STATE_KEY: state,
    }


def _enlarged(masks: npt.NDArray[Any], restored: Restored | None) -> dict[str, Any]:
    """The masks at the size of a larger restored image, as the command line writes them."""
    if restored is None or restored.ratio == 1:
        return {}
    from cellpose.denoise import at_image_size

    return {"masks_restore": at_image_size(masks, restored.picture.shape[1:])[0]}


def restore(document: Document, seg: Segmentation) -> None:
    """Restore cell attributes from a file, for a document made with its labels."""
    count = document.labels.next_id - 1
    for key, name in _KEPT.items():
        values = seg.ismanual if key == "ismanual" else seg.content.get(key)
        if isinstance(values, np.ndarray) and values.shape == (count,) and values.dtype.kind in "biuf":
            document.labels.restore(name, values)
    document.earlier_changes = seg.manual_changes
    document.found = ModelCells.read(seg.content.get(FOUND_KEY), document.labels.shape)
    document.labels.ignored = tuple(
        tuple((float(z), float(y), float(x)) for z, y, x in region) for region in regions_of(seg.content)
    )
    document.scoring = Scoring.read(seg.content.get(SCORING_KEY))
    if document.is_movie:
        restore_links(document.labels, seg.content.get(LINKS_KEY))
    document.origins = origins_of(seg.content.get(PROVENANCE_KEY))


def restore_flows(document: Document, seg: Segmentation) -> None:
    """Restore flows from a file; files of movies have none."""
    if document.is_movie:
        return
    if seg.dP is not None or seg.flows_rgb is not None:
        rgb = seg.flows_rgb
        planes = rgb if rgb is None or rgb.ndim == 4 else rgb[None]
        document.flows = Flows(planes, seg.dP, seg.cellprob, seg.model or "", _region_of(seg, document.labels.shape))


def _region_of(seg: Segmentation, shape: tuple[int, ...]) -> Box | None:
    """The part of the image covered by the flows of a file; None: all."""
    kept = seg.content.get(_REGION_KEY)
    if not isinstance(kept, np.ndarray) or kept.shape != (6,) or kept.dtype.kind not in "iu":
        return None
    box = Box(*(int(end) for end in kept))
    ends = zip(box[::2], box[1::2], shape, strict=True)
    return box if all(0 <= low < high <= length for low, high, length in ends) else None


def restore_restored(document: Document, seg: Segmentation) -> None:
    """Restore the restored image from a file that was read with it, or the parameters of the filter."""
    n_channels, options = document.stack.shape[1], _normalization_of(seg)
    document.restored = restored_of(seg.content, document.labels.shape, channels_of(seg), n_channels)
    if document.restored is None and options is not None:
        document.filters = {name: getattr(options, name) for name in SegmentationSettings().filters()}


def channels_of(seg: Segmentation) -> tuple[int, int] | None:
    """The 1-based pair of channels that a file was segmented with; None: it says none."""
    channels = seg.content.get("chan_choose")
    if isinstance(channels, (list, tuple, np.ndarray)) and np.shape(channels) == (2,):
        first, second = (int(channel) for channel in channels)
        if first in range(4) and second in range(4):
            return first, second
    return None


def restore_settings(settings: SegmentationSettings, seg: Segmentation) -> bool:
    """Restore diameter, channels, percentiles and filter from a file; return whether to filter the image.

    Thresholds stay as they are: changing them would make masks different from those in the file.
    """
    if seg.diameter:
        settings.diameter = seg.diameter
    settings.channels = channels_of(seg) or settings.channels
    options = _normalization_of(seg)
    if options is None:
        return False
    settings.lower, settings.upper = (float(percent) for percent in options.percentile or (1.0, 99.0))
    settings.norm3D = bool(options.norm3D)
    for name in settings.filters():
        setattr(settings, name, getattr(options, name))
    return filters_something(settings.filters())


def _normalization_of(seg: Segmentation) -> Normalization | None:
    """The normalization in a file, with its filter; None: it states none that makes sense."""
    kept = seg.content.get("normalize_params")
    if not isinstance(kept, Mapping):
        return None
    names = (*SegmentationSettings().filters(), "norm3D")
    known = {name: kept[name] for name in names if kept.get(name) is not None}
    try:
        return Normalization.of({"norm3D": True, **known, "percentile": kept.get("percentile")})
    except OptionError:
        return None


def knows_flows(flows: Flows | None) -> bool:
    """Whether masks can be made from the flows."""
    return flows is not None and flows.dP is not None and flows.cellprob is not None


def flows_to_write(flows: Flows | None, shape: tuple[int, ...]) -> list[npt.NDArray[Any]]:
    """The three arrays for a file; zeros where unknown."""
    ndim = len(shape)
    if flows is None or flows.dP is None or flows.cellprob is None:
        empty = np.zeros(shape, np.float32)
        return [np.zeros((*shape, 3), np.uint8), np.zeros((ndim, *shape), np.float32), empty]
    rgb = np.zeros((*shape, 3), np.uint8) if flows.rgb is None else flows.rgb
    return [rgb[0] if ndim == 2 and rgb.ndim == 4 else rgb, flows.dP, flows.cellprob]
