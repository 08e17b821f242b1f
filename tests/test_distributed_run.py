"""Distributed runs: on threads of this program, and slow ones on processes, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

pytest.importorskip("distributed", reason="needs Dask: pip install 'cellpose[distributed]'")
zarr = pytest.importorskip("zarr", reason="needs zarr: pip install 'cellpose[distributed]'")

from cellpose import io, weights  # noqa: E402
from cellpose.contrib import distributed_segmentation as ds  # noqa: E402
from cellpose.contrib.distributed_segmentation import _process, _run  # noqa: E402
from cellpose.errors import FileWriteError, OptionError  # noqa: E402
from cellpose.io._zarr import create_array  # noqa: E402
from small_model import discs, toy_model  # noqa: E402

# What Dask and its servers say when they are closed in the middle of something is not ours.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]

# One scale and one tile for all: what then differs is due to the blocks.
SCALE = {"normalize": {"lowhigh": (0, 200)}, "diameter": 15, "bsize": 704}


@pytest.fixture(scope="module")
def client():
    from distributed import Client

    with ds.myLocalCluster(1, n_workers=2, processes=False, dashboard_address=None) as cluster, Client(cluster) as one:
        yield one


@pytest.fixture
def model(tmp_path, monkeypatch):
    made = toy_model(tmp_path)
    monkeypatch.setattr(_process, "_model", lambda kwargs: made)
    return made


def identical_cells(ours, theirs):
    pairs, counts = np.unique(np.stack((theirs.ravel(), ours.ravel())), axis=1, return_counts=True)
    sizes, own = np.bincount(theirs.ravel()), np.bincount(ours.ravel())
    a, b = pairs
    same = (a > 0) & (b > 0) & (counts == sizes[a]) & (counts == own[b])
    return same.sum() / np.count_nonzero(sizes[1:])


def blobs(*shape):
    rng = np.random.default_rng(3)
    image = np.full(shape, 20, np.float32)
    grid = np.indices(shape)
    for _ in range(np.prod(shape[-2:]) // 380):
        centre = [rng.integers(0, n) for n in shape]
        r = rng.uniform(4, 8)
        image[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < r * r] = rng.uniform(100, 180)
    return (image + rng.normal(0, 4, shape)).clip(0, 255).astype(np.uint8)


def boxes_of(labels):
    from scipy.ndimage import find_objects

    return find_objects(labels)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_cells_are_those_of_the_whole(client, model, tmp_path, zarr_format):
    if zarr_format == 3 and not hasattr(zarr, "create_array"):
        pytest.skip("format 3 needs version 3 of zarr")
    image = blobs(260, 330)
    create_array(tmp_path / "in.zarr", image.shape, (64, 64), image.dtype, zarr_format=zarr_format)[...] = image
    array = zarr.open(str(tmp_path / "in.zarr"), mode="r")
    whole, _, _ = model.eval(image, **{**SCALE, "diameter": 30})
    eval_kwargs = {**SCALE, "diameter": 30}
    labels, boxes = ds.distributed_eval(
        array, (100, 110), tmp_path / "out.zarr", eval_kwargs=eval_kwargs, cluster=client
    )
    out = labels[...]
    assert out.dtype == np.uint32
    assert whole.max() > 100
    # Blocks see no further than their overlap; beside that masks are the same.
    assert identical_cells(out, whole) >= 0.99
    assert out.max() == whole.max() == len(boxes)
    np.testing.assert_array_equal(np.unique(out), np.arange(len(boxes) + 1))
    assert boxes == boxes_of(out)
    assert sorted(p.name for p in tmp_path.glob("*.parts")) == []


def test_volumes(client, model, tmp_path):
    image = blobs(20, 64, 72)
    whole = model.eval(image, z_axis=0, do_3D=True, **{**SCALE, "diameter": 30}, niter=50)[0]
    ds.numpy_array_to_zarr(tmp_path / "in.zarr", image, (16, 32, 32))
    labels, boxes = ds.distributed_eval(
        tmp_path / "in.zarr",
        (10, 40, 40),
        tmp_path / "out.zarr",
        eval_kwargs={**SCALE, "do_3D": True, "z_axis": 0, "niter": 50, "diameter": 30},
        cluster=client,
    )
    assert labels.shape == image.shape
    assert whole.max() > 5
    assert abs(len(boxes) - int(whole.max())) <= 1
    # Cells in 3D reach far; a seam may move a voxel of them.
    assert identical_cells(labels[...], whole) >= 0.9
    assert boxes == boxes_of(labels[...])


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_channels(client, model, tmp_path, channel_axis):
    image = np.stack([blobs(150, 140), discs(150, 140)], axis=channel_axis)
    eval_kwargs = {**SCALE, "channels": [1, 2], "channel_axis": channel_axis}
    whole, _, _ = model.eval(image, **eval_kwargs)
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", image, (64, 64, 64))
    sides = [70, 70]
    if channel_axis == 0:
        sides.insert(0, 2)  # a side for the axis of channels is allowed
    labels, _ = ds.distributed_eval(array, sides, tmp_path / "out.zarr", eval_kwargs=eval_kwargs, cluster=client)
    assert labels.shape == (150, 140)
    assert identical_cells(labels[...], whole) >= 0.97
    assert labels[...].max() == whole.max()


def invert(image, crop, by):
    assert image.shape == tuple(part.stop - part.start for part in crop)
    return by - image


def test_preprocessing_and_foreground(client, model, tmp_path):
    image = discs(200, 200)
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", 255 - image, (64, 64))
    mask = np.zeros((2, 2), bool)
    mask[0, 1] = True
    labels, boxes = ds.distributed_eval(
        array,
        (50, 50),
        tmp_path / "out.zarr",
        mask=mask,
        preprocessing_steps=[(invert, {"by": 255})],
        eval_kwargs=SCALE,
        cluster=client,
    )
    out = labels[...]
    # Cells of the foreground go on to where nothing was looked for, and end there.
    assert out[:95, 105:].any()
    assert not out[:, :88].any()
    assert not out[112:].any()
    assert min(np.bincount(out.ravel())[1:]) > 40
    assert len(boxes) == out.max()


def test_a_run_that_was_stopped_goes_on(client, model, tmp_path, monkeypatch):
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", blobs(200, 150), (64, 64))
    segmented, real = [], _process._eval

    def once(source, crop, *rest):
        segmented.append(crop)
        if len(segmented) == 4:
            message = "the power failed"
            raise OSError(message)
        return real(source, crop, *rest)

    def run(target, sides=(60, 60)):
        return ds.distributed_eval(array, sides, tmp_path / target, eval_kwargs=SCALE, cluster=client)[0][...]

    monkeypatch.setattr(_process, "_eval", once)
    with pytest.raises(OSError, match="power"):
        run("out.zarr")
    for future in list(client.futures):
        client.cancel([future])
    assert not (tmp_path / "out.zarr").exists()
    kept = {p.name for p in (tmp_path / "out.zarr.parts/blocks").iterdir() if not p.name.startswith(".")}
    assert kept
    before = len(segmented)
    with pytest.raises(OptionError, match="other arguments"):
        run("out.zarr", (50, 60))
    found = run("out.zarr")
    assert len(segmented) - before <= 12 - len(kept)
    np.testing.assert_array_equal(found, run("again.zarr"))
    with pytest.raises(FileWriteError, match="exists already"):
        run("out.zarr")


@pytest.mark.parametrize("changed", ["TIFF", "array", "model"])
def test_blocks_of_a_changed_image_or_model_are_not_continued(tmp_path, changed):
    image, model = discs(60, 70), tmp_path / "model"
    shutil.copy(weights.resolve("nuclei-cells").path, model)
    tifffile.imwrite(tmp_path / "a.tif", image)
    ds.numpy_array_to_zarr(tmp_path / "a.zarr", image, (64, 64))
    name = "a.tif" if changed == "TIFF" else "a.zarr"

    def begin():
        job = ds._distribute.plan(tmp_path / name, tmp_path / "o.zarr", model_kwargs={"pretrained_model": model}).job
        _run._begin(job, [(0, 0)])

    begin()
    begin()
    if changed == "TIFF":
        tifffile.imwrite(tmp_path / "a.tif", image[::-1])
    elif changed == "array":
        ds.numpy_array_to_zarr(tmp_path / "a.zarr", image[::-1], (64, 64))
    else:
        shutil.copy(weights.resolve("generalist").path, model)
    with pytest.raises(OptionError, match="has changed since"):
        begin()


def test_a_worker_notices_that_the_weights_were_replaced(tmp_path, monkeypatch):
    import distributed

    worker, path = SimpleNamespace(), tmp_path / "model"
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    shutil.copy(weights.resolve("nuclei-cells").path, path)
    first = _process._model({"pretrained_model": str(path)})
    assert _process._model({"pretrained_model": str(path)}) is first
    shutil.copy(weights.resolve("generalist").path, path)
    assert _process._model({"pretrained_model": str(path)}).nbase != first.nbase


def test_many_blocks_are_handed_over_little_by_little(client, monkeypatch):
    monkeypatch.setattr(_run, "_WAITING", 3)
    taken = []

    def calls():
        for n in range(20):
            taken.append(n)
            yield (n,)

    got = []
    for result in _run._map(client, abs, calls()):
        got.append(result)
        # three with the scheduler, and three more whose results came together
        assert len(taken) <= len(got) + 2 * 3
    assert sorted(got) == list(range(20))


def test_one_block_alone(model, tmp_path):
    image = blobs(120, 130)
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", image, (64, 64))
    indices, crops = ds.get_block_crops(array.shape, (60, 60), 20)
    place = indices.index((1, 1))
    labels, boxes, ids = ds.process_block(indices[place], crops[place], array, {}, SCALE, (60, 60), 20, test_mode=True)
    assert labels.shape == (60, 60)
    assert ids == sorted(set(np.unique(labels)) - {0})
    assert ids[0] // 10**5 == 4  # the fifth of 2 x 3 blocks
    for box, name in zip(boxes, ids, strict=True):
        local = tuple(slice(part.start - 60, part.stop - 60) for part in box)
        assert (labels[local] == name).sum() == (labels == name).sum() > 0
    faces, _, _ = ds.process_block(indices[place], crops[place], array, {}, SCALE, (60, 60), 20, output_zarr=None)
    assert [face.shape for face in faces] == [(1, 60), (1, 60), (60, 1), (60, 1)]
    np.testing.assert_array_equal(faces[1][0], labels[-1])


def test_what_does_not_fit_is_refused(client, tmp_path):
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", np.zeros((4, 4, 4, 4), np.uint8), (4,) * 4)
    with pytest.raises(OptionError, match="spatial axes"):
        ds.distributed_eval(array, (2,) * 4, tmp_path / "out.zarr", cluster=client)
    with pytest.raises(OptionError, match="blocksize"):
        ds.distributed_eval(array, (2, 2), tmp_path / "out.zarr", cluster=client)
    with pytest.raises(OptionError, match="scheduler='pbs'"):
        ds.cluster_of({"scheduler": "pbs"})


def test_callers_keywords_are_untouched(client, model, tmp_path):
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", discs(60, 60), (64, 64))
    model_kwargs, eval_kwargs = {}, {"bsize": 704}
    labels, _ = ds.distributed_eval(
        array, (60, 60), tmp_path / "out.zarr", model_kwargs=model_kwargs, eval_kwargs=eval_kwargs, cluster=client
    )
    assert (model_kwargs, eval_kwargs) == ({}, {"bsize": 704})
    np.testing.assert_array_equal(labels[...] > 0, model.eval(discs(60, 60), diameter=30, bsize=704)[0] > 0)


def test_folders_of_tiffs(tmp_path):
    if not hasattr(zarr, "create_array") and tuple(map(int, tifffile.__version__.split(".")[:2])) >= (2025, 5):
        pytest.skip("this version of tifffile needs version 3 of zarr")
    whole = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8)
    for z, y, x in np.ndindex(2, 2, 2):
        part = whole[2 * z : 2 * z + 2, 3 * y : 3 * y + 3, 4 * x : 4 * x + 4]
        tifffile.imwrite(tmp_path / f"block_Z{z}Y{y}X{x}.tif", part, photometric="minisblack")
    np.testing.assert_array_equal(ds.wrap_folder_of_tiffs(str(tmp_path / "block_*.tif"))[...], whole)
    for z in range(4):
        tifffile.imwrite(tmp_path / f"plane{z}.tif", whole[z])
    np.testing.assert_array_equal(ds.wrap_folder_of_tiffs(str(tmp_path / "plane*.tif"), None)[...], whole)


# ------------------------------------------------------------------------------------------------------------ clusters


@pytest.mark.parametrize("kind", ["slurm", "lsf"])
def test_job_scripts(kind, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue: pip install 'cellpose[distributed]'")
    import dask_jobqueue

    made = {}

    class Recorded(getattr(dask_jobqueue, f"{kind.upper()}Cluster")):
        def adapt(self, **limits):
            made.update(limits)

    monkeypatch.setattr(dask_jobqueue, f"{kind.upper()}Cluster", Recorded)
    kwargs = {"ncpus": 4, "min_workers": 0, "max_workers": 50, "queue": "short", "dashboard_address": None} | (
        {"scheduler": "slurm"} if kind == "slurm" else {}
    )
    kwargs["scheduler_options"] = {"dashboard_address": None}
    del kwargs["dashboard_address"]
    with ds.cluster_of(kwargs) as cluster:
        script = cluster.job_script()
    assert made == {"minimum": 0, "maximum": 50}
    assert "export OMP_NUM_THREADS=4" in script
    assert "--nthreads 1" in script
    assert ("#SBATCH -p short" if kind == "slurm" else "#BSUB -q short") in script
    assert ("#SBATCH --cpus-per-task=4" if kind == "slurm" else "#BSUB -n 4") in script
    with pytest.raises(OptionError, match="max_workers"):
        ds.cluster_of({**kwargs, "min_workers": 60})


def test_settings_can_be_kept(tmp_path, monkeypatch):
    import dask

    monkeypatch.setattr(dask.config, "PATH", str(tmp_path))
    settings = {"distributed.worker.memory.target": 0.7}
    with (
        dask.config.set({}),
        ds.myLocalCluster(
            1, settings, "mine.yaml", persist_config=True, n_workers=1, processes=False, dashboard_address=None
        ) as cluster,
    ):
        assert len(cluster.workers) == 1
    with ds.cluster_of({"processes": False, "dashboard_address": None}) as cluster:
        assert len(cluster.workers) == 1
    assert "distributed.worker.memory.target: 0.7" in (tmp_path / "mine.yaml").read_text()


def die_once(image, crop, folder):
    """Kill the worker process that sees the first block, the first time."""
    mark = Path(folder, "died")
    if crop[0].start != 0 or crop[1].start != 0:
        return image
    Path(folder, f"pid{os.getpid()}").touch()
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return image


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path):
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", blobs(160, 200), (64, 64))
    found = []
    for name in ("killed", "healthy"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "healthy":
            (folder / "died").touch()
        labels, boxes = ds.distributed_eval(
            array,
            (90, 90),
            folder / "out.zarr",
            preprocessing_steps=[(die_once, {"folder": str(folder)})],
            model_kwargs={"pretrained_model": "nuclei-cells"},
            eval_kwargs={"diameter": 15},
            cluster_kwargs={"n_workers": 2, "ncpus": 1, "dashboard_address": None},
        )
        found.append((labels[...], boxes))
    assert (tmp_path / "killed/died").exists()
    assert len(list((tmp_path / "killed").glob("pid*"))) == 2  # of those that saw the first block
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert len(found[0][1]) > 20


def load_count(image, crop, folder):
    from distributed import get_worker

    held = getattr(get_worker(), _process._MODEL, None)
    Path(folder, f"{os.getpid()}_{crop[0].start}_{crop[1].start}_{id(held[1]) if held else 0}").touch()
    return image


@pytest.mark.slow
def test_a_worker_loads_its_model_once(tmp_path):
    array = ds.numpy_array_to_zarr(tmp_path / "in.zarr", blobs(100, 160), (64, 64))
    marks = tmp_path / "marks"
    marks.mkdir()
    ds.distributed_eval(
        array,
        (50, 50),
        tmp_path / "out.zarr",
        preprocessing_steps=[(load_count, {"folder": str(marks)})],
        model_kwargs={"pretrained_model": "nuclei-cells"},
        eval_kwargs={"diameter": 15},
        cluster_kwargs={"n_workers": 1, "ncpus": 1, "dashboard_address": None},
    )
    models = [mark.name.split("_")[-1] for mark in marks.iterdir()]
    assert models.count("0") == 1  # only the first block found none
    assert len(set(models)) == 2
    assert io.open_plane(tmp_path / "out.zarr").shape == (100, 160, 1)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [({"eval_kwargs": {"diametre": 9}}, "did you mean diameter"), ({"model_kwargs": {"gpuu": True}}, "keys gpuu")],
)
def test_unknown_keywords_are_told_before_a_cluster_starts(keywords, told, tmp_path):
    with pytest.raises(OptionError, match=told):
        ds.distributed_eval(np.zeros((9, 9), np.uint8), (9, 9), tmp_path / "o.zarr", **keywords)
