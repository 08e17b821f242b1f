"""The table of the cells of an image."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellpose._machine.optional import optional
from cellpose.errors import InputError, OptionError
from cellpose.measure._intensity import INTENSITIES, Intensities
from cellpose.measure._regions import Regions, find_regions
from cellpose.measure._relations import border_columns, neighbor_columns, nucleus_columns
from cellpose.measure._shape import PLANAR_SHAPES, SHAPES, Shapes
from cellpose.measure._spots import spot_columns
from cellpose.measure._units import sides_um, with_units

__all__ = ["GROUPS", "table"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]

_SHAPE = (
    "area", "bbox", "centroid", "equivalent_diameter_area", "axis_major_length", "axis_minor_length", "eccentricity",
    "orientation", "extent", "perimeter", "perimeter_crofton", "area_convex", "solidity", "area_filled",
    "feret_diameter_max", "euler_number",
)  # fmt: skip
_INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_median", "intensity_max", "intensity_sum")

#: Groups of columns that `table` computes, by name.
GROUPS = ("shape", "intensity", "border", "neighbors", "texture")

# Older scikit-image names, which scripts still use.
_OLDER = {
    "bbox_area": "area_bbox",
    "convex_area": "area_convex",
    "equivalent_diameter": "equivalent_diameter_area",
    "filled_area": "area_filled",
    "local_centroid": "centroid_local",
    "major_axis_length": "axis_major_length",
    "max_intensity": "intensity_max",
    "mean_intensity": "intensity_mean",
    "min_intensity": "intensity_min",
    "minor_axis_length": "axis_minor_length",
    "std_intensity": "intensity_std",
    "weighted_centroid": "centroid_weighted",
    "weighted_local_centroid": "centroid_weighted_local",
}


def table(
    labels: npt.ArrayLike,
    image: npt.ArrayLike | None = None,
    properties: Sequence[str] | None = None,
    *,
    pixel_size_um: float | Sequence[float] | None = None,
    nuclei: npt.ArrayLike | None = None,
    spots: npt.ArrayLike | None = None,
    spots_channel: int | None = None,
    flows: Sequence[Any] | None = None,
    model: str | os.PathLike[str] | None = None,
    as_frame: bool = False,
) -> Any:
    """Measure the cells of an image: a table with one row for each label.

    Names and values are those of `skimage.measure.regionprops_table`, in pixels; names of columns in micrometers
    contain um. Columns that are not implemented here come from scikit-image, if it is installed.

    Parameters
    ----------
    labels
        Label image ``(Y, X)`` or ``(Z, Y, X)``, 0 is background; numbers may have gaps.
    image
        Intensities of the same shape, or with channels as a further, last axis. Columns of intensity are then
        ``intensity_mean-0``, ``intensity_mean-1`` ... for the channels.
    properties
        Names of columns as in scikit-image, also older ones such as "mean_intensity", and of groups: "shape",
        "intensity", "border", "neighbors", "texture". None: all groups but texture.
    pixel_size_um
        Pixel size in micrometers, or one size for each axis of ``labels``: adds columns ``area_um2`` (``volume_um3`` in
        stacks), ``perimeter_um`` and so on.
    nuclei
        Labels of nuclei in the same image: adds ``nuclei_count``, ``nucleus_label``, ``nuclei_area``,
        ``nuclei_area_share``, and with an image the mean intensity in nucleus and cytoplasm. See `nuclei_in_cells`.
    spots
        Spots as `find_spots` returns them: adds ``spots_count``, ``spots_density`` (per pixel), ``spots_sigma`` and,
        with ``spots_channel``, ``spots_intensity``.
    spots_channel
        Channel, counted from 0, in which the intensity of spots is measured.
    flows
        The flows that ``eval`` returns, or the pair of flows and cell probability: adds ``flow_error``, ``probability``
        and ``score``, see `cellpose.dynamics.cell_scores`.
    model
        Name or file of the model that made ``flows``: adds ``correct``, the probability that a cell is correct, if the
        model has a reliability curve, as the bundled ones do.
    as_frame
        Return a pandas DataFrame.

    Returns
    -------
    dict of arrays (number of labels,), or DataFrame
        ``label`` first, ascending.

    Raises
    ------
    InputError
        If shapes do not match.
    OptionError
        If a column is unknown, or does not exist for these labels.
    MissingExtraError
        If a column needs a library that is not installed.

    Examples
    --------
    >>> cells = np.zeros((6, 8), int); cells[1:4, 1:5] = 3; cells[5, 6] = 9
    >>> columns = table(cells, cells * 2.0, ["area", "centroid", "mean_intensity"])
    >>> {name: column.tolist() for name, column in columns.items()}
    {'label': [3, 9], 'area': [12.0, 1.0], 'centroid-0': [2.0, 5.0], 'centroid-1': [2.5, 6.0],
     'mean_intensity': [6.0, 18.0]}
    """
    regions = find_regions(labels)
    channels, several = _channels(regions, image)
    spacing_um = sides_um(pixel_size_um, regions.ndim)
    shapes = Shapes(regions, (1.0,) * regions.ndim)
    columns: Columns = {"label": regions.ids}
    wanted = _wanted(properties, regions.ndim, with_image=image is not None)
    intensities = None if channels is None else Intensities(regions, channels, (1.0,) * regions.ndim)
    from_scikit: list[str] = []
    for name in wanted:
        _add(columns, name, shapes, intensities, spacing_um, several=several, from_scikit=from_scikit)
    if from_scikit:
        columns |= _by_scikit_image(regions, None if channels is None else image, from_scikit)
    columns |= _extras(regions, channels, nuclei, spots, spots_channel, several=several)
    if flows is not None:
        from cellpose.measure._scores import score_columns

        columns |= score_columns(regions, *_pair(flows), model)
    if spacing_um is not None:
        columns = with_units(columns, shapes, spacing_um)
    return _frame(columns) if as_frame else columns


def _channels(regions: Regions, image: npt.ArrayLike | None) -> tuple[Array | None, bool]:
    """The image with its channels last, and whether they are an axis of their own."""
    if image is None:
        return None, False
    array = np.asarray(image)
    shape = regions.image.shape
    if array.dtype.kind not in "biuf":
        message = f"image of dtype {array.dtype} cannot be measured; give numbers"
        raise InputError(message)
    if array.shape == shape:
        return array[..., np.newaxis], False
    if array.shape[:-1] == shape:
        return array, True
    message = (
        f"image of shape {array.shape} does not fit labels of shape {shape}; give the same shape, or one more axis "
        f"for the channels at the end{_moved(array.shape, shape)}"
    )
    raise InputError(message)


def _moved(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    first = given[1:] == shape
    return ": numpy.moveaxis(image, 0, -1) puts channels that come first there" if first else ""


def _wanted(properties: Sequence[str] | None, ndim: int, *, with_image: bool) -> list[str]:
    """The single columns and groups that are asked for, in their order."""
    if isinstance(properties, str):
        properties = [properties]
    if properties is None:
        properties = ["shape", *(["intensity"] if with_image else []), "border", "neighbors"]
    names: list[str] = []
    for name in properties:
        if name == "shape":
            names += [one for one in _SHAPE if one in SHAPES or ndim == 2]
        elif name == "intensity":
            names += _INTENSITY
        else:
            names.append(name)
    return list(dict.fromkeys(name for name in names if name != "label"))


def _add(
    columns: Columns,
    name: str,
    shapes: Shapes,
    intensities: Intensities | None,
    spacing_um: tuple[float, ...] | None,
    *,
    several: bool,
    from_scikit: list[str],
) -> None:
    known = _OLDER.get(name, name)
    planar = shapes.regions.ndim == 2
    if known in INTENSITIES or known == "texture":
        if intensities is None:
            message = f"{name} needs an image; give it as the second argument"
            raise InputError(message)
        if known == "texture":
            from cellpose.measure._texture import texture_columns

            for key, column in texture_columns(intensities.regions, intensities.channels).items():
                columns |= split(key, column, channels=True, several=several)
        else:
            columns |= split(name, INTENSITIES[known](intensities), channels=True, several=several)
    elif known == "border":
        columns |= border_columns(shapes.regions)
    elif known == "neighbors":
        columns |= neighbor_columns(shapes, spacing_um)
    elif known in SHAPES or (planar and known in PLANAR_SHAPES):
        columns |= split(name, (SHAPES | PLANAR_SHAPES)[known](shapes))
    else:
        from_scikit.append(name)


def split(name: str, column: Array, *, channels: bool = False, several: bool = False) -> Columns:
    """Columns ``name-0``, ``name-1`` ... (with two axes ``name-0-0`` ...) of what has several numbers per label."""
    if channels and not several:
        column = column[..., 0]
    if column.ndim == 1:
        return {name: column}
    flat = column.reshape(len(column), math.prod(column.shape[1:]))
    places = np.ndindex(*column.shape[1:])
    return {"-".join([name, *map(str, place)]): flat[:, k] for k, place in enumerate(places)}


def _by_scikit_image(regions: Regions, image: npt.ArrayLike | None, names: list[str]) -> Columns:
    scikit_image = optional("skimage.measure", "measure", f"measure {', '.join(names)}")
    labels, array = regions.image, None if image is None else np.asarray(image)
    if not regions.n:  # the names of columns depend on their shapes, which a cell shows
        labels = np.ones((4,) * regions.ndim, np.int32)
        array = None if array is None else np.ones((*labels.shape, *array.shape[regions.ndim :]), array.dtype)
    try:
        found = scikit_image.regionprops_table(
            labels, array, properties=tuple(_OLDER.get(name, name) for name in names)
        )
    except (AttributeError, NotImplementedError) as error:
        known = sorted({*SHAPES, *(PLANAR_SHAPES if regions.ndim == 2 else ()), *INTENSITIES} - {"label"})
        message = (
            f"columns {', '.join(names)} do not exist for {regions.ndim}D labels ({error}); choose groups "
            f"({', '.join(GROUPS)}), {', '.join(known)}, or a property of skimage.measure.regionprops"
        )
        raise OptionError(message) from error
    return {name: column[: regions.n] for name, column in found.items()}


def _extras(
    regions: Regions,
    channels: Array | None,
    nuclei: npt.ArrayLike | None,
    spots: npt.ArrayLike | None,
    spots_channel: int | None,
    *,
    several: bool,
) -> Columns:
    columns: Columns = {}
    if nuclei is not None:
        columns, own = nucleus_columns(regions, nuclei)
        if channels is not None:
            outside = np.where(own > 0, 0, regions.image)
            for name, part in (("nucleus", own), ("cytoplasm", outside)):
                key = f"{name}_intensity_mean"
                columns |= split(key, _mean_in(regions, part, channels), channels=True, several=several)
    if spots is not None:
        if spots_channel is not None and (channels is None or not 0 <= spots_channel < channels.shape[-1]):
            n = 0 if channels is None else channels.shape[-1]
            message = f"spots_channel={spots_channel} is not allowed; the image has {n} channels, counted from 0"
            raise OptionError(message)
        plane = None if spots_channel is None or channels is None else channels[..., spots_channel]
        columns |= spot_columns(regions, spots, plane)
    return columns


def _mean_in(regions: Regions, part: npt.NDArray[np.int32], channels: Array) -> Array:
    """Mean intensities of the labels in a part of each, (n, channels); NaN if there is none."""
    inner = find_regions(part)
    out = np.full((regions.n, channels.shape[-1]), np.nan)
    out[np.searchsorted(regions.numbers, inner.ids)] = Intensities(inner, channels, (1.0,) * inner.ndim).mean()
    return out


def _pair(flows: Sequence[Any]) -> tuple[Any, Any]:
    """Flows and cell probability in what ``eval`` returns, or in the pair of them."""
    if len(flows) == 2:
        return flows[0], flows[1]
    if len(flows) >= 3:
        return flows[1], flows[2]
    message = f"flows hold {len(flows)} arrays; give what eval returns, or the pair of flows and cell probability"
    raise InputError(message)


def _frame(columns: Columns) -> Any:
    return optional("pandas", "measure", "return a DataFrame").DataFrame(columns)
