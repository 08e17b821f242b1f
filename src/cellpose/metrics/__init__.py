"""How well predicted labels agree with true ones."""

from __future__ import annotations

from cellpose._face.also import other_names
from cellpose._face.door import guard
from cellpose.metrics._boundary import boundary_scores
from cellpose.metrics._flow import flow_error
from cellpose.metrics._legacy import _intersection_over_union, _label_overlap, _true_positive
from cellpose.metrics._matching import aggregated_jaccard_index, average_precision, mask_ious

__all__ = [
    "_intersection_over_union",
    "_label_overlap",
    "_true_positive",
    "aggregated_jaccard_index",
    "average_precision",
    "boundary_scores",
    "flow_error",
    "mask_ious",
]

guard(globals())
__getattr__ = other_names("metrics")
