"""CellProfiler's RunCellpose in a container: images named by UUIDs, _seg.npy back."""

from __future__ import annotations

import uuid
from importlib import metadata

import numpy as np
import pytest
import torch

from bench import Bench
from cellpose.nets import CPnet

COMMAND = (
    "--verbose --pretrained_model cyto3 --chan 0 --chan2 0 --diameter 30 --net_avg --cellprob_threshold 0.0 "
    "--min_size 15 --anisotropy 1.0 --flow_threshold 0.4 --stitch_threshold 0.0"
)


def read(bench: Bench, name: str) -> dict:
    return np.load(bench.folder / f"{name}_seg.npy", allow_pickle=True).item()


@pytest.mark.parametrize("extra", ["", "--use_gpu", "--exclude_on_edges", "--invert"])
def test_seg_files(bench: Bench, extra):
    name = str(uuid.uuid4())
    bench.images(f"{name}.tiff")
    assert bench.run(*COMMAND.split(), *extra.split()) == 0
    seg = read(bench, name)
    assert seg["masks"].shape == (64, 72)
    if extra != "--invert":
        assert seg["masks"].max() == (7 if extra == "--exclude_on_edges" else 9)  # two blobs touch the border
    probability = np.squeeze(seg["flows"][1], axis=0)
    assert (probability.shape, probability.dtype) == ((64, 72), np.uint8)
    assert probability.max() == 255


def test_restoration(bench: Bench):
    torch.manual_seed(0)
    torch.save(CPnet([1, 8], nout=1).state_dict(), bench.models / "denoise_cyto3")
    bench.images("x.tif")
    assert bench.run(*COMMAND.split(), "--restore_type", "denoise_cyto3") == 0
    seg = read(bench, "x")
    assert (seg["restore"], seg["img_restore"].shape[:2]) == ("denoise_cyto3", (64, 72))
    assert set(bench.manifest()["models"]) == {"model", "restoration"}


def test_stack(bench: Bench):
    import tifffile

    (file,) = bench.images("x.tif")
    tifffile.imwrite(file, np.stack([tifffile.imread(file)] * 6))
    assert bench.run(*COMMAND.split(), "--do_3D") == 0
    assert read(bench, "x")["masks"].shape == (6, 64, 72)


def test_version_gate():
    version = metadata.version("cellpose")
    assert version.split(".")[0] == "4"
    assert float(version[0:3]) >= 4
