"""A segmentation of the window as a command line and as Python, for use elsewhere."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellpose.gui.model._settings import SegmentationSettings
from cellpose.options import Masking, describe

__all__ = ["Recipe", "quoted"]

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/\\@")


@dataclass(frozen=True)
class Recipe:
    """Everything that the masks of an image depend on.

    Parameters
    ----------
    image
        The image.
    model
        Model name or path for ``CellposeModel``.
    gpu
        Whether it runs on a GPU.
    channels
        Channels for ``eval``; None: the model takes none.
    diameter
        Diameter in pixels; None: the training diameter of the model.
    trained_diameter
        For U-Nets, the diameter if ``diameter`` is None, because the command line needs one; None: a transformer.
    percentile, filters
        Keywords of ``Normalization``; filters without effect are left out.
    masking
        The values of `SegmentationSettings.masking`.
    volume
        For a volume, the values of `SegmentationSettings.volume`; None: a plane.
    n_channels
        Number of channels of the file that are used, the rest are constant; None: all.
    restore
        Name of the restoration model to run first; empty: none.
    """

    image: Path
    model: str
    gpu: bool
    channels: tuple[int, int] | None
    diameter: float | None
    trained_diameter: float | None
    percentile: tuple[float, float]
    filters: Mapping[str, Any]
    masking: Mapping[str, Any]
    volume: Mapping[str, Any] | None = None
    n_channels: int | None = None
    restore: str = ""

    def command(self, *, folder: bool = False, windows: bool = os.name == "nt") -> str:
        """A command line that writes the same masks as ``_cp_masks.tif`` and does not touch the ``_seg.npy``.

        Parameters
        ----------
        folder
            Process all images of the folder.
        windows
            Quote for Windows shells instead of those of Linux and macOS.
        """
        source = ["--dir", str(self.image.parent)] if folder else ["--image_path", str(self.image)]
        return quoted(["python", "-m", "cellpose", *source, *self.options(), "--save_tif", "--no_npy"], windows=windows)

    def options(self) -> list[str]:
        """The command line arguments that define how images are segmented."""
        diameter = self.diameter or self.trained_diameter
        words: list[Any] = ["--pretrained_model", self.model, *(["--use_gpu"] if self.gpu else [])]
        if self.channels is not None:
            words += ["--chan", self.channels[0], "--chan2", self.channels[1]]
        words += [] if diameter is None else ["--diameter", diameter]
        for name, value in self.masking.items():
            if value is not None and value != describe(Masking)[name]["default"]:
                words += [f"--{name}", value]
        for name, value in (self.volume or {}).items():
            words += [f"--{name}"] if value is True else [f"--{name}", value]
        if self.percentile != (SegmentationSettings.lower, SegmentationSettings.upper):
            words += ["--norm_percentile", *self.percentile]
        for name, value in self.filters.items():
            words += [f"--{name}"] if value is True else [f"--{name}", value]
        words += ["--restore_type", self.restore] if self.restore else []
        return [_text(word) for word in words]

    def python(self, *, folder: bool = False) -> str:
        """Python code that makes the same masks, for the image or for all images of its folder."""
        options: dict[str, Any] = {"channel_axis": -1}
        if self.channels is not None:
            options["channels"] = list(self.channels)
        options |= {"diameter": self.diameter, "normalize": {"percentile": self.percentile, **self.filters}}
        options |= {**self.masking, **({} if self.volume is None else {"z_axis": 0, **self.volume})}
        read = "imread_2D" if self.volume is None else "imread_3D"
        given = "".join(f"    {name}={value!r},\n" for name, value in options.items())
        room, network, results = "models", "models.CellposeModel(", "masks, flows, styles"
        if self.restore:
            network = f"denoise.CellposeDenoiseModel(restore_type={self.restore!r}, "
            room, results = "denoise", f"{results}, restored"
        model = f"model = {network}gpu={self.gpu}, pretrained_model={self.model!r})\n"
        run = f"{results} = model.eval(\n    image,\n{given})\n"
        if self.restore and "upsample" in self.restore:
            run += "masks, flows = denoise.at_image_size(masks, image.shape[:2], flows)  # as in the image\n"
        save = "io.save_masks(image, masks, flows, path, tif=True, png=False)\n"
        imports = f"from cellpose import {', '.join(sorted(('io', room)))}\n\n"
        if folder:
            inside = "".join(f"    {line}\n" for line in (run + save).splitlines())
            return (
                f"{imports}{model}"
                f'for path in io.get_image_files({str(self.image.parent)!r}, "_masks"):\n'
                f"    image = io.{read}(path)\n"
                f"{inside}"
            )
        used = "" if self.n_channels is None else f"[..., :{self.n_channels}]  # the others are constant"
        return f"{imports}path = {str(self.image)!r}\nimage = io.{read}(path){used}\n{model}{run}{save}"


def quoted(words: Sequence[str], *, windows: bool) -> str:
    """Quote words as one shell command line.

    Examples
    --------
    >>> print(quoted(["--dir", "my cells", "it's"], windows=False), quoted(["--dir", "a & b", "c"], windows=True))
    --dir 'my cells' 'it'"'"'s' --dir "a & b" c
    """
    if not windows:
        return shlex.join(words)
    # cmd and PowerShell both accept double quotes; Windows file names cannot contain them
    return " ".join(word if word and set(word) <= _SAFE else f'"{word}"' for word in words)


def _text(word: Any) -> str:
    return f"{word:g}" if isinstance(word, float) and float(f"{word:g}") == word else str(word)
