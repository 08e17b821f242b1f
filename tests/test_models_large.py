"""Large planes: run in blocks, they give the cells of a run as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from cellpose import io, models
from cellpose.errors import AxesError, FileWriteError, InputError, OptionError
from cellpose.models._large._blocks import BlockSize, label_bands
from cellpose.models._large._stream import LinearResize
from small_model import discs, toy_model


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("unet"))


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("sam"), "sam_vitl")


def blobs(height, width, seed=0, radius=(4, 9), per_cell=420):
    """Bright discs of many sizes at random places, some of which touch."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 20, np.float32)
    y, x = np.mgrid[-12:13, -12:13]
    for _ in range(height * width // per_cell):
        cy, cx, r = rng.integers(13, height - 13), rng.integers(13, width - 13), rng.uniform(*radius)
        image[cy - 12 : cy + 13, cx - 12 : cx + 13][y**2 + x**2 < r * r] = rng.uniform(100, 180)
    return (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


def identical_cells(ours, theirs):
    """Fraction of the cells of ``theirs`` that are, pixel by pixel, cells of ``ours``."""
    pairs, counts = np.unique(np.stack((theirs.ravel(), ours.ravel())), axis=1, return_counts=True)
    sizes, own = np.bincount(theirs.ravel()), np.bincount(ours.ravel())
    a, b = pairs
    same = (a > 0) & (b > 0) & (counts == sizes[a]) & (counts == own[b])
    return same.sum() / np.count_nonzero(sizes[1:])


def whole_and_blocks(model, image, block=96, margin=None, **options):
    whole, _, _ = model.eval(image, **options)
    result = models.segment_large(model, image, block=block, margin=margin, **options)
    return whole, result


# ------------------------------------------------------------------------------------------------- equal to the whole


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"diameter": 22.0},
        {"diameter": 41.5, "min_size": 40},
        {"augment": True},
        {"normalize": {"percentile": (5, 95)}, "invert": True},
        {"normalize": {"lowhigh": (0, 200)}, "cellprob_threshold": -0.5, "flow_threshold": 0},
        {"batch_size": 3, "tile_overlap": 0.3, "niter": 40},
    ],
    ids=str,
)
def test_blocks_give_the_cells_of_the_whole(unet, options):
    image = blobs(500, 430)
    whole, result = whole_and_blocks(unet, image, **options)
    assert whole.max() > 100
    assert result.labels.dtype == np.uint32
    # What is asked for is 99.9 %; blocks this small have a seam through every fourth cell.
    assert identical_cells(result.labels, whole) >= 0.999
    assert result.n_cells == whole.max()
    np.testing.assert_array_equal(np.unique(result.labels), np.arange(result.n_cells + 1))


def test_blocks_give_the_cells_of_the_whole_to_the_pixel():
    """Long ways in flows of a real network: rounding would tell where a window begins if it could."""
    model = models.CellposeModel(pretrained_model="nuclei-cells")
    image = blobs(700, 640, per_cell=700)
    whole, result = whole_and_blocks(model, image, block=128)
    assert result.n_cells == whole.max() > 100
    assert identical_cells(result.labels, whole) == 1


def test_transformers(sam):
    image = np.stack([blobs(300, 560, seed) for seed in (1, 2)])
    whole, result = whole_and_blocks(sam, image, channel_axis=0)
    assert identical_cells(result.labels, whole) >= 0.999
    assert result.n_cells == whole.max() > 100


