"""What the user set, for images whose files set nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from cellpose.gui.model import SegmentationSettings

__all__ = ["Wishes"]

_FIELDS = ("diameter", "channels", "lower", "upper", "norm3D")


class Wishes:
    """Settings that a file, or the channels of an image, change for this image only.

    Parameters
    ----------
    settings
        Those in effect; what is set in them is wished, except within `for_this_image`.
    """

    def __init__(self, settings: SegmentationSettings) -> None:
        self._settings = settings
        self._aside = False
        self._wished = {field: getattr(settings, field) for field in _FIELDS}
        for field in _FIELDS:
            getattr(settings.events, field).connect(partial(self._take, field), max_args=1)

    def _take(self, field: str, value: Any) -> None:
        if not self._aside:
            self._wished[field] = value

    @contextmanager
    def for_this_image(self) -> Iterator[None]:
        """Settings changed meanwhile hold for the open image only."""
        before, self._aside = self._aside, True
        try:
            yield
        finally:
            self._aside = before

    def restore(self) -> None:
        """Put the wished settings into effect, for another image."""
        with self.for_this_image():
            for field, value in self._wished.items():
                setattr(self._settings, field, value)

    def settings(self) -> SegmentationSettings:
        """A copy of the settings as wished."""
        return replace(self._settings, **self._wished)
