"""The Galaxy tool: one image named "image", results in a folder of their own."""

from __future__ import annotations

import numpy as np
import pytest

from bench import Bench
from cellpose import io

COMMAND = "--no_npy --save_tif --save_flows --save_outlines --use_gpu --diameter 30 --flow_threshold 0.4"
COMMAND += " --cellprob_threshold 0.0 --niter 0 --pretrained_model cyto3"


@pytest.mark.parametrize("masks", ["--save_png", ""])
def test_files(bench: Bench, masks):
    (image,) = bench.images("image.tif")
    out = bench.root / "segmentation"
    out.mkdir()
    assert bench.run("--image_path", image, "--savedir", out, *COMMAND.split(), *masks.split()) == 0
    names = {"image_cp_masks.tif", "image_flows_cp_masks.tif", "image_dP_cp_masks.tif", "image_outlines_cp_masks.png"}
    assert names | ({"image_cp_masks.png"} if masks else set()) <= {path.name for path in out.iterdir()}
    assert [path.name for path in bench.folder.iterdir()] == ["image.tif"]
    assert io.imread(out / "image_cp_masks.tif").max() == 9
    assert io.imread(out / "image_flows_cp_masks.tif").shape == (64, 72, 3)
    assert io.imread(out / "image_dP_cp_masks.tif").shape == (2, 64, 72)


def test_its_switches(bench: Bench, capsys):
    (image,) = bench.images("image.tif")
    words = "--no_norm --no_resample --no_interp --exclude_on_edges --transformer --anisotropy 1.0"
    assert bench.run("--image_path", image, *COMMAND.split(), *words.split()) == 0
    assert "the option --transformer is retired" in capsys.readouterr().err


def test_volume_with_named_axes(bench: Bench):
    import tifffile

    (image,) = bench.images("image.tif")
    plane = tifffile.imread(image)
    tifffile.imwrite(image, np.stack([np.stack([plane, plane * 0])] * 5))  # planes, channels, y, x
    words = "--do_3D --z_axis 0 --channel_axis 1 --anisotropy 1.0 --no_npy --save_tif --pretrained_model cyto3"
    assert bench.run("--image_path", image, *words.split(), "--chan", "1") == 0
    assert io.imread(bench.folder / "image_cp_masks.tif").shape == (5, 64, 72)
