"""Options and memory of runs over volumes."""

from __future__ import annotations

import mmap
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cellpose import dynamics, metrics, models
from cellpose.__main__ import main
from cellpose.errors import InputError, OptionError
from cellpose.io import _scratch
from small_model import toy_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("weights"))


def balls(shape=(10, 48, 60), anisotropy=1.0):
    """Bright balls of 6 pixels, 22 pixels apart, on a dark ground with noise."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    far = ((z + 0.5) * anisotropy - 5) ** 2 + (y % 22 - 11) ** 2 + (x % 22 - 11) ** 2
    return (20 + 150 * (far < 36) + np.random.default_rng(0).normal(0, 5, shape)).clip(0, 255).astype(np.uint8)


def thick_balls(z_spacing, shape=(60, 48, 48), radius=10):
    """Flows of touching balls whose planes lie ``z_spacing`` pixels apart, as a network gives them; and the truth."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    labels = np.zeros(shape, np.int32)
    for n, at in enumerate([(14, 13, 13), (14, 34, 13), (14, 13, 34), (40, 24, 24), (34, 38, 38)], 1):
        labels[((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2) & (labels == 0)] = n
    flows = 10 * dynamics.masks_to_flows_gpu_3d(labels)
    step = int(z_spacing)
    cut = slice(step // 2, None, step)
    return flows[:, cut], np.where(labels[cut], 4.0, -4.0), labels[cut]


def test_steps_by_true_distances_keep_thick_cells_whole():
    flows, cellprob, labels = thick_balls(8)
    as_published = dynamics.compute_masks(flows, cellprob, do_3D=True, min_size=15)
    isotropic = dynamics.compute_masks(flows, cellprob, do_3D=True, min_size=15, z_spacing=8)
    ap, *_ = metrics.average_precision([labels] * 2, [as_published, isotropic], threshold=[0.75])
    assert ap.ravel().tolist() == [0, 1]


def test_steps_on_a_device_are_those_of_the_cpu():
    flows, cellprob, _ = thick_balls(4)
    here = dynamics.compute_masks(flows, cellprob, do_3D=True, z_spacing=4, niter=30)
    import torch

    from cellpose.dynamics import _masks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_masks, "on_gpu", lambda device: device is not None)
        there = dynamics.compute_masks(flows, cellprob, do_3D=True, z_spacing=4, niter=30, device=torch.device("cpu"))
    assert np.mean(here != there) < 0.01  # rounding moves single voxels on the edge of a seed


def test_options_for_anisotropic_stacks(model):
    stack = balls((5, 48, 60), 2.0)
    options = {"do_3D": True, "z_axis": 0, "anisotropy": 2.0, "min_size": 5}
    masks, flows, _ = model.eval(stack, **options)
    for changed in (
        {"isotropic_steps": True},
        {"z_interpolation": "cubic"},
        {"z_interpolation": "spline"},
        {"view_weights": (2, 1, 1)},
    ):
        other, other_flows, _ = model.eval(stack, **options, **changed)
        assert other.max() > 0
        assert np.array_equal(flows[1], other_flows[1]) == ("isotropic_steps" in changed)
    np.testing.assert_array_equal(model.eval(stack, **options, view_weights=[3, 3, 3])[0], masks)
    # Without anisotropy there is nothing to mend.
    same = [
        model.eval(stack, do_3D=True, z_axis=0, isotropic_steps=on, z_interpolation=how)[0]
        for on, how in ((False, "linear"), (True, "spline"))
    ]
    np.testing.assert_array_equal(*same)


def test_each_volume_of_a_list_has_its_own_anisotropy(model):
    stacks = [balls((5, 48, 60), 2.0), balls((5, 48, 60))]
    options = {"do_3D": True, "z_axis": 0, "min_size": 5}
    found = model.eval(stacks, **options, anisotropy=[2.0, None])[0]
    for masks, stack, anisotropy in zip(found, stacks, (2.0, None), strict=True):
        np.testing.assert_array_equal(masks, model.eval(stack, **options, anisotropy=anisotropy)[0])
    with pytest.raises(InputError, match="anisotropy has 3 values for 2 images"):
        model.eval(stacks, **options, anisotropy=[1, 2, 3])
    with pytest.raises(OptionError, match="anisotropy=-2"):
        model.eval(stacks[0], **options, anisotropy=-2)


@pytest.mark.parametrize("weights", [(1, 1), (0, 0, 1), (1, 1, -1), (1, 1, np.nan), "yx", 3])
def test_weights_of_views_that_are_refused(model, weights):
    with pytest.raises(OptionError, match="view_weights"):
        model.eval(balls(), do_3D=True, view_weights=weights)


def test_flows_in_a_file_give_the_same(model, monkeypatch, tmp_path):
    stack = balls()
    masks, flows, styles = model.eval(stack, do_3D=True, z_axis=0)
    in_file = []
    monkeypatch.setattr(_scratch, "_LEAST_BYTES", 1)
    monkeypatch.setattr(_scratch, "available_memory", lambda: 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped = _scratch._mapped
    monkeypatch.setattr(_scratch, "_mapped", lambda n: in_file.append(n) or mapped(n))
    again, flows_again, styles_again = model.eval(stack, do_3D=True, z_axis=0)
    assert in_file == [4 * 4 * stack.size]
    np.testing.assert_array_equal(masks, again)
    for one, other in zip([*flows, styles], [*flows_again, styles_again], strict=True):
        np.testing.assert_array_equal(one, other)
    flows_again[1][0] = 1  # as writable as any other array
    assert not list(tmp_path.iterdir())


def test_files_go_with_an_error(model, monkeypatch, tmp_path):
    monkeypatch.setattr(_scratch, "_LEAST_BYTES", 1)
    monkeypatch.setattr(_scratch, "available_memory", lambda: 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    def fail(percent):
        seen.append(list(tmp_path.iterdir()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.eval(balls(), do_3D=True, z_axis=0, progress=fail)
    assert seen
    assert not list(tmp_path.iterdir())


def test_no_room_on_the_disk(monkeypatch, caplog):
    def full(n):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_scratch, "_LEAST_BYTES", 1)
    monkeypatch.setattr(_scratch, "available_memory", lambda: 1000)
    monkeypatch.setattr(_scratch, "_mapped", full)
    array = _scratch.roomy_zeros((4, 10, 10, 10))
    assert not array.any()
    assert not isinstance(array.base, mmap.mmap)
    assert "not enough space" in caplog.text


@pytest.mark.parametrize(
    ("shape", "options", "least", "most"),
    [
        ((10, 2160, 2560), {}, 2.0, 3.7),
        ((512, 512, 512), {}, 4.5, 6.5),
        ((10, 2160, 2560), {"anisotropy": 5}, 2.0, 3.7),  # volumes are not enlarged as a whole
        ((10, 2160, 2560), {"anisotropy": 2, "resample": False}, 4.0, 6.0),
        ((10, 2160, 2560), {"do_3D": False}, 1.5, 3.0),
    ],
)
def test_estimates(shape, options, least, most):
    bundled = models.CellposeModel(pretrained_model="nuclei-cells")
    assert least < models.estimate_volume_memory(bundled, shape, **options).total / 2**30 < most


@pytest.mark.parametrize(("engine", "per_pixel"), [("native", 700), ("torch", 1700)])
def test_estimates_hold_a_large_tile_in_each_thread(monkeypatch, engine, per_pixel):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    bundled = models.CellposeModel(pretrained_model="nuclei-cells", engine=engine)
    tiles = [models.estimate_volume_memory(bundled, (1, 8, 8), batch_size=n).network for n in (8, 9)]
    assert tiles[1] == tiles[0]
    assert tiles[0] > 8 * 448**2 * per_pixel // 2  # its first layer has 16 channels


def test_a_plane_has_no_estimate(model):
    with pytest.raises(InputError, match="is not a stack"):
        models.estimate_volume_memory(model, (10, 20))


def test_estimates_of_the_command_line(tmp_path, capsys):
    import tifffile

    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((6, 40, 50), np.uint8), metadata={"axes": "ZYX"}, imagej=True)
    tifffile.imwrite(tmp_path / "plane.tif", np.zeros((40, 50), np.uint8))
    command = ["--dir", str(tmp_path), "--do_3D", "--estimate_memory", "--pretrained_model", "nuclei-cells"]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert re.search(r"stack\.tif: 6 x 40 x 50 uint8: \d\.\d GiB \(network", out)  # more with more threads
    assert "do_3D and stitch_threshold need a stack" in out


PEAK = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from volumes import nuclei, run_one
row = run_one({"shape": [10, 600, 640], "network": "stand-in", "options": {"anisotropy": float(sys.argv[2])}})
print(row["bytes_per_voxel"], row["peak"], row["estimate"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("anisotropy", [1, 4])
def test_memory_is_bounded(anisotropy):
    # A process of its own, whose peak is that of this run.
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(benchmarks), str(anisotropy)], capture_output=True, text=True, check=True
    )
    per_voxel, peak, estimate = map(float, done.stdout.split())
    # Stack 8, flows 16, field and ends 18 with the rims of so flat a stack, and single planes; the original takes 300.
    assert per_voxel < 70
    assert peak < 1.1 * estimate
