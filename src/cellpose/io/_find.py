"""Which files of a folder are images, which are results, and which labels belong to which image.

Results are recognized by their names, and by the manifests of runs, since ``--output_name`` chooses any name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cellpose._machine.reading import reading
from cellpose.errors import FileReadError, InputError
from cellpose.io._manifest import MANIFEST_NAME, results_of_runs
from cellpose.io._output import DEFAULT_SUFFIX, PICTURES
from cellpose.io._zarr import is_zarr

__all__ = [
    "FLOWS",
    "LABELS_HASH",
    "MASK_ENDINGS",
    "SEG",
    "TRACKED",
    "SiblingFiles",
    "get_image_files",
    "get_label_files",
    "is_result",
    "labels_to_train_on",
    "one_per_image",
]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".flex", ".dax", ".nd2", ".nrrd")
# tried only if there is none of the former, so that a preview beside its image does not count as a second image
_FURTHER_SUFFIXES = (".czi", ".lif", ".bmp", ".gif")
_RESULT_ENDINGS = ("_cp_output", "_flows", "_flows_0", "_flows_1", "_flows_2", "_cellprob", "_masks")
_LABEL_SUFFIXES = (".tif", ".tiff", ".png")
SEG = "_seg.npy"
# how the names of files with masks end: of several of an image, the commands take the first
MASK_ENDINGS = (
    *("_cp_masks" + suffix for suffix in (*_LABEL_SUFFIXES, ".ome.tif", ".zarr")),
    *("_masks" + suffix for suffix in (*_LABEL_SUFFIXES, ".ome.tif")),
    SEG,
    "_masks.ome.zarr",
)
FLOWS = "_flows.tif"
LABELS_HASH = "labels_sha256"  # what files of flows that a training left say of the labels they were computed from
RESTORED = "_dn"  # at the end of names of restored images
TRACKED = "_tracked"  # and of masks numbered by tracks
_OME = ".ome"
_MOST_ENDINGS = 5  # that one message lists


def get_image_files(
    folder: PathLike, mask_filter: str = "_masks", imf: str | None = None, look_one_level_down: bool = False
) -> list[str]:
    """The images in a folder, without labels and results, in natural order.

    Files that a manifest (``cellpose_run.json``) in the folder, in the one above it or in a searched one lists as
    results are left out too, whatever their names; restored images, and those that ``imf`` names, only if there are
    other images.

    Parameters
    ----------
    folder
        The folder.
    mask_filter
        Ending of the names of labels, before the extension; such files are left out. No ending minds capitals.
    imf
        Ending of the names of images, before the extension; other files are left out. None or "": any.
    look_one_level_down
        Also search the sub-folders.

    Returns
    -------
    list of str
        Paths: PNG, JPEG, TIFF, FLEX, DAX, ND2, NRRD; only if there is none of these CZI, LIF, BMP and GIF.

    Raises
    ------
    InputError
        If the folder does not exist, or holds no images.
    FileReadError
        If the folder may not be read.
    """
    from natsort import natsorted

    root = os.fspath(folder)
    below = _sub_folders(root) if look_one_level_down else []
    files = [os.path.join(place, name) for place in below for name in _names_below(place)]
    files += [os.path.join(root, name) for name in _names(root)]
    if not files:
        message = f"ERROR: no files in --dir folder {root}{_zarr_beside(root)}"
        raise InputError(message)
    ending = imf or ""
    images = _with_suffix(files, _IMAGE_SUFFIXES, ending) or _with_suffix(files, _FURTHER_SUFFIXES, ending)
    if not images:
        message = (
            f"ERROR: no images in --dir folder {root} with extensions {', '.join(_IMAGE_SUFFIXES)}"
            + (f" whose names end in {ending!r}" if ending else "")
            + "; check the folder and --img_filter, or convert the images to TIFF"
            + _zarr_beside(root)
        )
        raise InputError(message)
    kept = [file for file in images if not _is_result(_stem_name(file), mask_filter)]
    # restored images and tracks lie beside their originals; without an original the name is the user's own
    stems = {os.path.splitext(file)[0] for file in kept}
    kept = [file for file in kept if not _is_derived(os.path.splitext(file)[0], stems)]
    above = {os.path.dirname(path(root)) for path in (os.path.abspath, os.path.realpath)}
    listed = results_of_runs([root, *below, *above])
    others = [file for file in kept if os.path.realpath(file) not in listed]
    if len(others) < len(kept):
        logger.info("%d files in %s are left out: %s lists them", len(kept) - len(others), root, MANIFEST_NAME)
    # results that are asked for by name, and restored images, may be all that is wanted
    kept = others or [file for file in kept if imf or _ends_in(_stem_name(file), RESTORED)]
    if not kept:
        message = (
            f"ERROR: no images in --dir folder {root} that do not have the endings of results "
            f"({', '.join(_RESULT_ENDINGS)}) and of labels ({mask_filter}) and are not listed as results in "
            f"{MANIFEST_NAME}; give the folder of the images"
        )
        raise InputError(message)
    return [str(file) for file in natsorted(set(kept))]


def _zarr_beside(folder: str) -> str:
    """Advice on images that are folders, for a message; empty if there are none."""
    inside = [entry for entry in os.scandir(folder) if entry.is_dir() and is_zarr(entry.path)]
    zarr = sorted(entry.name for entry in inside if not _is_result(_stem_name(entry.name), ""))
    return f"; Zarr images such as {zarr[0]} must be given one by one: --image_path {zarr[0]}" if zarr else ""


def _shown(folder: PathLike) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden files: other systems leave such files beside every image."""
    try:
        with os.scandir(os.fspath(folder)) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"ERROR: no files in --dir folder {folder}, which is not a folder; check the path"
        raise InputError(message) from error
    except OSError as error:
        message = f"the folder {folder} could not be read: {error.strerror or error}"
        raise FileReadError(message) from error