@pytest.mark.parametrize("channels", [None, [0, 0], [2, 1], [3, 0]])
def test_channels(unet, channels):
    image = np.stack([blobs(200, 240, seed) for seed in (1, 2, 3)], axis=-1)
    whole, result = whole_and_blocks(unet, image, channels=channels, channel_axis=-1)
    assert identical_cells(result.labels, whole) == 1
    assert result.n_cells == whole.max() > 30


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_the_image_is_never_overwritten(unet, tmp_path, name):
    image = tmp_path / name
    np.save(image, discs(64, 64)) if name.endswith("npy") else io.imsave(image, discs(64, 64))
    before = image.read_bytes()
    with pytest.raises(InputError, match="would overwrite the image"):
        models.segment_large(unet, str(image), tmp_path / "." / name)
    assert image.read_bytes() == before


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (37, 700), (700, 37), (224, 224)])
def test_odd_shapes(unet, shape):
    image = discs(*shape)
    whole, result = whole_and_blocks(unet, image, block=64)
    np.testing.assert_array_equal(result.labels > 0, whole > 0)
    assert result.n_cells == whole.max()


def test_intensities_that_are_no_numbers_and_flat_channels(unet):
    image = blobs(150, 150).astype(np.float32)
    image[70:75, 70:75] = np.nan, np.inf, -np.inf, 30, np.nan
    whole, result = whole_and_blocks(unet, image)
    assert identical_cells(result.labels, whole) == 1
    for options in ({}, {"invert": True}, {"normalize": {"lowhigh": (0, 10)}}, {"cellprob_threshold": -20}):
        assert models.segment_large(unet, np.full((80, 90), 7), **options).n_cells == 0
    both = np.stack([blobs(150, 150), np.full((150, 150), 255)], axis=-1)
    for options in ({}, {"normalize": {"lowhigh": (0, 200)}}):
        whole, result = whole_and_blocks(unet, both, channel_axis=-1, **options)
        np.testing.assert_array_equal(whole, unet.eval(both[..., 0], **options)[0])
        assert identical_cells(result.labels, whole) == 1


def test_sparse_planes(unet, caplog):
    image = np.zeros((400, 420), np.uint16)
    image[100:122, 200:222] = 9 * discs(48, 72)[1:23, 1:23].astype(np.uint16)
    image[image < 500] = 0
    whole, result = whole_and_blocks(unet, image)
    assert result.n_cells == whole.max() == 1
    np.testing.assert_array_equal(result.labels, whole)
    assert caplog.text.count("sparse image") == 2


def test_cells_longer_than_the_margin_are_seen_whole():
    # flows that lead along a bar of 150 pixels to its middle: longer than margin and block
    labels = np.zeros((260, 300), int)
    labels[50:200, 90:110] = 1
    labels[120:140, 115:290] = 2
    whole = _flows_of(labels)
    follow = _follow_counting([])
    sizes = BlockSize(64, 16, 256)
    found = np.concatenate([rows for _, rows, _ in label_bands(iter([(0, whole)]), labels.shape, follow, sizes)])
    expected = follow(whole[:2], whole[2])
    assert identical_cells(found, expected) == 1


def test_a_cell_that_no_margin_holds_is_told(caplog):
    labels = np.zeros((40, 400), int)
    labels[10:30, 20:380] = 1
    flows = _flows_of(labels)
    list(label_bands(iter([(0, flows)]), labels.shape, _follow_counting([]), BlockSize(64, 16, 32)))
    assert "may be cut" in caplog.text


def _flows_of(labels):
    from cellpose.dynamics import masks_to_flows

    flows = 5 * masks_to_flows(labels)
    return np.concatenate([flows, np.where(labels, 4.0, -4.0)[np.newaxis]]).astype(np.float32)


def _follow_counting(windows):
    from cellpose.dynamics import compute_masks

    def follow(flows, cellprob, origin=(0, 0)):
        windows.append(cellprob.shape)
        return compute_masks(
            flows, cellprob, niter=400, flow_threshold=0, max_size_fraction=1, min_size=15, origin=origin
        )

    return follow


def test_only_a_band_of_flows_is_held():
    windows, taken = [], []

    def flows():
        for first in range(0, 2000, 50):
            taken.append(first)
            yield first, np.full((3, 50, 128), -1, np.float32)

    for first, rows, count in label_bands(flows(), (2000, 128), _follow_counting(windows), BlockSize(64, 16, 32)):
        assert count == 0
        assert not rows.any()
        assert taken[-1] <= first + 64 + 32 + 50
    assert max(windows) == (96, 80)


