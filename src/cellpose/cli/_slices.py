"""``cellpose slices``: 2D training images cut from 3D stacks."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from cellpose._progress.display import waiting
from cellpose.errors import OptionError
from cellpose.options import Normalization

__all__ = ["slices_command"]

logger = logging.getLogger("cellpose.cli")

_EPILOG = """\
The slices are written to the folder train in --dir, with their masks where a stack has masks (stack_masks.tif or
stack_seg.npy beside stack.tif). Train on them, then segment stacks:

  cellpose slices --dir stacks --z_axis 0 --anisotropy 2
  cellpose --train --dir stacks/train --pretrained_model nuclei-cells --model_name_out mine
  cellpose --dir more_stacks --do_3D --anisotropy 2 --pretrained_model stacks/train/models/mine
"""


def slices_command(words: Sequence[str]) -> int:
    """Cut the slices of a command line; 0, or 1 where a stack cannot be cut; it is named and the others continue."""
    from cellpose import io, train
    from cellpose.cli._logging import logging_to_user

    args = _parser().parse_args(list(words))
    if bool(args.dir) == bool(args.image_path):
        message = "give either --dir, a folder of stacks, or --image_path, one stack"
        raise OptionError(message)
    if args.dir:
        files = io.get_image_files(
            args.dir, args.mask_filter, imf=args.img_filter or None, look_one_level_down=args.look_one_level_down
        )
    else:
        files = [args.image_path]
    stacks = io.once_per_set([Path(file) for file in files])
    scaled = args.invert or args.sharpen_radius > 0 or args.tile_norm > 0
    normalization = Normalization(
        sharpen_radius=args.sharpen_radius, tile_norm_blocksize=args.tile_norm, invert=args.invert
    )
    folder = Path(args.dir or Path(args.image_path).parent) / "train"
    failed: list[Path] = []

    def note(file: Path, error: Exception) -> None:
        failed.append(file)
        logger.error(f"{file} failed: {type(error).__name__}: {error}")

    with logging_to_user(verbose=True), waiting("slices"):
        written = train.make_slices(
            stacks,
            folder,
            channel_axis=args.channel_axis,
            z_axis=args.z_axis,
            channels=None if args.all_channels or not (args.chan or args.chan2) else [args.chan, args.chan2],
            normalization=normalization if scaled else None,
            per_view=args.nimg_per_tif,
            crop_size=args.crop_size,
            anisotropy=args.anisotropy,
            mask_filter=args.mask_filter,
            seg=args.seg_masks,
            on_error=note if args.dir else None,
        )
    print(f"{len(written)} slices of {len(stacks)} stacks written to {folder}")
    if failed:
        print(f"{len(failed)} of {len(stacks)} stacks failed: {', '.join(map(str, failed))}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose slices",
        description="Cut 2D training images from 3D stacks, along YX, ZY and ZX.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dir", default="", metavar="FOLDER", help="folder of stacks")
    add("--image_path", default="", metavar="FILE", help="one stack (without --dir)")
    add("--look_one_level_down", action="store_true", help="also search the folders inside --dir")
    add(
        "--img_filter", default="", metavar="TEXT", help="use only stacks whose names end in this, before the extension"
    )
    add("--mask_filter", default="_masks", metavar="TEXT", help="ending of mask names (default: _masks)")
    add("--channel_axis", type=int, metavar="N", help="axis of the channels")
    add("--z_axis", type=int, metavar="N", help="axis of the planes (default: from the file, else the first)")
    add("--chan", type=int, default=0, metavar="N", help="channel to segment, counted from 1; 0: all channels")
    add("--chan2", type=int, default=0, metavar="N", help="channel of nuclei, counted from 1; 0: none")
    add("--all_channels", action="store_true", help="keep all channels, up to three")
    add("--invert", action="store_true", help="normalize and invert intensities")
    add(
        "--anisotropy",
        type=float,
        default=1.0,
        metavar="X",
        help="distance between planes divided by the size of a pixel",
    )
    add("--seg_masks", action="store_true", help="also write slices with masks as _seg.npy, for the window")
    add("--sharpen_radius", type=float, default=0.0, metavar="X", help="radius of the high-pass filter; 0: off")
    add("--tile_norm", type=float, default=0.0, metavar="X", help="block size of local normalization; 0: off")
    add(
        "--nimg_per_tif",
        type=int,
        default=10,
        metavar="N",
        help="number of slices per direction and stack (default: 10)",
    )
    add("--crop_size", type=int, default=512, metavar="N", help="longest side of a slice in pixels (default: 512)")
    return parser
