"""Images that do not fit in memory: segmented in blocks, with masks written as they are made."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellpose import io
from cellpose._machine.pipeline import Tell
from cellpose._progress.display import waiting
from cellpose._progress.stages import stage
from cellpose.cli._images import name_of
from cellpose.cli._model import Segmenter
from cellpose.cli._save import output_paths, warn_of_blocks
from cellpose.cli._table import FILTERS
from cellpose.errors import CellposeError, OptionError

__all__ = ["check_large", "is_large", "print_estimates", "segment_large_file"]

logger = logging.getLogger("cellpose.cli")

# Pixels from which a plane is run in blocks by default: as a whole it takes about 9 GiB.
_WHOLE_AT_MOST = 2**26
_ROWS = 1024  # of labels that are copied together
_PASSED_ON = (
    "channels",
    "diameter",
    "normalize",
    "invert",
    "flow_threshold",
    "cellprob_threshold",
    "min_size",
    "niter",
    "augment",
    "bsize",
    "batch_size",
)


def check_large(segmenter: Segmenter, args: Namespace) -> None:
    """Refuse ``--large`` beside an option that needs the whole image.

    Raises
    ------
    OptionError
        If there is one.
    """
    whole = _needs_whole(segmenter, args)
    if args.large and whole:
        message = f"{whole} needs the whole image and cannot be used with --large; remove one of them"
        raise OptionError(message)


def is_large(file: Path, segmenter: Segmenter, args: Namespace) -> bool:
    """Whether an image is to be run in blocks: as the command line says, or because it is too large otherwise."""
    if args.large:
        return True
    if _needs_whole(segmenter, args):
        return False
    try:
        height, width, _ = io.open_plane(file, args.channel_axis, args.axes).shape
    except (CellposeError, OSError):  # the error is reported when it is read
        return False
    if height * width <= _WHOLE_AT_MOST:
        return False
    logger.warning(f"{name_of(file, args)} has {height} x {width} pixels: it is segmented in blocks")
    return True


def _needs_whole(segmenter: Segmenter, args: Namespace) -> str | None:
    """The option of the command line that needs the whole image."""
    options = {
        "--do_3D": args.do_3D,
        "--stitch_threshold": args.stitch_threshold > 0,
        "--restore_type": segmenter.enlarges,
        "--diameter 0": segmenter.estimates_diameter,
        "--no_resample": args.no_resample,
        "--no_interp": args.no_interp,
        "--exclude_on_edges": args.exclude_on_edges,
        "--one_piece": args.one_piece,
        "--flatfield": args.flatfield is not None,
        **{f"--{name}": getattr(args, name) > 0 for name in FILTERS if name != "tile_norm_smooth3D"},
    }
    return next((name for name, given in options.items() if given), None)


def segment_large_file(
    file: Path, segmenter: Segmenter, args: Namespace, tell: Tell
) -> tuple[list[Path], dict[str, Any]]:
    """Segment an image in blocks; the files that were written, and facts for the manifest."""
    from cellpose import models

    plane = io.open_plane(file, args.channel_axis, args.axes)
    if not plane.names_channels:
        logger.warning(
            f"{name_of(file, args)}: the axes have no names; they are read as {plane.shape[2]} channels of one plane. "
            "If they are z planes, use --axes ZYX with --do_3D or --stitch_threshold, without --large"
        )
    keywords = {name: value for name, value in segmenter.keywords_of(plane).items() if name in _PASSED_ON}
    warn_of_blocks(file, args)
    target, *others = _targets(file, args)
    target.parent.mkdir(parents=True, exist_ok=True)
    keywords |= {"overwrite": not args.zarr_labels, "progress": tell}
    restored: list[Path] = []
    if segmenter.restores:
        restored += [output_paths(file, args).restored_tif] if args.save_tif else []
        for path in restored:
            path.parent.mkdir(parents=True, exist_ok=True)
        result = segmenter.model.segment_large(plane, target, *restored, **keywords)
        others += restored
    else:
        result = models.segment_large(segmenter.model, plane, target, **keywords)
    stage("writing results")
    for other in others[: len(others) - len(restored)]:
        other.parent.mkdir(parents=True, exist_ok=True)
        _copy(target, other, plane.pixel_size_um)
    diameter_px = keywords["diameter"] or segmenter.diameter_of_training()
    facts = {
        "shape": list(plane.shape) if plane.shape[2] > 1 else list(plane.shape[:2]),
        "axes": "YXC" if plane.shape[2] > 1 else "YX",
        "dtype": str(plane.dtype),
        "cells": result.n_cells,
        "diameter_px": None if math.isnan(diameter_px) else round(diameter_px, 3),
        "blocks": True,
    }
    return [target, *others], facts


def _targets(file: Path, args: Namespace) -> list[Path]:
    """Where masks are written; the first one while they are made."""
    paths = output_paths(file, args)
    asked = []
    if args.zarr_labels:
        asked.append(io.labels_group(file, args.zarr_labels))
    if args.save_zarr:
        asked.append(paths.masks_zarr)
    if args.save_ome_tif:
        asked.append(paths.masks_ome_tif)
    if args.save_tif or args.save_png or not asked:
        asked.append(paths.masks_tif)
    return asked


def _copy(source: Path, target: Path, pixel_size_um: tuple[float | None, float | None, float | None]) -> None:
    """The same labels in another format, a few rows at a time."""
    labels = io.open_plane(source)
    shape = labels.shape[:2]
    bands = ((first, labels.read(first, min(first + _ROWS, shape[0]))[..., 0]) for first in range(0, shape[0], _ROWS))
    io.write_label_bands(target, shape, bands, labels.dtype, pixel_size_um)


def print_estimates(files: Sequence[Path], segmenter: Segmenter, args: Namespace) -> int:
    """Print for each image how much memory it will need; 1 if one cannot be read.

    Planes: in blocks and as a whole. With ``--do_3D`` or ``--stitch_threshold`` images are stacks.
    """
    estimate = _of_stack if args.do_3D or args.stitch_threshold > 0 else _of_plane
    failed = 0
    for file in files:
        try:
            with waiting(file.name):
                words = estimate(file, segmenter, args)
            print(f"{file}: {words}")
        except (CellposeError, OSError, ValueError, MemoryError) as error:
            print(f"{file}: {error}")
            failed = 1
    return failed


def _of_plane(file: Path, segmenter: Segmenter, args: Namespace) -> str:
    from cellpose import models

    plane = io.open_plane(file, args.channel_axis, args.axes)
    keywords = segmenter.keywords_of(plane)
    estimate = models.estimate_memory(
        segmenter.segmenting,
        plane,
        diameter=keywords["diameter"],
        batch_size=keywords["batch_size"],
    )
    return f"{' x '.join(map(str, plane.shape))} {plane.dtype}: {estimate}"


def _of_stack(file: Path, segmenter: Segmenter, args: Namespace) -> str:
    from cellpose import models, transforms

    image = io.read_image(file)
    image = image.named(args.axes) if args.axes else image
    keywords = segmenter.keywords_of(image)
    axes = {
        "channel_axis": image.place("C", args.channel_axis) if args.channel_axis is not None else image.axis("C"),
        "z_axis": image.place("Z", args.z_axis) if args.z_axis is not None else image.axis("Z"),
    }
    # One number stands for all: only the shape is needed.
    stand_in = np.broadcast_to(image.data.dtype.type(0), image.data.shape)
    z, y, x, channels = transforms.convert_image(stand_in, do_3D=True, **axes).shape
    estimate = models.estimate_volume_memory(
        segmenter.segmenting,
        (z, y, x),
        image.data.dtype,
        channels=channels,
        **{name: keywords[name] for name in ("do_3D", "diameter", "anisotropy", "resample", "batch_size")},
    )
    return f"{' x '.join(map(str, image.data.shape))} {image.data.dtype}: {estimate}"
