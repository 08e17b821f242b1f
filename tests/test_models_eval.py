"""``CellposeModel.eval``: what goes in, what comes out, and the faults of the originals that are mended."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from cellpose import models
from cellpose._progress.bars import Fractions
from cellpose.errors import AxesError, InputError, OptionError
from cellpose.models import CellposeModel
from small_model import discs, small_file, toy_model
from toy import toy_from_formula


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("unet"))


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("sam"), "sam_vitl")


@pytest.fixture(params=["unet", "sam"])
def model(request, unet, sam):
    return {"unet": unet, "sam": sam}[request.param]


def equal(one, other):
    """The same masks, flows and styles."""
    np.testing.assert_array_equal(one[0], other[0])
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[2], other[2])


# ----------------------------------------------------------------------------------------------------------- outputs


def test_plane(model):
    image = discs(72, 96)
    masks, flows, styles = model.eval(image)
    assert masks.shape == image.shape
    assert masks.dtype == np.uint16
    assert masks.max() == 12
    assert [(f.shape, f.dtype.name) for f in flows] == [
        ((72, 96, 3), "uint8"),
        ((2, 72, 96), "float32"),
        ((72, 96), "float32"),
    ]
    assert styles.shape == (256,)
    assert styles.dtype == np.float32
    # Each disc is a cell of its own.
    centres = masks[12::24, 12::24]
    assert len(np.unique(centres)) == 12
    assert (centres > 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 3), (5, 200)])
def test_small_and_narrow_images_keep_their_shape(model, size):
    """The originals drop every axis of length 1, and stop at an image of one pixel."""
    masks, flows, styles = model.eval(discs(*size))
    assert masks.shape == size
    assert [f.shape for f in flows] == [(*size, 3), (2, *size), size]
    assert styles.shape == (256,)
    masks, flows, _ = model.eval(discs(*size), diameter=90)
    assert masks.shape == flows[2].shape == size


def test_without_masks(model):
    masks, flows, _ = model.eval(discs(48, 72), compute_masks=False)
    assert masks.shape == (0,)
    assert flows[2].shape == (48, 72)


def test_flows_at_the_size_of_the_network(model):
    masks, flows, _ = model.eval(discs(48, 73), diameter=15, resample=False)
    assert masks.shape == (48, 73)
    assert flows[0].shape == (96, 146, 3)
    assert flows[1].shape == (2, 96, 146)
    masks, flows, _ = model.eval(discs(48, 73), diameter=15)
    assert flows[2].shape == (48, 73)


def test_planes_and_stitching(model):
    stack = np.stack([discs(48, 72)] * 4)
    masks, flows, styles = model.eval(stack, z_axis=0, stitch_threshold=0.5)
    assert masks.shape == (4, 48, 72)
    assert masks.max() == 6
    assert (masks == masks[0]).all()
    assert [f.shape for f in flows] == [(4, 48, 72, 3), (2, 4, 48, 72), (4, 48, 72)]
    assert styles.shape == (4, 256)
    masks, _, _ = model.eval(stack[..., None], z_axis=0, channel_axis=3)
    assert masks.shape == (4, 48, 72)


def test_volume(model):
    z, y, x = np.mgrid[:24, :48, :48]
    volume = (200 * (((z - 12) ** 2 + (y % 24 - 12) ** 2 + (x % 24 - 12) ** 2) < 25)).astype(np.uint8)
    bar = Bar()
    masks, flows, styles = model.eval(volume, do_3D=True, progress=bar)
    assert masks.shape == (24, 48, 48)
    assert masks.max() == 4
    assert [f.shape for f in flows] == [(24, 48, 48, 3), (3, 24, 48, 48), (24, 48, 48)]
    assert styles.shape == (48, 256)
    assert bar.values[-1] >= 75
    assert bar.values == sorted(bar.values)
    # The axes of the flow are z, y, x: towards the middle of the ball.
    assert flows[1][0, 8, 12, 12] > 0 > flows[1][0, 16, 12, 12]
    assert flows[1][1, 12, 8, 12] > 0 > flows[1][1, 12, 16, 12]
    assert flows[1][2, 12, 12, 8] > 0 > flows[1][2, 12, 12, 16]


def test_tiles_of_volumes_have_the_side_that_was_asked_for(tmp_path):
    """Version 3 takes 224 pixels whatever is asked for."""
    model = toy_model(tmp_path)
    sizes = []
    model.net.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[2:]))
    model.eval(discs(4, 120, 120), do_3D=True, z_axis=0, bsize=64)
    assert {s[1] for s in sizes} == {64}


def test_anisotropy_and_smoothing(model):
    volume = discs(5, 48, 48)
    plain = model.eval(volume, do_3D=True, z_axis=0)[1]
    thick = model.eval(volume, do_3D=True, z_axis=0, anisotropy=3)[1]
    assert thick[1].shape == plain[1].shape
    assert not np.array_equal(thick[1], plain[1])
    assert model.eval(volume, do_3D=True, z_axis=0, anisotropy=3, resample=False)[1][1].shape == (3, 15, 48, 48)
    one = model.eval(volume, do_3D=True, z_axis=0, flow3D_smooth=2)[1]
    three = model.eval(volume, do_3D=True, z_axis=0, flow3D_smooth=[2, 2, 2])[1]
    np.testing.assert_array_equal(one[1], three[1])
    assert np.abs(np.diff(one[1], axis=3)).mean() < np.abs(np.diff(plain[1], axis=3)).mean()
    np.testing.assert_array_equal(one[2], plain[2])  # the probability is not smoothed
    with pytest.raises(OptionError, match="flow3D_smooth"):
        model.eval(volume, do_3D=True, z_axis=0, flow3D_smooth=[1, 2])


# ------------------------------------------------------------------------------------------------------------ inputs


def test_several_images(model, tmp_path):
    images = [discs(48, 72), discs(72, 48)]
    singly = [model.eval(image) for image in images]
    for several in (images, tuple(images), (image for image in images), iter(images)):
        masks, flows, styles = model.eval(several)
        assert isinstance(masks, list)
        for i in range(2):
            equal((masks[i], flows[i], styles[i]), singly[i])
    assert model.eval([]) == ([], [], [])
    batch = np.stack([images[0]] * 2)
    masks, _, _ = model.eval(batch[:, None, None, :, :].repeat(2, axis=1).repeat(3, axis=2), z_axis=0, channel_axis=1)
    assert [m.shape for m in masks] == [(2, 48, 72)] * 2


def test_files_and_folders(model, tmp_path):
    images = {"a.tif": discs(48, 72), "b.tif": discs(72, 48)}
    for name, image in images.items():
        tifffile.imwrite(tmp_path / name, image)
    tifffile.imwrite(tmp_path / "a_masks.tif", discs(48, 72))
    one = model.eval(tmp_path / "a.tif")
    equal(one, model.eval(images["a.tif"]))
    for several in (str(tmp_path), tmp_path, [tmp_path / "a.tif", str(tmp_path / "b.tif")]):
        masks, _, _ = model.eval(several)
        assert [m.shape for m in masks] == [(48, 72), (72, 48)]
    with pytest.raises(OSError, match="missing"):
        model.eval(tmp_path / "missing.tif")


def test_tensors_and_nested_lists(model):
    image = discs(48, 72)
    wanted = model.eval(image)
    equal(model.eval(torch.from_numpy(image)), wanted)
    masks, flows, styles = model.eval([image.tolist()])
    equal((masks[0], flows[0], styles[0]), wanted)
    # numpy has no such numbers; of 0 to 255 they hold every one
    equal(model.eval(torch.from_numpy(image).bfloat16()), wanted)


def test_lists_of_lists_are_refused(unet):
    image = discs(48, 72)
    with pytest.raises(InputError, match="give one list, or call eval with each"):
        unet.eval([[image, image], [image]])


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "float16", "float32", "float64", ">u2", ">f4", "int8"])
def test_all_real_dtypes_give_the_same(model, dtype):
    image = discs(48, 72) // 2  # int8 goes to 127
    equal(model.eval(image.astype(dtype)), model.eval(image))


def test_booleans(model):
    assert model.eval(discs(48, 72) > 100)[0].max() == 6


@pytest.mark.parametrize("options", [{}, {"invert": True}, {"normalize": {"lowhigh": (0, 10)}}])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_without_contrast_has_no_cells(model, value, options):
    for image in (np.full((40, 50), value, np.uint8), np.full((3, 40, 50), value, np.float32)):
        for stack in ({}, {"do_3D": True}, {"stitch_threshold": 0.3}) if image.ndim == 3 else ({},):
            axes = {"z_axis": 0} if image.ndim == 3 else {}
            # a threshold that the network's answer to an empty image exceeds
            masks, flows, styles = model.eval(image, **axes, **stack, **options, cellprob_threshold=-20)
            assert masks.max() == 0
            assert np.isfinite(flows[1]).all()
            assert np.isfinite(styles).all()


@pytest.mark.parametrize("value", [7, 255])
def test_a_second_channel_without_contrast_changes_nothing(model, value):
    image = discs(48, 72)
    flat = np.full_like(image, value)
    wanted = model.eval(image)
    equal(model.eval(np.dstack([image, flat])), wanted)
    equal(model.eval(np.dstack([image, flat]), channels=[1, 2]), wanted)
    equal(model.eval(np.dstack([image, flat, flat])), wanted)
    scale = {"normalize": {"lowhigh": (0, 255)}}
    equal(model.eval(np.dstack([image, flat]), **scale), model.eval(image, **scale))


def test_cells_of_sparse_images_are_found(model, caplog):
    image = np.zeros((200, 240), np.uint16)
    image[90:106, 100:116] = 8 * discs(48, 72)[4:20, 4:20].astype(np.uint16)
    image[image < 400] = 0
    assert (image > 0).mean() < 0.01
    assert model.eval(image)[0].max() == model.eval(image, normalize={"lowhigh": (0, int(image.max()))})[0].max() == 1
    assert caplog.text.count("sparse image") == 1


def test_what_is_not_a_number_does_not_spread(model, caplog):
    image = discs(48, 72).astype(np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    masks, flows, _ = model.eval(image)
    assert masks.max() == 6
    assert np.isfinite(flows[1]).all()
    assert "not finite" in caplog.text


@pytest.mark.parametrize(
    ("image", "error", "text"),
    [
        (np.zeros((30, 40), complex), InputError, "complex"),
        (np.array([["a", "b"], ["c", "d"]]), InputError, "dtype"),
        (np.zeros((0, 40)), InputError, "0"),
        (np.zeros(40), InputError, "2 axes"),
        (5, InputError, "int"),
        (np.zeros((2,) * 6), InputError, "too many axes"),
    ],
)
def test_images_that_are_refused(model, image, error, text):
    with pytest.raises(error, match=text):
        model.eval(image)


def test_a_plane_is_no_volume(model):
    with pytest.raises(AxesError, match="stack"):
        model.eval(discs(48, 72), do_3D=True)


def test_axes_of_length_one_do_not_count(model):
    masks, _, _ = model.eval(np.zeros((2, 2, 20, 20, 3, 1)), z_axis=0, channel_axis=3)
    assert [m.shape for m in masks] == [(2, 20, 20)] * 2
    assert model.eval(np.zeros((1, 1, 1, 20, 24)))[0].shape == (20, 24)
    assert model.eval(np.zeros((1, 1, 2, 20, 24)), channel_axis=2)[0].shape == (20, 24)


def test_images_are_never_changed(model):
    """Version 4 normalises float32 images in place."""
    for image in (discs(48, 72).astype(np.float32), discs(4, 48, 72).astype(np.float32)):
        before = image.copy()
        image.setflags(write=False)
        model.eval(image, z_axis=0 if image.ndim == 3 else None, do_3D=image.ndim == 3)
        np.testing.assert_array_equal(image, before)


# ----------------------------------------------------------------------------------------------------------- options


def test_one_call_leaves_no_trace_in_the_next(unet):
    """The originals change their module's defaults, so that later calls are not normalised."""
    image = discs(48, 72)
    wanted = unet.eval(image, normalize={"percentile": (5, 95)})
    unet.eval(image, normalize=False)
    unet.eval(np.stack([image] * 3), z_axis=0)
    equal(unet.eval(image, normalize={"percentile": (5, 95)}), wanted)
    assert models.normalize_default["normalize"] is True
    assert models.normalize_default["norm3D"] is True
    given = {"normalize": True}
    unet.eval(image, normalize=given, do_3D=False, invert=True)
    assert given == {"normalize": True}


