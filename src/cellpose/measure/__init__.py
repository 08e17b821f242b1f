"""Tables of cells: sizes, shapes, intensities, texture, neighbours, nuclei, spots and scores.

Names and values are those of scikit-image; the usual ones are computed by compiled kernels, many times faster.
"""

from __future__ import annotations

from cellpose._face.door import guard
from cellpose.measure._relations import nuclei_in_cells
from cellpose.measure._spots import find_spots
from cellpose.measure._table import GROUPS, table

__all__ = ["GROUPS", "find_spots", "nuclei_in_cells", "table"]

guard(globals())
