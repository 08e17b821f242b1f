"""One bad thing never ends a batch: names, links, pipes, damaged manifests, streams that fail."""

from __future__ import annotations

import io as streams
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bench import Bench, make_bench
from cellpose import io
from cellpose._machine import streams as _streams
from cellpose.cli import main

U_NET = ("--pretrained_model", "cyto3")
posix = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes, pipes and /dev/full are those of Linux")


@pytest.fixture
def bench(tmp_path):
    with make_bench(tmp_path) as place:
        place.model("cyto3")
        yield place


def _entry(**content: object) -> str:
    return json.dumps({"models": {}, "options": {}, "images": [{"image": "a.tif", "outputs": [], **content}]})


MANIFESTS = {
    "deep": "[" * 100_000,
    "deep within": _entry(shape=[[[0]]]),
    "text": '"a"',
    "number": "1e999",
    "huge number": "1" + "0" * 5000,
    "no entries": "{}",
    "no list": '{"models": {}, "options": {}, "images": {"image": "a"}}',
    "outputs in lists": _entry(outputs=[[]]),
    "a zero byte": _entry(outputs=["a\0b"]),
    "an impossible letter": _entry(outputs=["\ud800"]),
    "earlier runs no list": '{"models": {}, "options": {}, "images": [], "earlier_runs": {}}',
    "an earlier run no dict": '{"models": {}, "options": {}, "images": [], "earlier_runs": [1]}',
    "outputs no list": _entry(outputs=5),
    "image no text": _entry(image=[1]),
    "names too long": _entry(outputs=["x" * 5000]),
    "models no dict": '{"models": 1, "options": {}, "images": []}',
    "a key twice": '{"models": {}, "models": [], "options": {}, "options": 3, "images": []}',
    "no UTF-8": b"\xff\xfe{}",
    "empty": "",
}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--pretrained_model nuclei-cells --bsize 100", "bsize=100 is not allowed; for this network it must be"),
        ("--output_name a/b", "--output_name a/b is not allowed"),
        ("--pretrained_model oneclick", "this network has 1 output and no flows: it cannot segment"),
    ],
)
def test_what_would_fail_with_every_image_is_refused_before_the_first(bench: Bench, words, told, capsys):
    images = bench.images("a.tif", "b.tif")
    assert bench.run(*U_NET, *words.split()) == 2
    assert told in capsys.readouterr().err
    assert not bench.new_files(without=images)


def test_results_that_would_overwrite_another_image_are_refused(bench: Bench, capsys):
    images = bench.images("a.tif", "a_raw.tif")
    before = (bench.folder / "a_raw.tif").read_bytes()
    assert bench.run(*U_NET, "--output_name", "_raw", "--save_tif", "--no_npy") == 2
    assert "results of a.tif would overwrite the image a_raw.tif" in capsys.readouterr().err
    assert (bench.folder / "a_raw.tif").read_bytes() == before
    assert not bench.new_files(without=images)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("a_b.ome.tif", "--save_ome_tif --output_name _b"),  # an image of this run
        ("a_2.tif", "--img_filter a --save_tif --output_name _2"),  # others lie beside the images of this run
        ("a_c1_c2.tif", "--img_filter _c1 --save_png --output_name _c2"),
        ("a_b.zarr", "--save_zarr --output_name _b"),
        ("a_raw.tif", "--large --output_name _raw"),
    ],
)
def test_images_beside_those_of_a_run_are_not_overwritten(bench: Bench, other, words, capsys):
    bench.images("a.tif", "a_c1.tif", *([] if other.endswith(".zarr") else [other]))
    if other.endswith(".zarr"):
        noise = np.random.default_rng(0).integers(0, 200, (8, 8), np.uint8)
        io.write_ome_zarr(bench.folder / other, noise, "YX")
    if "--large" not in words and "_b" not in other:  # as no masks look
        noise = np.random.default_rng(0).integers(0, 200, (64, 64), np.uint8)
        tifffile.imwrite(bench.folder / other, noise)
    before = bench.new_files()
    assert bench.run(*U_NET, *words.split(), "--no_npy") == 2
    assert f"would overwrite the image {other}" in capsys.readouterr().err
    assert bench.new_files() == before


def test_results_of_an_earlier_run_are_written_again_whatever_their_name(bench: Bench):
    words = (*U_NET, "--save_tif", "--save_zarr", "--save_ome_tif", "--no_npy", "--output_name", "_b")
    image = bench.images("a.tif")[0]
    for place in ("--dir", bench.folder), ("--image_path", image), ("--dir", bench.folder):
        assert bench.run(*words, *place) == 0
    # as other programs leave them
    (bench.folder / "cellpose_run.json").unlink()
    assert bench.run(*words, "--image_path", image) == 0


def test_a_run_without_any_result_is_warned_of(bench: Bench, capsys):
    bench.images("a.tif")
    assert bench.run(*U_NET, "--no_npy") == 0
    assert "no result is written: --no_npy leaves out the _seg.npy; add --save_tif" in capsys.readouterr().err


