"""Data sets of training: arrays and files, channels, normalisation, filters."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from cellpose import dynamics, train
from cellpose.errors import FileReadError, InputError
from cellpose.options import Normalization
from cellpose.train._channels import SetPreparation
from cellpose.train._data import Reading, Sources, build_set, build_sets


def discs(n: int, shape: tuple[int, int] = (60, 70), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image of ``n`` discs that do not touch, and its labels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    places = [(10 + 18 * (i // 4), 9 + 17 * (i % 4)) for i in range(12)]
    for i, (cy, cx) in enumerate(places[:n]):
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 36] = i + 1
    image = 40 + 120 * (labels > 0) + rng.normal(0, 4, shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


@pytest.fixture
def files(tmp_path):
    """Three images with 7, 2 and 9 cells and their masks, as files."""
    images, masks = [], []
    for i, n in enumerate((7, 2, 9)):
        image, labels = discs(n, seed=i)
        images.append(tmp_path / f"im{i}.png")
        masks.append(tmp_path / f"im{i}_masks.png")
        cv2.imwrite(str(images[-1]), image)
        cv2.imwrite(str(masks[-1]), labels)
    return images, masks


UNET = SetPreparation.of(channels=[0, 0])


def test_arrays_and_files_give_the_same_set(files):
    images, masks = files
    in_memory = build_set(
        Sources(
            data=[cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in images],
            labels=[cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in masks],
        ),
        UNET,
    )
    sources = Sources(files=images, labels_files=masks)
    for load in (True, False):
        read = build_set(sources, UNET, Reading(None, load, True))
        assert (read.data is None) is not load
        np.testing.assert_array_equal(read.diameters, in_memory.diameters)
        for a, b in zip(read.batch([2, 0]), in_memory.batch([2, 0]), strict=True):
            for one, other in zip(a, b, strict=True):
                np.testing.assert_array_equal(one, other)


def test_flows_are_computed_from_mask_files(files, tmp_path):
    images, masks = files
    build_set(Sources(files=images, labels_files=masks), UNET, Reading(compute_flows=True))
    assert sorted(p.name for p in tmp_path.glob("*_flows.tif")) == [f"im{i}_flows.tif" for i in range(3)]
    again = build_set(Sources(files=images), UNET, Reading(load_files=False))
    assert [len(labels) for labels in again.batch([0])[1]] == [3]


def test_masks_are_no_flow_files(files):
    images, masks = files
    with pytest.raises(InputError, match=r"im0_masks\.png holds an array of shape"):
        build_set(Sources(files=images, labels_files=masks), UNET, Reading(load_files=False))


def test_mask_files_in_memory_need_no_flow_files(files, tmp_path):
    images, masks = files
    read = build_set(Sources(files=images, labels_files=masks), UNET)
    assert [label.shape for label in read.labels] == [(4, 60, 70)] * 3
    assert not list(tmp_path.glob("*_flows.tif"))


def test_missing_flow_files_are_told(files):
    with pytest.raises(FileReadError, match="3 flow files are missing"):
        build_set(Sources(files=files[0]), UNET)


def test_files_are_filtered_too(files, caplog):
    images, masks = files
    sources = Sources(files=images, labels_files=masks, probs=[1, 1, 2])
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        chosen, _ = build_sets(sources, Sources(), UNET, Reading(None, False, True), 5)
    assert chosen.files == [images[0], images[2]]
    np.testing.assert_allclose(chosen.probs, [1 / 3, 2 / 3])
    assert "1 train images" in caplog.text


def test_wrong_lists_are_told():
    image, labels = discs(6)
    with pytest.raises(InputError, match="2 train images and 1 labels"):
        build_sets(Sources([image, image], [labels]), Sources(), UNET)
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        build_sets(Sources([image], [labels[0, :3]]), Sources(), UNET)
    with pytest.raises(InputError, match="60 x 70 pixels and its labels have 59 x 70"):
        build_sets(Sources([image], [labels[:-1]]), Sources(), UNET)
    with pytest.raises(InputError, match="without labels"):
        build_sets(Sources([image]), Sources(), UNET)
    with pytest.raises(InputError, match="no train images"):
        build_sets(Sources(), Sources(), UNET)
    with pytest.raises(InputError, match=r"train_probs of shape \(2,\) .* give 1 finite numbers"):
        build_sets(Sources([image], [labels], probs=[0.5, 0.5]), Sources(), UNET)


@pytest.mark.parametrize("probs", [[1, np.inf], [1, np.nan], [1, -1], [0, 0]])
def test_probabilities_of_images_are_finite_numbers_of_at_least_0(probs, files):
    image, labels = discs(6)
    with pytest.raises(InputError, match=r"train_probs .* give 2 finite numbers"):
        build_set(Sources([image, image], [labels, labels], probs=probs), UNET)
    with pytest.raises(InputError, match=r"test_probs .* give 2 finite numbers"):
        build_set(Sources(files=files[0][:2], labels_files=files[1][:2], probs=probs), UNET, what="test")


def test_test_set_that_does_not_fit_is_left_out(caplog):
    image, labels = discs(6)
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        _, test_set = build_sets(Sources([image], [labels]), Sources([image], [labels, labels]), UNET)
    assert test_set is None
    assert "the test set is not used" in caplog.text


def test_small_diameters_count_as_five():
    labels = np.zeros((30, 30), np.uint16)
    labels[4:6, 4:6], labels[10:12, 10:12] = 1, 2
    result = train._process_train_test([labels], [labels], min_train_masks=1, normalize_params=True)
    assert result[5].tolist() == [5.0]
    assert result[6:] == (None,) * 6 + (True,)


@pytest.mark.parametrize("kind", ["arrays", "read", "streamed"])
def test_images_without_cells_have_the_mean_diameter_of_the_others(kind, files):
    images, masks = files
    cv2.imwrite(str(masks[1]), np.zeros((60, 70), np.uint8))
    sources = Sources(files=images, labels_files=masks)
    if kind == "arrays":
        sources = Sources(*([cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in each] for each in files))
    reading = Reading(None, kind != "streamed", True, diam_mean=17)
    found = build_set(sources, UNET, reading)
    assert list(found.n_masks) == [7, 0, 9]
    assert found.diameters[0] > 5
    assert found.diameters[1] == pytest.approx(found.diameters[[0, 2]].mean())
    image, labels = discs(5)
    assert build_set(Sources([image], [labels * 0]), UNET, reading).diameters.tolist() == [17]


def test_classes_stay_with_the_targets():
    image, labels = discs(6)
    flows = dynamics.labels_to_flows([labels])[0]
    with_classes = np.concatenate([flows[:1], (labels % 2)[None], flows[1:]])
    images = build_set(Sources([image], [with_classes]), SetPreparation.of(channel_pair=False))
    target = images.batch([0])[1][0]
    np.testing.assert_array_equal(target, with_classes[1:])


def test_transformers_see_three_channels():
    gray, color = discs(3)[0], np.stack([discs(3)[0]] * 3, axis=-1)
    out = train._reshape_norm([gray, color[..., :2], color], normalize_params=False)
    assert [a.shape for a in out] == [(3, 60, 70)] * 3
    assert not out[0][1:].any()
    assert not out[1][2].any()
    np.testing.assert_array_equal(out[2], np.moveaxis(color, -1, 0))
    ready = [np.ones((3, 8, 9), np.float32)] * 2
    np.testing.assert_array_equal(train._reshape_norm(ready, normalize_params=False)[1], ready[1])


def test_normalization(caplog):
    image = discs(6)[0]
    (plain,) = train._reshape_norm([image], channels=[0, 0], normalize_params=True)
    assert np.percentile(plain[0], 99) == pytest.approx(1, abs=1e-5)
    with caplog.at_level(logging.WARNING, "cellpose.train"):
        (by_dict,) = train._reshape_norm([image], channels=[0, 0], normalize_params={"percentile": (10, 60)})
    np.testing.assert_array_equal(by_dict, plain)
    assert "training ignores the dict" in caplog.text
    chosen = Normalization(percentile=(10, 60))
    (obeyed,) = train._reshape_norm([image], channels=[0, 0], normalize_params=chosen)
    assert np.percentile(obeyed[0], 60) == pytest.approx(1, abs=1e-5)
    (raw,) = train._reshape_norm([image], channels=[0, 0], normalize_params=False)
    np.testing.assert_array_equal(raw[0], image)


@pytest.mark.parametrize(
    "options", [{}, {"percentile": (3, 98), "invert": True}, {"sharpen_radius": 3}, {"normalize": False}]
)
def test_training_sees_what_evaluation_sees(options, tmp_path):
    from cellpose.models._inputs import Layout
    from cellpose.models._segment import preparation_of
    from cellpose.options import Evaluation
    from small_model import toy_model

    network = toy_model(tmp_path)._network()
    chosen = Normalization(**options)
    gray = discs(6)[0]
    sparse = np.zeros_like(gray)
    sparse[4:8, 5:10] = 200
    for image in (gray, np.dstack([gray, np.full_like(gray, 7)]), np.dstack([gray, sparse])):
        (trained,) = train._reshape_norm([image], channels=[1, 2], normalize_params=chosen)
        evaluated = preparation_of(network, Layout([1, 2]), Evaluation(normalization=chosen))(image)
        np.testing.assert_array_equal(trained, np.moveaxis(evaluated[0], -1, 0))


def test_rgb_padding():
    one, two = np.ones((1, 4, 5)), np.stack([np.ones((4, 5)), np.arange(20.0).reshape(4, 5)])
    np.testing.assert_array_equal(train.pad_to_rgb(one), np.ones((3, 4, 5)))
    state = np.random.get_state()
    try:
        np.random.seed(1)
        padded = [train.pad_to_rgb(two) for _ in range(40)]
    finally:
        np.random.set_state(state)
    orders = {tuple(int(c.max()) for c in p) for p in padded}
    assert orders == {(0, 1, 19), (1, 0, 19), (1, 19, 0), (0, 19, 1), (19, 0, 1), (19, 1, 0)}


def test_batches_from_memory_and_files(files):
    images, masks = files
    sources = Sources(files=images, labels_files=masks)
    made = build_set(sources, UNET, Reading(None, False, True))
    batch = train._get_batch(
        [1], files=made.files, labels_files=made.labels_files, channels=[0, 0], normalize_params=True
    )
    np.testing.assert_array_equal(batch[0][0], made.batch([1])[0][0])
    np.testing.assert_array_equal(batch[1][0], made.batch([1])[1][0])
    data, labels = made.batch([0, 1, 2], numbers=True)
    again = train._get_batch([2], data=data, labels=labels)
    np.testing.assert_array_equal(again[1][0], labels[2][1:])
    with pytest.raises(InputError, match="neither data nor files"):
        train._get_batch([0])
