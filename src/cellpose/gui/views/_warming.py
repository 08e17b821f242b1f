"""What the first picture needs, made ready before it is asked for.

The compiler takes half a CPU second to load its first kernel. That is done while the window waits for the user, and
before a picture is handed to the main thread, never in it.
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
    """Draw a smallest image with a cell, the first time this is called, and a pixel of a document.

    Another thread waits until that is done. The loop is compiled, or loaded, for each kind of array.
    """
    with _one_at_a_time:
        if not _warmed.is_set():
            with importing():
                import natsort  # noqa: F401 - the images of a folder are put in order with it

                image, labels = np.zeros((1, 1, 2, 2), np.uint8), np.eye(2, dtype=np.int32)
                pixels_of(render_settings(Document(image, labels), ViewState()))
            _warmed.set()
        if document is not None:
            first_pixel(render_settings(document, ViewState()))


def warm_soon() -> None:
    """`warm` in the background."""
    threading.Thread(target=warm, name="warm", daemon=True).start()
