"""Round bright cells, and a U-Net weight file made by hand that finds them: tests of whole runs need no download.

The network has a single level. Its layers take the image's gradient, so that its flows point to the middle of each
blob, and its brightness, from which the cell probability comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cellpose.nets import CPnet

GAIN = 40.0  # makes flows of about length 5 from the gradient of a normalised blob of radius 6
THRESHOLD = 0.25  # brightness of a normalised blob at its border


def blob_image(shape: tuple[int, int] = (64, 72), seed: int = 0, spacing: int = 22, radius: float = 4.0) -> np.ndarray:
    """A uint16 image (Y, X) of Gaussian blobs that do not touch, one in each cell of a grid, on a dark background."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for y in range(spacing // 2, shape[0] - spacing // 3, spacing):
        for x in range(spacing // 2, shape[1] - spacing // 3, spacing):
            dy, dx = rng.uniform(-2, 2, 2)
            image += np.exp(-((yy - y - dy) ** 2 + (xx - x - dx) ** 2) / (2 * radius**2))
    return (1000 + 20000 * image).astype(np.uint16)


def blob_finder(nchan: int = 2, diam: float = 30.0) -> CPnet:
    """The network of the module's docstring, in evaluation mode."""
    net = CPnet([nchan, 8], nout=3, sz=3, diam_mean=diam).eval()
    state = {key: torch.zeros_like(value) for key, value in net.state_dict().items()}
    for key, value in state.items():
        if key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
            value.fill_(1.0)
    down, up = "downsample.down.res_down_0", "upsample.up.res_up_0"
    half = torch.tensor([-0.5, 0.0, 0.5])
    # encoder: +dy, -dy, +dx, -dx of the first channel, joined to signed gradients on top of the image itself
    c0, c1, proj = (state[f"{down}.{k}.weight"] for k in ("conv.conv_0.2", "conv.conv_1.2", "proj.1"))
    for k, sign in enumerate((1, -1)):
        c0[k, 0, :, 1] = sign * half
        c0[2 + k, 0, 1, :] = sign * half
        c1[1, k, 1, 1] = c1[2, 2 + k, 1, 1] = sign
    proj[0, 0, 0, 0] = 1.0
    # decoder: passes brightness and the two signs of each gradient through the rectifier of the last layer
    through = state[f"{up}.proj.1.weight"]
    through[0, 0] = 1.0
    for channel in (1, 2):
        through[channel, channel], through[channel + 2, channel] = 1.0, -1.0
    out, bias = state["output.2.weight"], state["output.2.bias"]
    out[0, 1], out[0, 3], out[1, 2], out[1, 4] = GAIN, -GAIN, GAIN, -GAIN
    out[2, 0], bias[2] = 20.0, -20.0 * THRESHOLD
    state["diam_mean"].fill_(diam)
    state["diam_labels"].fill_(diam)
    net.load_state_dict(state)
    return net


def write_blob_finder(path: Path, nchan: int = 2, diam: float = 30.0) -> Path:
    """The weight file of :func:`blob_finder`, as torch writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(blob_finder(nchan, diam).state_dict(), path)
    return path


def write_images(folder: Path, names: Sequence[str]) -> list[Path]:
    """One blob image a name, with the extension of the name."""
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for seed, name in enumerate(names):
        file = folder / name
        image = blob_image(seed=seed)
        if file.suffix.startswith(".tif"):
            tifffile.imwrite(file, image)
        else:
            import cv2

            file.write_bytes(bytes(cv2.imencode(file.suffix, image)[1]))
        files.append(file)
    return files
