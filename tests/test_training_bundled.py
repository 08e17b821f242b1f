"""The scripts that train the bundled model: crops that can be repeated, flows that turn, runs that can be resumed."""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cellpose import nets, synthetic, weights

SCRIPTS = Path(__file__).resolve().parents[1] / "training"


@pytest.fixture(scope="module")
def scripts():
    """The training scripts as modules; they are no part of the package."""
    if not SCRIPTS.is_dir():
        pytest.skip("the training scripts are in the source tree only")
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield {name: importlib.import_module(name) for name in ("bundled_data", "bundled_crops", "train_bundled")}
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def data(tmp_path_factory, scripts):
    """Two pictures in the layout of the training data, one gray and one RGB."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "dsb2018").mkdir()
    rows = ["source,id,split,modality,group"]
    for i, group in enumerate(("256x256 L", "320x256 RGB")):
        sample = synthetic.sample(5 + i, (128, 128), "cytoplasm", channels=1, diameter=24)
        picture, labels = sample.image[0], sample.masks
        low, high = np.percentile(picture, (0, 100))
        image = ((picture - low) / (high - low) * 255).astype(np.uint8)
        if i:
            image = np.stack([image, 255 - image, image // 2], axis=-1)
        cv2.imwrite(str(folder / "dsb2018" / f"p{i}_img.png"), image)
        cv2.imwrite(str(folder / "dsb2018" / f"p{i}_masks.png"), labels.astype(np.uint16))
        rows.append(f"dsb2018,p{i},train,nuclei,{group}")
    rows.append("dsb2018,p9,test,nuclei,256x256 L")
    (folder / "split.csv").write_text("\n".join(rows))
    return folder


def make_few(patch, module):
    """Two synthetic images, and three planes of a small synthetic volume."""
    for name, value in (("N_SYNTHETIC", 2), ("N_VOLUMES", 1), ("VOLUME_SIDES", (40, 64, 64)), ("PER_VIEW", 1)):
        patch.setattr(module, name, value)


@pytest.fixture(scope="module")
def packed(data, scripts, tmp_path_factory):
    cache = tmp_path_factory.mktemp("run") / "packed"
    module = scripts["bundled_data"]
    with pytest.MonkeyPatch.context() as patch:
        make_few(patch, module)
        module.pack(data, cache, 0)
    return cache


def test_only_the_training_split_is_packed(packed, scripts):
    crops = scripts["bundled_crops"].Crops(packed, 0, 64, 2, 30.0)
    assert [(e.source, e.id, e.channels) for e in crops.entries[:2]] == [("dsb2018", "p0", 1), ("dsb2018", "p1", 4)]
    assert [e.source for e in crops.entries[2:]] == ["synthetic"] * 2 + ["synthetic volumes"] * 3
    assert [e.id.split()[-1] for e in crops.entries[4:]] == ["YX", "ZY", "ZX"]


def test_any_number_of_processes_packs_the_same(scripts, data, tmp_path):
    for processes in (1, 2):
        scripts["bundled_data"].pack(data, tmp_path / str(processes), 0, processes, every=10_000)
    for name in ("images.f16", "targets.f16", "index.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_batches_can_be_repeated(packed, scripts):
    crops, again = (scripts["bundled_crops"].Crops(packed, 3, 64, 4, 30.0) for _ in range(2))
    first, _ = crops(0), crops(1)
    repeated = again(0)
    assert all(torch.equal(a, b) for a, b in zip(first, repeated, strict=True))
    assert not torch.equal(first[0], crops(1)[0])
    assert (first[0].shape, first[1].shape) == ((4, 2, 64, 64), (4, 4, 64, 64))


def test_second_channel_is_filled_where_there_is_one_and_sometimes_for_others(packed, scripts):
    crops = scripts["bundled_crops"].Crops(packed, 0, 64, 1, 30.0)
    drawn = [crops.draw(step, 0) for step in range(400)]
    share = {
        kind: np.mean([len(cut.planes) > 1 for cut in drawn if (cut.entry.channels == 2) == kind])
        for kind in (True, False)
    }
    assert share[True] == pytest.approx(0.7, abs=0.15)  # of about 200 draws
    assert share[False] == pytest.approx(0.06, abs=0.05)
    images, _ = crops.sample(next(i for i, cut in enumerate(drawn) if len(cut.planes) == 1), 0)
    assert not images[1].any()


def test_rims_of_cells_weigh_as_the_smallest_cell_beside_them(scripts):
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 5:25], labels[18:22, 28:32] = 1, 2
    inverse = scripts["bundled_data"].inverse_diameters(labels)
    large, small = (1 / (2 * np.sqrt(area / np.pi)) for area in (400, 16))
    assert inverse[20, 10] == pytest.approx(large)
    assert inverse[20, 26] == inverse[20, 30] == pytest.approx(small)
    assert inverse[12, 26] == pytest.approx(large)
    assert inverse[20, 50] == 0


def test_small_cells_weigh_more(scripts):
    module = scripts["train_bundled"]
    target = torch.zeros(1, 4, 8, 8)
    target[:, 0, :, :4] = 1
    y = torch.zeros(1, 3, 8, 8)
    y[:, 2, :, 4:] = -20  # right outside the cell, undecided inside
    means = []
    for diameter in (8.0, 40.0):
        target[:, 3, :, :4] = 1 / diameter
        means.append(float(module.loss_terms(y, target)[1]))
    assert means[1] < np.log(2) / 2 < means[0]


def test_crops_of_a_device_are_those_of_the_host(packed, scripts):
    """The same plan gives the same crops; OpenCV rounds positions to 1/32 pixel, and noise is drawn elsewhere."""
    module = scripts["bundled_crops"]
    host = module.Crops(packed, 3, 64, 8, 30.0)
    device = module.DeviceCrops(packed, 3, 64, 8, 30.0, device="cpu")
    compared = 0
    for step in range(4):
        images, targets = device.ready(device(step))
        for place in range(8):
            cut = host.draw(step, place)
            image, target = host.sample(step, place)
            assert (targets[place, 0].numpy() != target[0]).mean() < 0.02
            if cut.scale >= module.BLUR_BELOW and not any(look.noise for look in cut.looks):
                compared += 1
                assert np.abs(images[place].numpy() - image).mean() < 0.02
                assert np.abs(targets[place].numpy() - target).mean() < 0.02
    assert compared > 8


def test_bundle_holds_what_the_folder_holds(data, scripts, tmp_path):
    module = scripts["bundled_data"]
    module.write_bundle(data, tmp_path / "data.zip")
    pairs = [list(module.real_pairs(place)) for place in (data, tmp_path / "data.zip")]
    assert len(pairs[0]) == 2
    for (row, digest, image, labels), (row2, digest2, image2, labels2) in zip(*pairs, strict=True):
        assert digest == digest2
        assert row.items() <= row2.items()
        np.testing.assert_array_equal(image, image2)
        np.testing.assert_array_equal(labels, labels2)


@pytest.mark.parametrize(
    "linear", [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1.0], [-1, 0]]]
)
def test_flows_turn_with_the_image(packed, scripts, linear):
    from cellpose import dynamics

    crops = scripts["bundled_crops"].Crops(packed, 0, 128, 1, 30.0)
    entry = crops.entries[0]
    middle = np.array([64.0, 64.0])
    cut = scripts["bundled_crops"].Cut
    _, target = crops.cut(cut(entry, [0], middle, np.array(linear, float), []))
    _, plain = crops.cut(cut(entry, [0], middle, np.eye(2), []))
    height, width = entry.shape
    raw = crops.targets[: 4 * height * width].reshape(4, height, width).astype(np.float32)
    np.testing.assert_allclose(plain, raw, atol=1e-6)  # nothing but a copy; OpenCV rounds weights to 1/32
    # flows point to the same cells after turning: followed, they find them again
    followed = dynamics.compute_masks(5 * target[1:3], np.where(target[0] > 0, 5.0, -5.0), niter=200, flow_threshold=0)
    before = dynamics.compute_masks(5 * raw[1:3], np.where(raw[0] > 0, 5.0, -5.0), niter=200, flow_threshold=0)
    assert abs(int(followed.max()) - int(before.max())) <= 1  # a cell that touches the border may merge or vanish
    inside = target[0] > 0
    assert np.hypot(*target[1:3])[inside].mean() > 0.9


def test_exact_crops_are_the_pixels_of_the_image(packed, scripts):
    module = scripts["bundled_crops"]
    crops = module.Crops(packed, 0, 48, 1, 30.0, exact=1.0)
    turns = set()
    for step in range(40):
        cut = crops.draw(step, 0)
        turns.add(cut.linear.tobytes())
        images, _ = crops.cut(cut)
        height, width = cut.entry.shape
        start = cut.entry.pixels + cut.planes[0] * height * width
        whole = crops.images[start : start + height * width].reshape(height, width).astype(np.float32)
        y, x = cut.centre.astype(int)
        seen = whole[y - 24 : y + 24, x - 24 : x + 24]
        assert np.array_equal(np.sort(images[0].ravel()), np.sort(seen.ravel()))
        assert any(np.array_equal(images[0], np.rot90(s, k)) for s in (seen, seen.T) for k in range(4))
    assert len(turns) == 8
    assert all(module.Crops(packed, 0, 48, 1, 30.0).draw(step, 0).scale != 1 for step in range(40))


@pytest.mark.slow
def test_processes_share_a_batch(packed, data, tmp_path):
    """Two processes agree on the length of the run and end with one set of weights; what they write is whole."""
    (tmp_path / "packed").symlink_to(packed)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = f"--data {data} --out {tmp_path} --steps 3 --cooldown 1 --size 64 --batch 4 --width 4 --threads 1"
    source = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS.parent / "src"), str(SCRIPTS)])}
    done = subprocess.run(
        [*command, str(SCRIPTS / "train_bundled.py"), *arguments.split(), "--float32", "--validate-every", "0"],
        env=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "args.jsonl").read_text().splitlines()) == 1
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3
    assert not list(tmp_path.glob("*.part"))


def test_gradients_are_the_mean_of_all_processes(scripts, monkeypatch):
    module = scripts["train_bundled"]
    net = torch.nn.Linear(3, 2)
    for p in net.parameters():
        p.grad = torch.full_like(p, 4.0)
    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(module.dist, "all_reduce", lambda flat: flat.add_(torch.arange(len(flat))))
    module.share_gradients(net)
    assert torch.equal(net.weight.grad, 2 + torch.arange(6).view(2, 3) / 2)
    assert torch.equal(net.bias.grad, 2 + torch.arange(6, 8) / 2)


def test_resumed_runs_equal_runs_in_one_go(packed, data, scripts, tmp_path, monkeypatch):
    module = scripts["train_bundled"]
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    weights = []
    for name, parts in (("once", [6]), ("twice", [3, 6])):
        out = tmp_path / name
        out.mkdir()
        (out / "packed").symlink_to(packed)
        for last in parts:
            # the learning rate stays the same in both: no cooldown within these steps
            arguments = (
                f"--data {data} --out {out} --steps {last} --cooldown 0 --size 64 --batch 2 --width 4 --threads 1"
            )
            module.main([*arguments.split(), "--float32", "--validate-every", "0", "--save-every", "3"])
        weights.append(torch.load(out / "final.pt", weights_only=True))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_learning_rate_rises_stays_and_falls(scripts):
    module = scripts["train_bundled"]
    args = module.parse(["--data", "d", "--out", "o", "--steps", "100", "--cooldown", "40", "--warmup", "10"])
    rates = [module.learning_rate(module.State(None, None, None, step=step), args) for step in range(101)]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[10:60] == [2e-3] * 50
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[100] == 0


def test_runs_by_the_clock_end_with_it(packed, data, scripts, tmp_path):
    module = scripts["train_bundled"]
    args = module.parse(["--data", "d", "--out", "o", "--minutes", "10", "--steps", "10", "--cooldown", "4"])
    progress = [module.progress(module.State(None, None, None, wall_s=60.0 * minute), args) for minute in range(12)]
    assert progress[:7] == [0] * 7
    assert progress[8] == pytest.approx(0.5)
    assert progress[10:] == [1, 1]


def test_a_prepared_run_on_a_device(data, scripts, tmp_path, monkeypatch):
    """As on a GPU: data from a bundle, crops and network on the device, an end by the clock, half precision to ship."""
    module, source = scripts["train_bundled"], scripts["bundled_data"]
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    make_few(monkeypatch, source)
    source.write_bundle(data, tmp_path / "data.zip")
    arguments = f"--data {tmp_path / 'data.zip'} --out {tmp_path / 'run'} --crops device --minutes 0.02 --size 64"
    module.main([*arguments.split(), *["--batch", "2", "--width", "4", "--threads", "1", "--validate-every", "0"]])
    exact = torch.load(tmp_path / "run" / "final.pt", weights_only=True)
    shipped = module.weights.load_state_dict(tmp_path / "run" / "final.safetensors")
    assert exact.keys() == shipped.keys()
    assert all(torch.allclose(exact[k].float(), shipped[k].float(), rtol=1e-3, atol=1e-4) for k in exact)


def test_a_run_may_start_from_shipped_weights(packed, scripts, tmp_path):
    module = scripts["train_bundled"]
    args = module.parse(["--data", "d", "--out", str(tmp_path), "--width", "4"])
    old, new = module.build(args), module.build(args)
    with torch.no_grad():
        for value in old.net.state_dict().values():
            value.add_(1)
    old.net.state_dict()["downsample.down.res_down_0.proj.0.weight"][1] = 0
    module.save_final(old.net, tmp_path)
    module.start_from(new, tmp_path / "final.safetensors", seed=0)
    state = new.net.state_dict()
    assert state["downsample.down.res_down_0.proj.0.weight"].tolist() == [2, 1]
    key = "upsample.up.res_up_0.conv.conv_0.2.weight"
    assert torch.allclose(state[key], old.net.state_dict()[key], rtol=1e-3)
    assert torch.equal(state[key], new.mean.state_dict()[key])


def test_the_mean_of_two_sets_of_weights(scripts):
    mean = importlib.import_module("export_bundled").mean
    one, other = ({"w": torch.tensor([w, 2.0]), "n": torch.tensor(n)} for w, n in ((1, 8), (3, 10)))
    made = mean(one, other)
    assert made["w"].tolist() == [2, 2]
    assert made["n"] == 8  # a count stays that of the first


def test_the_command_in_the_card_has_no_paths_of_a_machine(scripts):
    command = importlib.import_module("export_bundled").command
    words = ["--data", "/home/me/data", "--out", "runs/a", "--init", "/tmp/w.pt", "--seed", "5"]
    end = "training/train_bundled.py --data DATA --out RUN --init WEIGHTS --seed 5"
    assert command({"argv": words}) == f"python {end}"
    assert command({"argv": words, "processes": 2}) == f"python -m torch.distributed.run --nproc-per-node 2 {end}"


def test_a_wider_network_begins_with_the_same_function_and_different_channels(scripts, tmp_path):
    module = scripts["train_bundled"]
    narrow, wide = (module.build(module.parse(["--data", "d", "--out", "o", "--width", str(w)])) for w in (4, 8))
    with torch.no_grad():
        for value in narrow.net.state_dict().values():
            if value.is_floating_point() and value.ndim == 1 and len(value) > 1:
                value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(len(value))))
    torch.save(narrow.net.state_dict(), tmp_path / "narrow.pt")
    module.start_from(wide, tmp_path / "narrow.pt", seed=0)
    x = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (state.net.eval()(x)[0] for state in (narrow, wide))
    assert float((before - after).abs().max()) < 1e-4 * float(before.abs().max())  # rounding of float32
    first, second = wide.net.state_dict()["downsample.down.res_down_1.conv.conv_0.2.weight"].chunk(2, dim=1)
    assert not torch.allclose(first, second)


def test_kernels_step_in_all_directions_alike(scripts):
    """The step of a kernel is nearly orthogonal, however unlike its gradients, and as large as one of AdamW."""
    module = importlib.import_module("optimizers")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(8, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.Conv2d(6, 1, 1))
    net = net.to(memory_format=torch.channels_last)
    optimizer = module.MuonAndAdamW(net, lr=0.01, weight_decay=0.0)
    assert [kernel is net[0].weight for kernel in optimizer.kernels] == [True]  # the last layer has one row only
    before = net[0].weight.detach().clone()
    net[0].weight.grad = torch.randn(6, 8, 3, 3) * torch.logspace(-1, 0.5, 6)[:, None, None, None]
    net[2].weight.grad = torch.ones_like(net[2].weight)
    kept, scale = net[2].weight.detach().clone(), net[1].weight.detach().clone()
    optimizer.step()
    change = before - net[0].weight.detach()
    strengths = torch.linalg.svdvals(change.flatten(1)) / (0.01 * 0.2 * 72**0.5)
    assert strengths.min() > 0.5
    assert strengths.max() < 1.5
    assert torch.allclose(net[2].weight, kept - 0.01)  # the first step of AdamW is the rate
    assert torch.equal(net[1].weight, scale)
    optimizer.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_kernels_that_moved_are_noticed(scripts):
    module = importlib.import_module("optimizers")
    net = torch.nn.Conv2d(8, 6, 3).to(memory_format=torch.channels_last)
    optimizer = module.MuonAndAdamW(net, lr=0.01, weight_decay=0.0)
    net.weight.data = net.weight.data.clone()
    with pytest.raises(RuntimeError, match="no longer where"):
        optimizer.step()


@pytest.fixture
def restoration(scripts, monkeypatch):
    module = importlib.import_module("train_restoration")
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    return module


RESTORATION = "--size 64 --batch 2 --width 4 --threads 1 --float32 --judge nuclei-cells --judge-from 1"


def test_restoration_is_trained_and_goes_on(packed, restoration, tmp_path):
    """It begins as a network that changes nothing, learns with all losses, and goes on where it was."""
    begun = f"--packed {packed} --out {tmp_path} {RESTORATION} --minutes"
    for minutes in (0.02, 0.04):
        restoration.main([*begun.split(), str(minutes)])
    lines = [json.loads(line) for line in (tmp_path / "args.jsonl").read_text().splitlines()]
    assert [line["from_step"] > 0 for line in lines] == [False, True]
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert all(np.isfinite(float(rows[-1][name])) for name in ("rec", "seg", "per"))
    shipped = nets.CPnet([1, 4, 8, 16, 32], nout=1)
    shipped.load_state_dict(weights.load_state_dict(tmp_path / "final.safetensors"))
    noisy = torch.rand(1, 1, 64, 64)
    assert (shipped.eval()(noisy)[0] - noisy).square().mean() < 0.5


@pytest.mark.slow
def test_processes_share_a_batch_of_restoration(packed, tmp_path):
    """Two processes begin with one network, agree on the end, and write one run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(SCRIPTS / "train_restoration.py"), "--packed", str(packed), "--out", str(tmp_path)]
    source = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS.parent / "src"), str(SCRIPTS)])}
    done = subprocess.run(
        [*command, *script, *RESTORATION.split(), "--minutes", "0.05"],
        env=source, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "args.jsonl").read_text().splitlines()) == 1
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] > 0
    assert not list(tmp_path.glob("*.part"))
