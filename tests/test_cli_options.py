"""The options: all of both generations parse, retired ones warn, help and version answer at once."""

from __future__ import annotations

import logging
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cellpose.__main__ import main as with_window
from cellpose.cli import get_arg_parser, main
from cellpose.cli._retired import RETIRED, split_retired
from cellpose.cli._table import FLAGS
from cellpose.errors import InputError
from cellpose.options import Masking, describe

# What programs and manuals type: (option, value) with the value None for switches.
SWITCHES = [
    "version", "verbose", "Zstack", "use_gpu", "look_one_level_down", "invert", "all_channels", "chan2_restore",
    "no_resample", "no_interp", "no_norm", "do_3D", "exclude_on_edges", "augment", "save_png", "save_tif", "no_npy",
    "dir_above", "in_folders", "save_flows", "save_outlines", "save_rois", "save_txt", "save_mpl", "train",
    "train_size", "save_each", "check_mkl", "transformer", "net_avg", "no_net_avg", "omni", "mxnet", "fast_mode",
    "testing", "save_ncolor", "mkldnn", "cluster", "unet",
    "deterministic", "mixed_precision", "keep_best", "tensorboard", "freeze_encoder", "stream", "no_records",
    "no_report",
    "large", "estimate_memory", "save_zarr", "save_ome_tif", "isotropic_steps", "exact_rois", "one_piece",
]  # fmt: skip
VALUES = {
    **dict.fromkeys(("chan", "chan2", "channel_axis", "z_axis", "min_size", "niter", "batch_size", "bsize"), "1"),
    **dict.fromkeys(("diameter", "stitch_threshold", "flow_threshold", "anisotropy", "diam_mean"), "2.5"),
    **dict.fromkeys(("learning_rate", "weight_decay", "flow3D_smooth", "cellprob_threshold"), "0.5"),
    **dict.fromkeys(("n_epochs", "train_batch_size", "nimg_per_epoch", "nimg_test_per_epoch", "min_train_masks"), "3"),
    **dict.fromkeys(("SGD", "save_every", "nclasses", "residual_on", "style_on", "concatenation"), "1"),
    **dict.fromkeys(
        ("engine", "precision", "gpu_device", "dir", "image_path", "img_filter", "pretrained_model", "restore_type"),
        "x",
    ),
    **dict.fromkeys(("add_model", "pretrained_model_ortho", "output_name", "savedir", "test_dir", "file_list"), "x"),
    **dict.fromkeys(("mask_filter", "model_name_out", "model_type", "restore_precision"), "x"),
    **dict.fromkeys(("mask_threshold", "diam_threshold"), "1"),
    **dict.fromkeys(("seed", "accumulate", "validate_every", "patience", "checkpoint_every", "adapter_rank"), "2"),
    "diameter_um": "4.5",
    **dict.fromkeys(
        ("background_radius", "sharpen_radius", "smooth_radius", "tile_norm_blocksize", "tile_norm_smooth3D"), "2.5"
    ),
    "flatfield": "x",
    "contributions": "x",
    **dict.fromkeys(("axes", "zarr_labels"), "x"),
    "z_interpolation": "cubic",
    **dict.fromkeys(("replay_fraction", "average_weights", "cache_gb", "workers", "replay_dir"), "1"),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_switch_parses(name):
    words, retired = split_retired([f"--{name}"])
    args = get_arg_parser().parse_args(words)
    assert retired or getattr(args, name) is True


@pytest.mark.parametrize(("name", "value"), VALUES.items())
def test_option_with_value_parses(name, value):
    words, retired = split_retired([f"--{name}", value, "--verbose"])
    args = get_arg_parser().parse_args(words)
    assert args.verbose  # the value was taken by the option before it
    assert retired or getattr(args, name) not in (None, False)


def test_every_option_is_tested():
    assert {flag.name for flag in FLAGS} - {*SWITCHES, *VALUES} == {"norm_percentile", "resume", "view_weights"}
    assert {flag.removeprefix("--") for flag in RETIRED} <= {*SWITCHES, *VALUES}


def test_defaults_of_both_generations():
    args = get_arg_parser().parse_args([])
    expected = {
        "chan": 0, "chan2": 0, "gpu_device": "0", "stitch_threshold": 0.0, "min_size": 15, "flow3D_smooth": 0.0,
        "flow_threshold": 0.4, "cellprob_threshold": 0.0, "niter": 0, "anisotropy": 1.0, "mask_filter": "_masks",
        "diam_mean": 30.0, "min_train_masks": 5, "save_every": 100, "diameter": None, "pretrained_model": None,
    }  # fmt: skip
    assert {name: getattr(args, name) for name in expected} == expected


def test_default_and_help_come_from_the_options():
    row = next(flag for flag in FLAGS if flag.name == "flow_threshold")
    assert (row.default, row.help) == (
        describe(Masking)["flow_threshold"]["default"],
        describe(Masking)["flow_threshold"]["help"],
    )


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--anis", "2"], "anisotropy", 2.0),
        (["--cellprob_threshold", "-6"], "cellprob_threshold", -6.0),
        (["--norm_percentile", "3", "97"], "norm_percentile", [3.0, 97.0]),
        (["--flow3D_smooth", "1", "2", "2"], "flow3D_smooth", [1.0, 2.0, 2.0]),
        (["--view_weights", "2", "1", "0.5"], "view_weights", [2.0, 1.0, 0.5]),
        (["--min_size", "-1"], "min_size", -1),
        (["--output_name", ""], "output_name", ""),
        (["--diam", "3", "--diameter", "4"], None, None),
        (["--model", "name"], "model_name_out", "name"),  # retired options make no abbreviation ambiguous
        (["--test", "folder"], "test_dir", "folder"),
    ],
)
def test_words_as_clients_write_them(words, name, value):
    if name is None:  # ambiguous: diameter, diam_mean
        with pytest.raises(SystemExit):
            get_arg_parser().parse_args(words)
        return
    assert getattr(get_arg_parser().parse_args(split_retired(words)[0]), name) == value


