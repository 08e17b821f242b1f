"""The formats that hold cells: their names, endings, and who writes and reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cellpose._machine.reading import read_json
from cellpose.errors import FileReadError, OptionError
from cellpose.io._cells._cells import Cells
from cellpose.io._zarr import is_zarr, open_zarr

__all__ = ["FORMATS", "Format", "format_of"]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    name
        As ``--to`` and ``to=`` take it.
    endings
        Of its files, the first is the one that is written.
    what
        In words.
    module
        Of the functions ``write_<name>`` and, where it is read back, ``read_<name>``.
    reads
        Whether it is read back.
    stacks
        Whether it holds more than one plane.
    exact
        Whether the labels that are read back are those that were written, to the pixel.
    """

    name: str
    endings: tuple[str, ...]
    what: str
    module: str
    reads: bool = True
    stacks: bool = True
    exact: bool = True

    def write(self, path: Path, cells: Cells) -> None:
        """Write cells; an existing file is replaced."""
        self._function("write")(path, cells)

    def read(self, path: Path, shape: Sequence[int] | None = None, image: str | None = None) -> Cells:
        """Read cells; ``shape`` is used where the file does not state it."""
        cells: Cells = self._function("read")(path, shape, image)
        return cells

    def _function(self, what: str) -> Callable[..., Any]:
        module = import_module(f"cellpose.io._cells.{self.module}")
        function: Callable[..., Any] = getattr(module, f"{what}_{self.name.replace('-', '_')}")
        return function


_ALL = (
    Format("roi", ("_rois.zip", ".zip", ".roi"), "ImageJ ROIs along pixel borders", "_plain"),
    Format("geojson", (".geojson",), "GeoJSON for QuPath, with names, classes and measurements", "_plain"),
    Format("geojson-detections", ("_detections.geojson",), "the same as detections, for many cells", "_plain"),
    Format("coco", ("_coco.json", ".json"), "COCO with masks as run lengths", "_plain"),
    Format(
        "coco-polygons",
        ("_coco_polygons.json",),
        "COCO with masks as polygons, which have no holes",
        "_plain",
        exact=False,
    ),
    Format("csv", ("_outlines.csv", ".csv"), "a table of the corners of outlines", "_plain"),
    Format(
        "outlines", ("_cp_outlines.txt", ".txt"), "one line of pixels per cell", "_plain", stacks=False, exact=False
    ),
    Format("geoparquet", ("_cells.parquet", ".parquet", ".geoparquet"), "polygons for geopandas", "_spatial"),
    Format("spatialdata", ("_spatialdata.zarr",), "a store of SpatialData: labels, outlines, table", "_spatial"),
    Format("tif", ("_masks.tif", ".tif", ".tiff"), "a label image", "_label_files"),
    Format("png", ("_masks.png", ".png"), "a label image, of single planes", "_label_files", stacks=False),
    Format("seg", ("_seg.npy", ".npy"), "what the window opens", "_label_files"),
    Format("ome-zarr", ("_masks.ome.zarr", ".zarr"), "labels with colors and properties", "_label_files"),
    Format("svg", (".svg",), "a drawing", "_plain", reads=False, stacks=False, exact=False),
)

#: By their names.
FORMATS = {form.name: form for form in _ALL}


def format_of(path: Path, name: str | None = None, *, writing: bool) -> Format:
    """The format of a name, else of the ending of a file, or for ``.json`` of its content.

    Raises
    ------
    OptionError
        If there is none, or it cannot be read back.
    FileReadError
        If the content is none of ours.
    """
    if name is None and not writing and path.suffix.lower() == ".json":
        return FORMATS[_of_json(path)]
    if name is None and not writing and _is_spatialdata(path):
        return FORMATS["spatialdata"]
    form = FORMATS.get(name) if name is not None else _by_ending(path)
    if form is None:
        wanted = f"{name!r} is not a format" if name is not None else (f"the ending of {path} is not a known format")
        choices = ", ".join(f"{form.name} ({form.endings[0]})" for form in FORMATS.values() if writing or form.reads)
        message = f"{wanted}; choose one of {choices}"
        raise OptionError(message)
    if not writing and not form.reads:
        message = (
            f"{path} cannot be read back: {form.name} can only be written; read the masks, or GeoJSON or ROIs instead"
        )
        raise OptionError(message)
    return form


def _by_ending(path: Path) -> Format | None:
    lower = path.name.lower()
    fitting = [(len(end), form) for form in _ALL for end in form.endings if lower.endswith(end)]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _is_spatialdata(path: Path) -> bool:
    return is_zarr(path) and "spatialdata_attrs" in dict(open_zarr(path).attrs)


def _of_json(path: Path) -> str:
    content = read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return "coco"
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection")
    if isinstance(content, list) or (isinstance(content, dict) and content.get("type") in kinds):
        return "geojson"
    message = f"{path} is neither COCO nor GeoJSON: it has no annotations and no features; export the cells again"
    raise FileReadError(message)
