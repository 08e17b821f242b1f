"""Names of utils that older scripts call; nothing of the package itself does."""

from __future__ import annotations

import os
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellpose._labels.arrays import as_labels, bounding_boxes
from cellpose._labels.check import Labels, check_labels, each_plane
from cellpose._machine.connect import announced_length, opener, pieces
from cellpose._machine.writing import replacing
from cellpose._version import version
from cellpose.errors import DownloadError, OptionError
from cellpose.utils._outlines import contours
from cellpose.utils._outlines._outlines import outlines_list

__all__ = [
    "dilate_masks",
    "distance_to_boundary",
    "download_url_to_file",
    "get_outline_multi",
    "masks_to_edges",
    "outlines_list_multi",
    "outlines_list_single",
]


_TIMEOUT_S = 60


def download_url_to_file(url: str, dst: str | os.PathLike[str], progress: bool = True) -> None:
    """Download a file; `dst` appears only when it is complete.

    Parameters
    ----------
    url
        An ``https://`` or ``http://`` address. Certificates are verified.
    dst
        Path of the file; an existing one is replaced.
    progress
        Show a progress bar.

    Raises
    ------
    OptionError
        If `url` or `dst` is of another kind.
    DownloadError
        If the server cannot be reached or refuses; sends nothing, a web page instead of the file, or less than it
        announced; `dst` is untouched then.
    FileWriteError
        If `dst` cannot be written.
    """
    if not isinstance(url, str) or not url.lower().startswith(("https://", "http://")):
        message = f"url={url!r} is not allowed; it must start with https:// or http://"
        raise OptionError(message)
    if not isinstance(dst, (str, os.PathLike)):
        message = f"dst={dst!r} is not allowed; it must be the path of a file"
        raise OptionError(message)
    target = Path(dst).expanduser()
    with replacing(target) as file:
        _fetch(url, file, target.name, progress)


def _fetch(url: str, file: BinaryIO, label: str, progress: bool) -> None:
    """Write what a server sends to an open file."""
    from tqdm import tqdm

    with _open(url) as response:
        total = announced_length(response)
        _check_kind(response, url, label)
        arriving = pieces(response, _TIMEOUT_S)
        with tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
            while True:
                try:
                    piece = next(arriving, b"")
                except (OSError, HTTPException, ValueError) as error:
                    raise _failure(url, error) from error
                if not piece:
                    break
                file.write(piece)
                bar.update(len(piece))
    if not file.tell() or (total is not None and file.tell() != total):
        message = f"{url} sent {file.tell()} of {'an unknown number of' if total is None else total} bytes; try again"
        raise DownloadError(message)


def _open(url: str) -> Any:
    headers = {"User-Agent": f"cellpose/{version}", "Accept-Encoding": "identity"}
    try:
        return opener().open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _failure(url, error) from error


def _failure(url: str, error: Exception) -> DownloadError:
    return DownloadError(f"could not download {url}: {error}. Check the address and the network, then try again")


def _check_kind(response: Any, url: str, name: str) -> None:
    """Refuse an answer that is not the file: an empty one, an unexpected web page, or a compressed one."""
    headers = response.headers
    kind = str(headers.get("Content-Type") or "").strip().lower()
    packed = str(headers.get("Content-Encoding") or "identity").strip().lower() != "identity"
    is_page = kind.startswith(("text/html", "application/xhtml")) and not name.lower().endswith((".html", ".htm"))
    if response.status == 200 and not packed and not is_page:
        return
    found = "a web page" if is_page else f"an answer of status {response.status}" if not packed else "a packed file"
    message = f"{url} sent {found} instead of {name}; check the address, and whether the network requires a login"
    raise DownloadError(message)


_SQUARE = np.ones((3, 3), np.uint8)


def distance_to_boundary(masks: ArrayLike) -> NDArray[np.float64]:
    """Squared distance of each pixel to the outline of its own label.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background; a volume is done plane by plane.

    Returns
    -------
    ndarray
        float64, same shape, in pixels squared; 0 on outlines and in the background.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.

    Examples
    --------
    >>> masks = np.zeros((5, 5), np.uint16)
    >>> masks[:] = 1
    >>> distance_to_boundary(masks)[2].tolist()
    [0.0, 1.0, 4.0, 1.0, 0.0]
    """
    labels = as_labels(check_labels(masks))
    distances = np.zeros(labels.shape)
    for plane, out in zip(each_plane(labels), each_plane(distances), strict=True):
        border = contours(plane).border
        for label, box in _boxes(plane):
            inside = plane[box] == label
            away = (~(border[box] & inside)).view(np.uint8)
            # exact up to the rounding of float32, and a squared distance between pixels is a whole number
            distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
            out[box][inside] = np.rint(distance[inside] ** 2)
    return distances