def test_retired_options_hand_their_value_on():
    words, retired = split_retired(["--model_type", "cyto3", "--net_avg", "--net_avg", "--mask_threshold=-1"])
    args = get_arg_parser().parse_args(words)
    assert (args.pretrained_model, args.cellprob_threshold) == ("cyto3", -1.0)
    assert [row.flag for row in retired] == ["--model_type", "--net_avg", "--mask_threshold"]


def test_version_block(capsys):
    assert main(["--version", "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ""
    starts = ("cellpose version: \t", "platform:       \t", "python version: \t", "torch version:  \t")
    assert [line.startswith(start) for line, start in zip(lines[1:], starts, strict=True)] == [True] * 4


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(word):
    code = (
        "import sys, cellpose.__main__ as m; code = m.main([sys.argv[1]]); "
        "print([n for n in ('torch', 'numba', 'cv2', 'scipy', 'matplotlib') if n in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no_such_option"], "unrecognized arguments: --no_such_option"),
        (["--dir", ".", "--saveflows"], "Did you mean --save_flows?"),
        (["model", "list"], "Did you mean models?"),
        ([tempfile.gettempdir()], f"Did you mean --dir {tempfile.gettempdir()}?"),
        (["--train"], "--train needs --dir"),
        (["--image_path", tempfile.gettempdir()], "is a folder; for all images in it use --dir"),
        (["--dir", "nowhere-at-all"], "nowhere-at-all is not a folder"),
        (["--image_path", "nowhere.png"], "ERROR: no file found at nowhere.png"),
        (["--dir", ".", "--savedir", "nowhere"], "--savedir nowhere does not exist"),
        (["--dir", ""], "--dir is empty"),
        (["--image_path", ""], "--image_path is empty"),
        (["--dir", ".", "--savedir", ""], "--savedir is empty"),
        (["--dir", ".", "--chan", "7"], "--chan 7 is not allowed"),
        (["--dir", ".", "--batch_size", "0"], "batch_size=0 is not allowed"),
        (["--dir", ".", "--norm_percentile", "90", "10"], "percentile=(90.0, 10.0) is not allowed"),
        (["--dir", ".", "--do_3D", "--save_png"], "cannot save 3D outputs as PNG, use tif option instead"),
        (["--dir", ".", "--z_interpolation", "best"], "z_interpolation='best' is not allowed; choose one of 'linear'"),
        (["--dir", ".", "--flow3D_smooth", "1", "2"], "flow3D_smooth=[1.0, 2.0] is not allowed; give one sigma"),
        (["--train", "--image_path", "x.png"], "--train needs --dir"),
        (["--train", "--dir", ".", "--test_dir", "nowhere"], "--test_dir nowhere is not a folder"),
        (["--train", "--dir", ".", "--restore_type", "denoise_cyto3"], "is for segmentation, not for training"),
        (["models", "frobnicate"], "invalid choice: 'frobnicate'"),
        (["models", "info", "no-such-model"], "'no-such-model' is neither a file nor the name of a model"),
    ],
)
def test_wrong_command_lines_end_with_2_and_a_reason(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_errors_take_one_line_and_point_to_the_help(capsys):
    assert main(["--flow_threshold", "high"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--flow_threshold" in error
    assert "'high'" in error
    assert "`cellpose --help`" in error


def test_a_folder_without_images_ends_with_2(tmp_path, capsys):
    assert main(["--dir", str(tmp_path)]) == 2
    assert "ERROR: no files in --dir folder" in capsys.readouterr().err
    (tmp_path / "slide.ome.zarr").mkdir()
    (tmp_path / "slide.ome.zarr" / ".zgroup").write_text("{}")
    assert main(["--dir", str(tmp_path)]) == 2
    assert "--image_path slide.ome.zarr" in capsys.readouterr().err


def test_unknown_model_is_an_error_that_names_it(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"x")
    assert main(["--dir", str(tmp_path), "--pretrained_model", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason", "example"),
    [([], "There is no screen", "--dir my_images --save_tif"), (["--Zstack"], "There is no screen", "--do_3D")],
)
def test_without_the_window_a_message_that_says_what_works_and_1(capsys, monkeypatch, words, reason, example):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert with_window(words) == 1
    message = capsys.readouterr().err
    assert reason in message
    assert example in message


def test_missing_libraries_of_the_system_are_named(capsys, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("cellpose._machine.screen._is_there", lambda library: "keysyms" not in library)
    assert with_window([]) == 1
    assert "apt install libxcb-keysyms1)" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of X11")
def test_a_display_that_does_not_answer_is_named(capsys, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("cellpose._machine.screen._is_there", lambda library: True)
    assert with_window([]) == 1
    assert "no display answers at DISPLAY=:4711" in capsys.readouterr().err


def test_the_window_of_python_raises_where_there_is_no_screen(monkeypatch):
    from cellpose.gui import gui

    monkeypatch.setenv("QT_API", "pyside6")
    widgets = pytest.importorskip("qtpy.QtWidgets")
    monkeypatch.setattr(widgets.QApplication, "instance", lambda: None)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="There is no screen"):
        gui.run()


def test_the_example_of_the_window_ends_with_the_message_where_there_is_no_screen(monkeypatch):
    monkeypatch.setattr("cellpose.gui.gui.run", lambda _: (_ for _ in ()).throw(InputError("There is no screen")))
    with pytest.raises(SystemExit, match="There is no screen"):
        runpy.run_path(str(Path(__file__).resolve().parents[1] / "examples" / "window.py"), run_name="__main__")


def test_without_its_libraries_the_window_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    assert with_window([]) == 1
    message = capsys.readouterr().err
    assert "pip install 'cellpose[gui]'" in message
    assert "--dir my_images" in message


def test_every_option_is_known_to_have_an_effect_somewhere():
    from cellpose.cli._unused import _BESIDE, _GROUPS, _INSTEAD, _OTHERS

    names = {flag.name for flag in FLAGS}
    assert {flag.group for flag in FLAGS} == set(_GROUPS)
    assert {*_OTHERS, *_BESIDE, *_INSTEAD, *sum([*_BESIDE.values(), *_INSTEAD.values()], ())} <= names


@pytest.mark.parametrize(
    ("words", "training", "told"),
    [
        ("--dir d --flow_threshold 0 --save_tif", True, "--flow_threshold, --save_tif have no effect in training"),
        ("--dir d --n_epochs 3 --mask_filter _m --no_norm", False, "option --n_epochs has no effect without --train"),
        ("--dir d --anisotropy 2", False, "--anisotropy has no effect without --do_3D"),
        ("--dir d --file_list f --test_dir t", True, "--test_dir has no effect beside --file_list"),
        ("--dir d --image_path a.tif", False, "--image_path has no effect beside --dir"),
        ("--dir d --add_model m", False, "--add_model has no effect beside images"),
        ("--dir d --do_3D --anisotropy 2 --flow_threshold 0.4 --resume --test_dir t", False, "--test_dir has"),
        ("--dir d --resume --no_norm --batch_size 2 --chan 2 --test_dir t --patience 3 --stream --workers 2", True, ""),
    ],
)  # fmt: skip
def test_options_without_effect_are_named(words, training, told, caplog, monkeypatch):
    from cellpose.cli._unused import warn_of_unused

    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)
    warn_of_unused(get_arg_parser().parse_args(words.split()), training=training)
    assert [told in line for line in caplog.messages] == ([True] if told else [])
