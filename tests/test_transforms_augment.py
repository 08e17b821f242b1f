"""Random flips, rotations and crops: the flows turn with the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellpose import transforms
from cellpose.errors import CellposeError, InputError
from cellpose.transforms import _augment

RNG = np.random.default_rng(0)


def blob(n: int = 65) -> tuple[np.ndarray, np.ndarray]:
    """Image (1, n, n) of a lopsided blob and its labels (3, n, n): inside, and its gradient as flows."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    image = np.exp(-(((y - 4) / 6) ** 2) - ((x + 3) / 10) ** 2).astype(np.float32)
    labels = np.stack([image > 0.1, *np.gradient(image)]).astype(np.float32)
    return image[None], labels


def gradient_agrees(image: np.ndarray, labels: np.ndarray) -> None:
    """The flows of a turned blob are the gradient of the turned blob."""
    want = np.stack(np.gradient(image))
    scale = np.abs(want).max()
    # bilinear sampling at 1/32 of a pixel, and differences over two pixels
    assert np.abs(labels[1:] - want).max() < 0.1 * scale


@pytest.mark.parametrize("seed", range(8))
def test_flows_turn_and_flip_with_the_image_arrays(seed):
    np.random.seed(seed)
    image, labels = blob()
    images, turned, _ = transforms.random_rotate_and_resize([image], [labels], scale_range=0.0, xy=(65, 65))
    gradient_agrees(images[0, 0], turned[0])


@pytest.mark.parametrize("seed", range(8))
def test_flows_turn_and_flip_with_the_image_tensors(seed):
    np.random.seed(seed)
    image, labels = blob()
    images, turned, _ = transforms.random_rotate_and_resize([image], [labels], scale_range=0.0, bsize=65)
    gradient_agrees(images[0, 0].numpy(), turned[0].numpy())


def test_four_quarter_turns_are_none_arrays():
    image, labels = blob()
    recipe = _augment._Recipe(0.0, (65, 65), None, True, True, False)
    matrix = _augment._affine((65, 65), (65, 65), np.pi / 2, np.float32(1), np.zeros(2))
    draw = _augment._Draw(False, np.pi / 2, np.float32(1), matrix)
    turned, flows = image, labels
    for _ in range(4):
        turned, flows = _augment._apply(turned, draw, recipe), _augment._apply_to_labels(flows, draw, recipe)
    # the published map turns about the corner of the middle pixel: a row and a column leave at the border.
    # OpenCV samples at 1/32 of a pixel, here at whole pixels; the rest is the float32 of sine and cosine.
    np.testing.assert_allclose(turned[:, 1:, 1:], image[:, 1:, 1:], atol=1e-5)
    np.testing.assert_allclose(flows[:, 1:, 1:], labels[:, 1:, 1:], atol=1e-5)


def test_four_quarter_turns_are_none_tensors():
    image, labels = (torch.from_numpy(a) for a in blob())
    grid = _augment._sampling_grid((65, 65), (65, 65), np.pi / 2, 1.0, (0.0, 0.0))
    turned, flows = image, labels
    for _ in range(4):
        turned, flows = _augment._sample(turned, grid), _augment._sample_labels(flows, grid, np.pi / 2, False)
    # places of pixels are rounded to float32, on coordinates up to 65
    np.testing.assert_allclose(turned.numpy(), image.numpy(), atol=1e-4)
    np.testing.assert_allclose(flows.numpy(), labels.numpy(), atol=1e-4)


def test_stacks_flip_the_flow_along_z():
    image = np.ones((1, 9, 20, 20), np.float32)
    labels = np.stack([np.ones((9, 20, 20)), np.full((9, 20, 20), 2.0), *np.zeros((2, 9, 20, 20))]).astype(np.float32)
    signs = set()
    for seed in range(12):
        np.random.seed(seed)
        images, turned, _ = transforms.random_rotate_and_resize(
            [image], [labels], 0.0, (12, 12), do_3D=True, zcrop=5, rotate=False
        )
        assert images.shape == (1, 1, 5, 12, 12)
        assert turned.shape == (1, 4, 5, 12, 12)
        signs.add(float(turned[0, 1, 2, 6, 6]))
    assert signs == {2.0, -2.0}


@pytest.mark.parametrize("planes", [1, 2, 5])
def test_stacks_thinner_than_the_crop(planes):
    images, _, _ = transforms.random_rotate_and_resize([np.ones((1, planes, 20, 20))], xy=(9, 9), do_3D=True, zcrop=4)
    assert images.shape == (1, 1, 4, 9, 9)


