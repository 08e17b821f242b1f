"""``cellpose track``: cells of a movie linked through time, written as tables and for other programs."""

from __future__ import annotations

import argparse
import logging
import math
import re
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellpose._face.words import listed
from cellpose._progress.display import waiting
from cellpose.cli._images import check_writable
from cellpose.cli._summary import count_of
from cellpose.errors import FileMissingError, InputError, OptionError

if TYPE_CHECKING:
    from cellpose.io import Image

__all__ = ["track_command"]

logger = logging.getLogger("cellpose.cli")

# Of any image, for folders without masks.
_PLAIN = (".tif", ".tiff", ".png")

_NUMBER = re.compile(r"\d+")

_EPILOG = """\
MOVIE is a stack of label images (T, [Z,] Y, X; in any order if the file names its axes), or a folder with one for each
frame, in the order of their names: those that end in _cp_masks (TIFF, else PNG, OME-TIFF, OME-Zarr), else _masks, else
_seg.npy, else all images. A frame without masks of the first kind may have others; an image between frames without any
is an empty frame. A folder may also hold one movie and its masks.

examples:
  cellpose --dir movie --save_tif --no_npy && cellpose track movie --save_ctc
  cellpose track movie_cp_masks.tif --max_distance 15 --fill_gaps --save_trackmate
  cellpose track movie --truth 01_GT/TRA
"""