def _names(folder: str) -> list[str]:
    """Names of the files in a folder; entries named like images that are not files are logged and left out."""
    names = []
    for entry in _shown(folder):
        if os.path.isfile(entry.path):
            names.append(entry.name)
        elif entry.name.lower().endswith(_IMAGE_SUFFIXES) and not os.path.isdir(entry.path):
            logger.warning(f"{entry.path} is left out: {_why_no_file(entry.path)}")
    return names


def _why_no_file(path: str) -> str:
    try:
        os.stat(path)
    except OSError as error:
        return f"it is a broken link ({error.strerror or error})" if os.path.islink(path) else str(error)
    return "it is a pipe, socket or device"


def _sub_folders(folder: str) -> list[str]:
    """The folders in a folder, each once, whatever links lead to it."""
    try:
        with os.scandir(folder) as entries:
            inside = [entry.path for entry in entries if not entry.name.startswith(".")]
    except OSError:  # reported by _names
        return []
    # a folder itself goes before links to it
    inside = sorted((path for path in inside if os.path.isdir(path)), key=os.path.islink)
    found = {os.path.realpath(folder): folder}
    for path in inside:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())[1:]


def _names_below(folder: str) -> list[str]:
    """The names in a sub-folder; one that cannot be read is logged and left out."""
    try:
        return _names(folder)
    except (InputError, FileReadError) as error:
        logger.warning(f"{folder} is left out: {error}")
        return []


