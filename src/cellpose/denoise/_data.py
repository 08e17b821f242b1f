"""Clean images with the targets of their cells, from which restoration networks learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose import dynamics, io, transforms, utils
from cellpose._labels.kinds import label_plane
from cellpose.errors import InputError
from cellpose.io import FLOWS, SiblingFiles
from cellpose.utils import shares

__all__ = ["CleanImages", "clean_image"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CleanImages:
    """Images to degrade, in memory or in files.

    Attributes
    ----------
    images
        Each float32 (1, Y, X), not negative; None where files are given.
    targets
        Of each image float32 (3, Y, X): cell or not, flow along Y, flow along X.
    diameters
        Median diameter of the cells in pixels, one per image.
    probabilities
        How often each image is drawn; they sum to 1.
    files
        Paths of images that are read when they are drawn.
    """

    images: list[Floats] | None
    targets: list[Floats]
    diameters: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]
    files: list[Path] = field(default_factory=list)

    @classmethod
    def of(
        cls, images: Any, labels: Any, files: Any, probabilities: Any, *, diam_mean: float, role: str
    ) -> CleanImages | None:
        """The images of a training or a test set, in any accepted form; None where none were given.

        Raises
        ------
        InputError
            If images and labels do not belong together.
        FileReadError
            If flows of files cannot be read.
        """
        if images is None and files is None:
            return None
        if files is not None:
            paths = [Path(name) for name in files]
            beside, stems = SiblingFiles(), [str(path.with_suffix("")) for path in paths]
            found = [io.imread(beside.one_of(stem, (FLOWS,)) or stem + FLOWS) for stem in stems]
            names = [str(path) for path in paths]
        else:
            paths, found = [], labels
            names = [f"{role} image {index}" for index in range(len(images))]
        if found is None or len(found) != len(names):
            message = f"{len(names)} {role} images and {0 if found is None else len(found)} labels; give one per image"
            raise InputError(message)
        if not names:
            message = f"there are no {role} images; give at least one"
            raise InputError(message)
        planes = None if files is not None else [_plane(x, name) for x, name in zip(images, names, strict=True)]
        with_labels = [_with_labels(label, name) for label, name in zip(found, names, strict=True)]
        for plane, target, name in zip(planes or [], with_labels, names, strict=False):
            if plane.shape[1:] != target.shape[1:]:
                message = f"{name} has {plane.shape[1:]} pixels and its labels {target.shape[1:]}; they must be equal"
                raise InputError(message)
        diameters = np.array([utils.diameters(t[0].astype(np.int32))[0] for t in with_labels], np.float64)
        diameters[diameters == 0] = diam_mean
        drawn = shares(probabilities, len(names), f"{role}_probs")
        return cls(planes, [t[1:] for t in with_labels], diameters, drawn, paths)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)

    def draw(self, n: int | None) -> npt.NDArray[np.intp]:
        """Numbers of `n` images (None: as many as there are) from numpy's global generator, with repetition."""
        return np.random.choice(len(self), size=n or len(self), p=self.probabilities)  # noqa: NPY002

    def image(self, index: int) -> Floats:
        """One clean image, float32 (1, Y, X)."""
        if self.images is not None:
            return self.images[index]
        image = clean_image(io.imread(self.files[index]))
        if image.shape[1:] != self.targets[index].shape[1:]:
            message = (
                f"{self.files[index]} has {image.shape[1:]} pixels and its flows {self.targets[index].shape[1:]}; "
                "they must be equal: write the flows again"
            )
            raise InputError(message)
        return image


def clean_image(image: npt.NDArray[Any]) -> Floats:
    """The first channel of an image, (Y, X) or with channels first or last, 1st percentile 0 and 99th 1, not negative.

    Returns
    -------
    numpy.ndarray
        float32 (1, Y, X).
    """
    plane = image
    if image.ndim == 3:
        plane = image[0] if image.shape[0] <= min(image.shape[1:]) else image[..., 0]
    return np.maximum(transforms.normalize99(plane.astype(np.float32)), 0)[np.newaxis].astype(np.float32)


def _plane(image: Any, name: str) -> Floats:
    plane = np.asarray(image, np.float32)
    plane = plane[np.newaxis] if plane.ndim == 2 else plane[:1]
    if plane.ndim != 3:
        message = f"{name} has the shape {np.shape(image)}; images to restore are (Y, X) or (channels, Y, X)"
        raise InputError(message)
    return plane


def _with_labels(label: Any, name: str) -> Floats:
    """Labels, cell or not and flows, float32 (4, Y, X), from labels alone or from such flows."""
    try:
        targets = dynamics.labels_to_flows([label_plane(label)])[0]
    except InputError as error:
        message = f"{name}: {error}"
        raise InputError(message) from error
    return np.concatenate([targets[:1], targets[-3:]])  # without classes
