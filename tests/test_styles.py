"""Maps of images by their styles."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellpose import styles
from cellpose.cli import main
from cellpose.errors import InputError, OptionError


def groups(sizes: tuple[int, ...] = (8, 8, 8), noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Styles of some groups of images that are alike, and the group of each."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(32)[group] + noise * rng.random((group.size, 32)), group


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_images_that_are_alike_are_neighbours(method):
    if method == "tsne":
        pytest.importorskip("sklearn", reason="needs scikit-learn")
    vectors, group = groups()
    found = styles.style_map(vectors, method)
    assert (found.method, found.positions.shape) == (method, (24, 2))
    assert np.abs(found.positions).max() == pytest.approx(1)
    apart = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).all()
    again = styles.style_map(3 * vectors, method)  # directions count, not lengths
    np.testing.assert_allclose(again.positions, found.positions, atol=1e-3)


def test_what_is_unlike_the_rest_is_named():
    vectors, _ = groups((9, 9, 1))
    found = styles.style_map(vectors, "pca")
    assert found.unusual.tolist() == [18]
    assert styles.style_map(groups((9, 9))[0], "pca").unusual.tolist() == []
    assert styles.unlikeness(vectors[:2]).tolist() == [0, 0]
    assert styles.style_map(np.ones((4, 5)), "pca").unusual.size == 0  # all the same


def test_what_to_annotate_is_spread_and_doubted():
    vectors, group = groups((6, 6, 6))
    assert sorted(group[styles.to_annotate(vectors, 3)].tolist()) == [0, 1, 2]
    doubt = np.zeros(18)
    doubt[[4, 7, 17]] = 0.9
    doubt[0] = np.nan
    assert sorted(styles.to_annotate(vectors, 3, doubt).tolist()) == [4, 7, 17]
    assert sorted(styles.to_annotate(vectors, 99).tolist()) == list(range(18))
    assert styles.to_annotate(vectors[:1], 2).tolist() == [0]


def test_wrong_values():
    vectors, _ = groups()
    with pytest.raises(OptionError, match="method='umap'"):
        styles.style_map(vectors, "umap")
    with pytest.raises(OptionError, match="count=0"):
        styles.to_annotate(vectors, 0)
    with pytest.raises(InputError, match="one number per image"):
        styles.to_annotate(vectors, 3, [0.5])
    with pytest.raises(InputError, match="not style vectors"):
        styles.style_map([[np.nan, 1.0]])
    with pytest.raises(InputError, match="all styles are zero"):
        styles.style_map(np.zeros((3, 8)))


def test_command(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    rng = np.random.default_rng(0)
    for k in range(4):
        image = np.zeros((96, 96), np.uint8)
        for y, x in rng.integers(12, 84, (6, 2)).tolist():
            cv2.circle(image, (x, y), 8, 200, -1)
        cv2.imwrite(str(tmp_path / f"round{k}.png"), cv2.GaussianBlur(image, (0, 0), 1.5))
    cv2.imwrite(str(tmp_path / "noise<b>.png"), rng.integers(0, 255, (96, 96), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    words = [
        "styles",
        "--dir",
        str(tmp_path),
        "--pretrained_model",
        "nuclei-cells",
        "--annotate",
        "2",
        "--diameter",
        "16",
    ]
    assert main(words) == 1  # one image is broken
    said = capsys.readouterr().err
    assert "5 images mapped with nuclei-cells" in said
    assert "to annotate first:" in said
    assert "broken.png failed" in said
    with (tmp_path / "styles/style_map.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["noise<b>.png", *(f"round{k}.png" for k in range(4))]
    assert sorted(row["annotate"] for row in rows) == ["", "", "", "1", "2"]
    page = (tmp_path / "styles/style_map.html").read_text()
    assert page.count("<div class=card>") == 5
    assert "noise&lt;b&gt;.png" in page
    assert "<b>.png" not in page
    assert "broken.png" in page
    picture = cv2.imread(str(tmp_path / "styles/style_map_cp_output.png"))
    assert min(picture.shape[:2]) > 500
    assert main([*words, "--annotate", "0"]) == 2


def test_transformers_have_no_map(tmp_path, capsys, monkeypatch):
    from cellpose import models

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    whole = models.segment_image
    monkeypatch.setattr(models, "segment_image", lambda *a, **k: (*whole(*a, **k)[:2], np.zeros(256)))
    assert main(["styles", "--dir", str(tmp_path), "--pretrained_model", "nuclei-cells"]) == 1
    assert "has no styles (no transformer has)" in capsys.readouterr().err
    assert not Path(tmp_path / "styles").exists()


@pytest.mark.parametrize(("words", "pair"), [([], [0, 0]), (["--chan", "2", "--chan2", "3"], [2, 3])])
def test_colors_are_looked_at_as_for_segmenting(tmp_path, monkeypatch, words, pair):
    from cellpose import models

    given = []

    def segmented(model, image, **options):
        given.append(options["channels"])
        return np.zeros((64, 80), int), [None, np.zeros((2, 64, 80)), np.zeros((64, 80))], np.ones(32)

    monkeypatch.setattr(models, "segment_image", segmented)
    cv2.imwrite(str(tmp_path / "stained.png"), np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8))
    assert main(["styles", "--dir", str(tmp_path), *words]) == 0
    assert given == [pair]


def test_a_folder_that_takes_no_results_is_told_before_any_work(tmp_path, monkeypatch, capsys):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    monkeypatch.setattr("cellpose.cli._images.tempfile.TemporaryFile", refuse)
    for command, folder in (("styles", "styles"), ("measure", "measurements")):
        assert main([command, "--dir", str(tmp_path)]) == 2
        assert f"results cannot be written to {tmp_path / folder}: Permission denied" in capsys.readouterr().err
    for words in (["track", str(tmp_path / "typo.tif")], ["measure", "--image_path", str(tmp_path / "typo" / "a.tif")]):
        assert main(words) != 0
        assert "cannot be written" not in capsys.readouterr().err
    movie = np.zeros((2, 64, 64), np.uint16)
    movie[:, 5:15, 5:15] = 1
    np.save(tmp_path / "movie.npy", movie)
    assert main(["track", str(tmp_path / "movie.npy")]) == 2
    assert f"results cannot be written to {tmp_path}: Permission denied" in capsys.readouterr().err
