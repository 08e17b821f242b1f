"""``cellpose styles``: a map of the images of a folder by their styles, and which of them to annotate first."""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from cellpose._machine.writing import replacing
from cellpose._progress.display import waiting
from cellpose.cli._each import each_image, tell_failures
from cellpose.cli._images import check_writable
from cellpose.cli._logging import logging_to_user, say_at_end
from cellpose.cli._summary import count_of

__all__ = ["styles_command"]

logger = logging.getLogger("cellpose.cli")

_FOLDER = "styles"
# as --save_mpl names pictures, so that no command takes it for an image
_PICTURE = "style_map_cp_output.png"
_EPILOG = """\
The style describes an image as a whole, as a U-Net sees it. Images that look alike are near each other on the map. The
command lists outliers, and the images to annotate first: spread over the map, with uncertain results.

  cellpose styles --dir images
  cellpose styles --dir images --pretrained_model cyto3 --diameter 30 --annotate 10
"""


@dataclass
class _Found:
    """Findings in the images of a run."""

    images: list[Any] = field(default_factory=list)
    styles: list[np.ndarray] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def styles_command(words: Sequence[str]) -> int:
    """Map the images of a command line; 0, or 1 where one could not be mapped, or 130 after Ctrl-C."""
    args = _parser().parse_args(list(words))
    with logging_to_user(verbose=args.verbose):
        return _styles(args)


def _styles(args: Namespace) -> int:
    from cellpose import io, models
    from cellpose.cli._model import resolve_model

    with waiting("looking for images"):
        names = io.get_image_files(
            args.dir, "_masks", imf=args.img_filter, look_one_level_down=args.look_one_level_down
        )
        files = io.once_per_set([Path(name) for name in names])
    check_writable([_folder(args)])
    file = resolve_model(args.pretrained_model)
    model = models.CellposeModel(pretrained_model=str(file.path), gpu=args.use_gpu)
    found = _Found()
    try:
        each_image(files, lambda path: _look_at(path, model, args, found), found.failed, args)
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    if not found.images:
        return tell_failures(len(files), 0, found.failed, "mapped")
    with waiting("drawing the map"):
        lines = _write(found, args)
    say_at_end(f"{count_of(len(found.images), 'image')} mapped with {file.name}; results in {_folder(args)}")
    for line in lines:
        say_at_end(line)
    return tell_failures(len(files), len(found.images), found.failed, "mapped")


def _look_at(path: Path, model: Any, args: Namespace, found: _Found) -> None:
    """Run the model on an image."""
    from cellpose import io, models, plot, styles

    image = io.read_image(path)
    channels = [args.chan, args.chan2] if model.nchan == 2 else None
    diameter = args.diameter or None
    masks, flows, style, *_ = models.segment_image(model, image, diameter=diameter, channels=channels, progress=False)
    vector, masks = styles.vector_of(style, str(model.pretrained_model)), np.asarray(masks)
    score, plane = styles.mean_score(masks, flows), _middle(masks)
    picture, n_cells = plot.thumbnail(styles.middle_plane(image), plane, 360), np.unique(plane[plane > 0]).size
    found.images.append(styles.MappedImage(path.name, picture, n_cells, score))
    found.styles.append(vector)


def _middle(stack: np.ndarray) -> np.ndarray:
    """The plane in the middle of a stack, or of a movie of stacks."""
    while stack.ndim > 2:
        stack = stack[len(stack) // 2]
    return stack


def _write(found: _Found, args: Namespace) -> list[str]:
    """Write the map; returns lines that say what stands out."""
    from cellpose import io, styles

    vectors = np.stack(found.styles)
    mapped = styles.style_map(vectors, None if args.method == "auto" else args.method)
    doubts = 1 - np.array([image.score for image in found.images])
    chosen = styles.to_annotate(vectors, args.annotate, doubts if np.isfinite(doubts).any() else None)
    folder = _folder(args)
    io.check_dir(folder)
    title = str(Path(args.dir).resolve())
    page = styles.page_of(title, found.images, mapped, chosen, found.failed)
    for name, content in (
        ("style_map.html", page.encode()),
        ("style_map.csv", _table(found, mapped, chosen).encode()),
        (_PICTURE, styles.picture_of(found.images, mapped, chosen)),
    ):
        with replacing(folder / name) as file:
            file.write(content)
    names = [image.name for image in found.images]
    lines = [f"to annotate first: {', '.join(names[place] for place in chosen)}"]
    if mapped.unusual.size:
        lines.append(f"unlike the rest: {', '.join(names[place] for place in mapped.unusual)}")
    return lines


def _table(found: _Found, mapped: Any, chosen: np.ndarray) -> str:
    order = {int(place): rank for rank, place in enumerate(chosen, 1)}
    odd = set(mapped.unusual.tolist())
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "x", "y", "unlikeness", "unusual", "annotate", "cells", "score"))
    for place, (image, (x, y)) in enumerate(zip(found.images, mapped.positions, strict=True)):
        score = "" if np.isnan(image.score) else f"{image.score:.4f}"
        far = f"{mapped.unlikeness[place]:.3f}"
        row = (image.name, f"{x:.4f}", f"{y:.4f}", far, int(place in odd), order.get(place, ""), image.n_cells, score)
        writer.writerow(row)
    return text.getvalue()


def _folder(args: Namespace) -> Path:
    return Path(args.savedir) if args.savedir else Path(args.dir) / _FOLDER


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose styles",
        description="Map the images of a folder by their styles; list outliers and the images to annotate first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dir", required=True, metavar="FOLDER", help="images")
    parser.add_argument("--img_filter", metavar="TEXT", help="use only images whose names end in this")
    parser.add_argument("--look_one_level_down", action="store_true", help="also search the folders inside --dir")
    parser.add_argument("--pretrained_model", default="generalist", metavar="NAME", help="U-Net (default: generalist)")
    parser.add_argument(
        "--diameter",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="diameter of the cells (default: that of the training)",
    )
    parser.add_argument("--chan", type=int, default=0, metavar="N", help="channel of the cells, as in segmentation")
    parser.add_argument("--chan2", type=int, default=0, metavar="N", help="channel of the nuclei, as in segmentation")
    parser.add_argument("--use_gpu", action="store_true", help="run the model on the GPU")
    parser.add_argument(
        "--annotate", type=_count, default=5, metavar="N", help="number of images to propose (default: 5)"
    )
    parser.add_argument("--method", choices=("auto", "tsne", "pca"), default="auto", help="method to draw the map")
    parser.add_argument("--savedir", metavar="FOLDER", help=f"folder for the results (default: {_FOLDER} in --dir)")
    parser.add_argument("--verbose", action="store_true", help="show the log")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is not allowed; give a number of images, 1 or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)
