"""The checksums of a torch archive, which torch itself does not look at.

A torch file is a zip archive, and every record in it carries the CRC-32 of its bytes: flipped bits, of a bad disk or
copy, are found before they become weights.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from cellpose._machine.reading import reading
from cellpose.errors import WeightsError

__all__ = ["check_archive"]

_LOCAL_HEADER = struct.Struct("<26xHH")
_SLICE = 1 << 24  # bytes summed at a time
_UNPACKED = 100
_LARGE = 1 << 26  # from this size on, the faster function is worth loading its library


def check_archive(path: Path) -> None:
    """Compare every record of a zip archive with its checksum.

    The same file, by size and time of change, is looked at once in a process.

    Raises
    ------
    WeightsError
        If a record differs, or the archive is damaged.
    """
    with reading(path, WeightsError):
        status = path.stat()
        _check(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _check(path: Path, size: int, _changed_ns: int) -> None:
    crc32 = _crc32(size)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        zipfile.ZipFile(file) as archive,
        memoryview(mapped) as content,
    ):
        entries = archive.infolist()
        # records that overlap, or unpack to far more than the file, are not weights and could take any time
        if sum(e.compress_size for e in entries) > size or sum(e.file_size for e in entries) > _UNPACKED * size:
            message = (
                f"the weight file {path} is corrupt: its records claim more than the file can hold; download or copy "
                "it again"
            )
            raise WeightsError(message)
        damaged = [entry.filename for entry in entries if not _is_whole(archive, entry, content, crc32)]
        if damaged:
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            message = (
                f"the weight file {path} is corrupt: the checksum of its record {damaged[0]!r}{more} differs; "
                "download or copy it again"
            )
            raise WeightsError(message)


def _is_whole(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: memoryview, crc32: Callable[..., int]) -> bool:
    if entry.compress_type != zipfile.ZIP_STORED:  # torch stores its records uncompressed; others may not
        return _unpacks(archive, entry)
    name, extra = _LOCAL_HEADER.unpack_from(content, entry.header_offset)
    start = entry.header_offset + _LOCAL_HEADER.size + name + extra
    end = start + entry.file_size
    if end > len(content):
        return False
    found = 0
    for place in range(start, end, _SLICE):
        found = crc32(content[place : min(place + _SLICE, end)], found)
    return found == entry.CRC


def _unpacks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as file:
            while file.read(_SLICE):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False
    return True


def _crc32(size: int) -> Callable[..., int]:
    """The faster of two equivalent functions, where its library is installed."""
    if size >= _LARGE:
        try:
            import imagecodecs

            fast: Any = imagecodecs.deflate_crc32
            return lambda content, value: int(fast(content, value))
        except (ImportError, AttributeError):
            pass
    return zlib.crc32
