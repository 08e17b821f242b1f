"""Synthetic images of cells with their true masks: for training, tests, demonstrations.

``sample`` makes an image of a kind. Underneath, ``populate`` makes a scene (labels, nuclei) of a ``Population``, a
rendering such as ``phase_contrast`` turns it into light, ``expose`` into pixels through ``Optics``. All chance comes
from one generator, so the same seed gives the same pixels.
"""

from __future__ import annotations

from cellpose.synthetic._camera import Optics, expose
from cellpose.synthetic._device import DEVICES, add_device
from cellpose.synthetic._fluorescence import cytoplasm, membrane, nuclei
from cellpose.synthetic._mingle import mingle
from cellpose.synthetic._movie import Movie, sample_movie
from cellpose.synthetic._population import FORMS, Population
from cellpose.synthetic._sample import KINDS, Sample, sample
from cellpose.synthetic._scene import Scene, add_nuclei, populate
from cellpose.synthetic._stained import electron, stained_tissue
from cellpose.synthetic._transmitted import brightfield, dic, phase_contrast, quantitative_phase
from cellpose.synthetic._volume import VOLUME_KINDS, sample_volume

__all__ = [
    "DEVICES",
    "FORMS",
    "KINDS",
    "VOLUME_KINDS",
    "Movie",
    "Optics",
    "Population",
    "Sample",
    "Scene",
    "add_device",
    "add_nuclei",
    "brightfield",
    "cytoplasm",
    "dic",
    "electron",
    "expose",
    "membrane",
    "mingle",
    "nuclei",
    "phase_contrast",
    "populate",
    "quantitative_phase",
    "sample",
    "sample_movie",
    "sample_volume",
    "stained_tissue",
]
