"""What a run shows: bars and lines for persons on a terminal, and to programs what it always did."""

from __future__ import annotations

import signal

import pytest
import tifffile
import torch

from bench import Bench, make_bench
from cellpose import nets
from test_train_data import discs

terminal = pytest.importorskip("terminal", reason="needs terminals of POSIX")

NOTICE = "!LOGGING OFF BY DEFAULT"
WORDS = ["-m", "cellpose", "--pretrained_model", "cyto3", "--diameter", "30", "--save_tif"]


def told(lines: list[str]) -> list[str]:
    """The lines of a run; its cells of 14 pixels are doubted where 30 are asked for, and its loops may be compiled."""
    return [line for line in lines if "compiling" not in line and "the cells found are 14 pixels across" not in line]


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


def test_a_run_on_a_terminal(bench: Bench):
    bench.images("a.png", "b.png", "c.png")
    code, written = terminal.on_terminal([*WORDS, "--dir", str(bench.folder)], columns=250)
    screen = told(terminal.screen_of(written))
    assert code == 0
    assert "images 0/3" in written
    assert NOTICE not in written
    assert screen == [
        f"model cyto3 ({bench.models / 'cyto3'}) on cpu, 3 images",
        f"27 cells in 3 images; results in {bench.folder}: *_cp_masks.tif, *_seg.npy; cellpose_run.json",
    ]


def test_a_failed_image_in_the_middle(bench: Bench):
    bench.images("a.png", "c.png")
    (bench.folder / "b.png").write_bytes(b"no image")
    code, written = terminal.on_terminal([*WORDS, "--no_npy", "--dir", str(bench.folder)], columns=250)
    screen = terminal.screen_of(written)
    assert code == 1
    assert any(line.startswith(f"ERROR: {bench.folder / 'b.png'} failed:") for line in screen)
    assert screen[-2].startswith("18 cells in 2 images, 1 failed; results in")
    assert screen[-1].startswith("ERROR: 1 of 3 images failed")


SLOWLY = """
import sys, time
from cellpose.__main__ import main
from cellpose.cli import _segment
whole = _segment._segment_whole
def slowly(*words):
    time.sleep(0.5)
    return whole(*words)
_segment._segment_whole = slowly
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_leaves_a_clean_terminal(bench: Bench):
    bench.images(*(f"{n}.png" for n in range(100)))
    stop = ("images 1/100", lambda process: process.send_signal(signal.SIGINT))
    words = ["-c", SLOWLY, *WORDS[2:], "--dir", str(bench.folder)]
    code, written = terminal.on_terminal(words, columns=250, when=stop, CELLPOSE_IMAGES_AT_ONCE="1")
    screen = told(terminal.screen_of(written))
    assert code == 130
    assert len(screen) == 2
    assert screen[-1].startswith("interrupted; the results of ")


def test_stdout_of_pipes_is_as_it_was(bench: Bench, capsys):
    bench.images("a.png")
    words = ["--pretrained_model", "cyto3", "--diameter", "30", "--save_tif", "--no_npy"]
    assert bench.run(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f">>>> {NOTICE}")
    assert out.count("\n") == 2
    assert told(err.splitlines()) == [
        f"9 cells in 1 image; results in {bench.folder}: a_cp_masks.tif; cellpose_run.json"
    ]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--savedir", "results", "--no_npy", "--save_png"], "results: *_cp_masks.png; cellpose_run.json"),
        (["--in_folders", "--no_npy", "--save_tif", "--save_txt"], "2 folders in {folder}: *_cp_masks.tif, "),
        (["--output_name", "x", "--no_npy", "--save_tif"], "{folder}: *x.tif; cellpose_run.json"),
    ],
)
def test_the_last_line_names_folders_and_files(bench: Bench, capsys, words, names):
    bench.images("a.png", "b.png")
    words = [str(bench.folder / word) if word == "results" else word for word in words]
    (bench.folder / "results").mkdir()
    assert bench.run("--pretrained_model", "cyto3", "--diameter", "30", *words) == 0
    assert names.format(folder=bench.folder) in capsys.readouterr().err


def test_resumed_and_failed_runs_say_so(bench: Bench, capsys):
    bench.images("a.png")
    words = ["--pretrained_model", "cyto3", "--diameter", "30", "--save_tif", "--no_npy", "--resume"]
    assert bench.run(*words) == 0
    bench.images("b.png")
    assert bench.run(*words) == 0
    assert "9 cells in 1 image, 1 done before; results in" in capsys.readouterr().err
    (bench.folder / "a.png").write_bytes(b"no image")
    (bench.folder / "b.png").unlink()
    assert bench.run(*words) == 1
    assert "no image was segmented, 1 failed; " in capsys.readouterr().err


def test_training_on_a_terminal(bench: Bench):
    torch.manual_seed(0)
    nets.CPnet([2, 4, 8]).save_model(bench.models / "starter")
    for seed in (0, 1):
        image, labels = discs(9, seed=seed)
        tifffile.imwrite(bench.folder / f"im{seed}.tif", image)
        tifffile.imwrite(bench.folder / f"im{seed}_masks.tif", labels)
    words = "-m cellpose --train --pretrained_model starter --n_epochs 4 --batch_size 2 --model_name_out mine".split()  # noqa: SIM905
    code, written = terminal.on_terminal([*words, "--dir", str(bench.folder)], columns=250)
    screen = told(terminal.screen_of(written))
    assert code == 0
    assert screen[0] == "training begins with starter on cpu"
    assert any(line.startswith("epochs 4/4, loss ") for line in screen) or "epochs" not in written
    assert any(line.startswith("loss ") and " in 4 epochs" in line for line in screen)
    assert ">>>> use it with --pretrained_model mine" in screen
    assert f"model saved to {bench.folder / 'models' / 'mine'}" in screen
