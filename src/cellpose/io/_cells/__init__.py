"""Cells as other programs keep them: outlines along the borders of pixels, run lengths, tables; read back to labels."""

from __future__ import annotations

from cellpose.io._cells._cells import Cells
from cellpose.io._cells._files import read_cells, write_cells
from cellpose.io._cells._formats import FORMATS, Format, format_of
from cellpose.io._cells._geojson import geojson_of

__all__ = ["FORMATS", "Cells", "Format", "format_of", "geojson_of", "read_cells", "write_cells"]
