"""``cellpose --dir …``: segment images, one after the other."""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cellpose import io
from cellpose.cli._images import find_images, folder_of_run
from cellpose.cli._large import is_large, print_estimates, segment_large_file
from cellpose.cli._manifest import Manifest, options_of
from cellpose.cli._model import Result, Segmenter, load_segmenter
from cellpose.cli._save import save_results, save_with_axes
from cellpose.cli._table import layout_given
from cellpose.errors import OptionError
from cellpose.options import Evaluation, Masking, Normalization, Tiling

__all__ = ["segment_command"]

logger = logging.getLogger("cellpose.cli")

_CHANNEL = ("GRAY", "RED", "GREEN", "BLUE")
_MOST_NAMES = 20  # failed images named again in the last line; all reasons stand in the log and in the manifest


def segment_command(args: Namespace) -> int:
    """Segment the images of a command line; 0, or 1 if an image failed, or 130 after Ctrl-C.

    An image that fails is reported and the others go on. After Ctrl-C the results of the finished images stay.
    """
    start = time.perf_counter()
    _check(args)
    _warn_of_layout(args)
    files = find_images(args)
    segmenter = load_segmenter(args)
    if args.estimate_memory:
        return print_estimates(files, segmenter, args)
    _announce(segmenter, len(files))
    manifest = Manifest(
        folder_of_run(args, files),
        {role: _identity(file) for role, file in segmenter.files.items()},
        options_of(args),
        segmenter.device,
        resume=args.resume,
    )
    failed: list[str] = []
    try:
        for file in _with_progress(_left_to_do(files, manifest, args), show=args.verbose):
            error = _segment_one(file, segmenter, args, manifest)
            if error:
                failed.append(str(file))
    except KeyboardInterrupt:
        done = manifest.n_results
        print(
            f"interrupted; the results of {done} of {len(files)} images are kept; --resume goes on from there",
            file=sys.stderr,
        )
        return 130
    finally:
        manifest.close()
    logger.info(f">>>> completed in {time.perf_counter() - start:0.3f} sec")
    if failed:
        names = ", ".join(failed[:_MOST_NAMES]) + ("" if len(failed) <= _MOST_NAMES else ", ...")
        logger.error(f"{len(failed)} of {len(files)} images failed, for the reasons above: {names}")
    return 1 if failed else 0


def _check(args: Namespace) -> None:
    """Refuse what cannot end well before anything is computed.

    Raises
    ------
    OptionError
        If an option is outside its range or two options exclude each other.
    """
    for name in ("chan", "chan2"):
        if getattr(args, name) not in range(4):
            message = f"--{name} {getattr(args, name)} is not allowed; choose 0, 1, 2 or 3"
            raise OptionError(message)
    if args.do_3D:
        _check_format(args)
    if isinstance(args.flow3D_smooth, list) and len(args.flow3D_smooth) not in {1, 3}:
        message = f"--flow3D_smooth {args.flow3D_smooth} is not allowed; give one number, or three for z, y and x"
        raise OptionError(message)
    if args.diameter_um is not None and not (args.diameter_um > 0 and args.diameter is None):
        message = f"--diameter_um {args.diameter_um:g} is not allowed; give more than 0, and no --diameter beside it"
        raise OptionError(message)
    Evaluation(
        diameter=args.diameter,
        anisotropy=args.anisotropy,
        stitch_threshold=args.stitch_threshold,
        z_interpolation=args.z_interpolation,
        normalization=Normalization(percentile=None if args.norm_percentile is None else tuple(args.norm_percentile)),
        tiling=Tiling(batch_size=8 if args.batch_size is None else args.batch_size, bsize=args.bsize),
        masking=Masking(flow_threshold=args.flow_threshold, min_size=args.min_size, niter=args.niter),
    )


def _warn_of_layout(args: Namespace) -> None:
    for name in layout_given(args):
        logger.warning(f"the option --{name} has no effect without --train: the weight file tells how it is built")


