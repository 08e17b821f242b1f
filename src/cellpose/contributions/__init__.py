"""Segmentations contributed by others: a store for them, their checks, and models retrained on them.

Examples
--------
>>> import tempfile
>>> import numpy as np
>>> from cellpose.contributions import CONSENT, Provenance, Store, checked_pair
>>> image, labels = np.random.default_rng(0).random((64, 64)), np.zeros((64, 64), int)
>>> labels[10:30, 10:30] = 1
>>> fields = {"licence": "CC0-1.0", "consent": CONSENT, "contributor": "Ada", "source": "our microscope"}
>>> with tempfile.TemporaryDirectory() as folder:
...     store = Store(folder, create=True)
...     given = store.add(checked_pair(image, labels), Provenance.of(fields))
...     store.accept(given.id).role
'train'
"""

from __future__ import annotations

from cellpose._face.door import guard
from cellpose._machine.api import address_of
from cellpose.contributions._checks import (
    LEAST_DENSE,
    MOST_FILE_BYTES,
    Pair,
    annotated_share,
    checked_pair,
    read_pair,
)
from cellpose.contributions._gate import LEAST_TOLERANCE, Judgement, SourceScore, judge, tolerance_of
from cellpose.contributions._record import (
    ACCEPTED,
    CONSENT,
    LICENCES,
    RECEIVED,
    REJECTED,
    STATES,
    Contribution,
    Provenance,
)
from cellpose.contributions._retraining import Retraining, retrain, training_files
from cellpose.contributions._sending import send
from cellpose.contributions._store import DuplicateError, Store
from cellpose.contributions._versions import CURRENT, PUBLISHED, REFUSED, Version, Versions

__all__ = [
    "ACCEPTED",
    "CONSENT",
    "CURRENT",
    "LEAST_DENSE",
    "LEAST_TOLERANCE",
    "LICENCES",
    "MOST_FILE_BYTES",
    "PUBLISHED",
    "RECEIVED",
    "REFUSED",
    "REJECTED",
    "STATES",
    "Contribution",
    "DuplicateError",
    "Judgement",
    "Pair",
    "Provenance",
    "Retraining",
    "SourceScore",
    "Store",
    "Version",
    "Versions",
    "address_of",
    "annotated_share",
    "checked_pair",
    "judge",
    "read_pair",
    "retrain",
    "send",
    "tolerance_of",
    "training_files",
]

guard(globals())