def track_command(words: Sequence[str]) -> int:
    """Run the command line ``cellpose track`` with these words; 0 where it ends well.

    Raises
    ------
    CellposeError
        If it does not.
    """
    from cellpose.cli._logging import logging_to_user

    args = _parser().parse_args(list(words))
    movie = Path(args.movie)
    stem = Path(args.savedir or (movie if movie.is_dir() else movie.parent)) / _stem(movie)
    with logging_to_user(verbose=args.verbose), waiting(f"tracking {movie.name}"):
        from cellpose import io, track

        _refuse_own_result(movie, stem)
        masks = _masks(movie)
        check_writable([stem.parent])
        io.tell_of_no_labels(movie, masks)
        _tell_of_planes(masks, movie)
        tracks = track.track(
            masks, max_distance=args.max_distance, max_gap=args.max_gap, divisions=not args.no_divisions,
            merges=args.merges, min_overlap=args.min_overlap,
        )  # fmt: skip
        if args.fill_gaps:
            before = tracks.frame.size
            masks, tracks = track.fill_gaps(masks, tracks)
            logger.info(f">>>> {count_of(tracks.frame.size - before, 'cell')} restored in frames that missed them")
        written = _write(stem, masks, tracks, args)
        scores = _scores(masks, tracks, args.truth)
    names = ", ".join(path.name for path in written)
    print(
        f"{count_of(tracks.numbers.size, 'track')} of {count_of(tracks.frame.size, 'cell')} in "
        f"{count_of(tracks.n_frames, 'frame')}, {count_of(len(tracks.divided), 'division')}, "
        f"written to {names} in {stem.parent}"
    )
    if scores is not None:
        told = f"DET {scores.det:.4f}  LNK {scores.lnk:.4f}  TRA {scores.tra:.4f}"
        print(f"{told}  divisions F1 {scores.division_f1:.3f}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose track",
        description="Link the cells of a movie through time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("movie", metavar="MOVIE", help="stack of label images, or folder with one per frame")
    links = parser.add_argument_group("links")
    links.add_argument(
        "--max_distance",
        type=float,
        metavar="PIXELS",
        help="maximum distance that a cell moves (default: its diameter)",
    )
    links.add_argument(
        "--max_gap",
        type=int,
        default=2,
        metavar="N",
        help="maximum number of frames in which a cell may be missing (default: 2)",
    )
    links.add_argument("--no_divisions", action="store_true", help="cells do not divide")
    links.add_argument("--merges", action="store_true", help="cells may merge")
    links.add_argument(
        "--min_overlap", type=float, default=0.3, metavar="SHARE",
        help="overlap (IoU) from which cells in consecutive frames are the same (default: 0.3)",
    )  # fmt: skip
    links.add_argument("--fill_gaps", action="store_true", help="restore cells in frames in which they are missing")
    output = parser.add_argument_group("output (tables of cells and tracks and numbered masks are always written)")
    output.add_argument("--savedir", metavar="FOLDER", help="folder for the results (default: beside the movie)")
    output.add_argument("--save_ctc", action="store_true", help="folder of the Cell Tracking Challenge")
    output.add_argument("--save_trackmate", action="store_true", help="XML file of TrackMate")
    output.add_argument("--save_napari", action="store_true", help="CSV file that napari opens as tracks")
    output.add_argument("--pixel_size_um", type=float, metavar="UM", help="pixel size, for TrackMate")
    output.add_argument("--interval_s", type=float, metavar="SECONDS", help="time between frames, for TrackMate")
    output.add_argument("--truth", metavar="FOLDER", help="true tracks (Cell Tracking Challenge): print scores")
    output.add_argument("--verbose", action="store_true", help="show the log")
    return parser


def _stem(movie: Path) -> str:
    if movie.is_dir():
        return movie.resolve().name
    from cellpose import io

    endings = (f"{io.TRACKED}.tif", *io.MASK_ENDINGS, *_PLAIN)
    return next((movie.name[: -len(end)] for end in endings if movie.name.endswith(end)), movie.stem)


def _tracked(stem: Path) -> Path:
    """The file of label images numbered by track."""
    from cellpose import io

    return stem.with_name(f"{stem.name}{io.TRACKED}.tif")


def _refuse_own_result(movie: Path, stem: Path) -> None:
    """Refuse tracked masks that the new ones would replace: their numbers may be corrected by hand."""
    target = _tracked(stem)
    if movie.is_file() and target.exists() and target.samefile(movie):
        message = f"{movie} would be replaced by the new tracks; give --savedir with another folder"
        raise InputError(message)


def _masks(movie: Path) -> Any:
    """The label images of a movie."""
    from cellpose import io

    if movie.is_file():
        return _time_first(io.read_image(movie), movie)
    if not movie.is_dir():
        message = f"{movie} does not exist; give a stack of label images or a folder"
        raise FileMissingError(message)
    files = _files_in(movie)
    there = [file for file in files if file is not None]
    if len(files) == 1:
        alone = io.read_image(there[0])
        if alone.data.ndim > 2:
            return _time_first(alone, there[0])
    frames = [_frame(file) for file in there]
    odd = next((k for k, frame in enumerate(frames) if frame.shape != frames[0].shape), None)
    if odd is not None:
        message = (
            f"{there[odd].name} has shape {frames[odd].shape} and {there[0].name} {frames[0].shape}; all frames of a "
            "movie must have the same shape"
        )
        raise InputError(message)
    found = iter(frames)
    return np.stack([np.zeros_like(frames[0]) if file is None else next(found) for file in files])


def _frame(file: Path) -> Any:
    """The label image of one frame."""
    from cellpose import io

    if file.suffix == ".npy":
        return io.read_seg(file).masks
    image = io.read_image(file)
    if image.declares("T"):
        message = (
            f"{file} is a movie itself, with the axes {image.axes}, not a frame of one; give that file instead of its "
            "folder"
        )
        raise InputError(message)
    return image.data


def _tell_of_planes(masks: Any, movie: Path) -> None:
    """Warn if volumes have planes that were segmented separately."""
    from cellpose import io

    if masks.ndim == 4:
        advice = "To track each plane by itself, give its label images alone"
        any(io.tell_of_planes_apart(movie, frame, advice) for frame in masks)


def _time_first(image: Image, movie: Path) -> Any:
    """The label images in a file, time first: by the axes that it declares, else the first one is time."""
    if image.data.ndim not in (3, 4):
        message = f"{movie} has shape {image.data.shape}; a movie has the shape (T, Y, X) or (T, Z, Y, X)"
        raise InputError(message)
    if image.declares("T"):
        return np.moveaxis(image.data, image.axes.index("T"), 0)
    # The masks of a _seg.npy have planes without a name.
    if not image.declares("Z") or movie.name.endswith("_seg.npy"):
        return image.data
    time = next((k for k, letter in enumerate(image.axes) if letter not in "ZYX"), None)
    if time is None:  # as programs write movies that call every stack Z
        logger.warning(f"{movie} has the axes {image.axes}, of planes at one time: its planes are taken as frames")
        return image.data
    return np.moveaxis(image.data, time, 0)


def _files_in(folder: Path) -> list[Path | None]:
    """The label image of each frame, in order; None where an image has none."""
    from natsort import natsorted

    from cellpose import io

    endings = (*io.MASK_ENDINGS, *_PLAIN)
    for ending in endings:
        files = _by_frame(folder, [ending])
        if not files:
            continue
        missing: dict[str, str] = {}
        if ending in io.MASK_ENDINGS:
            files, missing = _whole_series(folder, files)
        if missing:
            names = listed(list(missing.values()))
            logger.warning(
                f"no masks of {names}: {count_of(len(missing), 'empty frame')} in place of them; segment those images "
                "too, or move them elsewhere if they are not of this movie"
            )
        frames = natsorted([*files, *missing])
        _tell_of_series(folder, frames)
        logger.info(f">>>> {len(frames)} frames: {frames[0]} to {frames[-1]}")
        return [files.get(frame) for frame in frames]
    message = f"{folder} holds no label images; names end in {', '.join(endings)}"
    raise FileMissingError(message)


def _by_frame(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """The label image of each frame; masks of an OME-TIFF are named with or without its ``.ome``."""
    from cellpose import io

    files: dict[str, Path] = {}
    for base, file in io.one_per_image(folder, endings).items():
        if io.TRACKED not in file.name:
            files.setdefault(base.removesuffix(".ome"), file)
    return files


def _whole_series(folder: Path, files: dict[str, Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """The frames with those whose masks have another ending, and the images of frames without masks.

    Both differ from the frames in the one number that counts these: other numbers are those of channels or positions.
    """
    from cellpose import io

    kinds = {_NUMBER.sub("0", name) for name in files}
    known = _by_frame(folder, io.MASK_ENDINGS)
    counted = _counted(files) or _counted([name for name in known if _NUMBER.sub("0", name) in kinds])
    if counted is None:
        return files, {}
    others = {name: file for name, file in known.items() if name not in files and counted.fullmatch(name)}
    if others:
        logger.info(f">>>> masks with another ending: {', '.join(file.name for file in others.values())}")
    files = {**files, **others}
    return files, _without_masks(folder, [*files], counted)


def _counted(names: Iterable[str]) -> re.Pattern[str] | None:
    """The pattern of names that differ in exactly one number, which it captures; None of others."""
    split = _split(names)
    if split is None:
        return None
    differing = [k for k, parts in enumerate(zip(*split, strict=True)) if len(set(parts)) > 1]
    if len(differing) != 1 or differing[0] % 2 == 0:  # numbers are at odd places, between texts
        return None
    before, after = split[0][: differing[0]], split[0][differing[0] + 1 :]
    return re.compile(f"{re.escape(''.join(before))}({_NUMBER.pattern}){re.escape(''.join(after))}")


def _split(names: Iterable[str]) -> list[list[str]] | None:
    """Names as texts and numbers in turn; None where not all have as many."""
    split = [re.split(f"({_NUMBER.pattern})", name) for name in names]
    return split if len({len(parts) for parts in split}) == 1 else None


def _tell_of_series(folder: Path, names: Sequence[str]) -> None:
    """Warn if names combine every value of one part with every value of another, as those of channels do."""
    differing = [values for parts in zip(*(_split(names) or ()), strict=True) if len(values := set(parts)) > 1]
    if len(differing) > 1 and math.prod(map(len, differing)) == len(names):
        logger.warning(
            f"the names in {folder} look like those of several channels or positions ({listed(names, 4)}): all "
            f"{len(names)} are taken for frames of one movie; if they are not, keep one series in the folder, and move "
            "the others elsewhere"
        )


def _without_masks(folder: Path, names: Sequence[str], counted: re.Pattern[str]) -> dict[str, str]:
    """Images whose numbers lie between those of the frames with masks."""
    from cellpose import io

    def number(name: str) -> int | None:
        match = counted.fullmatch(name)
        return int(match[1]) if match else None

    try:
        images = [Path(name) for name in io.get_image_files(folder)]
    except InputError:  # masks alone
        return {}
    masked = {found for name in names if (found := number(name)) is not None}
    named = {image.stem.removesuffix(".ome"): image.name for image in images}
    return {
        name: file
        for name, file in named.items()
        if (found := number(name)) is not None and min(masked) < found < max(masked) and found not in masked
    }


def _write(stem: Path, masks: Any, tracks: Any, args: Namespace) -> list[Path]:
    from cellpose import io, track

    def beside(ending: str) -> Path:
        return stem.with_name(stem.name + ending)

    io.check_dir(stem.parent)
    written = []
    if args.save_trackmate:  # first: what it refuses, it refuses before anything is written
        written.append(beside("_trackmate.xml"))
        sizes = {"pixel_size_um": args.pixel_size_um, "interval_s": args.interval_s}
        track.write_trackmate(written[-1], masks, tracks, **sizes)
    cells, lineage, tracked = beside("_tracks.csv"), beside("_lineage.csv"), _tracked(stem)
    track.write_table(cells, tracks)
    track.write_table(lineage, tracks, "tracks")
    numbered = io.smallest_labels(tracks.masks(masks))
    io.write_tiff(tracked, numbered, axes="TZYX" if numbered.ndim == 4 else "TYX")
    written += [cells, lineage, tracked]
    if args.save_ctc:
        written.append(beside("_RES"))
        track.write_ctc(written[-1], masks, tracks)
    if args.save_napari:
        written.append(beside("_napari.csv"))
        track.write_table(written[-1], tracks, "napari")
    return written


def _scores(masks: Any, tracks: Any, truth: str | None) -> Any:
    if truth is None:
        return None
    from cellpose import track

    if not Path(truth).is_dir():
        message = f"--truth {truth} is not a folder; give one of the Cell Tracking Challenge, with man_track.txt"
        raise OptionError(message)
    return track.score(masks, tracks, *track.read_ctc(truth))