def test_more_labels_than_fit_in_16_and_20_bits():
    # one cell of one pixel in every 2 x 2 pixels
    shape = (1024, 4200)

    def follow(flows, cellprob, origin):
        labels = np.zeros(cellprob.shape, np.int32)
        labels[cellprob > 0] = np.arange(1, np.count_nonzero(cellprob > 0) + 1)
        return labels

    flows = np.full((3, *shape), -1, np.float32)
    flows[2, ::2, ::2] = 1
    bands = list(label_bands(iter([(0, flows)]), shape, follow, BlockSize(512, 16, 16)))
    labels = np.concatenate([rows for _, rows, _ in bands])
    assert bands[-1][2] == 512 * 2100 > 2**20
    np.testing.assert_array_equal(np.unique(labels[::2, ::2]), np.arange(1, 2**20 + 26625))
    assert not labels[1::2].any()


@pytest.mark.parametrize(("old", "new"), [(100, 250), (100, 37), (100, 50), (7, 7), (1, 5), (40, 1)])
def test_pieces_resized_are_the_whole_resized(old, new):
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).random((old, 9), np.float32)
    stretch = LinearResize(old, new)
    whole = cv2.resize(image, (9, new), interpolation=cv2.INTER_LINEAR)
    for start in range(0, new, 11):
        stop = min(start + 11, new)
        first, last = stretch.needed(start, stop)
        # places are float32, which near 100 is exact to 1e-5 pixels
        np.testing.assert_allclose(stretch.rows(image[first:last], first, start, stop, 0), whole[start:stop], atol=1e-5)


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
def test_files_in_and_out(unet, tmp_path, suffix):
    if suffix == ".zarr":
        pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    image = blobs(300, 260)
    source, target = tmp_path / f"image{suffix}", tmp_path / f"labels{suffix}"
    sizes = (None, 0.5, 0.25)
    if suffix == ".zarr":
        io.write_ome_zarr(source, image, "YX", pixel_size_um=sizes)
    elif suffix == ".npy":
        np.save(source, image)
    else:
        tifffile.imwrite(source, image, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5})
    result = models.segment_large(unet, source, target, block=96)
    assert result.labels is None
    labels = io.read_image(target)
    np.testing.assert_array_equal(labels.data, models.segment_large(unet, image, block=96).labels)
    assert labels.data.dtype == np.uint32
    if suffix == ".zarr":
        assert labels.pixel_size_um == sizes
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, target.name])


def test_nothing_is_left_where_writing_fails(unet, tmp_path):
    class Full(Exception):
        pass

    def fail(_):
        raise Full

    for name in ("a.tif", "a.npy", "a.zarr"):
        if name.endswith("zarr"):
            pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
        with pytest.raises(Full):
            models.segment_large(unet, discs(200, 100), tmp_path / name, block=64, progress=fail)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_said(unet, tmp_path):
    with pytest.raises(AxesError, match="not a single plane"):
        models.segment_large(unet, np.zeros((20, 30, 40)))
    with pytest.raises(OptionError, match="tile_norm_blocksize"):
        models.segment_large(unet, discs(50, 50), normalize={"tile_norm_blocksize": 20})
    with pytest.raises(OptionError, match="block=8"):
        models.segment_large(unet, discs(50, 50), block=8)
    with pytest.raises(OptionError, match=r"margin=4 .* at least 16"):
        models.segment_large(unet, discs(50, 50), margin=4)
    with pytest.raises(OptionError, match=r"block=100\.5"):
        models.estimate_memory(unet, discs(50, 50), block=100.5)
    with pytest.raises(InputError, match=r"\.zarr, \.tif or \.npy"):
        models.segment_large(unet, discs(50, 50), tmp_path / "labels.png")
    (tmp_path / "there.zarr").mkdir()
    pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")
    with pytest.raises(FileWriteError, match="exists already"):
        models.segment_large(unet, discs(50, 50), tmp_path / "there.zarr")
