"""Programs that import cellpose: the calls each of them makes, and what it reads from the answers."""

from __future__ import annotations

import logging
import threading
from importlib import metadata

import numpy as np
import pytest
import torch

from cellpose import core, denoise, dynamics, io, metrics, models, plot, transforms, utils
from cellpose.nets import CPnet
from small_model import discs, small_file
from toy import toy_from_formula


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models folder with the published names that these programs use."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(folder))
    torch.manual_seed(0)
    for name in ("cyto3", "nucleitorch_0", "cyto2torch_0"):
        small_file(folder, name)
    parameters = {"A": np.zeros(256), "smean": np.zeros(256, np.float32), "diam_mean": 30.0, "ymean": 0.0}
    for name in ("size_cyto3.npy", "size_cyto2torch_0.npy"):
        np.save(folder / name, parameters, allow_pickle=True)
    for name in ("denoise_cyto3", "denoise_nuclei"):
        CPnet([1, 4, 8], nout=1).save_model(folder / name)
    return folder


def toy(model):
    (model.cp if hasattr(model, "cp") else model).net = toy_from_formula(2)
    return model


def test_cellprofiler(folder):
    assert float(metadata.version("cellpose")[0:3])
    assert isinstance(core.use_gpu(use_torch=True), bool)
    assert isinstance(core.use_gpu(istorch=True), bool)
    x = np.stack([discs(48, 72), discs(48, 72)], axis=-1)
    options = {
        "channels": [1, 2],
        "diameter": 30,
        "net_avg": True,
        "do_3D": False,
        "anisotropy": 1.0,
        "flow_threshold": 0.4,
        "cellprob_threshold": 0.0,
        "stitch_threshold": 0.0,
        "min_size": 15,
        "omni": False,
        "invert": False,
    }
    masks, flows, _, diams = toy(models.Cellpose(model_type="cyto3", gpu=False)).eval(x, **options)
    assert masks.shape == flows[2].shape == (48, 72)
    assert diams == 30
    for given in ({"model_type": "cyto3"}, {"pretrained_model": str(folder / "cyto3")}):
        masks, flows, _ = toy(models.CellposeModel(gpu=False, **given)).eval(x, z_axis=None, **options)
        assert masks.max() > 0
    restored = denoise.DenoiseModel(model_type="denoise_cyto3", gpu=False, chan2=True).eval(
        x, diameter=30, channels=[1, 2]
    )
    assert restored.shape[:2] == (48, 72)
    edges = utils.remove_edge_masks(masks)
    assert edges.shape == masks.shape
    assert "cyto3" in models.MODEL_NAMES
    assert models.model_path("cyto3", 0) == str(folder / "cyto3")
    assert models.size_model_path("cyto3") == str(folder / "size_cyto3.npy")


def test_cellpose_napari(folder):
    image = np.stack([discs(48, 72)] * 3, axis=-1)
    model = toy(models.CellposeModel(model_type="cyto2", gpu=True))
    masks, flows, _ = model.eval(
        image,
        channels=[0, 0],
        channel_axis=-1,
        diameter=30,
        resample=True,
        cellprob_threshold=0.0,
        flow_threshold=0.4,
        do_3D=False,
        stitch_threshold=0.0,
    )
    assert toy(models.Cellpose(model_type="cyto2")).sz.eval(image, channels=[0, 0], channel_axis=-1)[0] > 0
    # Version 3 returned positions as a second value; the form of version 4 is ours.
    again = dynamics.resize_and_compute_masks(
        flows[1], cellprob=flows[2], niter=200, cellprob_threshold=0.0, flow_threshold=0.4, resize=[48, 72]
    )
    np.testing.assert_array_equal(again, masks)
    assert utils.masks_to_outlines(masks).any()
    assert transforms.resize_image(masks, 24, 36, interpolation=0, no_channels=True).shape == (24, 36)


def test_serialcellpose(folder):
    model = toy(models.CellposeModel(model_type="cyto3"))
    wanted = {"flow_threshold": 0.4, "normalize": True, "not_an_option": 3}
    options = {k: v for k, v in wanted.items() if k in model.eval.__code__.co_varnames}
    assert set(options) == {"flow_threshold", "normalize"}
    masks, _, _ = model.eval([discs(48, 72), discs(72, 48)], channels=[0, 0], **options)
    assert [m.shape for m in masks] == [(48, 72), (72, 48)]


def test_cell_acdc(folder, monkeypatch):
    monkeypatch.setattr(models, "models_logger", logging.getLogger("acdc"))
    model = models.Cellpose(model_type="cyto3", backbone="default")
    for part in (model, model.cp, model.sz):
        for name, value in (("gpu", False), ("device", torch.device("cpu")), ("mkldnn", False)):
            setattr(part, name, value)
    model.cp.net = model.cp.net.to(torch.device("cpu"))
    model.sz.cp = model.cp

    class Denoiser(denoise.DenoiseModel):
        pass

    assert Denoiser(model_type="denoise_cyto3").eval(discs(48, 72), channels=[0, 0]).shape[:2] == (48, 72)
    assert int(metadata.version("cellpose").split(".", maxsplit=1)[0]) == 4


