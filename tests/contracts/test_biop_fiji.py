"""The BIOP wrapper for Fiji: one folder of TIFFs, one label image back for each."""

from __future__ import annotations

import numpy as np
import tifffile

COMMAND = "--pretrained_model cyto3 --chan 0 --chan2 0 --diameter 30.0 --verbose --save_tif --no_npy"


def test_label_images_stand_beside_their_images(bench, process):
    bench.images("my image-t1.tif", "my image-t2.tif")
    # the wrapper's own process; -Xutf8 is what it adds on Windows
    done = process("-Xutf8", "-m", "cellpose", "--dir", str(bench.folder), *COMMAND.split())
    assert done.returncode == 0, done.stderr
    for t in (1, 2):
        labels = tifffile.imread(bench.folder / f"my image-t{t}_cp_masks.tif")
        assert (labels.shape, labels.dtype, labels.max()) == ((64, 72), np.uint16, 9)


def test_extra_flags_come_split_at_commas(bench):
    bench.images("a-t1.tif")
    extra = "--cellprob_threshold, -6, --flow_threshold, 0".replace(" ", "").split(",")
    assert bench.run(*COMMAND.split(), *extra) == 0
    assert bench.manifest()["options"]["cellprob_threshold"] == -6


def test_a_label_image_comes_even_without_cells(bench):
    tifffile.imwrite(bench.folder / "dark-t1.tif", np.zeros((50, 60), np.uint16))
    assert bench.run(*COMMAND.split()) == 0
    labels = tifffile.imread(bench.folder / "dark-t1_cp_masks.tif")
    assert (labels.shape, labels.max()) == ((50, 60), 0)


def test_two_channels_as_imagej_writes_them(bench):
    (file,) = bench.images("two-t1.tif")
    plane = tifffile.imread(file)
    tifffile.imwrite(file, np.stack([plane * 0, plane]), imagej=True, metadata={"axes": "CYX"})
    words = COMMAND.replace("--chan 0 --chan2 0", "--chan 2 --chan2 1").split()
    assert bench.run(*words) == 0
    assert tifffile.imread(bench.folder / "two-t1_cp_masks.tif").max() == 9
