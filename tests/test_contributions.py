"""Contributions: what is checked, kept and decided; which models are published; the way back."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellpose import contributions, io, weights
from cellpose.contributions import Provenance, Retraining, Store, Versions, checked_pair, judge, read_pair, retrain
from cellpose.errors import FileMissingError, FileReadError, FileWriteError, InputError, OptionError

FIELDS = {
    "licence": "CC-BY-4.0", "consent": contributions.CONSENT, "contributor": "Ada", "source": "laboratory A",
}  # fmt: skip


def scene(seed: int = 0, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a dark ground, and their labels."""
    y, x = np.mgrid[:96, :96]
    image, labels = np.random.default_rng(seed).normal(100, 5, (96, 96)), np.zeros((96, 96), np.uint16)
    for k in range(n):
        disc = (y - 16 - 32 * (k // 3)) ** 2 + (x - 16 - 32 * (k % 3)) ** 2 < 100
        labels[disc] = k + 1
    return (image + 80 * (labels > 0)).astype(np.uint16), labels


def given(store: Store, seed: int = 0, **fields: str) -> contributions.Contribution:
    return store.add(checked_pair(*scene(seed)), Provenance.of({**FIELDS, **fields}))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


# --- what is checked ---


def test_the_same_cells_under_other_numbers_and_in_other_files_are_the_same(tmp_path: Path) -> None:
    image, labels = scene()
    io.imsave(tmp_path / "a.png", image)
    io.imsave(tmp_path / "a.tif", image)
    io.imsave(tmp_path / "a_masks.png", labels)
    io.imsave(tmp_path / "b_masks.tif", (np.where(labels > 0, 500 - labels, 0)).astype(np.int32))
    one = read_pair(tmp_path / "a.png", tmp_path / "a_masks.png")
    other = read_pair(tmp_path / "a.tif", tmp_path / "b_masks.tif")
    assert one.id == other.id
    np.testing.assert_array_equal(other.labels, labels)
    changed = labels.copy()
    changed[16, 16] = 0
    assert checked_pair(image, changed).id != one.id
    assert checked_pair(image, changed).image_hash == one.image_hash


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    side = 30_000

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])  # one bit per pixel
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    io.imsave(tmp_path / "masks.tif", scene()[1])
    assert bomb.stat().st_size < 2**20
    with pytest.raises(FileReadError, match=r"claims an image of 2\.5 GiB and 0\.2 GiB"):
        read_pair(bomb, tmp_path / "masks.tif")


