"""Which images a command line means."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections import defaultdict
from pathlib import Path

from cellpose.cli._manifest import outputs_of_last_run
from cellpose.errors import OptionError

__all__ = ["find_images", "folder_of_run"]

logger = logging.getLogger("cellpose.cli")


def find_images(args: Namespace) -> list[Path]:
    """The images in natural order.

    Raises
    ------
    OptionError
        If a folder or file of the command line is not there.
    InputError
        If the folder holds no image.
    """
    if args.savedir and not Path(args.savedir).is_dir():
        message = f"--savedir {args.savedir} does not exist; create the folder first"
        raise OptionError(message)
    if not args.dir:
        image = Path(args.image_path)
        if not image.is_file():
            message = f"ERROR: no file found at {args.image_path}"
            raise OptionError(message)
        return [image]
    folder = Path(args.dir)
    if not folder.is_dir():
        message = f"--dir {args.dir} is not a folder; for a single image use --image_path"
        raise OptionError(message)
    from cellpose import io

    names = io.get_image_files(
        str(folder), args.mask_filter, imf=args.img_filter, look_one_level_down=args.look_one_level_down
    )
    results = outputs_of_last_run(folder_of_run(args, [folder]))
    files = [Path(name) for name in names]
    files = [file for file in files if file.resolve() not in results] or files
    _warn_of_same_results(files, args)
    return files


def folder_of_run(args: Namespace, files: list[Path]) -> Path:
    """The folder of the manifest: ``--savedir``, else ``--dir``, else that of the image."""
    return Path(args.savedir or args.dir or files[0].parent)


def _warn_of_same_results(files: list[Path], args: Namespace) -> None:
    same: dict[tuple[Path | None, str], list[Path]] = defaultdict(list)
    for file in files:
        parent = file.parent.parent if args.dir_above else file.parent
        same[None if args.savedir else parent, file.stem].append(file)
    for group in same.values():
        if len(group) > 1:
            logger.warning(
                f"results of {', '.join(map(str, group))} have the same names: those of {group[-1]} stay in the end; "
                "run them apart to keep all"
            )
