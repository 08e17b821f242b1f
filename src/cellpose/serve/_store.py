"""Images that are kept for a limited time, each in a folder with a name that cannot be guessed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cellpose._machine.temporary import temporary_beside
from cellpose.io import Image
from cellpose.serve._about import About
from cellpose.serve._busy import Busy
from cellpose.serve._cells import Cells

__all__ = ["Item", "Store", "shown_name"]

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_LONGEST = 100  # characters of a name


def shown_name(given: str) -> str:
    r"""The name of an upload, safe for display and downloads; never a path.

    Examples
    --------
    >>> shown_name("../../etc/passwd"), shown_name("C:\\cells 1.tif"), shown_name("...")
    ('passwd', 'cells 1.tif', 'image')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given))[-1]
    clean = "".join(letter if letter.isprintable() and letter not in '<>:"|?*' else "_" for letter in last)
    clean = clean.strip(" .")
    if len(clean) > _LONGEST:
        clean = clean[: _LONGEST - 12] + clean[-12:]
    return clean or "image"


@dataclass(eq=False)
class Item:
    """An image and its results.

    Attributes
    ----------
    id
        Anyone who knows it can see and change the image.
    name
        Name of the upload, for display.
    folder
        Folder of its files.
    about
        Facts about the image.
    cells
        The last segmentation.
    used
        Time of the last request for it, on the monotonic clock.
    lock
        Held while the cells change.
    """

    id: str
    name: str
    folder: Path
    about: About
    cells: Cells | None = None
    used: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return re.sub(r"(\.ome)?\.[A-Za-z0-9]{1,5}$", "", self.name) or self.name

    @property
    def pixels(self) -> npt.NDArray[np.generic]:
        """The pixels (T, Z, Y, X, C), read from disk on demand."""
        pixels: npt.NDArray[np.generic] = np.load(self.folder / "image.npy", mmap_mode="r")
        return pixels

    @property
    def image(self) -> Image:
        """The image with its axes, without those of length 1."""
        axes, pixels = self.about.axes, self.pixels
        kept = [length for letter, length in zip("TZYXC", pixels.shape, strict=True) if letter in axes]
        return Image(pixels.reshape(kept), axes, self.about.pixel_size_um, self.about.channel_names, name=self.name)

    def replace_cells(self, cells: Cells) -> None:
        """Keep new cells and discard the previous ones."""
        with self.lock:
            before, self.cells = self.cells, cells
            if before is not None:
                before.close()

    def plane(self, frame: int) -> npt.NDArray[np.generic]:
        """A plane (Y, X, C) by its number among the planes of all times."""
        time, number = divmod(frame, self.about.planes)
        plane: npt.NDArray[np.generic] = self.pixels[time, number]
        return plane


class Store:
    """Keeps images on disk.

    Parameters
    ----------
    most_bytes
        Limit for all images together.
    keep_s
        Seconds after which an unused image is deleted.
    """

    def __init__(self, most_bytes: float, keep_s: float) -> None:
        self._most, self._keep = most_bytes, keep_s
        self.folder = temporary_beside(Path(tempfile.gettempdir()) / "cellpose-serve")
        self.folder.mkdir(mode=0o700)
        self._items: dict[str, Item] = {}
        self._lock = threading.Lock()
        self._reserved = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Item | None:
        """The image with this id, if it exists; marks it as used."""
        item = self._items.get(key) if _ID.fullmatch(key) else None
        if item is not None:
            item.used = time.monotonic()
        return item

    def reserve(self, n_bytes: int) -> Callable[[], None]:
        """Reserve disk space for a coming write; call the result to release it.

        Raises
        ------
        Busy
            If there is not enough space.
        """
        used = self.used_bytes()
        with self._lock:
            if used + self._reserved + n_bytes > self._most:
                message = "the server holds as many images as it may"
                raise Busy(message, min(self._keep, 30.0))
            self._reserved += n_bytes

        def release() -> None:
            with self._lock:
                self._reserved -= n_bytes

        return release

    def used_bytes(self) -> int:
        """Bytes on the disk."""
        total = 0
        for folder, _, names in os.walk(self.folder):  # os.walk skips folders that are removed in the meantime
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(folder, name)).st_size
        return total

    def new_folder(self) -> Path:
        """An empty folder for an upload."""
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        return folder

    def add(self, folder: Path, name: str, about: About) -> Item:
        """Keep an image that was read into a folder made by `new_folder`."""
        item = Item(folder.name, name, folder, about)
        with self._lock:
            self._items[item.id] = item
        return item

    def remove(self, item: Item) -> None:
        """Delete an image and all its results."""
        with self._lock:
            self._items.pop(item.id, None)
        with item.lock:
            if item.cells is not None:
                item.cells.close()
            shutil.rmtree(item.folder, ignore_errors=True)

    def outdated(self, busy: Callable[[Item], bool]) -> list[Item]:
        """Images unused for too long, unless work on them is in progress."""
        now = time.monotonic()
        return [item for item in list(self._items.values()) if now - item.used > self._keep and not busy(item)]

    def close(self) -> None:
        """Delete everything."""
        self._items.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