def test_defaults_may_be_changed_without_effect(unet, monkeypatch):
    wanted = unet.eval(discs(48, 72))
    monkeypatch.setitem(models.normalize_default, "normalize", False)
    equal(unet.eval(discs(48, 72)), wanted)


def test_diameters(unet, sam):
    image = discs(48, 72)
    sizes = []
    hook = unet.net.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape[2:])))
    try:
        for options in ({}, {"diameter": 0}, {"diameter": None}, {"diameter": 30.0}, {"rescale": 1.0}):
            unet.eval(image, **options)
        assert set(sizes) == {(64, 96)}
        sizes.clear()
        unet.eval(image, diameter=15)
        unet.eval(image, rescale=2.0)
        unet.eval([image, image], diameter=[15, 30])
        unet.eval([image, image], rescale=[1.0, 2.0])
        # Images of a list take their turns as they are ready.
        pairs = [sorted(sizes[k : k + 2]) for k in (0, 2, 4)]
        assert pairs == [[(112, 160), (112, 160)], [(64, 96), (112, 160)], [(64, 96), (112, 160)]]
    finally:
        hook.remove()
    unet.diam_labels = 15.0
    try:
        equal(unet.eval(image), unet.eval(image, diameter=15))
    finally:
        unet.diam_labels = 30.0
    equal(sam.eval(image, rescale=2.0), sam.eval(image))


