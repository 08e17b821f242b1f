"""Prepares in advance what the first picture needs.

The compiler takes half a CPU second to load its first kernel. This happens while the window waits for the user, or
before a picture reaches the main thread, never in the main thread itself.
"""

from __future__ import annotations

import threading

import numpy as np

from cellpose.gui.controllers._preload import importing
from cellpose.gui.model import Document, ViewState
from cellpose.gui.views._canvas import first_pixel, pixels_of
from cellpose.gui.views._renderer import render_settings

__all__ = ["warm", "warm_soon"]

_one_at_a_time = threading.Lock()
_warmed = threading.Event()


def warm(document: Document | None = None) -> None:
    """Draw a tiny image with a cell on the first call, and one pixel of a document.

    Other threads wait until this is done. The loop is compiled or loaded for each kind of array.
    """
    with _one_at_a_time:
        if not _warmed.is_set():
            with importing():
                import natsort  # noqa: F401 - sorts the images of a folder

                image, labels = np.zeros((1, 1, 2, 2), np.uint8), np.eye(2, dtype=np.int32)
                pixels_of(render_settings(Document(image, labels), ViewState()))
            _warmed.set()
        if document is not None:
            first_pixel(render_settings(document, ViewState()))


def warm_soon() -> None:
    """Run `warm` in the background."""
    threading.Thread(target=warm, name="warm", daemon=True).start()
