"""Planes that do not fit in memory: rows stream through the network, flows are followed block by block."""

from __future__ import annotations

from cellpose.models._large._memory import MemoryEstimate, estimate_memory
from cellpose.models._large._run import LargeResult, segment_large
from cellpose.models._large._stream import output_rows

__all__ = ["LargeResult", "MemoryEstimate", "estimate_memory", "output_rows", "segment_large"]
