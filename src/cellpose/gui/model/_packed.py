"""Labels stored for the history: small boxes uncompressed, large ones compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Packed"]

_LARGE = 2**16  # pixels; labels are constant over large areas, and compress to a hundredth


@dataclass(frozen=True, eq=False)
class Packed:
    """An array of int32 labels, compressed if large."""

    content: npt.NDArray[np.int32] | bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, labels: npt.NDArray[np.int32]) -> Packed:
        """Store a copy of the labels."""
        if labels.size < _LARGE:
            return cls(labels.copy(), labels.shape)
        import imagecodecs

        raw: Any = np.ascontiguousarray(labels)  # the array itself: its bytes would be another copy
        return cls(bytes(imagecodecs.zstd_encode(raw, level=1)), labels.shape)

    def unpacked(self) -> npt.NDArray[np.int32]:
        """The labels."""
        if not isinstance(self.content, bytes):
            return self.content
        import imagecodecs

        content = imagecodecs.zstd_decode(self.content, out=4 * int(np.prod(self.shape)))
        return np.frombuffer(content, np.int32).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.nbytes