def _boxes(plane: Labels) -> list[tuple[int, tuple[slice, ...]]]:
    """Labels present, in ascending order, with their boxes."""
    boxes = bounding_boxes(plane)
    present = np.flatnonzero(boxes[:, 0, 1])
    return [(int(k) + 1, tuple(slice(int(a), int(b)) for a, b in boxes[k])) for k in present]


def masks_to_edges(masks: ArrayLike, threshold: float = 1.0) -> NDArray[np.bool_]:
    """Pixels of the labels that are close to their outlines.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background.
    threshold
        Squared distance (pixels squared) below which a pixel counts; 1 gives the outlines themselves.

    Returns
    -------
    ndarray
        bool, same shape.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.
    """
    return (distance_to_boundary(masks) < threshold) & (check_labels(masks) > 0)


def dilate_masks(masks: ArrayLike, n_iter: int = 5) -> NDArray[Any]:
    """Labels dilated by a 3 x 3 square, again and again.

    In each round the labels take their turn in ascending order and may take what is background, or belongs to others;
    later ones take it back. So labels that touch push each other by at most a pixel per round, and one that is thinner
    than three pixels can vanish between its neighbors.

    Parameters
    ----------
    masks
        Labels (Ly, Lx) or (Lz, Ly, Lx), 0 is background; a volume is done plane by plane.
    n_iter
        Rounds; each adds a rim of one pixel.

    Returns
    -------
    ndarray
        Same shape and dtype as `masks`.

    Raises
    ------
    InputError
        If `masks` is not a label image of two or three dimensions.
    OptionError
        If `n_iter` is negative or no whole number.

    Examples
    --------
    >>> masks = np.array([[0, 0, 0, 0, 0], [0, 3, 0, 0, 0]])
    >>> dilate_masks(masks, n_iter=1)
    array([[3, 3, 3, 0, 0],
           [3, 3, 3, 0, 0]])
    """
    if not isinstance(n_iter, (int, np.integer)) or n_iter < 0:
        message = f"n_iter={n_iter} is not allowed; give a number of rounds, 0 or more"
        raise OptionError(message)
    labels = check_labels(masks).copy()
    for plane in each_plane(labels):
        for _ in range(n_iter):
            before = plane.copy()
            _dilate_once(plane)
            if np.array_equal(plane, before):  # no pixel is left to take
                break
    dilated: NDArray[Any] = labels.astype(np.asarray(masks).dtype, copy=False)
    return dilated


def _dilate_once(plane: Labels) -> None:
    """One round of dilation, in place."""
    dense = as_labels(plane)
    numbers = np.unique(plane[plane > 0]) if dense is not plane else None
    boxes = _boxes(dense)
    for k, (position, (rows, cols)) in enumerate(boxes):
        label = position if numbers is None else numbers[k]
        # a label grows only in its turn, so it is still inside its box
        box = (slice(max(0, rows.start - 1), rows.stop + 1), slice(max(0, cols.start - 1), cols.stop + 1))
        crop = plane[box]
        crop[cv2.dilate((crop == label).view(np.uint8), _SQUARE) > 0] = label


def outlines_list_single(masks: ArrayLike) -> list[NDArray[np.int64]]:
    """Outline of every label as a list of points: :func:`outlines_list`, under a name that scripts use."""
    return outlines_list(masks)


def outlines_list_multi(masks: ArrayLike, num_processes: int | None = None) -> list[NDArray[np.int64]]:
    """Outline of every label as a list of points: :func:`outlines_list`; `num_processes` has no effect."""
    return outlines_list(masks)


def get_outline_multi(args: tuple[ArrayLike, int]) -> NDArray[np.int64]:
    """Outline of one label.

    Parameters
    ----------
    args
        ``(masks, label)``, labels (Ly, Lx) and the label wanted.

    Returns
    -------
    ndarray
        As one item of :func:`outlines_list`; (0, 2) where the label is absent.
    """
    masks, label = args
    found = outlines_list(check_labels(masks, ndim=(2,)) == label)
    return found[0] if found else np.zeros((0, 2), np.int64)
