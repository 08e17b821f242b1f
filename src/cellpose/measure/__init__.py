"""Tables of cells: sizes, shapes, intensities, texture, neighbors, nuclei, spots and scores.

Names and values are those of scikit-image; the usual ones are computed by compiled kernels, many times faster.
"""

from __future__ import annotations

from cellpose._face.door import guard
from cellpose.measure._files import FileOptions, Measured, measure_file
from cellpose.measure._plots import plots_of
from cellpose.measure._relations import nuclei_in_cells
from cellpose.measure._report import report_of
from cellpose.measure._run import Run
from cellpose.measure._spots import find_spots
from cellpose.measure._table import GROUPS, table
from cellpose.measure._write import FORMATS, write_table

__all__ = [
    "FORMATS",
    "GROUPS",
    "FileOptions",
    "Measured",
    "Run",
    "find_spots",
    "measure_file",
    "nuclei_in_cells",
    "plots_of",
    "report_of",
    "table",
    "write_table",
]

guard(globals())
