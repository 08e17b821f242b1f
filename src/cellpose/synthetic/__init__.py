"""Synthetic images of cells with their true masks: for training, tests, demonstrations.

Shapes make a scene (labels, nuclei), a rendering turns it into light, a camera into pixels. All chance comes from one
generator, so the same seed gives the same pixels.
"""

from __future__ import annotations

from cellpose.synthetic._camera import Optics, expose
from cellpose.synthetic._population import FORMS, Population
from cellpose.synthetic._sample import KINDS, Sample, sample
from cellpose.synthetic._scene import Scene, add_nuclei, populate
from cellpose.synthetic._volume import VOLUME_KINDS, sample_volume

__all__ = [
    "FORMS",
    "KINDS",
    "VOLUME_KINDS",
    "Optics",
    "Population",
    "Sample",
    "Scene",
    "add_nuclei",
    "expose",
    "populate",
    "sample",
    "sample_volume",
]