def test_numbers_of_labels_and_classes_are_not_blended():
    numbers = RNG.integers(0, 50, (2, 40, 40)) * 1000.0
    labels = np.concatenate([numbers, RNG.random((3, 40, 40))]).astype(np.float32)
    for options in ({"xy": (40, 40)}, {"bsize": 40}):
        np.random.seed(4)
        _, turned, _ = transforms.random_rotate_and_resize([labels[:1]], [labels], **options)
        assert set(np.unique(np.asarray(turned[0, :2]))) <= set(np.unique(numbers))


def test_one_transformation_for_all_images():
    image, labels = blob()
    np.random.seed(0)
    images, turned, scales = transforms.random_rotate_and_resize(
        [image] * 3, [labels] * 3, xy=(40, 40), random_per_image=False
    )
    assert len(set(scales.tolist())) == 1
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_array_equal(turned[0], turned[2])


def test_numbers_come_from_the_global_source_or_from_that_given():
    image, _ = blob()
    np.random.seed(3)
    first = transforms.random_rotate_and_resize([image], xy=(32, 32))[0]
    second = transforms.random_rotate_and_resize([image], xy=(32, 32))[0]
    own = transforms.random_rotate_and_resize([image], xy=(32, 32), rng=np.random.RandomState(3))[0]
    np.testing.assert_array_equal(first, own)
    assert not np.array_equal(first, second)


def test_very_long_images_equal_their_middle():
    """OpenCV warps no image longer than 32767 pixels: the part that is seen is cut out first."""
    part = RNG.random((1, 40, 400), np.float32)
    long = np.zeros((1, 40, 40_000), np.float32)
    long[:, :, 19_800:20_200] = part
    recipe = _augment._Recipe(0.0, (32, 32), None, True, True, False)
    for angle in (0.3, 2.0):
        draws = [
            _augment._Draw(
                False, angle, np.float32(1), _augment._affine((40, n), (32, 32), angle, np.float32(1), np.zeros(2))
            )
            for n in (40_000, 400)
        ]
        # coordinates of 20000 in float32 are right to 1/500 of a pixel, and OpenCV rounds to 1/32
        np.testing.assert_allclose(
            _augment._apply(long, draws[0], recipe), _augment._apply(part, draws[1], recipe), atol=0.1
        )


def test_inputs_stay_as_they_are():
    image, labels = blob()
    copies = image.copy(), labels.copy()
    for options in ({"xy": (40, 40)}, {"bsize": 40}):
        for seed in range(4):
            np.random.seed(seed)
            transforms.random_rotate_and_resize([image], [labels], **options)
            np.testing.assert_array_equal(image, copies[0])
            np.testing.assert_array_equal(labels, copies[1])


@pytest.mark.parametrize("dtype", ["u1", "u2", "?", "f2", "f8", ">f4"])
def test_dtypes(dtype):
    image = (RNG.random((2, 30, 30)) * 2).astype(dtype)
    for options in ({"xy": (20, 20)}, {"bsize": 20}):
        images, _, scales = transforms.random_rotate_and_resize([image], **options)
        assert np.asarray(images).dtype == np.float32
        assert scales.dtype == np.float32


@pytest.mark.parametrize("form", [{"xy": (20, 20)}, {"bsize": 20}])
def test_what_is_refused(form):
    image, labels = blob()
    cases = [
        ([], None, {}),
        ([image], [labels, labels], {}),
        ([image], [labels[:, :5]], {}),
        ([np.zeros(5)], None, {}),
        ([np.zeros((1, 0, 5))], None, {}),
        ([image], None, {"rescale": [1, 2]}),
        ([image], None, {"rescale": [0]}),
    ]
    for images, wrong, options in cases:
        with pytest.raises(CellposeError):
            transforms.random_rotate_and_resize(images, wrong, **options, **form)


def test_sizes_and_crops_that_are_refused():
    image, _ = blob()
    for options in ({"xy": (0, 5)}, {"bsize": -1}, {"do_3D": True, "zcrop": 0}):
        with pytest.raises(CellposeError):
            transforms.random_rotate_and_resize([image], **options)
    with pytest.raises(InputError, match="different numbers of channels"):
        transforms.random_rotate_and_resize([image, np.concatenate([image, image])], xy=(9, 9))