def test_an_image_that_failed_since_is_not_done(bench: Bench):
    """Some of its results may be those of the run that failed."""
    bench.images("a.tif")
    first = (*U_NET, "--save_tif", "--save_flows", "--no_npy")
    assert bench.run(*first) == 0
    (bench.folder / "a_dP_cp_masks.tif").unlink()
    (bench.folder / "a_dP_cp_masks.tif").mkdir()
    assert bench.run(*first, "--cellprob_threshold", "3") == 1
    (bench.folder / "a_dP_cp_masks.tif").rmdir()
    (bench.folder / "a_dP_cp_masks.tif").touch()
    assert bench.run(*first, "--resume") == 0
    assert "error" not in bench.manifest()["images"][0]
    assert (bench.folder / "a_dP_cp_masks.tif").stat().st_size > 0


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize("kind", MANIFESTS)
def test_damaged_manifests(bench: Bench, kind, resume, capsys):
    bench.images("a.tif")
    content = MANIFESTS[kind]
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    (bench.folder / "cellpose_run.json").write_bytes(data)
    assert bench.run(*U_NET, "--save_tif", "--no_npy", *resume) == 0
    assert io.imread(bench.folder / "a_cp_masks.tif").max() == 9
    assert bench.manifest()["images"][0]["cells"] == 9
    assert "cellpose_run.json" in capsys.readouterr().err or kind == "names too long"


@posix
@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_manifest_at_all(bench: Bench, kind):
    bench.images("a.tif")
    place = bench.folder / "cellpose_run.json"
    {"folder": place.mkdir, "pipe": lambda: os.mkfifo(place), "device": lambda: place.symlink_to("/dev/zero")}[kind]()
    assert bench.run(*U_NET, "--save_tif", "--no_npy", "--resume") == 0
    assert (bench.folder / "a_cp_masks.tif").exists()


@posix
def test_names_that_are_no_utf8(bench: Bench, capfd):
    bench.images("a.tif", "b.tif", "c.tif")
    name = os.fsencode(bench.folder) + b"/b\xff\xfe.tif"
    os.rename(bench.folder / "b.tif", name)
    every = ("--save_png", "--save_tif", "--save_flows", "--save_outlines", "--save_txt", "--save_rois", "--save_zarr")
    words = (*U_NET, *every, "--save_ome_tif", "--save_mpl", "--verbose")
    assert bench.run(*words) == 0
    out = capfd.readouterr()
    assert "Logging error" not in out.err
    assert "Traceback" not in out.err
    masks = {bytes(file) for file in os.listdir(os.fsencode(bench.folder)) if file.endswith(b"_cp_masks.tif")}
    assert b"b\xff\xfe_cp_masks.tif" in masks
    assert (bench.home / ".cellpose" / "run.log").read_bytes().count(b"\\udcff\\udcfe.tif: 9 cells") == 1
    seg = io.read_seg(os.fsdecode(os.fsencode(bench.folder) + b"/b\xff\xfe_seg.npy"))
    assert os.fsencode(seg.filename) == name
    assert bench.run(*words, "--resume") == 0
    assert "resuming: 3 of 3" in bench.log()


@posix
def test_what_is_no_file_is_left_out_and_named(bench: Bench, capsys):
    bench.images("a.tif")
    (bench.folder / "loop.tif").symlink_to("loop.tif")
    (bench.folder / "one.tif").symlink_to("two.tif")
    (bench.folder / "two.tif").symlink_to("one.tif")
    (bench.folder / "dangling.png").symlink_to("nowhere.png")
    (bench.folder / "folder.tif").mkdir()
    (bench.folder / "device.tif").symlink_to("/dev/zero")
    os.mkfifo(bench.folder / "pipe.tif")
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 0
    told = capsys.readouterr().err
    for name in ("loop.tif", "one.tif", "two.tif", "dangling.png", "pipe.tif", "device.tif"):
        assert f"{name} is left out" in told
    assert [entry["image"] for entry in bench.manifest()["images"]] == ["a.tif"]


@posix
def test_links_to_folders_give_each_image_once(bench: Bench):
    below = bench.folder / "below"
    below.mkdir()
    bench.images("a.tif", "below/b.tif")
    (bench.folder / "up").symlink_to("..")
    (bench.folder / "self").symlink_to(".")
    (bench.folder / "again").symlink_to("below")
    (bench.folder / "loop").symlink_to("loop")
    found = io.get_image_files(bench.folder, look_one_level_down=True)
    assert [Path(file).relative_to(bench.folder).as_posix() for file in found] == ["a.tif", "below/b.tif"]


