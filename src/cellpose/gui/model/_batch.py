"""Queue of folders for the command line to segment: the options given to it, and the messages read from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from psygnal import SignalGroupDescriptor

from cellpose import io
from cellpose._machine.reading import read_json
from cellpose.errors import CellposeError
from cellpose.gui._texts import tr
from cellpose.gui.model._recipe import Recipe

__all__ = [
    "OUTPUTS",
    "BatchFolder",
    "BatchOptions",
    "ImageResult",
    "News",
    "news_of",
    "results_of_run",
]

_MEASUREMENTS = "measurements"

# Possible outputs: field of `BatchOptions`, arguments of the command line, description.
OUTPUTS: dict[str, tuple[str, str]] = {
    "seg": ("", tr("_seg.npy, which this window opens")),
    "tif": ("--save_tif", tr("masks as TIFF")),
    "png": ("--save_png", tr("masks as PNG")),
    "outlines": ("--save_outlines", tr("pictures with outlines")),
    "rois": ("--save_rois", tr("ROIs for ImageJ")),
    "flows": ("--save_flows", tr("flows as TIFF")),
}


@dataclass
class BatchOptions:
    """The files to write for each image, and what to do afterwards.

    Parameters
    ----------
    seg, tif, png, outlines, rois, flows
        The files to write, see ``OUTPUTS``.
    measure, parquet
        Whether to measure the cells (CSV, plots and a report), and whether to write Parquet too.
    savedir
        The folder that holds one folder of results for each folder of images; empty: results are beside the images.
    skip_done
        Skip images done by an earlier run with the same model and options.
    """

    events = SignalGroupDescriptor()

    seg: bool = True
    tif: bool = True
    png: bool = False
    outlines: bool = False
    rois: bool = False
    flows: bool = False
    measure: bool = True
    parquet: bool = False
    savedir: str = ""
    skip_done: bool = True

    def results_of(self, folder: Path, others: Collection[Path] = ()) -> Path:
        """The folder for the results of a folder of images, with which no other one shares it.

        It has the name of the folder, or that with the names of as many parents as tell it from the folders that are
        segmented with it, the ``others``, and from those that have their results there already.

        Examples
        --------
        >>> options = BatchOptions(savedir="out")
        >>> options.results_of(Path("/data/day1/images"), [Path("/data/day2/images")]).as_posix()
        'out/day1_images'
        """
        if not self.savedir:
            return folder
        names, taken = _names_for(folder), {name.casefold() for other in others for name in _names_for(other)}
        places = {name: Path(self.savedir) / name for name in names}
        owners = {name: _segmented_to(place) for name, place in places.items()}
        own = [place for name, place in places.items() if owners[name] == folder]
        free = [place for name, place in places.items() if owners[name] is None and name.casefold() not in taken]
        return next(iter([*own, *free]), Path(self.savedir, *folder.parts[1:]))

    def segment_words(self, folder: Path, results: Path, recipe: Recipe, *, resume: bool) -> list[str]:
        """The command line that segments a folder and writes its results to another, or to itself."""
        asked = [word for name, (word, _) in OUTPUTS.items() if word and getattr(self, name)]
        words = ["--dir", str(folder), *recipe.options(), *asked, "--verbose"]
        words += [] if self.seg else ["--no_npy"]
        words += ["--savedir", str(results)] if self.savedir else []
        return [*words, "--resume"] if resume else words

    def measure_words(self, folder: Path, results: Path) -> list[str]:
        """The command line that measures the cells found in a folder, among its results."""
        words = ["measure", "--dir", str(folder), "--savedir", str(results / _MEASUREMENTS), "--verbose"]
        words += ["--formats", "csv", *(["parquet"] if self.parquet else [])]
        words += ["--masks_dir", str(results)] if self.savedir else []
        # A _seg.npy of an earlier run would take precedence over the masks of this run. One of this run, or corrected
        # since, holds the cells as they are now.
        return [*words, "--mask_filter", "_cp_masks"] if (self.tif or self.png) and not self.seg else words


def _names_for(folder: Path) -> list[str]:
    """Names for the results of a folder: its own, and those with the names of one parent, two, and so on."""
    return ["_".join(folder.parts[-n:]) for n in range(1, len(folder.parts))]


def _segmented_to(results: Path) -> Path | None:
    """The folder of images whose results lie in a folder, from the manifest there; None: unknown."""
    try:
        options = read_json(results / io.MANIFEST_NAME)["options"]
        return Path(options["dir"])
    except (CellposeError, KeyError, TypeError):
        return None


class ImageResult(NamedTuple):
    """The result of one image.

    Parameters
    ----------
    path
        The image.
    cells, seconds
        Number of cells found, and the time it took.
    error
        Why it failed; empty: it succeeded.
    masks
        The file with its masks; None: there is none that can be shown.
    """

    path: Path
    cells: int = 0
    seconds: float = 0.0
    error: str = ""
    masks: Path | None = None


class News(NamedTuple):
    """The content of one output line: its kind is ``"total"``, ``"before"``, ``"image"`` or ``"failed"``."""

    kind: str
    number: int = 0
    name: str = ""
    seconds: float = 0.0
    reason: str = ""


@dataclass(eq=False)
class BatchFolder:
    """One folder of the queue.

    Parameters
    ----------
    folder
        The folder of images.
    state
        ``"waiting"``, ``"running"``, ``"measuring"``, ``"paused"``, ``"cancelled"``, ``"done"`` or ``"failed"``.
    total
        How many images there are; 0: not known yet.
    before
        How many of them an earlier run has done.
    results
        Those of this run, in order of arrival; after the end of the run, those of all images.
    message
        What went wrong with the whole folder, or how it ended.
    asked
        Description of its settings; empty: the settings in the window when the folder starts.
    place
        The folder of its results; None: it has not been run.
    """

    folder: Path
    state: str = "waiting"
    total: int = 0
    before: int = 0
    results: list[ImageResult] = field(default_factory=list)
    message: str = ""
    asked: str = ""
    place: Path | None = None
    measurements: Path | None = None

    @property
    def is_over(self) -> bool:
        """Whether the folder has ended."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def failed(self) -> list[ImageResult]:
        """The images that failed."""
        return [each for each in self.results if each.error]

    @property
    def cells(self) -> int:
        """How many cells were found."""
        return sum(each.cells for each in self.results)

    @property
    def seconds(self) -> float:
        """Sum of the images' run times; several images run at the same time."""
        return sum(each.seconds for each in self.results)

    @property
    def share(self) -> float:
        """Fraction done, 0 to 1."""
        if self.state in ("measuring", "done"):
            return 1.0
        n = len(self.results) if self.is_over else self.before + len(self.results)
        return min(1.0, n / self.total) if self.total else 0.0

    def take(self, news: News) -> None:
        """Record a message of the command line."""
        if news.kind == "total":
            self.total = news.number
        elif news.kind == "before":
            self.before = news.number
        elif news.kind == "image":
            self.results.append(ImageResult(self.folder / news.name, news.number, news.seconds))
        else:
            self.results.append(ImageResult(self.folder / Path(news.name).name, error=news.reason))