@pytest.mark.parametrize(
    "options",
    [
        {"diameter": [10, 20, 30]},
        {"rescale": [1.0, 2.0, 3.0]},
        {"channels": [[0, 0], [0, 0], [1, 2]]},
        {"diameter": "small"},
        {"diameter": -3},
        {"normalize": "yes"},
        {"normalize": {"percentiles": (1, 99)}},
        {"normalize": {"percentile": (99, 1)}},
        {"batch_size": 0},
        {"progress": 3},
        {"min_size": 15, "anisotropy": -1},
        {"min_size": None},
        {"niter": "many"},
        {"niter": -1},
        {"bsize": 32.5},
        {"diameter": float("inf")},
        {"diameter": 1e-3},
        {"cellprob_threshold": float("nan")},
        {"cellprob_threshold": [0.0, 1.0]},
        {"flow_threshold": "low"},
        {"max_size_fraction": None},
        {"stitch_threshold": float("nan")},
        {"normalize": {"percentile": 5}},
        {"flow3D_smooth": "much"},
        {"flow3D_smooth": float("nan")},
    ],
)
def test_options_that_are_refused(unet, options):
    with pytest.raises(ValueError, match=r"for 2 images|unknown keys|allowed|larger diameter"):
        unet.eval([discs(48, 72)] * 2, **options)