def _stem_name(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _with_suffix(files: Sequence[str], suffixes: tuple[str, ...], ending: str) -> list[str]:
    return [file for file in files if file.lower().endswith(suffixes) and _ends_in(_stem_name(file), ending)]


def _ends_in(name: str, ending: str) -> bool:
    """Whether a name has an ending; programs and systems differ in capitals."""
    return name.lower().endswith(ending.lower())


def _is_result(stem: str, mask_filter: str) -> bool:
    name = stem[: -len(_OME)] if _ends_in(stem, _OME) else stem
    return any(
        ending and _ends_in(name, ending) and len(name) > len(ending) for ending in (*_RESULT_ENDINGS, mask_filter)
    )


def _is_derived(stem: str, stems: set[str]) -> bool:
    if stem.endswith(TRACKED):  # of a movie in one file, or of one that is a folder
        original = stem.removesuffix(TRACKED)
        return original in stems or os.path.basename(original) == os.path.basename(_folder_of(original))
    return stem.endswith(RESTORED) and stem.removesuffix(RESTORED) in stems


def _folder_of(path: str) -> str:
    return os.path.realpath(os.path.dirname(path))


def is_result(path: PathLike) -> bool:
    """Whether a file or folder has the name of a result; `results_of_runs` knows those with other names."""
    return _is_result(_stem_name(os.fspath(path)), "")


def one_per_image(folder: PathLike, endings: Sequence[str] = MASK_ENDINGS) -> dict[str, Path]:
    """For each image of a folder the file whose name adds the first of these endings to that of the image.

    Pictures and flows, whose names end as those of masks do (``x_outlines_cp_masks.png``), are left out, unless there
    is an image ``x_outlines``.

    Raises
    ------
    InputError
        If the folder does not exist.
    FileReadError
        If it may not be read.
    """
    names = sorted(entry.name for entry in _shown(folder))
    stems = {_stem_name(name) for name in names}
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        rank = next((k for k, ending in enumerate(endings) if _ends_in(name, ending)), None)
        if rank is None or _is_picture(name, stems):
            continue
        base = name[: -len(endings[rank])]
        if base not in found or rank < found[base][0]:
            found[base] = (rank, name)
    return {base: Path(folder, name) for base, (_, name) in found.items()}


def _is_picture(name: str, stems: set[str]) -> bool:
    base, ending, _ = name.rpartition(DEFAULT_SUFFIX + ".")
    return bool(ending) and base.endswith(PICTURES) and (base not in stems or _is_result(base, ""))


def get_label_files(
    image_names: Sequence[PathLike], mask_filter: str = "_masks", imf: str | None = None
) -> tuple[list[str] | None, list[str] | None]:
    """The files of labels and of flows that belong to images.

    Parameters
    ----------
    image_names
        Paths of the images.
    mask_filter
        Text that follows the name of the image: "_masks" (then ``.tif``, ``.tiff`` or ``.png``), or "_seg.npy" for
        labels of the GUI. Capitals do not matter; where files differ by them alone, or by their format, one is taken
        and the log says which.
    imf
        Ending of the names of the images that the names of the labels do not have.

    Returns
    -------
    label_names : list of str or None
        Paths, in the order of the images; None where some are missing and all flows exist.
    flow_names : list of str or None
        Paths of ``_flows.tif``; None where some are missing.

    Raises
    ------
    InputError
        If labels are missing.
    """
    full, cut = _stems(image_names, imf)
    beside = SiblingFiles()
    if mask_filter.lower() == SEG:
        labels = [beside.one_of(stem, (SEG,)) for stem in cut]
        return _complete(labels, cut, mask_filter), None
    flows = _flow_files(full, cut, beside)
    labels = _label_images(cut, mask_filter, beside)
    if flows is not None and None in labels:
        return None, flows
    if not any(labels):
        raise _no_labels(cut[0], mask_filter, beside)
    return _complete(labels, cut, mask_filter), flows


def labels_to_train_on(
    image_names: Sequence[PathLike], mask_filter: str = "_masks", imf: str | None = None
) -> tuple[list[str] | None, list[str] | None]:
    """As `get_label_files`, but flows alone count only if nothing shows that they were computed from labels.

    Otherwise they may be left by an earlier training, while the labels were corrected, or have another ending.

    Raises
    ------
    InputError
        If labels are missing.
    """
    labels, flows = get_label_files(image_names, mask_filter, imf)
    if labels is not None or flows is None:
        return labels, flows
    _, cut = _stems(image_names, imf)
    beside = SiblingFiles()
    found = _label_images(cut, mask_filter, beside)
    if any(found):
        _complete(found, cut, mask_filter)  # raises: some are missing
    of_others = any(beside.all_of(stem, ending) for stem in cut for ending in MASK_ENDINGS)
    if of_others or _computed_from_labels(flows[0]):
        raise _no_labels(cut[0], mask_filter, beside, leftover=flows[0])
    return None, flows


def _stems(image_names: Sequence[PathLike], imf: str | None) -> tuple[list[str], list[str]]:
    """The paths of images without their extensions, and also without the ending of the names of images."""
    full = [os.path.splitext(os.fspath(name))[0] for name in image_names]
    if not full:
        message = "no images were given to find labels for; give at least one"
        raise InputError(message)
    return full, [stem[: -len(imf)] if imf and _ends_in(stem, imf) else stem for stem in full]


def _label_images(stems: Sequence[str], mask_filter: str, beside: SiblingFiles) -> list[str | None]:
    endings = tuple(mask_filter + suffix for suffix in _LABEL_SUFFIXES)
    return [beside.one_of(stem, endings) for stem in stems]


def _no_labels(stem: str, mask_filter: str, beside: SiblingFiles, leftover: str | None = None) -> InputError:
    """The error for an image without labels; ``leftover``: flows beside it that were computed from labels."""
    message = (
        f"labels not provided with correct --mask_filter: there is no {stem}{mask_filter} with any of "
        f"{', '.join(_LABEL_SUFFIXES)}{_perhaps(stem, beside)}; put label images beside the images, or choose another "
        "--mask_filter"
    )
    if leftover is not None:
        message += (
            f". {leftover} seems to be computed from labels, and is not trained on without them; to train on flows "
            "alone, name them in --file_list"
        )
    return InputError(message)


def _computed_from_labels(flow_name: str) -> bool:
    """Whether a training left this file of flows."""
    import tifffile

    with suppress(FileReadError, InputError), reading(flow_name), tifffile.TiffFile(flow_name) as file:
        return LABELS_HASH in str(file.pages[0].tags["ImageDescription"].value)
    return False


class SiblingFiles:
    """The files beside images: folders are listed once, and capitals in the endings of names do not matter."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}

    def one_of(self, stem: str, endings: Sequence[str]) -> str | None:
        """The first file that exists with this path and one of the endings, or None."""
        found = [path for ending in endings for path in self.all_of(stem, ending)]
        if len(found) > 1:
            others = ", ".join(os.path.basename(path) for path in found[1:])
            logger.warning(f"{found[0]} is used, not {others}")
        return found[0] if found else None

    def all_of(self, stem: str, ending: str) -> list[str]:
        """The files with this path and ending; an exact match of capitals comes first."""
        folder, name = os.path.split(stem)
        names = self._listed(folder).get((name + ending).lower(), [])
        same = sorted((n for n in names if n.startswith(name)), key=lambda n: (n != name + ending, n))
        return [os.path.join(folder, n) for n in same]

    def endings_of(self, stem: str) -> list[str]:
        """The endings of file names that begin with this path."""
        folder, name = os.path.split(stem)
        names = [n for same in self._listed(folder).values() for n in same]
        return sorted(n[len(name) :] for n in names if n.startswith(name))

    def _listed(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                for name in os.listdir(folder or os.curdir):
                    names.setdefault(name.lower(), []).append(name)
            except OSError as error:
                logger.debug("%s could not be listed: %s", folder, error)
            self._folders[folder] = names
        return self._folders[folder]


def _flow_files(full: list[str], cut: list[str], beside: SiblingFiles) -> list[str] | None:
    stems = full if beside.all_of(full[0], FLOWS) else cut
    flows = [found[0] for stem in stems if (found := beside.all_of(stem, FLOWS))]
    if len(flows) == len(stems):
        return flows
    logger.info("not all flows are present, running flow generation for all images")
    return None


def _complete(labels: Sequence[str | None], stems: Sequence[str], mask_filter: str) -> list[str]:
    missing = [stem for label, stem in zip(labels, stems, strict=True) if label is None]
    if missing:
        of_window = mask_filter.lower() == SEG
        ending = SEG if of_window else mask_filter + os.path.splitext(next(label for label in labels if label))[1]
        message = (
            f"labels not provided for all images in train and/or test set: {len(missing)} of {len(labels)} are "
            f"missing, the first is {missing[0]}{ending}. Add it, remove the image, "
            f"or choose another --mask_filter than {mask_filter!r}"
        )
        raise InputError(message)
    return [label for label in labels if label is not None]


def _perhaps(stem: str, beside: SiblingFiles) -> str:
    """The endings found, one of which may be that of the labels, for a message."""
    # a name that continues with a letter or a digit belongs to another image
    endings = [e for e in beside.endings_of(stem) if e[:1] and e[0] != "." and not e[0].isalnum()]
    return f"; there are {', '.join('...' + e for e in endings[:_MOST_ENDINGS])}" if endings else ""
