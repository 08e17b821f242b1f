"""The network's input for the open image: the raw image, the image with a filter, or a restored image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose.errors import InputError
from cellpose.gui._texts import tr
from cellpose.gui.model import Box, Document, Restored, SegmentationSettings
from cellpose.gui.model._images import scaled_as_whole
from cellpose.gui.model._picture import some_planes
from cellpose.gui.model._settings import filters_something
from cellpose.options import Normalization

__all__ = ["Source"]

_DEFAULT = (1.0, 99.0)  # percentiles; a restored image is already normalized by those of the settings


@dataclass(frozen=True, eq=False)
class Source:
    """An image, or a part of one, as input for segmentation.

    Parameters
    ----------
    stack
        (Z, C, Y, X), the part.
    whole
        The whole stack; None: ``stack`` is the whole.
    percentiles
        Percentiles of the whole, used to scale a part.
    size
        Height and width of the masks.
    options
        Keywords of ``eval``: ``diameter``, ``normalize``, ``channels``.
    told
        Its entries in the history of the file.
    """

    stack: npt.NDArray[Any]
    whole: npt.NDArray[Any] | None
    percentiles: tuple[float, float]
    size: tuple[int, ...]
    options: dict[str, Any]
    told: dict[str, Any]

    @classmethod
    def of(
        cls,
        document: Document,
        settings: SegmentationSettings,
        channels: tuple[int, int] | None,
        box: Box | None,
        coming: Mapping[str, Any] | None = None,
    ) -> Source:
        """The source for segmenting a document with these settings, or a part of it given by ``box``.

        ``coming`` are the parameters of a filter that the image is about to have, in place of what it has now.

        Raises
        ------
        CellposeError
            If settings make no sense, or if the restored channels are not those to segment.
        """
        restored = document.restored if coming is None else None
        planes, size = (slice(None),) * 3, document.labels.shape[1:]
        if box is not None:
            planes, size = box.slices, box.shape[1:]
        if restored is not None and restored.stack is not None:
            if channels != restored.channels and document.stack.shape[1] > 1:
                message = tr(
                    "the image was restored for {restored}, and {wanted} are to be segmented: restore it again, "
                    "or press none",
                    restored=_named(restored.channels),
                    wanted=_named(channels),
                )
                raise InputError(message)
            return cls._restored(restored, restored.stack, settings, channels, planes, size)
        # in a part with a filter, the filter sees only the part; a frame of a movie counts as a whole
        filters = coming if restored is None else restored.filters
        by_whole = box is not None and filters is None and size != document.labels.shape[1:]
        options = {
            "diameter": settings.diameter or None,
            "normalize": settings.normalization(filters),
            **({} if channels is None else {"channels": list(channels)}),
        }
        if by_whole:
            options["normalize"] = False
        z, y, x = planes
        whole, percentiles = document.stack[z] if by_whole else None, (settings.lower, settings.upper)
        told = {name: value for name, value in (filters or {}).items() if value}
        return cls(document.stack[z, :, y, x], whole, percentiles, size, options, told)

    @classmethod
    def _restored(
        cls,
        restored: Restored,
        stack: npt.NDArray[Any],
        settings: SegmentationSettings,
        channels: tuple[int, int] | None,
        planes: tuple[slice, ...],
        size: tuple[int, ...],
    ) -> Source:
        """A restored image as source: the chosen channels come first, and cells are larger by its ratio."""
        z, y, x = (restored.there(places, axis) for axis, places in enumerate(planes))
        part, whole = stack[z, :, y, x], stack[z]
        options = {
            "diameter": settings.diameter * restored.ratio or None,
            "normalize": Normalization() if part.shape == whole.shape else False,
            **({} if channels is None else {"channels": [0, 0] if channels[0] == 0 else [1, 2]}),
        }
        told = {"restore": restored.model, **({"ratio": restored.ratio} if restored.ratio != 1 else {})}
        return cls(part, None if part.shape == whole.shape else whole, _DEFAULT, size, options, told)

    def of_frame(self, document: Document, frame: int) -> Source:
        """The source for another frame of a movie, if this one is a whole frame."""
        restored = document.restored
        stack = document.stack if restored is None or restored.stack is None else restored.stack
        return replace(self, stack=stack[frame : frame + 1])

    def image(self) -> npt.NDArray[Any]:
        """The input ([Z,] Y, X, C), computed in any thread."""
        planes = self.stack if len(self.stack) > 1 else self.stack[0]
        given = np.moveaxis(planes, -3, -1)
        return given if self.whole is None else scaled_as_whole(given, self.whole, *self.percentiles)

    def plane(self, z: int) -> tuple[npt.NDArray[Any], Any]:
        """A plane of a volume (Y, X, C) and its normalization: scaled like the volume, unless filtered."""
        plane, normalize = np.moveaxis(self.stack[z], 0, -1), self.options["normalize"]
        if normalize is not False and (filters_something(asdict(normalize)) or not normalize.norm3D):
            return plane, normalize
        whole = some_planes(self.stack if self.whole is None else self.whole)
        return scaled_as_whole(plane, whole, *self.percentiles), False

    def at_image_size(self, masks: Any, flows: Any) -> tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]:
        """Masks and flows resized to the image, if a larger one was segmented."""
        found = [np.asarray(each) for each in flows[:3]]
        if np.shape(masks)[-2:] == self.size:
            return np.asarray(masks), found
        from cellpose.denoise import at_image_size

        return at_image_size(np.asarray(masks), self.size, found)


def _named(channels: tuple[int, int] | None) -> str:
    return (
        tr("all channels")
        if channels is None
        else tr("the channels {first} and {second}", first=channels[0], second=channels[1])
    )
