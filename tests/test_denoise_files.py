"""Restoration on the command line, of planes that do not fit in memory, and of blocks for the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from bench import Bench, make_bench
from blobs import blob_finder
from cellpose import denoise, io, models, nets
from cellpose.cli import _large
from cellpose.errors import OptionError
from cellpose.nets import CPnet

U_NET = ("--pretrained_model", "cyto3", "--save_tif")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        torch.manual_seed(0)
        for name in ("denoise_cyto3", "upsample_cyto3"):
            torch.save(hardly_changing().state_dict(), place.models / name)
        yield place


def hardly_changing() -> CPnet:
    """A network of random weights whose output is its input, and a little noise."""
    net, finder = CPnet([1, 8], 1), blob_finder(nchan=1).state_dict()
    state = {
        key: 0.01 * value if key.endswith(("weight", "bias")) else value for key, value in net.state_dict().items()
    }
    for key, value in finder.items():
        if "proj" in key or key.endswith(("running_mean", "running_var", "0.weight", "0.bias")):
            state[key] = value
    state["output.2.weight"][0, 0] = 1.0  # through the rectifier: what is darker than the background stays at 0
    net.load_state_dict(state)
    return net.eval()


@pytest.fixture
def small_transformer(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nets.CPSAM(bsize=64, embed_dim=128, num_heads=2, offsets=(5, 27, 15), nout=4)
    net.save_model(tmp_path / "transformer")
    return tmp_path / "transformer"


def labels_in(path: Path) -> np.ndarray:
    return io.imread(path)


def test_restored_images_are_written_and_not_taken_for_images(bench: Bench) -> None:
    images = bench.images("a.tif")
    for _ in range(2):
        assert bench.run(*U_NET, "--restore_type", "denoise_cyto3") == 0
        assert bench.new_files(without=images) == ["a_cp_masks.tif", "a_dn.tif", "a_seg.npy"]
    seg = np.load(bench.folder / "a_seg.npy", allow_pickle=True).item()
    restored = labels_in(bench.folder / "a_dn.tif")
    np.testing.assert_array_equal(seg["img_restore"][..., 0], restored)
    assert (seg["restore"], seg["ratio"], restored.dtype) == ("denoise_cyto3", 1.0, np.float32)
    assert bench.manifest()["images"][0]["outputs"] == ["a_cp_masks.tif", "a_dn.tif", "a_seg.npy"]
    # without its image a name that ends so is one of the user's
    (bench.folder / "b_dn.tif").write_bytes((bench.folder / "a_dn.tif").read_bytes())
    assert [Path(file).name for file in io.get_image_files(bench.folder)] == ["a.tif", "b_dn.tif"]


def test_enlarged_images_have_masks_at_both_sizes(bench: Bench) -> None:
    (image,) = bench.images("a.tif")
    shape = labels_in(image).shape
    command = (*U_NET, "--restore_type", "upsample_cyto3", "--diameter", "15", "--exclude_on_edges")
    assert bench.run(*command, "--save_outlines", "--save_flows") == 0
    large_size = (2 * shape[0], 2 * shape[1])
    small, large = (labels_in(bench.folder / name) for name in ("a_cp_masks.tif", "a_dn_cp_masks.tif"))
    assert (small.shape, large.shape) == (shape, large_size)
    assert labels_in(bench.folder / "a_dn.tif").shape == large_size
    np.testing.assert_array_equal(denoise.at_image_size(large, shape)[0], small)
    seg = io.read_seg(bench.folder / "a_seg.npy")
    assert (seg.content["ratio"], seg.content["img_restore"].shape) == (2.0, (*large_size, 1))
    np.testing.assert_array_equal(seg.masks, small)
    np.testing.assert_array_equal(seg.content["masks_restore"], large)
    assert (seg.dP.shape, seg.cellprob.shape) == ((2, *shape), shape)


def test_masks_and_flows_of_stacks_and_movies_get_the_size_of_the_image() -> None:
    masks = np.zeros((2, 3, 8, 8), np.uint16)
    masks[1, 2, :4, 4:] = 7
    flows = [np.zeros((2, 3, 8, 8, 3), np.uint8), np.ones((2, 2, 3, 8, 8), np.float32), np.ones((2, 3, 8, 8))]
    small, (colors, vectors, cellprob) = denoise.at_image_size(masks, (4, 4), flows)
    assert small.dtype == np.uint16
    np.testing.assert_array_equal(small[1, 2], [[0, 0, 7, 7], [0, 0, 7, 7], [0] * 4, [0] * 4])
    assert (colors.shape, vectors.shape, cellprob.shape) == ((2, 3, 4, 4, 3), (2, 2, 3, 4, 4), (2, 3, 4, 4))
    assert (vectors == 1).all()


@pytest.mark.parametrize("channels", [[0, 0], [2, 1], None])
def test_planes_in_bands_are_restored_as_whole_ones_are(
    bench: Bench, tmp_path: Path, channels: list[int] | None
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4000, (300, 260, 2), dtype=np.uint16)
    model = denoise.DenoiseModel(engine="native")
    told: list[float] = []
    count = denoise.restore_large(
        model, image, tmp_path / "x.tif", channels=channels, diameter=20, batch_size=2, progress=told.append
    )
    expected = model.eval(image, channels=channels, diameter=20)
    found = tifffile.imread(tmp_path / "x.tif")
    assert count == expected.shape[-1]
    whole = np.moveaxis(expected, -1, 0) if count > 1 else expected[..., 0]
    np.testing.assert_allclose(found, whole, atol=1e-4 * np.abs(whole).max())
    assert told == sorted(told)
    assert told[-1] == 1


def test_large_images_are_restored_and_segmented_in_blocks(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    images = bench.images("a.tif")
    restored = ("--restore_type", "denoise_cyto3")
    assert bench.run(*U_NET, "--no_npy", *restored) == 0
    whole = [labels_in(bench.folder / name) for name in ("a_cp_masks.tif", "a_dn.tif")]
    assert bench.run(*U_NET, "--large", *restored) == 0
    assert bench.new_files(without=images) == ["a_cp_masks.tif", "a_dn.tif"]
    masks, image = (labels_in(bench.folder / name) for name in ("a_cp_masks.tif", "a_dn.tif"))
    np.testing.assert_allclose(image, whole[1], atol=1e-4 * np.abs(whole[1]).max())
    assert len(np.unique(masks)) == len(np.unique(whole[0]))
    assert ((masks > 0) == (whole[0] > 0)).mean() > 0.999
    # an enlarged image is one that fits in memory
    assert bench.run(*U_NET, "--large", "--restore_type", "upsample_cyto3", "--diameter", "15") == 2
    assert "--restore_type needs the whole image" in capsys.readouterr().err
    model = denoise.DenoiseModel(model_type="upsample_cyto3")
    with pytest.raises(OptionError, match="would be enlarged 2 times"):
        denoise.restore_large(model, whole[1], bench.root / "no.tif", diameter=15)


def test_whether_restoring_is_left_to_blocks_is_known_from_the_command_line(bench: Bench) -> None:
    from cellpose.cli._model import load_segmenter
    from cellpose.cli._parser import get_arg_parser

    for restore, diameter, needed in (
        ("denoise_cyto3", "15", None), ("upsample_cyto3", "15", "--restore_type"), ("upsample_cyto3", "45", None),
    ):  # fmt: skip
        words = ["--pretrained_model", "cyto3", "--restore_type", restore, "--diameter", diameter]
        args = get_arg_parser().parse_args(words)
        assert _large._needs_whole(load_segmenter(args), args) == needed


@pytest.mark.parametrize("axis", [None, 0, 3])
def test_blocks_keep_their_shape_and_their_scale(bench: Bench, axis: int | None) -> None:
    volume = np.random.default_rng(0).random((3, 40, 48)).astype(np.float32)
    both = volume if axis is None else np.stack([volume, volume[::-1]], axis=axis)
    crop = [slice(0, n) for n in volume.shape]
    if axis is not None:
        crop.insert(axis, slice(None))
    how = {"model": "denoise_cyto3", "normalize": {"lowhigh": (0, 1)}, "engine": "native"}
    found = denoise.restore_block(both, crop=tuple(crop), **how)
    assert (found.shape, found.dtype) == (both.shape, np.float32)
    model = denoise.DenoiseModel(engine="native")
    expected = model.eval(volume, z_axis=0, channels=[0, 0], normalize={"lowhigh": (0, 1)})[..., 0]
    first = found if axis is None else found.take(0, axis)
    np.testing.assert_allclose(first, expected, atol=1e-5)
    with pytest.raises(OptionError, match="a block must keep its size"):
        denoise.restore_block(volume, model="upsample_cyto3", diameter=10)


def test_blocks_are_restored_by_the_weights_that_are_there_now(bench: Bench) -> None:
    plane = np.random.default_rng(0).random((40, 48)).astype(np.float32)
    how = {"model": "denoise_cyto3", "normalize": {"lowhigh": (0, 1)}, "engine": "native"}
    before = denoise.restore_block(plane, **how)
    torch.save(CPnet([1, 8], 1).eval().state_dict(), bench.models / "denoise_cyto3")
    assert not np.allclose(denoise.restore_block(plane, **how), before)


def test_restored_images_go_to_every_family(bench: Bench, small_transformer: Path) -> None:
    image = labels_in(bench.images("a.tif")[0])
    model = denoise.CellposeDenoiseModel(pretrained_model=small_transformer, restore_type="denoise_cyto3")
    assert model.cp.backbone != "cpnet"
    for given, options, shape in (
        (image, {}, image.shape),
        (np.stack([image] * 3), {"stitch_threshold": 0.1, "z_axis": 0}, (3, *image.shape)),
    ):
        masks, _, _, restored = model.eval(given, channels=[0, 0], **options)
        assert (masks.shape, restored.shape) == (shape, (*shape, 1))


def test_movies_are_restored_frame_by_frame(bench: Bench) -> None:
    image = labels_in(bench.images("a.tif")[0])
    model = denoise.CellposeDenoiseModel(pretrained_model="cyto3", restore_type="denoise_cyto3")
    movie = io.Image(np.stack([image, image[::-1]]), "TYX")
    masks, _, _, restored = models.segment_image(model, movie)
    assert (masks.shape, restored.shape) == ((2, *image.shape), (2, *image.shape, 1))
    alone = models.segment_image(model, io.Image(image[::-1], "YX"))
    np.testing.assert_array_equal(masks[1], alone[0])
    np.testing.assert_allclose(restored[1], alone[3], atol=1e-5)