def _announce(segmenter: Segmenter, n: int) -> None:
    """The lines that clients look for before the first image."""
    if segmenter.keywords["channels"] is None:
        logger.info(f">>>> running cellpose on {n} images using all channels")
    else:
        cells, nuclei = segmenter.keywords["channels"]
        logger.info(
            f">>>> running cellpose on {n} images using chan_to_seg {_CHANNEL[cells]} "
            f"and chan (opt) {_CHANNEL[nuclei] if nuclei else 'NONE'}"
        )
    if segmenter.diameter_um is not None:
        logger.info(f">>>> using diameter {segmenter.diameter_um:0.3f} um for all images")
        return
    if segmenter.estimates_diameter:
        logger.info(">>>> estimating diameter for each image")
        return
    diameter_px = segmenter.keywords["diameter"]
    if not diameter_px and segmenter.generation == "unet":
        logger.info(">>>> this model has no size model, cannot auto-estimate diameter: using that of its training")
        diameter_px = segmenter.diameter_of_training()
    if diameter_px:
        logger.info(f">>>> using diameter {diameter_px:0.3f} for all images")


def _identity(file: Any) -> dict[str, Any]:
    return {"name": file.name, "path": str(file.path), "sha256": file.sha256}


def _left_to_do(files: list[Path], manifest: Manifest, args: Namespace) -> list[Path]:
    if not args.resume:
        return files
    left = [file for file in files if not manifest.is_done(file)]
    logger.info(f">>>> resuming: {len(files) - len(left)} of {len(files)} images are done already")
    return left


def _with_progress(files: list[Path], *, show: bool) -> Iterator[Path]:
    """The files, with a progress line in the log before, between and after them, as TrackMate reads it."""
    from tqdm import tqdm

    from cellpose.utils import TqdmToLogger

    out = TqdmToLogger(logger, level=logging.INFO) if show else None
    yield from tqdm(files, file=out, disable=not show)


def _segment_one(file: Path, segmenter: Segmenter, args: Namespace, manifest: Manifest) -> str | None:
    """Segment one image and write its results; the reason, if it failed."""
    start = time.perf_counter()
    try:
        run = segment_large_file if is_large(file, segmenter, args) else _segment_whole
        outputs, facts = run(file, segmenter, args)
    except Exception as error:  # whatever is wrong with one image must not stop the batch
        reason = f"{type(error).__name__}: {error}"
        logger.error(f"{file} failed: {reason}")
        logger.debug(f"{file} failed", exc_info=True)
        manifest.add_failure(file, reason, time.perf_counter() - start)
        return reason
    facts["seconds"] = round(time.perf_counter() - start, 3)
    manifest.add_result(file, outputs, facts)
    logger.info(f"{file.name}: {facts['cells']} cells in {facts['seconds']:.2f} s")
    return None


def _segment_whole(file: Path, segmenter: Segmenter, args: Namespace) -> tuple[list[Path], dict[str, Any]]:
    """Segment one image that fits in memory; the files that were written, and facts for the manifest."""
    image = io.read_image(file)
    if args.axes:
        image = image.named(args.axes)
    if args.do_3D or args.stitch_threshold > 0:
        logger.info("loading image as 3D zstack")
        _check_format(args)
    result = _without_edge_masks(segmenter(image), args)
    outputs = save_results(file, image.data, result, segmenter.files["model"].name, args)
    outputs += save_with_axes(file, image, result, args)
    return outputs, {
        "shape": list(image.data.shape),
        "axes": image.axes,
        "dtype": str(image.data.dtype),
        "cells": result.n_cells,
        "diameter_px": None if np.isnan(result.diameter_px) else round(result.diameter_px, 3),
    }


def _check_format(args: Namespace) -> None:
    if args.save_png and not args.save_tif:  # told before the network runs, not after
        message = "cannot save 3D outputs as PNG, use tif option instead: --save_tif"
        raise OptionError(message)


def _without_edge_masks(result: Result, args: Namespace) -> Result:
    if not args.exclude_on_edges:
        return result
    from cellpose import utils

    masks = result.masks.copy()
    for frame in masks if result.is_movie else [masks]:
        frame[...] = utils.remove_edge_masks(frame)
    return replace(result, masks=masks)