def test_a_sub_folder_that_may_not_be_read(bench: Bench, monkeypatch, caplog):
    (bench.folder / "closed").mkdir()
    bench.images("a.tif", "closed/b.tif")
    scan = os.scandir

    # permissions do not bind root, who runs tests in containers
    def refuse(folder):
        if os.fspath(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(logging.getLogger("cellpose"), "propagate", True)
    assert len(io.get_image_files(bench.folder, look_one_level_down=True)) == 1
    assert "closed is left out: " in caplog.text


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_image_that_vanishes(bench: Bench, monkeypatch, when):
    from cellpose.cli import _segment

    images = bench.images("a.tif", "b.tif", "c.tif")
    whole = _segment._segment_whole

    def vanish(file, *rest):
        if when == "before" and file.name == "b.tif":
            images[1].unlink()
        done = whole(file, *rest)
        if when == "after" and file.name == "b.tif":
            images[1].unlink()
        return done

    monkeypatch.setattr(_segment, "_segment_whole", vanish)
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == (1 if when == "before" else 0)
    assert {"a_cp_masks.tif", "c_cp_masks.tif"} < set(bench.new_files())
    assert len(bench.manifest()["images"]) == 3


@pytest.mark.parametrize("option", ["--dir", "--image_path", "--savedir", "--test_dir"])
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_names_that_no_file_can_have(bench: Bench, option, name, capsys):
    words = [] if option in ("--dir", "--image_path") else ["--dir", str(bench.folder)]
    assert main([*words, option, name, *(["--train"] if option == "--test_dir" else [])]) == 2
    assert name[:9] in capsys.readouterr().err


@posix
@pytest.mark.parametrize("words", ["--version", "models list", "--help"])
def test_a_result_that_cannot_be_printed_is_an_error(words):
    command = f"{sys.executable} -m cellpose {words} > /dev/full"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == "cellpose: output cannot be printed: No space left on device\n"


@posix
@pytest.mark.parametrize("stream", ["full", "pipe"])
def test_a_batch_goes_on_where_nothing_can_be_printed(bench: Bench, monkeypatch, stream):
    bench.images("a.tif", "b.tif")
    if stream == "full":
        end = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, end = os.pipe()
        os.close(reader)
    with os.fdopen(end, "w", buffering=1, encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "argv", ["cellpose", "--dir", str(bench.folder), *U_NET, "--save_tif", "--verbose"])
        assert main() == 0
        assert _streams.is_output_lost()
    assert {"a_cp_masks.tif", "b_cp_masks.tif"} < set(bench.new_files())


def test_letters_that_a_stream_does_not_know(monkeypatch):
    data = streams.BytesIO()
    monkeypatch.setattr(sys, "stdout", streams.TextIOWrapper(data, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    _streams.guard_streams()
    print("细 \udcff", flush=True)
    assert data.getvalue().splitlines() == [rb"\u7ec6 \udcff"]
    assert not _streams.is_output_lost()


@posix
@pytest.mark.parametrize("read", [io.imread, io.read_seg, io.open_plane, io.load_npy])
def test_reading_a_pipe_does_not_wait_for_ever(tmp_path, read):
    for name in ("a.tif", "a.npy", "a.dax", "a.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match="pipe, socket or device"):
            read(tmp_path / name)


def test_many_things_at_once(bench: Bench, capsys):
    """Whatever is wrong with a file is told with its name, and the sound ones are done."""
    bench.images("a.tif", "z.tif")
    (bench.folder / "empty.tif").touch()
    (bench.folder / "text.png").write_text("no picture")
    np.save(bench.folder / "other.npy", np.zeros(3))
    (bench.folder / "cut.tif").write_bytes((bench.folder / "a.tif").read_bytes()[:200])
    assert bench.run(*U_NET, "--save_tif", "--no_npy") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.count("3 of 5 images failed") == 1
    for name in ("empty.tif", "text.png", "cut.tif"):
        assert name in last
    assert {"a_cp_masks.tif", "z_cp_masks.tif"} < set(bench.new_files())


def test_a_broken_stack_does_not_end_the_slices(bench: Bench, capsys):
    io.imsave(bench.folder / "a.tif", np.zeros((5, 40, 42), np.uint8))
    io.imsave(bench.folder / "z.tif", np.zeros((5, 40, 42), np.uint8))
    (bench.folder / "b.tif").write_bytes(b"II*\0 cut")
    assert main(["slices", "--dir", str(bench.folder), "--nimg_per_tif", "1"]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"1 of 3 stacks failed: {bench.folder / 'b.tif'}"
    assert {file.name[0] for file in (bench.folder / "train").glob("*.tif")} == {"a", "z"}


@posix
def test_a_model_whose_name_is_no_utf8(bench: Bench):
    from cellpose import weights

    file = bench.root / os.fsdecode(b"mine\xff")
    os.rename(bench.model("own"), file)
    assert main(["models", "add", str(file)]) == 0
    assert file.name in weights.user_models()
    assert main(["models", "list"]) == 0
    bench.images("a.tif")
    assert bench.run("--pretrained_model", file.name, "--save_tif", "--no_npy") == 0
