"""``cellpose distribute`` as a user types it, and what it does before blocks are run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

pytest.importorskip("distributed", reason="needs Dask: pip install 'cellpose[distributed]'")
zarr = pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")

from cellpose import cli, io  # noqa: E402
from cellpose.__main__ import main  # noqa: E402
from cellpose.contrib import distributed_segmentation as ds  # noqa: E402
from cellpose.contrib.distributed_segmentation import _process  # noqa: E402
from cellpose.contrib.distributed_segmentation._distribute import plan  # noqa: E402
from cellpose.errors import FileWriteError, OptionError  # noqa: E402
from cellpose.io._zarr import create_array  # noqa: E402
from small_model import discs, toy_model  # noqa: E402

# What Dask and its servers say when they are closed in the middle of something is not ours.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]

MODEL = ("--pretrained_model", "nuclei-cells")
SCALE = ("--lowhigh", "0", "200", "--bsize", "704")


@pytest.fixture(scope="module")
def address():
    from distributed import Client

    with ds.myLocalCluster(1, n_workers=2, processes=False, dashboard_address=None) as cluster, Client(cluster):
        yield cluster.scheduler_address


@pytest.fixture
def model(tmp_path, monkeypatch):
    made = toy_model(tmp_path)
    monkeypatch.setattr(_process, "_model", lambda kwargs: made)
    return made


def run(*words):
    return main(["distribute", *map(str, words)])


def check_same_cells(ours, theirs):
    assert ours.max() == theirs.max() > 10
    pairs = np.unique(np.stack((theirs.ravel(), ours.ravel())), axis=1)
    assert pairs.shape[1] >= ours.max()
    np.testing.assert_array_equal(ours > 0, theirs > 0)


def test_a_tiff_on_an_existing_scheduler(address, model, tmp_path, capsys):
    image = discs(150, 170)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YX"})
    out = tmp_path / "labels.zarr"
    words = (tmp_path / "a.tif", out, *MODEL, *SCALE, "--diameter", 15, "--block", 60, "--cluster", address)
    assert run(*words) == 0
    labels = io.read_image(out)
    whole = model.eval(image, normalize={"lowhigh": (0, 200)}, diameter=15, bsize=704)[0]
    check_same_cells(labels.data, whole)
    assert (labels.axes, labels.pixel_size_um, labels.data.dtype) == ("YX", (None, 0.25, 0.25), np.uint32)
    printed = capsys.readouterr()
    assert "150 x 170 pixels, axes YX: 9 blocks of 60 x 60; each sees 30 pixels around it" in printed.out
    assert f"{whole.max()} cells, written to {out}" in printed.out
    for step in ("segmented", "compared", "written"):
        assert f"blocks {step}: 100%" in printed.err
    # nothing is left behind, and nothing is overwritten
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "labels.zarr", "small"]
    assert run(*words) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_run_that_was_stopped_goes_on(address, model, tmp_path, capsys, monkeypatch):
    io.write_ome_zarr(tmp_path / "a.zarr", discs(150, 170), "YX")
    segmented, real = [], _process._eval

    def once(source, crop, *rest):
        segmented.append(crop)
        if len(segmented) == 5:
            raise KeyboardInterrupt  # Ctrl-C
        return real(source, crop, *rest)

    monkeypatch.setattr(_process, "_eval", once)
    words = (tmp_path / "a.zarr", tmp_path / "b.zarr", *MODEL, *SCALE, "--block", 60)
    # where blocks are run does not matter to a run
    monkeypatch.setattr(ds._run, "_map", lambda client, f, calls, together=1: (f(*call) for call in calls))
    assert run(*words, "--cluster", address) == 130
    assert not (tmp_path / "b.zarr").exists()
    assert run(*words, "--cluster", address, "--dry_run") == 0
    assert "9 blocks of 60 x 60, 4 of them done" in capsys.readouterr().out
    assert run(*words, "--cluster", address) == 0
    assert len(segmented) == 5 + 9 - 4
    first = io.imread(tmp_path / "b.zarr")
    assert run(*words[:1], tmp_path / "c.zarr", *words[2:], "--cluster", address, "--restart") == 0
    np.testing.assert_array_equal(io.imread(tmp_path / "c.zarr"), first)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr", "c.zarr", "small"]


def test_volumes_channels_and_times(address, model, tmp_path):
    movie = np.stack([np.stack([discs(6, 48, 60), 255 - discs(6, 48, 60)])] * 2)  # TCZYX
    movie[0] = 0
    io.write_ome_zarr(tmp_path / "a.zarr", movie, "TCZYX", pixel_size_um=(1.0, 0.5, 0.5))
    words = (*MODEL, *SCALE, "--do_3D", "--niter", 20, "--block", 6, 30, 30, "--cluster", address, "--chan", 1)
    assert run(tmp_path / "a.zarr", tmp_path / "b.zarr", *words, "--frame", 1) == 0
    labels = io.read_image(tmp_path / "b.zarr")
    assert (labels.axes, labels.pixel_size_um, labels.data.shape) == ("ZYX", (1.0, 0.5, 0.5), (6, 48, 60))
    scale = {"normalize": {"lowhigh": (0, 200)}, "diameter": 30, "bsize": 704, "niter": 20}
    whole = model.eval(movie[1], channel_axis=0, z_axis=1, do_3D=True, channels=[1, 0], **scale)[0]
    assert labels.data.max() == whole.max() > 1


def test_what_will_be_done_is_printed(tmp_path, capsys):
    rng = np.random.default_rng(0)
    image = np.stack([rng.uniform(100, 200, (40, 300, 300)), rng.uniform(1000, 3000, (40, 300, 300))]).astype(np.uint16)
    io.write_ome_zarr(tmp_path / "a.zarr", image, "CZYX")
    words = ("--do_3D", "--diameter", 10, "--chan", 1, "--chan2", 2, *MODEL, "--dry_run")
    assert run(tmp_path / "a.zarr", tmp_path / "b.zarr", *words) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "blocks of" in line)
    assert line.startswith("40 x 300 x 300 pixels, axes ZYX: 4 blocks of 40 x 256 x 256; each sees 20 pixels around it")
    pairs = eval(line.partition("normalize=")[2], {"__builtins__": {}})["lowhigh"]  # noqa: S307  printed by ourselves
    # one scale for all blocks, from a sample: the first and the 99th percentile of each channel
    np.testing.assert_allclose(pairs, [(101, 199), (1020, 2980)], atol=5)
    assert not (tmp_path / "b.zarr").exists()


def test_the_scale_of_sparse_and_flat_channels(tmp_path):
    cell = np.zeros((2, 300, 320), np.uint16)
    cell[0, 100:115, 200:215] = np.linspace(500, 1500, 15)
    cell[1] = 7
    io.write_ome_zarr(tmp_path / "a.zarr", cell, "CYX")
    planned = plan(tmp_path / "a.zarr", tmp_path / "b.zarr", [128])
    sparse, flat = planned.job.eval_kwargs["normalize"]["lowhigh"]
    np.testing.assert_allclose(sparse, (0, 1500), atol=20)
    assert flat == (7, 8)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (None, [(5, 6), (100, 300)]),
        ([2, 0], [(100, 300), (0, 1)]),
        ([3, 2], [(1000, 4000), (100, 300)]),
        ([0, 0], [(368.3, 1435), (0, 1)]),
    ],
)
def test_each_channel_has_its_own_scale(tmp_path, channels, expected):
    """In the order in which the network sees the channels, which is not that of the file."""
    image = np.full((4, 3, 64, 80), 5, np.uint16)
    image[:, 1:, 32:] = np.array([100, 1000])[:, np.newaxis, np.newaxis]
    image[:, 1:, :32] = np.array([300, 4000])[:, np.newaxis, np.newaxis]
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZCYX"})
    planned = plan(tmp_path / "a.tif", tmp_path / "b.zarr", eval_kwargs={"channels": channels, "do_3D": True})
    np.testing.assert_allclose(planned.job.eval_kwargs["normalize"]["lowhigh"], expected, rtol=1e-3)


@pytest.mark.parametrize("words", [(), ("--chan", 2), ("--chan", 3, "--chan2", 1), ("--all_channels",)])
def test_channels_of_colors_are_those_of_an_image_on_one_machine(address, model, tmp_path, words):
    image = np.stack((np.full((150, 170), 9, np.uint8), discs(150, 170), discs(150, 170)[::-1] // 3), axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    blocks = ("--block", 200, "--diameter", 15, "--bsize", 704, "--cluster", address)
    assert run(tmp_path / "a.tif", tmp_path / "b.zarr", *MODEL, *blocks, *words) == 0
    numbers = {"--chan": 0, "--chan2": 0, **dict(zip(words[::2], words[1::2], strict=False))}
    channels = None if "--all_channels" in words else [numbers["--chan"], numbers["--chan2"]]
    whole = model.eval(image, channels=channels, channel_axis=-1, diameter=15, bsize=704)[0]
    np.testing.assert_array_equal(io.imread(tmp_path / "b.zarr") > 0, whole > 0)
    assert bool(whole.max() > 10) is (channels is not None)  # the first channel of the file is empty


def test_a_plan_changes_nothing(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", discs(60, 70))
    words = (tmp_path / "a.tif", tmp_path / "b.zarr", *MODEL)
    assert run(*words, "--dry_run") == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    planned = plan(tmp_path / "a.tif", tmp_path / "b.zarr")
    planned.job.labels_path((0, 0)).mkdir(parents=True)  # a block that is done
    before = sorted(tmp_path.rglob("*"))
    assert run(*words, "--dry_run", "--restart") == 0
    assert "done" not in capsys.readouterr().out.splitlines()[-1]
    assert run(*words, "--dry_run") == 0
    assert "1 of them done" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_leaves_the_copy_of_another_image(address, model, tmp_path):
    def content():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    words = (tmp_path / "a.tif", tmp_path / "b.zarr", *MODEL, "--diameter", 15, "--block", 60)
    tifffile.imwrite(tmp_path / "a.tif", discs(60, 70))
    plan(tmp_path / "a.tif", tmp_path / "b.zarr")  # leaves its copy for a run
    tifffile.imwrite(tmp_path / "a.tif", discs(90, 80))
    before = content()
    assert run(*words, "--dry_run") == 0
    assert content() == before
    planned = plan(tmp_path / "a.tif", tmp_path / "b.zarr")
    assert planned.job.shape == (90, 80)
    assert run(*words, "--dry_run") == 0
    assert run(*words, "--cluster", address) == 0
    assert io.imread(tmp_path / "b.zarr").shape == (90, 80)
    assert sorted(p.name for p in tmp_path.glob("*.zarr")) == ["b.zarr"]


def test_nothing_is_copied_for_a_wrong_call(tmp_path, capsys, monkeypatch):
    tifffile.imwrite(tmp_path / "movie.tif", discs(5, 60, 70), imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "stack.tif", discs(5, 60, 70), imagej=True, metadata={"axes": "ZYX"})
    with monkeypatch.context() as patched:
        patched.setattr(ds._distribute, "tiff_to_zarr", lambda *_: pytest.fail("copied"))
        for name, words, said in (
            ("movie.tif", (), "is a movie"),
            ("movie.tif", ("--frame", 7), "frame 7"),
            ("stack.tif", (), "use do_3D"),
            ("stack.tif", ("--do_3D", "--block", 9, 9), "blocksize"),
        ):
            assert run(tmp_path / name, tmp_path / "b.zarr", *MODEL, *words) == 2, said
            assert said in capsys.readouterr().err
    # what shows later leaves nothing either
    with pytest.raises(OptionError):
        plan(tmp_path / "movie.tif", tmp_path / "b.zarr", frame=0, eval_kwargs={"no_such_option": 1})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["movie.tif", "stack.tif"]


@pytest.mark.parametrize(("kind", "queue"), [("slurm", "#SBATCH -p gpu"), ("lsf", "#BSUB -q gpu")])
def test_job_scripts_are_printed(tmp_path, capsys, kind, queue):
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue: pip install 'cellpose[distributed]'")
    io.write_ome_zarr(tmp_path / "a.zarr", discs(60, 60), "YX")
    words = ("--cluster", kind, "--workers", 50, "--cpus", 4, "--memory", "20GB", "--queue", "gpu", "--dry_run")
    assert run(tmp_path / "a.zarr", tmp_path / "b.zarr", *MODEL, *words, "--job_option=--gres=gpu:1") == 0
    script = capsys.readouterr().out
    assert queue in script
    assert "--gres=gpu:1" in script
    assert "export OMP_NUM_THREADS=4" in script
    assert "dask_worker" in script


def test_mistakes_are_told_before_work_begins(address, tmp_path, capsys):
    io.write_ome_zarr(tmp_path / "stack.zarr", np.zeros((4, 40, 50), np.uint8), "ZYX")
    io.write_ome_zarr(tmp_path / "movie.zarr", np.zeros((4, 40, 50), np.uint8), "TYX")
    io.write_ome_zarr(tmp_path / "plane.zarr", np.zeros((40, 50), np.uint8), "YX")
    create_array(tmp_path / "plain.zarr", (2, 3, 40, 50), (1, 1, 40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 40, 50), np.uint8), photometric="minisblack", metadata=None)
    for image, words, said in (
        ("stack.zarr", (), "use do_3D"),
        ("movie.zarr", (), "is a movie"),
        ("movie.zarr", ("--frame", 4), "frame 4"),
        ("plane.zarr", ("--do_3D",), "has no planes"),
        ("plane.zarr", ("--block", 3, 3, 3), "blocksize"),
        ("plain.zarr", (), "name its axes"),
        ("pages.tif", (), "name its axes"),
        ("none.zarr", (), "does not exist"),
        ("plane.zarr", ("--diameter", 0), "--diameter 0 is not possible for blocks"),
        ("plane.zarr", ("--cluster", "pbs"), "--cluster pbs"),
        ("plane.zarr", ("--workers", 0), "--workers 0"),
        ("plane.zarr", ("--queue", "gpu"), "for --cluster slurm and lsf"),
        ("plane.zarr", ("--pretrained_model", "no_such_model"), "no_such_model"),
    ):
        cluster = () if "--cluster" in words or "--queue" in words else ("--cluster", address)
        model = () if "--pretrained_model" in words else MODEL
        assert run(tmp_path / image, tmp_path / "out.zarr", *model, *cluster, *words) == 2, said
        assert said in capsys.readouterr().err
    # the command exists only where something runs it
    assert cli.main(["distribute", "a", "b"]) == 2
    assert run() == 2


@pytest.mark.parametrize(
    ("shape", "axes", "settings"),
    [
        ((70, 90), "YX", {}),
        ((3, 70, 90), "ZYX", {"imagej": True}),
        ((2, 3, 70, 90), "TZYX", {"ome": True, "compression": "zlib"}),
        ((3, 2, 70, 90), "ZCYX", {"imagej": True}),
        ((3, 2, 70, 90), "ZCYX", {"ome": True, "tile": (32, 32), "compression": "zlib"}),
        ((70, 90, 3), "YXS", {"photometric": "rgb", "tile": (32, 32)}),
        ((3, 70, 90), "SYX", {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}),
        ((2, 70, 90, 3), "ZYXS", {"photometric": "rgb", "compression": "zlib"}),
    ],
)
def test_tiff_becomes_zarr(tmp_path, monkeypatch, shape, axes, settings):
    monkeypatch.setattr("cellpose.io._convert._ROWS", 40)
    image = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16 if "S" not in axes else np.uint8)
    settings = {"photometric": "minisblack", **settings}
    tifffile.imwrite(tmp_path / "a.tif", image, metadata={"axes": axes}, **settings)
    assert io.tiff_to_zarr(tmp_path / "a.tif", tmp_path / "a.zarr") == tmp_path / "a.zarr"
    back = io.read_image(tmp_path / "a.zarr")
    letters = axes.replace("S", "C")
    order = [letters.index(letter) for letter in "TCZYX" if letter in letters]
    assert back.axes == "".join(letters[k] for k in order)
    np.testing.assert_array_equal(back.data, image.transpose(order))


def test_another_or_changed_tiff_is_converted_again(tmp_path):
    volume = np.arange(3 * 70 * 90, dtype=np.uint16).reshape(3, 70, 90)
    tiff, out = tmp_path / "a.tif", tmp_path / "a.zarr"
    tifffile.imwrite(tiff, volume, photometric="minisblack", metadata=None)
    for axes in ("CYX", "ZYX"):
        io.tiff_to_zarr(tiff, out, axes)
        assert io.read_image(out).axes == axes
    made = (out / "0/.zarray").stat().st_mtime_ns
    io.tiff_to_zarr(tiff, out, "ZYX")
    assert (out / "0/.zarray").stat().st_mtime_ns == made  # the same: kept
    tifffile.imwrite(tiff, volume + 1, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(io.imread(io.tiff_to_zarr(tiff, out, "ZYX")), volume + 1)
    tifffile.imwrite(tmp_path / "b.tif", volume[0])
    np.testing.assert_array_equal(io.imread(io.tiff_to_zarr(tmp_path / "b.tif", out)), volume[0])
    # what was not converted is not replaced
    io.write_ome_zarr(tmp_path / "mine.zarr", volume, "ZYX")
    with pytest.raises(FileWriteError, match="exists already"):
        io.tiff_to_zarr(tmp_path / "b.tif", tmp_path / "mine.zarr")


def test_a_plan_takes_the_axes_and_the_image_that_it_is_given(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 70, 90), np.uint8), photometric="minisblack", metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((50, 60), np.uint8))
    assert plan(tmp_path / "a.tif", tmp_path / "o.zarr", axes="CYX").axes == "YX"
    stitched = {"stitch_threshold": 0.3}
    assert plan(tmp_path / "a.tif", tmp_path / "o.zarr", axes="ZYX", eval_kwargs=stitched).axes == "ZYX"
    assert plan(tmp_path / "b.tif", tmp_path / "o.zarr").job.shape == (50, 60)


@pytest.mark.slow
def test_workers_of_their_own_one_run_killed(tmp_path):
    """As a user: processes on this machine; the whole run is killed in the middle and started again."""
    io.write_ome_zarr(tmp_path / "a.zarr", discs(300, 330), "YX")
    command = [sys.executable, "-m", "cellpose", "distribute", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")]
    command += [*MODEL, "--lowhigh", "0", "200", "--diameter", "15", "--block", "90", "--workers", "2", "--cpus", "1"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    blocks = tmp_path / "b.zarr.parts/blocks"
    deadline = time.monotonic() + 120
    while not (blocks.is_dir() and [p for p in blocks.iterdir() if not p.name.startswith(".")]):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = [p for p in blocks.iterdir() if not p.name.startswith(".")]
    assert not (tmp_path / "b.zarr").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"16 blocks of 90 x 90, {len(kept)} of them done" in done.stdout
    assert "dashboard of the workers: http://" in done.stdout
    command[5] = str(tmp_path / "c.zarr")
    subprocess.run(command, capture_output=True, check=True)
    labels, again = (io.imread(tmp_path / name) for name in ("b.zarr", "c.zarr"))
    np.testing.assert_array_equal(labels, again)
    assert labels.max() > 100
    assert f"{labels.max()} cells, written to" in done.stdout


def test_blocks_are_restored_on_the_scale_of_the_image(model, tmp_path):
    import torch

    from cellpose.nets import CPnet

    torch.manual_seed(0)
    CPnet([1, 4], 1).save_model(tmp_path / "restoring")
    both = np.stack((discs(150, 170), 40 * discs(150, 170).astype(np.uint16)), axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(both, -1, 0), imagej=True, metadata={"axes": "CYX"})
    seen = {}

    class Runs:
        def distribute(self, image, target, blocksize, cluster, cluster_kwargs, report, say, **options):
            seen["job"] = plan(image, target, blocksize, **options).job
            return 0

    words = [tmp_path / "a.tif", tmp_path / "labels.zarr", *MODEL, "--block", 60, "--restore_type"]
    from cellpose.cli._distribute import distribute_command

    assert distribute_command([*map(str, words), str(tmp_path / "restoring")], Runs) == 0
    job = seen["job"]
    (step, keywords), scale = job.preprocessing_steps[0], job.eval_kwargs["normalize"]
    assert scale == {"lowhigh": (0.0, 1.0)}
    low, high = np.transpose(keywords["normalize"]["lowhigh"])
    assert (low < high).all()
    assert high[1] > 20 * high[0]
    block = step(np.moveaxis(both, -1, 0), **keywords, crop=(slice(None), slice(0, 150), slice(0, 170)))
    assert block.shape == (2, 150, 170)
    assert np.abs(block[0] - block[1]).max() < 0.1  # alike but for the scale
