"""Which images a command line means."""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections.abc import Collection, Sequence
from pathlib import Path

from cellpose.errors import OptionError

__all__ = ["check_writable", "find_images", "folder_of_run", "name_of"]


def find_images(args: Namespace) -> list[Path]:
    """The images in natural order.

    Raises
    ------
    OptionError
        If a folder or file of the command line does not exist, no folder of results can be written to, or images of
        several folders would have the same results.
    InputError
        If the folder holds no image.
    """
    # os.path rather than Path: a name that no file system accepts counts as missing
    if args.savedir and not os.path.isdir(args.savedir):
        message = f"--savedir {args.savedir} does not exist; create the folder first"
        raise OptionError(message)
    if not args.dir:
        image = Path(args.image_path)
        if not os.path.isfile(image) and not _is_zarr(image):
            message = f"ERROR: no file found at {args.image_path}"
            if os.path.isdir(image):
                message = f"--image_path {args.image_path} is a folder; for all images in it use --dir"
            raise OptionError(message)
        from cellpose import io

        check_writable({_folder_of_results(image, args)})
        return io.once_per_set([image])
    folder = Path(args.dir)
    if not os.path.isdir(folder):
        message = f"--dir {args.dir} is not a folder; for a single image use --image_path"
        raise OptionError(message)
    from cellpose import io

    names = io.get_image_files(
        str(folder), args.mask_filter, imf=args.img_filter, look_one_level_down=args.look_one_level_down
    )
    files = io.once_per_set([Path(name) for name in names])
    check_writable({_folder_of_results(file, args) for file in files})
    same = io.groups_of_same_results(files, savedir=args.savedir, dir_above=args.dir_above)
    _check_results_differ(same, args)
    io.warn_of_same_results(same)
    return files


def _check_results_differ(same: Sequence[Sequence[str | os.PathLike[str]]], args: Namespace) -> None:
    """Refuse images of several folders whose results would have one name; in one folder they may be copies."""
    for group in same:
        images = [Path(image) for image in group]
        if len({image.parent for image in images}) > 1:
            names = " and ".join(name_of(image, args) for image in images[:2])
            option = "--savedir" if args.savedir else "--dir_above"
            message = (
                f"results of {names} would have the same names; leave out {option}, or segment each folder with a "
                "folder of its own for the results"
            )
            raise OptionError(message)


def _is_zarr(path: Path) -> bool:
    from cellpose import io

    return os.path.isdir(path) and io.is_zarr(path)


def folder_of_run(args: Namespace, files: list[Path]) -> Path:
    """The folder of the manifest: that of the results of ``--dir``, or else of the first image."""
    return _folder_of_results(Path(args.dir, "image") if args.dir else files[0], args)


def name_of(file: Path, args: Namespace) -> str:
    """The name of an image in messages: below ``--dir``, where folders inside it may hold images of equal names."""
    below = args.dir and file.is_relative_to(args.dir)
    return file.relative_to(args.dir).as_posix() if below else file.name


def _folder_of_results(file: Path, args: Namespace) -> Path:
    from cellpose.io import OutputPaths

    return OutputPaths(file, savedir=args.savedir, dir_above=args.dir_above).folder


def check_writable(folders: Collection[Path]) -> None:
    """Report before hours of work, not after, that the results cannot be written.

    Raises
    ------
    OptionError
        If none of the folders can be written to; where only some cannot, their images fail and the others do not.
    """
    refused = [error for error in map(_write_error, folders) if error]
    if len(refused) == len(folders):
        message = f"results cannot be written to {min(folders)}: {refused[0]}; choose another folder with --savedir"
        raise OptionError(message)


def _write_error(folder: Path) -> str | None:
    """Why no file can be made in a folder, or in the one in which it would be made; None if one can."""
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=above):
            return None
    except OSError as error:
        return error.strerror or str(error)
