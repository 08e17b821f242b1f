"""``cellpose --dir …``: segment images, a few at a time, reported one after the other."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellpose import io
from cellpose._machine.pipeline import Budget, Tell, in_order, worker_count
from cellpose._progress.bars import Fractions
from cellpose._progress.display import Display, waiting
from cellpose._progress.stages import TOLD, about_image, stage
from cellpose.cli._each import failed_in_words
from cellpose.cli._images import find_images, folder_of_run, name_of
from cellpose.cli._large import check_large, is_large, print_estimates, segment_large_file
from cellpose.cli._light import light_of
from cellpose.cli._logging import display_of, say_at_end
from cellpose.cli._manifest import Manifest, options_of
from cellpose.cli._model import SegmentedImage, Segmenter, load_segmenter
from cellpose.cli._save import asked_for, check_possible, masks_and_other_results, save_results, save_with_axes
from cellpose.cli._summary import Summary, count_of
from cellpose.cli._table import FILTERS
from cellpose.cli._unused import warn_of_unused
from cellpose.errors import OptionError
from cellpose.options import Evaluation, Masking, Normalization, Tiling

__all__ = ["segment_command"]

logger = logging.getLogger("cellpose.cli")

_CHANNEL = ("GRAY", "RED", "GREEN", "BLUE")
_VALUES_AT_ONCE = 2**23  # intensities of images that are worked on at once


def segment_command(args: Namespace) -> int:
    """Segment the images of a command line; 0, or 1 if an image failed, or 130 after Ctrl-C.

    An image that fails is reported and the others continue. After Ctrl-C the results of the finished images stay.
    """
    start = time.perf_counter()
    options = _checked(args)
    warn_of_unused(args, training=False)
    if not asked_for(args) and not args.large:
        logger.warning("no result is written: --no_npy leaves out the _seg.npy; add --save_tif or others")
    with waiting("looking for images"):
        files = find_images(args)
    _check_images_are_kept(files, args)
    with waiting("loading the model"):
        segmenter = load_segmenter(args)
    segmenter.segmenting.check_options(options)
    check_large(segmenter, args)
    segmenter = replace(segmenter, light=light_of(args, files))
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
    left = _left_to_do(files, manifest, args)
    summary = Summary()
    try:
        with display_of("images", len(left), verbose=args.verbose) as display:
            outcomes = _segment_all(left, segmenter, args, display)
            for outcome in _with_progress(outcomes, len(left), show=args.verbose and bool(left)):
                _note(outcome, name_of(outcome.file, args), manifest, summary)
                if outcome.error:
                    failed.append(str(outcome.file))
    except KeyboardInterrupt:
        done = manifest.n_results
        print(
            f"interrupted; the results of {done} of {len(files)} images are kept; --resume continues from there",
            file=sys.stderr,
        )
        return 130
    finally:
        manifest.close()
    logger.info(f">>>> completed in {time.perf_counter() - start:0.3f} sec")
    say_at_end(summary.line(manifest.path, len(files) - len(left)))
    if failed:
        logger.error(failed_in_words(failed, len(files)))
    return 1 if failed else 0


def _checked(args: Namespace) -> Evaluation:
    """The options for the model; wrong ones are refused before anything is computed.

    Raises
    ------
    OptionError
        If an option is outside its range or two options exclude each other.
    """
    for name in ("chan", "chan2"):
        if getattr(args, name) not in range(4):
            message = f"--{name} {getattr(args, name)} is not allowed; choose 0, 1, 2 or 3"
            raise OptionError(message)
    if args.output_name and Path(args.output_name).name != args.output_name:
        message = f"--output_name {args.output_name} is not allowed; give an ending of names, and a folder as --savedir"
        raise OptionError(message)
    if args.do_3D:
        _check_format(args)
    filters = [f"--{name} {getattr(args, name):g}" for name in FILTERS[:-1] if getattr(args, name)]
    if filters and args.no_norm and args.norm_percentile is None:
        message = f"{filters[0]} needs normalization, which --no_norm turns off; remove one of them"
        raise OptionError(message)
    if args.diameter_um is not None and not (args.diameter_um > 0 and args.diameter is None):
        message = f"--diameter_um {args.diameter_um:g} is not allowed; give a number above 0, and leave out --diameter"
        raise OptionError(message)
    return Evaluation(
        diameter=args.diameter,
        anisotropy=args.anisotropy,
        flow3D_smooth=args.flow3D_smooth,
        view_weights=args.view_weights,
        stitch_threshold=args.stitch_threshold,
        z_interpolation=args.z_interpolation,
        normalization=Normalization(
            percentile=None if args.norm_percentile is None else tuple(args.norm_percentile),
            **{name: getattr(args, name) for name in FILTERS},
        ),
        tiling=Tiling(batch_size=8 if args.batch_size is None else args.batch_size, bsize=args.bsize),
        masking=Masking(flow_threshold=args.flow_threshold, min_size=args.min_size, niter=args.niter),
    )


def _check_images_are_kept(files: list[Path], args: Namespace) -> None:
    """Refuse names of results that are those of other images: of this run, or beside them.

    Raises
    ------
    OptionError
        If the results of an image would overwrite another one.
    """
    images = {os.path.realpath(file) for file in files}
    folders = {os.path.dirname(image) for image in images}
    listed: frozenset[str] | None = None
    for file in files:
        masks, others = masks_and_other_results(file, args)
        for path in (*masks, *others):
            result = os.path.realpath(path)
            taken = result in images and result != os.path.realpath(file)
            if not taken and path in masks and os.path.dirname(result) in folders and os.path.exists(path):
                if listed is None:
                    listed = io.results_of_runs({*folders, *map(os.path.dirname, folders), folder_of_run(args, files)})
                taken = not io.is_result(path) and result not in listed and not io.holds_labels(path)
            if taken:
                message = (
                    f"results of {name_of(file, args)} would overwrite the image {name_of(path, args)}; give another "
                    "--output_name, or a folder for results as --savedir"
                )
                raise OptionError(message)


def _announce(segmenter: Segmenter, n: int) -> None:
    """The lines that clients look for before the first image, and one for people."""
    logger.info(f"{_in_words(segmenter)}, {count_of(n, 'image')}", extra=TOLD)
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
    if not diameter_px and segmenter.family.diameter_px is None:
        logger.info(f">>>> {_why_no_estimate(segmenter)}, cannot auto-estimate diameter: using that of its training")
        diameter_px = segmenter.diameter_of_training()
    if diameter_px:
        logger.info(f">>>> using diameter {diameter_px:0.3f} for all images")


def _why_no_estimate(segmenter: Segmenter) -> str:
    for role, option in (("restoration", "--restore_type"), ("ortho", "--pretrained_model_ortho")):
        if role in segmenter.files:
            return f"size models are not used with {option}"
    return "this model has no size model"


def _in_words(segmenter: Segmenter) -> str:
    """Which models run, whether they came with the package, and where they run."""
    from cellpose import weights

    bundled = weights.bundled_models()
    models = [
        f"{file.name} ({'bundled' if bundled.get(file.name) == file.path else file.path})"
        for file in segmenter.files.values()
    ]
    return f"model {' and '.join(models)} on {segmenter.device}"


def _identity(file: Any) -> dict[str, Any]:
    return {"name": file.name, "path": str(file.path), "sha256": file.sha256}


def _left_to_do(files: list[Path], manifest: Manifest, args: Namespace) -> list[Path]:
    if not args.resume:
        return files
    left = [file for file in files if not manifest.is_done(file)]
    logger.info(f">>>> resuming: {len(files) - len(left)} of {len(files)} images are done already")
    return left


def _with_progress(outcomes: Iterable[_Outcome], total: int, *, show: bool) -> Iterator[_Outcome]:
    """The outcomes, with a progress line in the log before, between and after them, as TrackMate reads it."""
    from tqdm import tqdm

    from cellpose.utils import TqdmToLogger

    out = TqdmToLogger(logger, level=logging.INFO) if show else None
    yield from tqdm(outcomes, total=total, file=out, disable=not show)


@dataclass(frozen=True)
class _Outcome:
    """The outcome of one image: the files written and facts for the manifest, or why it failed."""

    file: Path
    seconds: float
    outputs: list[Path] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def _segment_all(files: list[Path], segmenter: Segmenter, args: Namespace, display: Display) -> Iterator[_Outcome]:
    """Segment images and write their results, several at a time where they are small; outcomes in their order."""
    budget = Budget(_VALUES_AT_ONCE)

    def one(file: Path, tell: Tell) -> _Outcome:
        name = name_of(file, args)
        with display.job(name), about_image(name):
            return _segment_one(file, segmenter, args, budget, tell)

    # The library that draws figures works in one thread only. Of images whose results share names, those of the last
    # must remain.
    same = io.groups_of_same_results(files, savedir=args.savedir, dir_above=args.dir_above)
    alone = args.large or args.save_mpl or same
    workers = 1 if alone or len(files) == 1 else worker_count()
    if workers > 1:
        yield from in_order(one, files, workers, display.advance)
        return
    for index, file in enumerate(files):
        yield one(file, display.part(index))
        display.advance(index + 1)


def _segment_one(file: Path, segmenter: Segmenter, args: Namespace, budget: Budget, tell: Tell) -> _Outcome:
    start = time.perf_counter()
    try:
        if is_large(file, segmenter, args):
            with budget.of(math.inf):
                outputs, facts = segment_large_file(file, segmenter, args, tell)
        else:
            outputs, facts = _segment_whole(file, segmenter, args, budget, tell)
    except Exception as error:  # whatever is wrong with one image must not stop the batch
        reason = f"{type(error).__name__}: {error}"
        logger.error(f"{file} failed: {reason}")
        logger.debug(f"{file} failed", exc_info=True)
        return _Outcome(file, time.perf_counter() - start, error=reason)
    return _Outcome(file, time.perf_counter() - start, outputs, facts)


def _note(done: _Outcome, name: str, manifest: Manifest, summary: Summary) -> None:
    """Record an outcome in the manifest, the summary and the log."""
    if done.error is not None:
        summary.add_failure()
        manifest.add_failure(done.file, done.error, done.seconds)
        return
    manifest.add_result(done.file, done.outputs, {**done.facts, "seconds": round(done.seconds, 3)})
    summary.add(done.file, done.outputs, done.facts["cells"])
    logger.info(f"{name}: {done.facts['cells']} cells in {done.seconds:.2f} s")


def _segment_whole(
    file: Path, segmenter: Segmenter, args: Namespace, budget: Budget, tell: Tell
) -> tuple[list[Path], dict[str, Any]]:
    """Segment one image that fits in memory; the files that were written, and facts for the manifest."""
    stage("reading")
    image = io.read_image(file)
    with budget.of(image.data.size):
        return _segment_read(file, image, segmenter, args, tell)


def _segment_read(
    file: Path, image: io.Image, segmenter: Segmenter, args: Namespace, tell: Tell
) -> tuple[list[Path], dict[str, Any]]:
    """Segment one image that was read."""
    if args.axes:
        image = image.named(args.axes)
    if args.do_3D or args.stitch_threshold > 0:
        logger.info("loading image as 3D zstack")
        _check_format(args)
    check_possible(file, image, args, planes_by_name=segmenter.family.channel_pair)
    segmenter = replace(segmenter, keywords={**segmenter.keywords, "progress": Fractions(tell)})
    result = _reduced(segmenter(image), args)
    stage("writing results")
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
    if args.save_png and not args.save_tif:  # reported before the network runs, not after
        message = "cannot save 3D outputs as PNG, use tif option instead: --save_tif"
        raise OptionError(message)


def _reduced(result: SegmentedImage, args: Namespace) -> SegmentedImage:
    """The result without the masks, and parts of masks, that are not wanted."""
    if not (args.exclude_on_edges or args.one_piece):
        return result
    from cellpose import utils

    large = result.masks_restored
    masks = (result.masks if large is None else large).copy()
    for part in result.parts(masks):
        if args.one_piece:
            part[...] = utils.largest_pieces(part)
        if args.exclude_on_edges:
            part[...] = utils.remove_edge_masks(part)
    if large is None:
        return replace(result, masks=masks)
    from cellpose.denoise import at_image_size

    small, _ = at_image_size(masks, result.masks.shape[-2:])
    return replace(result, masks=small, masks_restored=masks)
