"""Background and uneven light."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bench import Bench, make_bench
from blobs import blob_image
from cellpose import io, transforms
from cellpose.errors import InputError, OptionError
from cellpose.options import Normalization

SHAPE = (96, 120)


def light() -> np.ndarray:
    """Light that falls off to less than half in the corners, of mean 1."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    falling = 1 - 0.35 * (y**2 + 0.8 * (x - 0.2) ** 2)
    return (falling / falling.mean()).astype(np.float32)


def scenes(count: int) -> list[np.ndarray]:
    """Cells at other places in each image, on a ground of 1000."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(count):
        cells = blob_image(SHAPE, seed=seed, spacing=32).astype(np.float32)
        found.append(np.roll(cells, rng.integers(0, 32, 2), (0, 1)))
    return found


def test_a_slow_background_goes_and_cells_stay() -> None:
    cells = scenes(1)[0] - 1000
    ground = 3000 * light()
    noise = np.random.default_rng(0).normal(0, 50, SHAPE)
    found = transforms.subtract_background(cells + ground + noise, 14)
    assert found.dtype == np.float32
    assert np.abs(found - cells).mean() < 0.1 * np.abs(ground).mean()
    inside = cells > 5000
    assert np.abs(found[inside] / cells[inside] - 1).mean() < 0.1
    # planes and channels each for themselves; nothing to do with a radius of 0
    stack = np.stack([cells + ground, 2 * (cells + ground)])
    both = transforms.subtract_background(stack, 14, is3D=True)
    np.testing.assert_allclose(both[1], 2 * both[0], rtol=1e-4, atol=1)
    np.testing.assert_array_equal(both, transforms.subtract_background(stack[..., np.newaxis], 14)[..., 0])
    np.testing.assert_array_equal(transforms.subtract_background(stack, 0, is3D=True), stack)
    with pytest.raises(OptionError, match="radius=-1"):
        transforms.subtract_background(cells, -1)


@pytest.mark.parametrize("radius", [3, 10, 35, 500])
def test_discs_of_any_size_leave_a_flat_image_flat(radius: float) -> None:
    np.testing.assert_allclose(transforms.subtract_background(np.full((40, 64), 7, np.uint8), radius), 0, atol=1e-4)


def test_the_pipeline_filters_as_the_function_does() -> None:
    image = scenes(1)[0] * light()
    options = Normalization(background_radius=14, sharpen_radius=0, smooth_radius=1)
    by_hand = transforms.smooth_sharpen_img(transforms.subtract_background(image, 14), 1, 0)[..., np.newaxis]
    expected = transforms.apply_normalization(by_hand, Normalization())
    np.testing.assert_allclose(transforms.apply_normalization(image[..., np.newaxis], options), expected, atol=1e-5)
    by_preparation = transforms.Preparation([0, 0], normalization=options)(image)
    np.testing.assert_allclose(by_preparation[0, ..., :1], expected, atol=1e-5)


def test_the_light_is_found_in_images_of_cells() -> None:
    true = light()
    flat = transforms.estimate_flatfield(scene * true for scene in scenes(12))
    assert flat.mean() == pytest.approx(1, abs=1e-4)
    assert np.abs(flat / true - 1).max() < 0.12
    assert np.abs(flat / true - 1).mean() < 0.03
    for image in scenes(2):
        even = transforms.correct_flatfield(image * true, flat)
        assert np.abs(even / image - 1).mean() < 0.03
    np.testing.assert_allclose(
        transforms.estimate_flatfield([scene * true + 200 for scene in scenes(12)], dark=200), flat, atol=1e-3
    )
    with pytest.raises(InputError, match="2 images"):
        transforms.estimate_flatfield(scenes(2))
    with pytest.raises(InputError, match="of equal size"):
        transforms.estimate_flatfield([*scenes(3), np.ones((5, 5))])


def test_a_flat_field_is_one_of_the_channel_or_of_the_block() -> None:
    flat = np.stack([light(), light()[::-1]])
    image = np.full((4, 2, *SHAPE), 100, np.uint16)
    even = transforms.correct_flatfield(image * flat + 50, flat, dark=50)
    np.testing.assert_allclose(even, 150, rtol=1e-3)
    crop = (slice(0, 4), slice(20, 60), slice(10, 50))
    block = transforms.correct_flatfield((100 * light())[crop[1:]][np.newaxis], light(), crop=crop)
    np.testing.assert_allclose(block, 100, rtol=1e-3)
    with pytest.raises(InputError, match="does not fit"):
        transforms.correct_flatfield(image[..., :-1], flat)
    with pytest.raises(InputError, match="mean 0"):
        transforms.correct_flatfield(image, np.zeros(SHAPE))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        for number, scene in enumerate(scenes(6)):
            tifffile.imwrite(place.folder / f"{number}.tif", (scene * light()).astype(np.uint16))
        yield place


def test_the_command_line_corrects_the_light_and_filters(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    one = ("--pretrained_model", "cyto3", "--save_tif", "--no_npy", "--diameter", "30")
    flat = transforms.estimate_flatfield(io.imread(file) for file in io.get_image_files(bench.folder))
    tifffile.imwrite(bench.root / "flat.tif", flat)
    assert bench.run(*one, "--flatfield", "estimate") == 0
    estimated = [io.imread(bench.folder / f"{n}_cp_masks.tif") for n in range(6)]
    assert bench.run(*one, "--flatfield", bench.root / "flat.tif") == 0
    for n, masks in enumerate(estimated):
        np.testing.assert_array_equal(io.imread(bench.folder / f"{n}_cp_masks.tif"), masks)
    assert bench.run(*one) == 0
    assert any((io.imread(bench.folder / f"{n}_cp_masks.tif") != masks).any() for n, masks in enumerate(estimated))
    assert bench.run(*one, "--background_radius", "14", "--smooth_radius", "1") == 0
    assert bench.run(*one, "--large", "--background_radius", "14") == 2
    assert "--background_radius needs the whole image" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_left_out_of_the_flat_field(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ("--pretrained_model", "cyto3", "--save_tif", "--no_npy", "--diameter", "30", "--flatfield", "estimate")
    for name in ("0", "6"):
        (bench.folder / f"{name}.tif").write_bytes(b"II*\0broken")
    assert bench.run(*one) == 1
    told = capsys.readouterr().err
    assert told.count("0.tif is left out of the flat field") == 1
    assert sorted(path.name for path in bench.folder.glob("*_masks.tif")) == [f"{n}_cp_masks.tif" for n in range(1, 6)]
    for n in range(1, 6):
        (bench.folder / f"{n}.tif").write_bytes(b"II*\0broken")
    assert bench.run(*one) != 0
    assert "none of the images looked at can be read" in capsys.readouterr().err


def test_filters_without_a_scale_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run("--pretrained_model", "cyto3", "--no_norm", "--sharpen_radius", "5") != 0
    assert "--no_norm turns off" in capsys.readouterr().err