_LINES = {
    "total": re.compile(r">>>> running cellpose on (?P<number>\d+) images"),
    "before": re.compile(r">>>> resuming: (?P<number>\d+) of \d+ images are done already"),
    "image": re.compile(r"\[INFO\] (?P<name>.+): (?P<number>\d+) cells in (?P<seconds>[\d.]+) s$"),
    "failed": re.compile(r"\[ERROR\] (?P<name>.+?) failed: (?:\w+: )?(?P<reason>.+)$"),
}


def news_of(line: str) -> News | None:
    """Parse a line of ``cellpose --verbose``; None if it is irrelevant.

    Examples
    --------
    >>> news_of("2026-01-01 10:00:00,000 [INFO] a b.tif: 12 cells in 0.52 s")
    News(kind='image', number=12, name='a b.tif', seconds=0.52, reason='')
    >>> news_of("2026-01-01 10:00:00,000 [ERROR] in/c.png failed: FileReadError: in/c.png is damaged").reason
    'in/c.png is damaged'
    >>> news_of("2026-01-01 10:00:00,000 [INFO] >>>> using CPU") is None
    True
    """
    for kind, pattern in _LINES.items():
        found = pattern.search(line)
        if found:
            told = found.groupdict()
            return News(
                kind,
                int(told.get("number") or 0),
                told.get("name") or "",
                float(told.get("seconds") or 0),
                told.get("reason") or "",
            )
    return None


def results_of_run(results: Path) -> list[ImageResult]:
    """The results of all images from the manifest in a results folder; empty if it cannot be read."""
    try:
        content = read_json(results / io.MANIFEST_NAME)
    except CellposeError:
        return []
    entries = content.get("images") if isinstance(content, dict) else None
    return [_result(results, entry) for entry in entries or [] if isinstance(entry, dict) and "image" in entry]


def _result(results: Path, entry: Mapping[str, Any]) -> ImageResult:
    written = {path.name: path for path in (results / str(name) for name in entry.get("outputs", ()))}
    stem = Path(str(entry["image"])).stem
    masks = [written[stem + ending] for ending in io.MASK_ENDINGS if stem + ending in written]
    return ImageResult(
        results / str(entry["image"]),
        int(entry.get("cells") or 0),
        float(entry.get("seconds") or 0.0),
        str(entry.get("error") or "").split(": ", 1)[-1],
        masks[0] if masks else None,
    )
