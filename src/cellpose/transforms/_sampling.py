"""New samples along one axis of an array as weighted sums of old ones, plane by plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Sampling"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sampling:
    """How the samples along an axis are made: sample ``i`` is ``sum(weights[i, k] * old[first[i] + k])``.

    Attributes
    ----------
    n
        Number of old samples.
    first
        Index of the first old sample that has weight, int64 (new samples,), ascending.
    weights
        Float32 (new samples, taps); each row adds up to 1.

    Examples
    --------
    >>> halves = Sampling.linear(2, 4)
    >>> halves.matrix
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """

    n: int
    first: npt.NDArray[np.int64]
    weights: Float32

    @classmethod
    def of_matrix(cls, matrix: npt.NDArray[np.floating[Any]]) -> Sampling:
        """From all weights, (new samples, old samples); rows are scaled to add up to 1."""
        count, n = matrix.shape
        inside = matrix != 0
        first = inside.argmax(axis=1)
        taps = int((n - inside[:, ::-1].argmax(axis=1) - first).max())
        first = np.minimum(first, n - taps)
        weights = np.take_along_axis(matrix, first[:, None] + np.arange(taps), axis=1)
        weights = weights / weights.sum(axis=1, keepdims=True)
        return cls(n, first.astype(np.int64), weights.astype(np.float32).reshape(count, taps))

    @classmethod
    def linear(cls, n: int, count: int) -> Sampling:
        """Linear interpolation between the centers of the old samples, as OpenCV does it; the ends are repeated."""
        if n == count:
            return cls(n, np.arange(n), np.ones((n, 1), np.float32))
        if n == 1:
            return cls(1, np.zeros(count, np.int64), np.ones((count, 1), np.float32))
        at = ((np.arange(count) + 0.5) * (n / count) - 0.5).clip(0, n - 1)
        first = np.minimum(np.floor(at).astype(np.int64), n - 2)
        part = (at - first).astype(np.float32)
        return cls(n, first, np.stack([1 - part, part], axis=1))

    @classmethod
    def cubic(cls, n: int, count: int) -> Sampling:
        """Cubic convolution at the positions of `linear`: sharper between the old samples; the ends are mirrored.

        It passes through the old samples, and follows curves that straight lines cut short (Keys, IEEE Transactions on
        Acoustics, Speech, and Signal Processing 29 (6), 1981, eq. 15).
        """
        return cls._of_kernel(n, count, _cubic_convolution)

    @classmethod
    def spline(cls, n: int, count: int) -> Sampling:
        """Cubic B-spline weights at the positions of `linear`; beyond the ends samples are mirrored.

        The weights of neighboring new samples differ little, so noise is damped by nearly the same factor everywhere
        (0.69 to 0.71 of its deviation). Linear interpolation damps it hardly at old samples (1) and much between them
        (0.71), which shows as stripes. The price is a blur of 0.58 old samples.
        """
        return cls._of_kernel(n, count, _cubic_b_spline)

    @classmethod
    def _of_kernel(
        cls, n: int, count: int, kernel: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    ) -> Sampling:
        """Weights of a kernel that reaches two old samples to each side."""
        at = (np.arange(count) + 0.5) * (n / count) - 0.5
        matrix = np.zeros((count, n))
        base = np.floor(at).astype(np.int64)
        for k in range(-1, 3):
            index = base + k
            np.add.at(matrix, (np.arange(count), _mirrored(index, n)), kernel(at - index))
        return cls.of_matrix(matrix)

    @classmethod
    def area(cls, n: int, count: int) -> Sampling:
        """The mean of the old samples, or parts of them, that lie under a new one; `linear` where it is not larger."""
        if count >= n:
            return cls.linear(n, count)
        edges = np.arange(count + 1) * (n / count)
        low = np.maximum(edges[:-1, None], np.arange(n))
        high = np.minimum(edges[1:, None], np.arange(n) + 1)
        covered = (high - low).clip(0)
        covered[covered < 1e-9] = 0  # the edges are rounded
        return cls.of_matrix(covered)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def same(self) -> bool:
        """Whether the new samples are the old ones."""
        return len(self) == self.n and self.weights.shape[1] == 1

    @cached_property
    def matrix(self) -> Float32:
        """All weights, float32 (new samples, old samples)."""
        matrix = np.zeros((len(self), self.n), np.float32)
        rows = np.arange(len(self))
        for k in range(self.weights.shape[1]):
            matrix[rows, self.first + k] += self.weights[:, k]
        return matrix

    @cached_property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which old samples have any weight."""
        used: npt.NDArray[np.bool_] = (self.matrix != 0).any(axis=0)
        return used

    def samples(self, old: Array, wanted: npt.NDArray[np.bool_] | None = None) -> Iterator[Float32]:
        """The new samples along the first axis of an array, in order; all, or those that are ``wanted``."""
        for i in range(len(self)):
            if wanted is None or wanted[i]:
                yield self._sample(old, i)

    def _sample(self, old: Array, i: int) -> Float32:
        first, weights = int(self.first[i]), self.weights[i]
        if len(weights) == 1:
            return np.asarray(old[first], np.float32)
        total: Float32 | None = None
        for k in np.flatnonzero(weights):
            part = np.asarray(old[first + k], np.float32) * weights[k]
            total = part if total is None else np.add(total, part, out=total)
        return np.zeros(old.shape[1:], np.float32) if total is None else total

    def apply(self, old: Array) -> Float32:
        """The new samples along the first axis of an array, float32."""
        if self.same:
            return np.asarray(old, np.float32)
        flat = np.ascontiguousarray(old, np.float32).reshape(self.n, -1)
        return np.asarray(self.matrix @ flat).reshape(len(self), *old.shape[1:])


def _mirrored(index: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Indices beyond the ends, mirrored at the outer faces of the first and the last sample."""
    index = np.mod(index, 2 * n)
    return np.where(index < n, index, 2 * n - 1 - index)


def _cubic_convolution(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    t = np.abs(t)
    near = 1 - 2.5 * t**2 + 1.5 * t**3
    far = 2 - 4 * t + 2.5 * t**2 - 0.5 * t**3
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def _cubic_b_spline(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The centered cubic B-spline (Unser, IEEE Signal Processing Magazine 16 (6), 1999, eq. 3)."""
    t = np.abs(t)
    near = 2 / 3 - t**2 + t**3 / 2
    far = (2 - t).clip(0) ** 3 / 6
    return np.where(t < 1, near, far)
