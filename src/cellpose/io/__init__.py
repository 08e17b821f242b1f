"""Files: finding images, reading them with their axes, writing and reading every result.

No input is trusted: sizes are checked before memory is allocated, and pickles may hold plain data only. No output is
ever half a file: results are written beside their target and replace it when complete.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose._machine.writing import replacing
from cellpose.io._axes import FileAxes, place_of_axis
from cellpose.io._bands import write_label_bands
from cellpose.io._cells import FORMATS as CELL_FORMATS
from cellpose.io._cells import Cells, geojson_of, read_cells, write_cells
from cellpose.io._cells import Format as CellFormat
from cellpose.io._cells import format_of as cell_format_of
from cellpose.io._cells._coco import images_in as images_in_coco
from cellpose.io._convert import array_identity, is_outdated_copy, tiff_layout, tiff_to_zarr
from cellpose.io._find import (
    FLOWS,
    LABELS_HASH,
    MASK_ENDINGS,
    SEG,
    TRACKED,
    SiblingFiles,
    get_image_files,
    get_label_files,
    is_result,
    labels_to_train_on,
    one_per_image,
)
from cellpose.io._ignored import IGNORED_KEY, regions_of, with_ignored
from cellpose.io._image import Image
from cellpose.io._label_image import holds_labels, read_labels, tell_of_no_labels, tell_of_planes_apart
from cellpose.io._lazy import LazyPlane, open_plane
from cellpose.io._legacy import (
    imread_3D,
    load_dax,
    masks_flows_to_seg,
    outlines_to_text,
    remove_model,
    save_to_png,
)
from cellpose.io._limits import available_memory, within_memory
from cellpose.io._log import logger_setup
from cellpose.io._manifest import MANIFEST_NAME, model_of, read_manifest, results_of_runs
from cellpose.io._models import add_model
from cellpose.io._npy import holds_objects, load_npy
from cellpose.io._ome_set import once_per_set
from cellpose.io._ome_zarr import OmeZarr, open_ome_zarr
from cellpose.io._ome_zarr_labels import finish_labels, labels_group, write_labels
from cellpose.io._ome_zarr_write import write_ome_zarr
from cellpose.io._output import (
    DEFAULT_SUFFIX,
    OutputPaths,
    groups_of_same_results,
    output_suffix,
    warn_of_same_results,
)
from cellpose.io._read import imread, imread_2D, open_image, read_image
from cellpose.io._results import save_masks
from cellpose.io._rois import save_rois, write_rois
from cellpose.io._scratch import is_large, roomy_zeros
from cellpose.io._seg import (
    VIEWS,
    Segmentation,
    image_places,
    keep_work,
    manual_change,
    name_to_keep,
    read_seg,
    write_seg,
)
from cellpose.io._seg_content import seg_content
from cellpose.io._training_data import load_file_list, load_images_labels, load_train_test_data
from cellpose.io._write import check_dir, imsave, smallest_labels, write_ome_tiff, write_text, write_tiff
from cellpose.io._zarr import create_array, is_zarr, open_zarr, zarr_library

__all__ = [
    "CELL_FORMATS",
    "DEFAULT_SUFFIX",
    "FLOWS",
    "GUI",
    "IGNORED_KEY",
    "LABELS_HASH",
    "MANIFEST_NAME",
    "MASK_ENDINGS",
    "MATPLOTLIB",
    "ND2",
    "NRRD",
    "SEG",
    "TRACKED",
    "VIEWS",
    "CellFormat",
    "Cells",
    "FileAxes",
    "Image",
    "LazyPlane",
    "OmeZarr",
    "OutputPaths",
    "Segmentation",
    "SiblingFiles",
    "add_model",
    "array_identity",
    "available_memory",
    "cell_format_of",
    "check_dir",
    "create_array",
    "finish_labels",
    "geojson_of",
    "get_image_files",
    "get_label_files",
    "groups_of_same_results",
    "holds_labels",
    "holds_objects",
    "image_places",
    "images_in_coco",
    "imread",
    "imread_2D",
    "imread_3D",
    "imsave",
    "is_large",
    "is_outdated_copy",
    "is_result",
    "is_zarr",
    "keep_work",
    "labels_group",
    "labels_to_train_on",
    "load_dax",
    "load_file_list",
    "load_images_labels",
    "load_npy",
    "load_train_test_data",
    "logger_setup",
    "manual_change",
    "masks_flows_to_seg",
    "model_of",
    "name_to_keep",
    "once_per_set",
    "one_per_image",
    "open_image",
    "open_ome_zarr",
    "open_plane",
    "open_zarr",
    "outlines_to_text",
    "output_suffix",
    "place_of_axis",
    "read_cells",
    "read_image",
    "read_labels",
    "read_manifest",
    "read_seg",
    "regions_of",
    "remove_model",
    "replacing",
    "results_of_runs",
    "roomy_zeros",
    "save_masks",
    "save_rois",
    "save_to_png",
    "seg_content",
    "smallest_labels",
    "tell_of_no_labels",
    "tell_of_planes_apart",
    "tiff_layout",
    "tiff_to_zarr",
    "warn_of_same_results",
    "with_ignored",
    "within_memory",
    "write_cells",
    "write_label_bands",
    "write_labels",
    "write_ome_tiff",
    "write_ome_zarr",
    "write_rois",
    "write_seg",
    "write_text",
    "write_tiff",
    "zarr_library",
]

guard(globals())

# whether an optional part is installed, by the names that scripts know
_FLAGS = {"GUI": "qtpy", "ND2": "bioio", "NRRD": "nrrd", "MATPLOTLIB": "matplotlib"}


def __getattr__(name: str) -> Any:
    if name in _FLAGS:
        return importlib.util.find_spec(_FLAGS[name]) is not None
    return other_names("io")(name)
