"""A map of style vectors.

The style of an image is the direction of the mean feature vector of the deepest level of a U-Net (Stringer et al.,
Nature Methods 18, 100, 2021; a map of them is in Extended Data Fig. 7). Images that look alike have styles that point
the same way, so distances are those of directions: one minus the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.errors import InputError, OptionError

__all__ = ["StyleMap", "style_map", "to_annotate", "unlikeness"]

Floats = npt.NDArray[np.float64]

_METHODS = ("tsne", "pca")
_FEWEST_FOR_TSNE = 8  # images; fewer have no neighborhoods
_NEIGHBORS = 3  # neighbors whose distance says how unlike the rest an image is
_UNLIKE = 3.5  # median absolute deviations above the median


@dataclass(frozen=True, eq=False)
class StyleMap:
    """Images by their styles.

    Attributes
    ----------
    positions
        Float64 (n, 2): x and y of each image, about -1 to 1. Near images are alike; axes mean nothing.
    unlikeness
        Float64 (n,): distance to the nearest others in units of the usual distance, see `unlikeness`.
    unusual
        Places of the images that are unlike the rest, the most unlike first.
    method
        ``"tsne"`` or ``"pca"``.
    """

    positions: Floats
    unlikeness: Floats
    unusual: npt.NDArray[np.int64]
    method: str


def style_map(styles: npt.ArrayLike, method: str | None = None, seed: int = 0) -> StyleMap:
    """A map of images by their styles.

    Parameters
    ----------
    styles
        Style vectors ``(n, length)``, as ``eval`` returns them, one per image.
    method
        ``"tsne"``: neighbors stay neighbors (van der Maaten and Hinton, JMLR 9, 2579, 2008); ``"pca"``: the two
        directions in which styles differ most; None: t-SNE from 8 images on.
    seed
        Of the random numbers of t-SNE; the same seed gives the same map.

    Raises
    ------
    InputError
        If the styles are no finite vectors, or all zero: transformers have no style.
    OptionError
        If the method is unknown.
    MissingExtraError
        If scikit-learn is not installed, and t-SNE is wanted.

    Examples
    --------
    >>> alike = np.eye(16)[[0] * 5 + [3] * 5] + 0.01 * np.arange(10)[:, None]
    >>> found = style_map(alike, "pca")
    >>> found.positions.shape, found.method
    ((10, 2), 'pca')
    """
    vectors = _directions(styles)
    if method is not None and method not in _METHODS:
        message = f"method={method!r} is not allowed; choose {', '.join(_METHODS)}"
        raise OptionError(message)
    chosen = method or ("tsne" if len(vectors) >= _FEWEST_FOR_TSNE else "pca")
    positions = _tsne(vectors, seed) if chosen == "tsne" else _pca(vectors)
    distances = unlikeness(vectors)
    unusual = np.flatnonzero(distances > _UNLIKE)
    return StyleMap(_scaled(positions), distances, unusual[np.argsort(-distances[unusual])], chosen)


def unlikeness(styles: npt.ArrayLike) -> Floats:
    """How unlike the rest each image is.

    The mean distance (one minus the cosine) to the three nearest others, as median absolute deviations above the median
    of all images; above 3.5 an image is unlike the rest.

    Parameters
    ----------
    styles
        Style vectors ``(n, length)``.

    Returns
    -------
    float64 array (n,)
    """
    vectors = _directions(styles)
    n = len(vectors)
    if n < 3:
        return np.zeros(n)
    apart = _apart(vectors)
    np.fill_diagonal(apart, np.inf)
    nearest = np.sort(apart, axis=1)[:, : min(_NEIGHBORS, n - 1)].mean(axis=1)
    usual = np.median(nearest)
    # at least a tenth of the usual distance: images that are all alike have no outliers
    deviation = max(1.4826 * float(np.median(np.abs(nearest - usual))), 0.1 * float(usual), 1e-12)
    result: Floats = (nearest - usual) / deviation
    return result


def to_annotate(styles: npt.ArrayLike, count: int, doubt: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
    """Which images to annotate first: spread over the map, and those that the model doubts before others.

    The first is the one that is doubted most (without doubts: the one nearest to all others). Each next one is as far
    as possible, times one plus its doubt, from those that are chosen.

    Parameters
    ----------
    styles
        Style vectors ``(n, length)``.
    count
        How many images to propose, at most ``n``.
    doubt
        0 to 1 for each image, such as one minus the mean score of its cells; NaN: nothing is known.

    Returns
    -------
    int64 array (min(count, n),)
        Places of the images, the first one first.

    Examples
    --------
    >>> to_annotate(np.eye(4)[[0, 0, 0, 1, 1, 2]], 3).tolist()
    [0, 3, 5]
    """
    vectors = _directions(styles)
    if count < 1:
        message = f"count={count!r} is not allowed; give the number of images to propose, 1 or more"
        raise OptionError(message)
    weights = np.zeros(len(vectors)) if doubt is None else np.nan_to_num(np.asarray(doubt, float), nan=0.5)
    if weights.shape != (len(vectors),):
        message = f"doubt of shape {weights.shape} does not fit {len(vectors)} styles; give one number per image"
        raise InputError(message)
    apart = _apart(vectors)
    first = int(apart.mean(axis=1).argmin()) if doubt is None else int(weights.argmax())
    chosen, nearest = [first], apart[first].copy()
    while len(chosen) < min(count, len(vectors)):
        worth = (nearest + 1e-9) * (1 + np.clip(weights, 0, 1))
        worth[chosen] = -1
        chosen.append(int(worth.argmax()))
        nearest = np.minimum(nearest, apart[chosen[-1]])
    return np.array(chosen)


def _directions(styles: npt.ArrayLike) -> Floats:
    """Unit vectors ``(n, length)``."""
    vectors = np.asarray(styles, np.float64)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        message = f"styles of shape {vectors.shape} are not style vectors; give (images, length), finite numbers"
        raise InputError(message)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.any():
        message = "all styles are zero: this model has none (no transformer has); use a U-Net, such as generalist"
        raise InputError(message)
    directions: Floats = vectors / np.maximum(lengths, 1e-12)
    return directions


def _apart(vectors: Floats) -> Floats:
    """One minus the cosine between each two vectors, (n, n)."""
    apart: Floats = np.clip(1 - vectors @ vectors.T, 0, 2)
    return apart


def _pca(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    positions = np.zeros((len(vectors), 2))
    kept = min(2, s.size)
    # the sign of a component is arbitrary: the largest is positive, on any machine
    signs = np.sign(u[np.abs(u[:, :kept]).argmax(axis=0), np.arange(kept)])
    positions[:, :kept] = u[:, :kept] * s[:kept] * signs
    return positions


def _tsne(vectors: Floats, seed: int) -> Floats:
    manifold = optional("sklearn.manifold", "measure", "make a map by t-SNE (or use the method pca)")
    perplexity = min(30.0, max(2.0, (len(vectors) - 1) / 3))
    start = _pca(vectors)
    start *= 1e-4 / max(float(start.std()), 1e-12)
    tsne = manifold.TSNE(metric="cosine", init=start, perplexity=perplexity, random_state=seed)
    return np.asarray(tsne.fit_transform(vectors), np.float64)


def _scaled(positions: Floats) -> Floats:
    """Each axis scaled to -1..1: axes mean nothing, and the map should be filled."""
    centred = positions - (positions.max(axis=0) + positions.min(axis=0)) / 2
    largest = np.abs(centred).max(axis=0, initial=0)
    scaled: Floats = centred / np.where(largest > 0, largest, 1)
    return scaled