def test_channels_of_a_unet(unet):
    image = np.stack([discs(48, 72), 255 - discs(48, 72)], axis=-1)
    first = unet.eval(image[..., 0], channels=[0, 0])
    equal(unet.eval(image, channels=[1, 0]), first)
    masks, flows, styles = unet.eval([image, image], channels=[[1, 0], [2, 0]])
    equal((masks[0], flows[0], styles[0]), first)
    assert not np.array_equal(masks[0], masks[1])


def test_channels_of_a_transformer(sam):
    """Version 4 ignores them; here those that are chosen are used, and all without a choice."""
    image = np.stack([discs(48, 72), discs(48, 72) // 2, 255 - discs(48, 72)], axis=-1)
    equal(sam.eval(image, channels=[2, 1]), sam.eval(image[..., [1, 0]]))
    equal(sam.eval(image, channels=[1, 0]), sam.eval(image[..., 0]))
    equal(sam.eval(image, channels=[0, 0]), sam.eval(image))


def test_retired_and_renamed_options(unet, caplog):
    models._retired.warn_once.cache_clear()
    image = discs(48, 72)
    for _ in range(2):
        equal(unet.eval(image, net_avg=True, omni=False, tile=True), unet.eval(image))
    assert caplog.text.count("net_avg") == 1
    equal(unet.eval(image, mask_threshold=2.0), unet.eval(image, cellprob_threshold=2.0))
    with pytest.raises(TypeError, match="flow_treshold"):
        unet.eval(image, flow_treshold=0.4)


def test_tile_side_of_cellpose_sam_is_fixed(sam):
    with pytest.raises(OptionError, match="256"):
        sam.eval(discs(48, 72), bsize=224)
    sam.eval(discs(48, 72), bsize=256)


def test_number_of_steps(unet, monkeypatch):
    from cellpose import dynamics

    seen = []
    real = dynamics.flows_to_masks
    monkeypatch.setattr(
        dynamics, "flows_to_masks", lambda flows, masking, *a: (seen.append(masking.steps), real(flows, masking, *a))[1]
    )
    image = discs(48, 72)
    for options in ({}, {"niter": 0}, {"niter": 33}, {"diameter": 60}, {"diameter": 60, "resample": False}):
        unet.eval(image, **options)
    assert seen == [200, 200, 33, 400, 200]


class Bar:
    """A progress bar."""

    def __init__(self):
        self.values = []

    def setValue(self, value):
        self.values.append(value)


def test_progress(model):
    bar, values = Bar(), []
    model.eval([discs(48, 72)] * 3, progress=bar)
    assert bar.values == sorted(bar.values)
    assert bar.values[-1] == 100
    model.eval(discs(48, 72), progress=values.append)
    assert values[-1] == 100
    fractions = []
    model.eval(discs(48, 72), progress=Fractions(fractions.append))
    assert [round(100 * fraction) for fraction in fractions] == values
    assert fractions[-1] == 1


# --------------------------------------------------------------------------------------------------------- the model


def test_replaced_network_is_the_one_that_runs(unet, tmp_path):
    image = discs(48, 72)
    model = CellposeModel(pretrained_model=small_file(tmp_path))
    model.net = toy_from_formula(2)
    equal(model.eval(image), unet.eval(image))
    # The kind of the network is its own, or else that of the model.
    model.net = toy_from_formula(3)
    model.backbone = "sam_vitl"
    assert not model.eval(image)[2].any()
    model.net = toy_from_formula(3, "cpnet")
    assert model.eval(image)[2].any()


def test_network_of_restoration_does_not_segment(tmp_path):
    model = CellposeModel(pretrained_model=small_file(tmp_path))
    model.net = nn.Conv2d(2, 1, 1)
    with pytest.raises(InputError, match="denoise"):
        model.eval(discs(48, 72))


def test_threads_share_a_model(unet):
    images = [discs(48, 24 * n) for n in range(1, 7)]
    wanted = [unet.eval(image, normalize={"percentile": (n, 99)}) for n, image in enumerate(images)]
    results: dict[int, object] = {}

    def work(n):
        results[n] = unet.eval(images[n], normalize={"percentile": (n, 99)})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(6):
        equal(results[n], wanted[n])


def test_sixteen_bits_hold_labels_until_they_do_not():
    from cellpose._labels.arrays import compact

    assert compact(np.array([65535], np.int32)).dtype == np.uint16
    assert compact(np.array([65536], np.int32)).dtype == np.uint32


# ------------------------------------------------------------------------------------------------------ several at once


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_images_at_once_give_what_they_give_one_by_one(unet, monkeypatch, caplog, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    rng = np.random.default_rng(0)
    images = [discs(72 + 8 * (k % 5), 96) + rng.normal(0, 0.02, (72 + 8 * (k % 5), 96)) for k in range(9)]
    caplog.set_level("INFO", "cellpose.models")
    seen: list[int] = []
    masks, flows, styles = unet.eval(images, progress=seen.append)
    assert seen == sorted(seen)
    done = [r.getMessage().split(":")[0] for r in caplog.records if r.levelname == "INFO"]
    assert done == [f"image {k + 1}" for k in range(9)]
    assert len(unet.timing) == 9
    for k, image in enumerate(images):
        equal((masks[k], flows[k], styles[k]), unet.eval(image))


def test_the_first_of_several_errors_is_told(unet, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    images = [discs(72, 96), np.zeros(3), discs(72, 96), "no such file.tif"]
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        unet.eval(images)
    assert unet.eval(images[0])[0].max() == 12


def test_leaving_in_the_middle_stops_the_others(unet, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    begun = []

    class Counted(list):
        def __getitem__(self, k):
            begun.append(k)
            return super().__getitem__(k)

        def __iter__(self):
            return (self[k] for k in range(len(self)))

    def leave(percent):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unet.eval(Counted([discs(72, 96)] * 100), progress=leave)
    assert len(begun) < 10


@pytest.mark.parametrize("side", [250, 460])
def test_bundled_models_run_few_large_tiles_and_published_ones_as_they_were_published(tmp_path, side):
    bundled = models.CellposeModel(pretrained_model="nuclei-cells")
    same = models.CellposeModel(pretrained_model=shutil.copy(bundled.pretrained_model, tmp_path / "mine.safetensors"))
    y, x = np.mgrid[:side, :side]
    image = np.sin(y / 5) * np.sin(x / 6)

    def flows(model, **options):
        return model.eval(image, compute_masks=False, **options)[1][1]

    few, published = (flows(bundled, bsize=bsize) for bsize in (0, 224))
    assert not np.array_equal(few, published)
    np.testing.assert_array_equal(flows(bundled), few)
    np.testing.assert_array_equal(flows(same), published)