def test_fractal(folder):
    model = toy(models.CellposeModel(gpu=core.use_gpu(), pretrained_model="cyto3"))
    normalize = {
        "normalize": True,
        "norm3D": True,
        "invert": False,
        "lowhigh": None,
        "percentile": [1.0, 99.0],
        "sharpen_radius": 0,
        "smooth_radius": 0,
        "tile_norm_blocksize": 0,
        "tile_norm_smooth3D": 1,
        "axis": -1,
    }
    masks, _, _ = model.eval(
        discs(2, 1, 48, 72),
        batch_size=8,
        resample=True,
        channel_axis=0,
        z_axis=1,
        normalize=normalize,
        rescale=None,
        diameter=30.0,
        flow_threshold=0.4,
        cellprob_threshold=0.0,
        do_3D=False,
        anisotropy=None,
        flow3D_smooth=0,
        stitch_threshold=0.0,
        min_size=15,
        max_size_fraction=0.4,
        niter=None,
        augment=False,
        tile_overlap=0.1,
        bsize=224,
        compute_masks=True,
        progress=None,
    )
    assert masks.shape == (48, 72)
    assert logging.getLogger("cellpose").handlers


def test_sopa(folder):
    model = toy(models.CellposeModel(pretrained_model="cyto3"))
    for channels, count in (([0, 0], 1), ([1, 2], 2)):
        masks, *_ = model.eval(discs(count, 48, 72), diameter=30, channels=channels)
        assert masks.shape == (48, 72)


def test_appose_and_imglib2(folder):
    model = toy(models.CellposeModel(model_type="cyto3", pretrained_model=False, gpu=False, device=torch.device("cpu")))
    masks, flows, styles = model.eval(discs(48, 72))
    assert (masks.shape, flows[0].shape, styles.shape) == ((48, 72), (48, 72, 3), (256,))


def test_suite2p():
    image = transforms.normalize99(discs(48, 72).astype(np.float32))
    assert image.dtype == np.float32
    masks = utils.fill_holes_and_remove_small_masks((image > 0.5).astype(np.uint16), min_size=15)
    assert masks.max() == 1
    assert core.assign_device(gpu=False)[0].type == "cpu"


def test_mccellpose(folder):
    """Tiles of one image, the last of them one pixel wide, by several threads with one model."""
    model = toy(models.CellposeModel(pretrained_model="cyto3"))
    image = discs(48, 145).astype(np.float32) / 255
    tiles = [image[:, start : start + 72] for start in range(0, 145, 72)]
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: model.eval(tiles[i], normalize=False)[0]}))
        for i in range(len(tiles))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i].shape for i in range(3)] == [(48, 72), (48, 72), (48, 1)]


def test_aind_large_scale(folder, caplog):
    device, gpu = models.assign_device(use_torch=True, gpu=False)
    assert not gpu
    net = models.CellposeModel(pretrained_model="cyto3", device=device).net
    assert net.nout == 3
    image = transforms.normalize_img(discs(48, 72)[..., None].repeat(2, axis=-1))
    padded, ysub, xsub = transforms.pad_image_ND(transforms.resize_image(image, rsz=1.5).transpose(2, 0, 1))
    tiles, ystarts, xstarts, ly, lx = transforms.make_tiles(padded, bsize=64, augment=True)
    shape = tiles.shape
    y, style = core._forward(net, tiles.reshape(-1, *shape[2:]))
    assert style.shape[0] == len(y)
    y = transforms.unaugment_tiles(y.reshape(*shape[:2], 3, *shape[3:])).reshape(-1, 3, *shape[3:])
    flows = transforms.average_tiles(y, ystarts, xstarts, ly, lx)[:, ysub[0] : ysub[-1] + 1, xsub[0] : xsub[-1] + 1]
    inds = np.nonzero(np.abs(flows[0]) >= 0)
    ends = dynamics.follow_flows(flows[:2] / 5, inds, niter=20, device=device)
    assert np.asarray(ends).shape == (2, len(inds[0]))
    masks = np.zeros(flows.shape[1:], np.int32)
    masks[10:20, 10:20] = 1
    assert len(metrics.flow_error(masks, flows[:2], device=device)[0]) == 1
    line = utils.TqdmToLogger(logging.getLogger("aind"), level=logging.WARNING)
    line.write("half way")
    line.flush()
    assert "half way" in caplog.text
    assert callable(io.logger_setup)


def test_galaxy_script(folder, tmp_path):
    pytest.importorskip("matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    image = discs(48, 72)
    model = toy(models.Cellpose(model_type="cyto3"))
    masks, flows, _, diams = model.eval(
        image,
        channels=[0, 0],
        diameter=30,
        resample=True,
        flow_threshold=0.4,
        cellprob_threshold=0.0,
        niter=0,
        do_3D=False,
        rescale=None,
        invert=False,
    )
    assert diams == 30
    figure = pyplot.figure()
    plot.show_segmentation(figure, image, masks, flows[0], channels=[0, 0])
    assert len(figure.axes) == 4
    pyplot.close(figure)