def test_a_tiff_bomb_is_refused(tmp_path: Path) -> None:
    io.write_tiff(tmp_path / "bomb.tif", np.zeros((20_000, 20_000), np.uint8))
    io.imsave(tmp_path / "masks.tif", scene()[1])
    assert (tmp_path / "bomb.tif").stat().st_size < 2**22
    with pytest.raises(FileReadError, match=r"claims an image of 0\.4 GiB and 0\.2 GiB"):
        read_pair(tmp_path / "bomb.tif", tmp_path / "masks.tif")


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        (scene()[0][:60], scene()[1], "60 x 96 pixels and 1 channels; allowed are sides of 64"),
        (scene()[0], scene()[1][:80], "has 96 x 96 pixels and its labels have 80 x 96"),
        (scene()[0], scene()[1] * 0, "no cells"),
        (scene()[0], (scene()[1] > 0).astype(np.uint8), "binary mask"),
        (scene()[0], scene()[1] + 0.5, "not integers"),
        (scene()[0] * 0, scene()[1], "all pixels of the image are 0"),
        (np.where(scene()[0] > 150, np.nan, 1.0), scene()[1], "infinite or no numbers"),
        (np.stack([scene()[0]] * 9), scene()[1], "9 channels"),
    ],
)
def test_what_no_model_can_be_trained_on_is_refused(image: Any, labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked_pair(image, labels)


def test_stacks_are_refused_and_doubts_are_noted(tmp_path: Path) -> None:
    image, labels = scene()
    io.write_tiff(tmp_path / "stack.tif", np.stack([image] * 20), axes="ZYX")
    io.imsave(tmp_path / "masks.tif", labels)
    with pytest.raises(InputError, match="axes ZYX of lengths 20 x 96 x 96; contributions are planes"):
        read_pair(tmp_path / "stack.tif", tmp_path / "masks.tif")
    assert checked_pair(*scene(n=2)).notes == ("labels: 2 masks, fewer than 5",)
    assert "more than half of the image" in checked_pair(image, np.pad(np.ones((80, 80), int), 8)).notes[-1]
    assert checked_pair(image, labels).notes == ()


def test_regions_to_ignore_are_kept(store: Store) -> None:
    image, labels = scene()
    ignored = labels.astype(np.int32)
    ignored[:30] = -1
    kept = store.add(checked_pair(image, ignored), Provenance.of(FIELDS))
    read = store.read(kept).labels
    assert (read[:30] == -1).all()
    assert read.max() == kept.n_cells == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"licence": "CC-BY-NC-4.0"}, "licence='CC-BY-NC-4.0' is not allowed; choose one of CC0-1.0, CC-BY-4.0"),
        ({"consent": ""}, "consent of the contribution must be given"),
        ({"consent": "yes"}, "no consent"),
        ({"contributor": "  "}, "contributor"),
        ({"source": "a" * 201}, "a text of 201 characters is not allowed"),
        ({"note": "a\x1b[2J"}, "control characters"),
        ({"email": "a@b.c"}, "unknown fields email"),
        ({"note": 3}, "note=3 is not allowed"),
    ],
)
def test_nothing_comes_without_licence_consent_and_origin(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Provenance.of({**FIELDS, **change})


# --- what is kept ---


def test_what_is_kept_is_read_back(store: Store) -> None:
    image, labels = scene()
    pair = checked_pair(np.stack([image, image // 2]), labels)
    kept = store.add(pair, Provenance.of({**FIELDS, "note": "40x"}))
    assert Store(store.folder).contributions() == [kept]
    assert kept.provenance.note == "40x"
    read = store.read(kept)
    np.testing.assert_array_equal(read.image, pair.image)
    np.testing.assert_array_equal(read.labels, labels)
    image_file, _ = store.files_of(kept)
    assert image_file.name == f"{kept.id}.tif"
    io.imsave(image_file, pair.image[::-1])
    with pytest.raises(FileReadError, match="are not what was contributed"):
        store.read(kept)


def test_a_folder_that_cannot_hold_contributions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileWriteError, match="choose another folder"):
        Store(tmp_path / "file" / "store", create=True)
    (tmp_path / "store" / "contributions.sqlite3").mkdir(parents=True)
    with pytest.raises(FileReadError, match="could not be used"):
        Store(tmp_path / "store", create=True)


def test_an_image_comes_once(store: Store) -> None:
    first = given(store)
    with pytest.raises(contributions.DuplicateError, match=r"this segmentation was contributed on .* and is received"):
        given(store)
    image, labels = scene()
    better = checked_pair(image, np.where(labels == 3, 0, labels))
    with pytest.raises(contributions.DuplicateError, match="another segmentation of this image"):
        store.add(better, Provenance.of(FIELDS))
    store.reject(first.short, "one cell is missing")
    with pytest.raises(contributions.DuplicateError, match=r"is rejected \(one cell is missing\)"):
        given(store)
    second = store.add(better, Provenance.of(FIELDS))
    with pytest.raises(InputError, match="another segmentation of this image was taken meanwhile"):
        store.accept(first.id)
    assert store.accept(second.id).state == "accepted"


def test_one_of_five_images_of_a_source_is_held_out_for_ever(store: Store) -> None:
    roles = {source: [] for source in ("A", "B")}
    names = []
    for seed in range(12):
        source = "AB"[seed % 2]
        names.append(given(store, seed, source=source).id)
        roles[source].append(store.accept(names[-1]).role)
    assert roles["A"] == roles["B"] == ["train", "validation", "train", "train", "train", "validation"]
    before = {each.id: each.role for each in store.contributions("accepted")}
    store.reject(names[0])
    assert store.accept(names[2]).role == before[names[2]]
    assert {each.id: each.role for each in store.contributions("accepted")} == {
        name: role for name, role in before.items() if name != names[0]
    }
    assert store.accept(names[4], source="C").source == "C"


def test_the_role_of_an_image_outlives_a_rejection(store: Store) -> None:
    image, labels = scene()
    names = [given(store, seed).id for seed in range(2)]
    assert [store.accept(name).role for name in names] == ["train", "validation"]
    for name in names:
        store.reject(name)
    assert [store.accept(name).role for name in reversed(names)] == ["validation", "train"]
    store.reject(names[0])
    better = store.add(checked_pair(image, np.where(labels == 3, 0, labels)), Provenance.of(FIELDS))
    assert store.accept(better.id).role == "train"


def test_names_are_found_by_their_beginning(store: Store) -> None:
    kept = given(store)
    assert store.find(kept.id[:6].upper()).id == kept.id
    for name, words in (("abc", "at least its first 6 letters"), ("0" * 12, "no contribution"), ("*" * 9, "no name")):
        with pytest.raises(InputError, match=words):
            store.find(name)


def test_a_folder_without_contributions_and_a_newer_one_are_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(OptionError, match="holds no contributions"):
        Store(tmp_path)
    with sqlite3.connect(store.folder / "contributions.sqlite3") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OptionError, match="newer version"):
        Store(store.folder)


def test_what_is_sparse_is_noted_once(store: Store) -> None:
    kept = given(store)
    assert [each.id for each in store.unmeasured()] == [kept.id]
    for share in (0.4, 0.6):
        store.note_dense(kept.id, share)
    assert store.find(kept.id).notes == ("annotated: 60% of what the bundled model finds; are cells missing?",)
    assert store.find(kept.id).dense == 0.6
    store.note_dense(kept.id, None)
    assert store.find(kept.id).dense is None
    assert not store.unmeasured()


def test_dense_annotations_are_told_from_sparse_ones() -> None:
    image, labels = scene()
    dense = contributions.annotated_share(checked_pair(image, labels))
    sparse = contributions.annotated_share(checked_pair(image, np.where(labels > 4, 0, labels)))
    assert dense is not None
    assert sparse is not None
    assert dense > contributions.LEAST_DENSE > 0.6 > sparse


# --- which models are published ---


def test_a_model_that_is_worse_on_one_source_does_not_pass() -> None:
    current = {"A": [0.5] * 8, "B": [0.9] * 8}
    better = {"A": [0.9] * 8, "B": [0.9] * 8}
    worse = {"A": [1.0] * 8, "B": [0.8] * 8}
    assert judge(better, current, current).passed
    judgement = judge(worse, current, current)
    assert judgement.fallen == ("B",)
    assert contributions.Judgement.of(judgement.as_dict()) == judgement
    assert "B: AP@0.5 0.800 (0.900 published, 0.900 base; tolerance 0.020, 8 images): FELL" in map(
        str, judgement.scores
    )


def test_chance_is_allowed_for_and_many_small_falls_are_not() -> None:
    current = {"A": [0.80, 0.80, 0.80, 0.80]}
    assert judge({"A": [0.79] * 4}, current, current).passed
    assert not judge({"A": [0.77] * 4}, current, current).passed
    scattered = {"A": [0.95, 0.58, 0.90, 0.66]}  # 0.03 lower, and by far less than its scatter
    assert judge(scattered, current, current).passed
    assert not judge({"A": [0.9, 0.5, 0.9, 0.6]}, current, current).passed  # 0.075 lower: more than is ever allowed
    # not below the base model either, to which many steps down would lead
    assert not judge({"A": [0.79] * 4}, current, {"A": [0.85] * 4}).passed


def test_sources_without_images_are_named_and_nothing_is_compared_without_any() -> None:
    judgement = judge({"A": [0.5], "B": [np.nan]}, {"A": [0.5], "B": [0.1]}, {"A": [0.5], "B": [0.1]}, unguarded=["C"])
    assert judgement.unguarded == ("C", "B")
    with pytest.raises(InputError, match="no image to compare models on"):
        judge({}, {}, {})


def trained(versions: Versions, state: str = contributions.PUBLISHED) -> contributions.Version:
    version = versions.begin("generalist", ("a",), 3)
    versions.folder.mkdir(exist_ok=True)
    versions.path(version).write_text(version.name)
    versions.write_credits(version, [])
    return versions.decide(version, state, {})


def test_one_command_leads_back_from_version_to_version(store: Store) -> None:
    versions = Versions(store)
    assert versions.current() is None
    for _ in range(2):
        trained(versions)
    trained(versions, contributions.REFUSED)
    current = versions.folder / contributions.CURRENT
    assert versions.current() == current
    assert current.read_text() == "contributions-0002"
    withdrawn, published = versions.rollback()
    assert (withdrawn.name, published and published.name) == ("contributions-0002", "contributions-0001")
    assert current.read_text() == "contributions-0001"
    assert "contributions-0001" in (versions.folder / "current_credits.txt").read_text()
    trained(versions)
    assert current.read_text() == "contributions-0004"
    versions.rollback()
    assert versions.rollback()[1] is None
    assert not current.exists()
    with pytest.raises(InputError, match="nothing to roll back"):
        versions.rollback()
    assert versions.path(withdrawn).is_file()  # the old ones are kept


def test_a_lost_model_does_not_hinder_the_way_back(store: Store) -> None:
    versions = Versions(store)
    trained(versions)
    versions.path(trained(versions)).unlink()
    assert Versions(store).rollback()[1].name == "contributions-0001"
    assert (versions.folder / contributions.CURRENT).read_text() == "contributions-0001"


# --- training ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Trainings that take no time; the scores of models are those of this dict."""
    from cellpose import train

    scores: dict[str, Any] = {"base": 0.5, "trained": []}

    def train_seg(net: Any, **given: Any) -> tuple[Path, list[float], list[float]]:
        scores["trained"].append(given)
        path = Path(given["save_path"]) / "models" / given["model_name"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(weights.resolve("nuclei-cells").path.read_bytes())
        if scores.get("fails"):
            raise InputError(scores["fails"])
        return path, [], []

    def score_seg(net: Any, images: list[Any], labels: list[Any], **_: Any) -> np.ndarray:
        name = net.model_file.name
        return np.full(len(images), scores.get(name, scores["base"]))

    monkeypatch.setattr(train, "train_seg", train_seg)
    monkeypatch.setattr(train, "score_seg", score_seg)
    return scores


def test_retraining_publishes_what_is_not_worse_and_keeps_the_old(store: Store, quick: dict[str, Any]) -> None:
    for seed in range(3):
        store.accept(given(store, seed).id)
    how = Retraining(base="nuclei-cells")
    quick["contributions-0001"] = 0.7
    first = retrain(store, how)
    assert first is not None
    assert first.state == "published"
    assert len(first.images) == 2
    assert len(quick["trained"][0]["train_files"]) == 2
    assert "Ada; laboratory A; CC-BY-4.0; images: 2" in (store.folder / "models/current_credits.txt").read_text()
    assert retrain(store, how) is None  # nothing new
    store.accept(given(store, 9).id)
    quick["contributions-0002"] = 0.6
    second = retrain(store, how)
    assert second is not None
    assert (second.state, second.report["fallen"]) == ("refused", ["laboratory A"])
    versions = Versions(store)
    assert versions.published() == first
    assert (versions.folder / contributions.CURRENT).samefile(versions.path(first))
    assert retrain(store, how) is None


def test_a_training_that_fails_is_noted_and_does_not_stop_the_next(store: Store, quick: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no contribution in .* is accepted"):
        retrain(store, Retraining(base="nuclei-cells"))
    for seed in range(2):
        store.accept(given(store, seed).id)
    quick["fails"] = "the disc is full"
    with pytest.raises(InputError, match="disc is full"):
        retrain(store, Retraining(base="nuclei-cells"))
    (failed,) = Versions(store).all()
    assert (failed.state, failed.report) == ("failed", {"error": "the disc is full"})
    del quick["fails"]
    assert retrain(store, Retraining(base="nuclei-cells")).number == 2


def test_an_interrupted_training_goes_on_with_the_same_images(store: Store, quick: dict[str, Any]) -> None:
    for seed in range(2):
        store.accept(given(store, seed).id)
    started = Versions(store).begin("nuclei-cells", (store.contributions()[0].id,), 7)
    store.accept(given(store, 5).id)
    done = retrain(store, Retraining(base="generalist"))
    assert done is not None
    assert (done.number, done.images, done.base) == (started.number, started.images, "nuclei-cells")
    assert quick["trained"][0]["n_epochs"] == 7
    assert quick["trained"][0]["resume"] is True
    assert quick["trained"][0]["model_name"] == started.name


def test_two_retrainings_do_not_run_at_once(store: Store, quick: dict[str, Any]) -> None:
    store.accept(given(store).id)
    other = sqlite3.connect(store.folder / "retraining.lock", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="another retraining"):
        retrain(store, Retraining(base="nuclei-cells"))
    other.close()
    with pytest.raises(InputError, match="no source has two accepted contributions"):
        retrain(store, Retraining(base="nuclei-cells"))


@pytest.fixture
def other_images(tmp_path: Path) -> Path:
    """A folder with an image and its masks."""
    image, labels = scene(4)
    folder = tmp_path / "other"
    folder.mkdir()
    io.imsave(folder / "a.tif", image)
    io.imsave(folder / "a_masks.tif", labels)
    return folder


def test_images_that_the_base_model_knows_are_replayed(
    store: Store, quick: dict[str, Any], other_images: Path, tmp_path: Path
) -> None:
    for seed in range(2):
        store.accept(given(store, seed).id)
    for missing in ({"replay": tmp_path / "nowhere"}, {"validation": [tmp_path / "nowhere"]}):
        with pytest.raises(FileMissingError, match="nowhere is not a folder; give a folder of images and masks"):
            retrain(store, Retraining(base="nuclei-cells", **missing))
    assert Versions(store).all() == []  # nothing was begun
    retrain(store, Retraining(base="nuclei-cells"))
    retrain(store, Retraining(base="nuclei-cells", replay=other_images, force=True))
    without, replaying = quick["trained"]
    assert not any(name.startswith("replay") for name in without)
    np.testing.assert_array_equal(replaying["replay_data"][0], scene(4)[0])
    assert replaying["replay_files"] == [str(other_images / "a.tif")]


def test_other_folders_guard_too(store: Store, quick: dict[str, Any], other_images: Path) -> None:
    store.accept(given(store).id)
    quick["contributions-0001"] = 0.4
    version = retrain(store, Retraining(base="nuclei-cells", validation=[other_images]))
    assert version is not None
    assert version.report["fallen"] == [str(other_images)]
    assert version.report["unguarded"] == ["laboratory A"]
