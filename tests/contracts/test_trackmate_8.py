"""TrackMate 8: as TrackMate 7, with --verbose and a menu of model files."""

from __future__ import annotations

import pytest

from bench import Bench
from cellpose import io

# the menu of TrackMate: names of files, which must be understood as names of models
MODELS = [
    "cyto3", "nucleitorch_0", "cyto2torch_0", "cytotorch_0", "tissuenet_cp3", "livecell_cp3", "yeast_PhC_cp3",
    "yeast_BF_cp3", "bact_phase_cp3", "bact_fluor_cp3", "deepbacs_cp3", "cpsam",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_the_menu(bench: Bench, model):
    file = bench.model(model)
    bench.images("1.tif")
    words = ["--chan", "0", "--chan2", "0", "--use_gpu", "--diameter", "30", "--pretrained_model", model]
    assert bench.run(*words, "--save_png", "--no_npy", "--verbose") == 0
    assert io.imread(bench.folder / "1_cp_masks.png").shape == (64, 72)
    assert bench.manifest()["models"]["model"]["path"] == str(file)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_is_not_here_would_be_downloaded(bench: Bench, model, monkeypatch, capsys):
    from cellpose import weights
    from cellpose.errors import DownloadError

    (bench.models / "cyto3").unlink()
    asked = []

    def refuse(file, *_, **__):
        asked.append(file)
        message = "no network here"
        raise DownloadError(message)

    monkeypatch.setattr("cellpose.weights._resolve.fetch", refuse)
    bench.images("1.tif")
    assert bench.run("--pretrained_model", model, "--save_png", "--no_npy", "--verbose") == 1
    assert asked == [weights.lookup(model)[1]]
    assert "no network here" in capsys.readouterr().err


def test_custom_model_by_path(bench: Bench):
    custom = bench.model("../own models/mine")
    bench.images("1.tif")
    words = ["--chan", "0", "--diameter", "30", "--pretrained_model", custom, "--save_tif", "--no_npy", "--verbose"]
    assert bench.run(*words) == 0
    assert io.imread(bench.folder / "1_cp_masks.tif").max() == 9
