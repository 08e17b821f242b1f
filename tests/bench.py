"""A place for runs of the command line: its own home and models folder, and images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blobs import write_blob_finder, write_images
from cellpose.__main__ import main


@dataclass
class Bench:
    """Folders of one test; ``folder`` holds the images."""

    root: Path
    home: Path
    models: Path
    folder: Path

    def model(self, name: str = "cyto3", **options: Any) -> Path:
        """A weight file under this name in the models folder."""
        return write_blob_finder(self.models / name, **options)

    def images(self, *names: str) -> list[Path]:
        """Blob images, nine cells each, in the image folder."""
        return write_images(self.folder, names)

    def run(self, *words: Any) -> int:
        """The command line with these words, and ``--dir`` of the image folder if they name no image."""
        given = [str(word) for word in words]
        if not {"--dir", "--image_path"} & set(given):
            given = ["--dir", str(self.folder), *given]
        return main(given)

    def new_files(self, folder: Path | None = None, without: Sequence[Path] = ()) -> list[str]:
        """Files below a folder, relative to it, but for images and the manifest."""
        folder = folder or self.folder
        files = [path for path in folder.rglob("*") if path.is_file() and path not in without]
        return sorted(path.relative_to(folder).as_posix() for path in files if path.name != "cellpose_run.json")

    def manifest(self, folder: Path | None = None) -> dict[str, Any]:
        """The manifest of the last run."""
        return json.loads(((folder or self.folder) / "cellpose_run.json").read_text(encoding="utf-8"))

    def log(self) -> str:
        """The log file that clients follow."""
        return (self.home / ".cellpose" / "run.log").read_text(encoding="utf-8")


@contextmanager
def make_bench(root: Path) -> Iterator[Bench]:
    """A bench below ``root``, with one thread for torch."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bench = Bench(root, root / "home", root / "models", root / "in")
    for folder in (bench.home, bench.models, bench.folder):
        folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(bench.home))
        patch.setenv("USERPROFILE", str(bench.home))
        patch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(bench.models))
        yield bench
    torch.set_num_threads(threads)
